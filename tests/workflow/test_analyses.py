"""All analyses, run by Snakemake: what is made, shared, reused and refused."""

import re
from pathlib import Path

import pandas as pd
import pytest

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.captions import usages_of
from neuroglot.config import load_file
from support.tiny_workflow import Workplace, add_analyses, make_workplace, said_in_vain, unsaid


def test_a_target_makes_that_analysis_alone_and_the_same_numbers(
    finished: Workplace, tmp_path: Path
) -> None:
    place = make_workplace(tmp_path / "alone")
    add_analyses(place)
    place.draw_nothing()
    run = place.run("roles")
    assert run.status == 0, run.output
    assert not {path.name for path in (place.folder / "results").iterdir()} & (
        set(ANALYSES) - {"roles"}
    )
    tables = sorted((place.folder / "results" / "roles").rglob("*.csv"))
    assert len(tables) > 5
    for table in tables:
        alone = pd.read_csv(table)
        together = pd.read_csv(finished.folder / table.relative_to(place.folder))
        pd.testing.assert_frame_equal(together, alone, rtol=1e-5)
    others = place.plan("lape", "lexicon", "experts").jobs
    assert "lape: language-specific neurons of one" in others
    assert {job for job in others if job.startswith("recordings of")} == {
        f"recordings of one in {language}: held-out/tokens, plain/firing"
        for language in ("en", "de")
    }


def test_every_variable_says_what_it_is_and_every_dataset_of_what(finished: Workplace) -> None:
    found = finished.reductions()
    assert len(found) >= 20
    assert {name: missing for name, data in found.items() if (missing := unsaid(data))} == {}
    assert {name: vain for name, data in found.items() if (vain := said_in_vain(data))} == {}


def test_what_captions_say_was_read_is_what_the_datasets_were_made_from(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    config = load_file(layout.CONFIGURATION)
    seen = 0
    for name in config.analyses:
        for step in wanted.steps(config, ANALYSES[name]):
            for model, scope in wanted.scopes(config, ANALYSES[name], [step.name]).items():
                if step.parts:
                    continue
                path = layout.reduction(name, step.name, model)
                made_from = store.read_completion(path, "reduction").origin["made_from"]
                read = usages_of(config, ANALYSES[name], [step.name], scope)
                assert set(read) == {*made_from["corpora"], *made_from["tasks"]}
                languages = {one for reading in read.values() for one in reading.languages}
                assert languages == set(made_from["languages"])
                seen += 1
    assert seen >= 20


TARGETS = ("lexicon: what the", "experts: languages over", "lape: the neurons that")


def test_adding_a_language_reuses_what_was_counted_and_measured(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    place.draw_nothing()
    pieces = {
        path: path.stat().st_mtime_ns
        for path in (place.folder / "results").glob("*/one/*.pieces/*.npz")
    }
    assert len(pieces) >= 6
    place.configure(languages=["en", "de", "fr"])
    run = place.run("lexicon", "experts", "lape")
    assert run.status == 0, run.output
    figures = {job for job in run.jobs if ": figures of " in job}
    assert len(figures) == 12
    targets = {job for job in run.jobs if job.startswith(TARGETS)}
    assert run.jobs - figures - targets == {
        "corpus plain: fr",
        "corpus held-out: fr",
        "recordings of one in fr: held-out/tokens, plain/tokens, plain/firing",
        "experts: active experts of one reading fr",
        "experts: frequency and similarity of languages in one",
        "experts: one with high-frequency experts only",
        "lape: language-specific neurons of one",
        "lape: one without a language's neurons",
        "lexicon: tokens of one counted in every language",
        "lexicon: languages associated with the neurons of one",
    }
    for path, written in pieces.items():
        # Among more languages LAPE's neurons are chosen anew, and experts have another control.
        if "lape" not in path.parts and path.parent.name != "inference.pieces":
            assert path.stat().st_mtime_ns == written, path


@pytest.mark.parametrize(
    ("paper", "tables"),
    [
        ("roles", ["activation_frequency", "flatness", "parallel_sets"]),
        ("lexicon", ["neurons", "top_tokens", "prior"]),
        ("experts", ["frequency", "similarity", "specific_experts", "perplexity", "continuations"]),
        ("lape", ["neurons", "perplexity"]),
        ("sharing", ["kinds", "active", "contributions", "effective_scores", "accuracy"]),
        ("transfer", ["neurons", "similarity", "deactivation", "correlation", "tasks"]),
        ("agreement", ["agreement", "neurons"]),
        ("boost", ["boost", "continuations"]),
    ],
)
def test_each_analysis_makes_its_tables_and_figures(
    finished: Workplace, paper: str, tables: list[str]
) -> None:
    results = finished.folder / "results"
    for table in tables:
        lines = (results / paper / "one" / f"{table}.csv").read_text("utf-8").splitlines()
        assert len(lines) > 1, table
    assert len(list((results / paper / "one" / "figures").glob("*.png"))) >= 2


def test_the_report_has_every_table_and_figure(finished: Workplace) -> None:
    results = finished.folder / "results"
    report = (results / "report.html").read_text("utf-8")
    for kind in ("csv", "svg"):
        files = [file for name in ANALYSES for file in (results / name).rglob(f"*.{kind}")]
        assert len(files) > 30
        for file in files:
            assert f'href="{file.relative_to(results).as_posix()}"' in report
    assert len(list((results / "roles" / "one" / "figures").glob("*.png"))) >= 15
    assert len(list((results / "roles" / "one").glob("*.csv"))) == 8
    assert (results / "roles" / "rsa.csv").is_file()


def test_a_task_that_is_added_leaves_the_others_as_they_are(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    stores = [
        place.folder / f"results/activations/one/{task}/{language}.zarr/prompts"
        for task in ("facts", "edits")
        for language in ("en", "de")
    ]
    judged = [
        place.folder / f"results/sharing/one/answers/{task}.pieces/answers.npz"
        for task in ("facts", "edits")
    ]
    kept = [*(path / store.ORIGIN for path in stores), *judged]
    written = [path.stat().st_mtime_ns for path in kept]
    config = place.config
    place.configure(
        tasks={**config["tasks"], "more": {"source": "facts", "paraphrases": 1, "max_items": 2}},
        sharing={**config["sharing"], "tasks": ["facts", "edits", "more"]},
    )
    run = place.run("results/sharing/one/accuracy.csv")
    assert run.status == 0, run.output
    assert [path.stat().st_mtime_ns for path in kept] == written
    table = pd.read_csv(place.folder / "results/sharing/one/accuracy.csv")
    assert set(table["task"]) == {"facts", "edits", "more"}


def test_adding_a_language_to_transfer_measures_that_language(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    pieces = {
        path: path.stat().st_mtime_ns
        for path in (place.folder / "results/transfer/one").glob("*.pieces/*.npz")
    }
    assert len(pieces) == 4  # neurons, deactivation, the same of LAPE's and the task's, of German
    place.configure(languages=["en", "de", "fr"])
    run = place.run(*(f"results/transfer/one/{name}.csv" for name in ("deactivation", "tasks")))
    assert run.status == 0, run.output
    assert {job for job in run.jobs if job.startswith("recordings of")} == {
        "recordings of one in fr: plain/tokens, plain/states, plain/firing"
    }
    for path, written in pieces.items():
        assert path.stat().st_mtime_ns == written, path


def test_stored_rows_give_the_same_experts_as_a_forward_pass(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    frequencies = place.folder / "results" / "experts" / "one" / "frequency.csv"
    from_forward = frequencies.read_text("utf-8")
    place.configure(
        experts={**place.config["experts"], "scores_from": "rows"},
        capture={"store_dtype": "float32"},
    )
    run = place.run("results/experts/one/frequency.csv")
    assert run.status == 0, run.output
    assert "experts: active experts of one reading en" in run.jobs
    assert frequencies.read_text("utf-8") == from_forward


def test_a_target_that_is_not_configured_says_so(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    run = place.run("lexicon")
    assert run.status != 0
    assert "the configuration has no section 'lexicon'" in run.output


def test_settings_that_do_not_fit_the_model_or_text_are_named(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    config = place.config
    place.configure(
        lexicon={**config["lexicon"], "top_tokens": 5000},
        experts={**config["experts"], "experts_per_layer": 100},
    )
    run = place.run("lexicon", "experts", "--keep-going")
    assert run.status != 0
    assert "Traceback" not in run.output
    for message in (
        r"lexicon.top_tokens: 5000 tokens cannot be kept .* vocabulary has 400",
        r"experts.experts_per_layer: 100 experts cannot be made of 24 neurons",
    ):
        assert re.search(message, run.output), message


def test_held_out_text_that_neurons_were_chosen_on_is_refused(
    finished: Workplace, tmp_path: Path
) -> None:
    place = finished.copy(tmp_path / "place")
    corpora = place.config["corpora"]
    same = {**corpora["plain"], "strip_punctuation": True}
    place.configure(
        corpora={**corpora, "again": same},
        perplexity={**place.config["perplexity"], "corpus": "again"},
    )
    run = place.run("lape")
    assert run.status != 0
    assert re.search(
        r"error: .*again/..\.zarr: segment s0 also stands in .*plain/..\.zarr", run.output
    )


def test_kinds_are_those_of_the_stored_gates(finished: Workplace) -> None:
    """Equations 4 to 7, neuron by neuron, on what a gated model's gates did at the last token."""
    results = finished.folder / "results"
    gates = [
        store.read_rows(results / f"activations/one/facts/{language}.zarr/prompts", "gate")
        for language in ("en", "de")
    ]
    layers, items, neurons = gates[0].shape
    table = pd.read_csv(results / "sharing" / "one" / "kinds.csv")
    found = table[table["task"] == "facts"].set_index(["layer", "kind"])["kind_share"]
    for layer in range(layers):
        count = dict.fromkeys(("all_shared", "specific", "non_activated"), 0)
        for item in range(items):
            for neuron in range(neurons):
                active = sum(bool(gate[layer, item, neuron] > 0) for gate in gates)
                count[("non_activated", "specific", "all_shared")[active]] += 1
        for kind, number in count.items():
            assert found[layer + 1, kind] == pytest.approx(number / (items * neurons), rel=1e-4)
        assert found[layer + 1, "partial_shared"] == 0


def test_accuracies_come_with_chance_items_and_controls(finished: Workplace) -> None:
    table = pd.read_csv(finished.folder / "results" / "sharing" / "one" / "accuracy.csv")
    facts = table[table["task"] == "facts"].set_index(["variant", "language"])
    assert (facts["items"] == 4).all()
    assert facts["accuracy"].between(facts["accuracy_low"], facts["accuracy_high"]).all()
    assert facts["chance"].between(0, 0.5, inclusive="neither").all()
    for kind in ("all_shared", "partial_shared", "specific"):
        for language in ("en", "de"):
            own = facts.loc[f"without_{kind}", language]["neurons"]
            assert facts.loc[f"random_{kind}", language]["neurons"] == own
    assert (
        facts.loc["without_partial_shared", "en"]["neurons"] == 0
    )  # of two languages there is none
    assert facts.loc["without_all_shared", "en"]["neurons"] > 0
    assert (facts.loc["baseline"]["neurons"] == 0).all()
