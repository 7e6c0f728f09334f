"""What each change to configuration, data or code makes Snakemake want to run, and what not.

Every change is made in a finished workplace, `snakemake -n` says what it wants, and the change is
taken back: jobs are named by their messages.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import tiny_checkpoints
from support.tiny_workflow import SENTENCES, Workplace, make_workplace, message_of

RECORDS = 2  # a job in each of two languages
PROMPTS = "edits/prompts, facts/prompts, facts-1-shot/prompts"
ENDS = {"every configured analysis is done", "report: figures and tables with captions"}


@pytest.fixture(scope="module")
def finished(finished: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A copy, since changes are made in it, and other files' tests run beside these."""
    return finished.copy(tmp_path_factory.mktemp("reruns") / "place")


@contextmanager
def changed(place: Workplace, *files: str) -> Iterator[None]:
    """Put files back as they were, time stamps too, when the block ends."""
    kept = {}
    for name in files:
        path = place.folder / name
        copy = path.with_name(f"{path.name}.kept")
        shutil.copy2(path, copy)
        kept[path] = copy
    try:
        yield
    finally:
        for path, copy in kept.items():
            shutil.copy2(copy, path)
            copy.unlink()


def wanted(place: Workplace, *targets: str) -> set[str]:
    """The jobs that Snakemake would run, but for the targets themselves and the report."""
    plan = place.plan(*targets)
    assert plan.status == 0, plan.output
    return plan.jobs - ENDS


def after(place: Workplace, file: str, old: str, new: str) -> set[str]:
    """What is wanted after a change to one file."""
    with changed(place, file):
        place.edit(file, old, new)
        return wanted(place)


def configured(place: Workplace, change: Callable[[dict], dict]) -> set[str]:
    """What is wanted after a change to the configuration."""
    with changed(place, "config.yaml"):
        place.configure(**change(place.config))
        return wanted(place)


def records(jobs: set[str]) -> set[str]:
    return {job for job in jobs if job.startswith("recordings of")}


def of_analysis(jobs: set[str], name: str) -> set[str]:
    return {job for job in jobs if job.startswith(f"{name}: ")}


def test_a_finished_run_wants_nothing(finished: Workplace) -> None:
    assert wanted(finished) == set()


@pytest.mark.parametrize("spelling", ["./config.yaml", "{folder}/config.yaml"])
def test_nor_if_the_configuration_is_spelled_otherwise(finished: Workplace, spelling: str) -> None:
    file = spelling.format(folder=finished.folder)
    assert wanted(finished, "--configfile", file) == set()


NO_NUMBER = {
    "a word of a message": (
        "src/neuroglot/store.py",
        "it has no {COMPLETE}",
        "it lacks {COMPLETE}",
    ),
    "a word of a message in a step": (
        "src/neuroglot/analyses/held_out.py",
        "so it is not held out",
        "so it is hardly held out",
    ),
    "a comment": (
        "src/neuroglot/measures/kernels.py",
        "def fires(",
        "# A comment.\ndef fires(",
    ),
    "what a step says of a variable": (
        "src/neuroglot/analyses/lape/steps/neurons.py",
        "share of all tokens of the text",
        "share of the text's tokens",
    ),
    "a docstring": ("src/neuroglot/capture/engine.py", '"""Runs a model', '"""Here runs a model'),
    "the progress bar": ("src/neuroglot/progress.py", "maxinterval=10", "maxinterval=20"),
    "a definition that nothing reaches": (
        "src/neuroglot/analyses/transfer/measures/correlation.py",
        "def correlation_ratio(",
        "UNUSED = 1\n\n\ndef correlation_ratio(",
    ),
    "a source that no text is of": (
        "src/neuroglot/corpora/udhr.py",
        "CLOSING_FORMULA = 0.15",
        "CLOSING_FORMULA = 0.16",
    ),
    "a task that is not asked": (
        "src/neuroglot/tasks/nli.py",
        "class NliTask(",
        "X = 1\n\n\nclass NliTask(",
    ),
    "the import of a new source of text": (
        "src/neuroglot/corpora/__init__.py",
        "from neuroglot.corpora.table import TableCorpus",
        "from neuroglot.corpora.novel import NovelCorpus\n"
        "from neuroglot.corpora.table import TableCorpus",
    ),
    "a new source of text": (
        "src/neuroglot/corpora/__init__.py",
        "    | TextCorpus\n",
        "    | TextCorpus\n    | NovelCorpus\n",
    ),
}


def test_what_changes_no_number_reruns_nothing(finished: Workplace) -> None:
    """All at once, which nothing is the answer to either; a new architecture among them."""
    architectures = "src/neuroglot/models/architectures.py"
    texts, novel = "src/neuroglot/corpora/text.py", "src/neuroglot/corpora/novel.py"
    with changed(finished, architectures, *{file for file, _, _ in NO_NUMBER.values()}):
        for file, old, new in NO_NUMBER.values():
            finished.edit(file, old, new)
        table = (finished.folder / architectures).read_text("utf-8")
        start = table.index('    "llama"')
        entry = table[start : table.index('\n    "', start + 5) + 1]
        finished.edit(architectures, entry, entry.replace('"llama"', '"lama"', 1) + entry)
        corpus = (finished.folder / texts).read_text("utf-8").replace("TextCorpus", "NovelCorpus")
        (finished.folder / novel).write_text(corpus.replace('["text"]', '["novel"]'), "utf-8")
        try:
            assert wanted(finished) == set()
        finally:
            (finished.folder / novel).unlink()


def test_an_architecture_s_own_entry_makes_its_models_again(finished: Workplace) -> None:
    jobs = after(finished, "src/neuroglot/models/architectures.py", '    "llama"', '    "lama"')
    assert "model one: weights, tokenizer and card" in jobs
    assert len(records(jobs)) == RECORDS


def test_a_line_of_the_bootstrap_reruns_what_bootstraps(finished: Workplace) -> None:
    jobs = after(
        finished, "src/neuroglot/measures/bootstrap.py", "WEIGHTS = 1 << 22", "WEIGHTS = 1 << 21"
    )
    assert not records(jobs)
    assert not {job for job in jobs if job.startswith(("corpus", "recordings", "model", "task"))}
    assert message_of("roles", "rank_correlation") in jobs
    assert "lape: language-specific neurons of one" in jobs
    assert message_of("roles", "heatmap") not in jobs
    assert "lexicon: tokens of one counted in every language" not in jobs


def test_a_line_of_a_measure_reruns_its_steps_and_nothing_else(finished: Workplace) -> None:
    jobs = after(
        finished,
        "src/neuroglot/analyses/roles/measures/rsa.py",
        "NO_SPREAD = 1e-12",
        "NO_SPREAD = 2e-12",
    )
    assert jobs == {message_of("roles", "rsa")}


def test_a_figure_redraws_its_family_only(finished: Workplace) -> None:
    jobs = after(
        finished,
        "src/neuroglot/analyses/roles/figures/flatness.py",
        "(bits per neuron;",
        "(bits a neuron;",
    )
    assert jobs == {"roles: figures of flatness"}


def test_a_setting_reruns_the_steps_that_read_it(finished: Workplace) -> None:
    jobs = configured(finished, lambda config: {"roles": {**config["roles"], "heatmap_rows": 5}})
    assert jobs == {message_of("roles", "heatmap"), "roles: figures of heatmap"}


@pytest.mark.parametrize(
    ("capture", "further"), [({"store_dtype": "float32"}, ""), ({"keep_bits": 6}, "plain/states, ")]
)
def test_how_rows_are_stored_touches_no_statistic(
    capture: dict[str, Any], further: str, finished: Workplace
) -> None:
    jobs = configured(finished, lambda _: {"capture": capture})
    assert records(jobs) == {
        f"recordings of one in {language}: other/sample, plain/sample, {further}{PROMPTS}"
        for language in ("en", "de")
    }
    assert message_of("roles", "distance") in jobs
    assert message_of("roles", "flatness") not in jobs
    assert "lape: language-specific neurons of one" not in jobs


def test_precision_reruns_what_ran_the_model_and_what_follows(finished: Workplace) -> None:
    jobs = configured(finished, lambda _: {"capture": {"dtype": "bfloat16"}})
    assert len(records(jobs)) == RECORDS
    assert not {job for job in jobs if job.startswith(("corpus ", "task ", "model "))}
    assert "tokens" not in " ".join(records(jobs))
    for step in ("roles/flatness", "lape/perplexity", "sharing/kinds", "transfer/lape"):
        assert message_of(*step.split("/")) in jobs
    assert not of_analysis(jobs, "lexicon"), "it reads weights"
    assert "clustered" not in " ".join(of_analysis(jobs, "experts"))
    as_found = {"capture": {"dtype": "float32", "device": "cpu"}}
    assert configured(finished, lambda _: as_found) == set()


def test_a_precision_that_another_machine_found_is_gone_on_with(finished: Workplace) -> None:
    told = "results/models/one.running.json"
    half = configured(finished, lambda _: {"capture": {"dtype": "bfloat16"}})
    with changed(finished, "config.yaml", told):
        finished.configure(capture={"dtype": "half_if_faster"})
        asked = {"device": "auto", "dtype": "half_if_faster"}
        for dtype, expected in (("bfloat16", half), ("float32", set())):
            found = {"asked": asked, "device": "cpu", "dtype": dtype}
            (finished.folder / told).write_text(json.dumps(found))
            assert wanted(finished) == expected


def test_code_that_records_records_everything_again(finished: Workplace) -> None:
    jobs = after(
        finished,
        "src/neuroglot/capture/engine.py",
        "class Engine:",
        "class Engine(object):",
    )
    assert len(records(jobs)) == RECORDS
    assert message_of("roles", "flatness") in jobs
    assert "lexicon: tokens of one counted in every language" not in jobs


def test_one_source_s_module_reruns_its_texts_only(finished: Workplace) -> None:
    file = "src/neuroglot/corpora/text.py"
    with changed(finished, file):
        text = (finished.folder / file).read_text("utf-8")
        (finished.folder / file).write_text(
            text.replace(
                "    def segments(",
                "    def spare(self) -> int:\n        return 1\n\n    def segments(",
                1,
            ),
            "utf-8",
        )
        jobs = wanted(finished)
    assert {job for job in jobs if job.startswith("corpus ")} == {
        f"corpus {corpus}: en de" for corpus in ("plain", "other", "held-out")
    }
    assert not {job for job in jobs if job.startswith(("task ", "model "))}


def test_a_shipped_prompt_reruns_the_tasks_that_ask_it_in_that_language(
    finished: Workplace,
) -> None:
    file = "src/neuroglot/tasks/data/capital_prompts.json"
    with changed(finished, file):
        path = finished.folder / file
        shipped = json.loads(path.read_text("utf-8"))
        shipped["de"] = json.loads(json.dumps(shipped["de"]).replace("Hauptstadt", "Kapitale"))
        path.write_text(json.dumps(shipped), "utf-8")
        jobs = wanted(finished)
    tasks = ("facts", "edits", "facts-1-shot")
    assert {job for job in jobs if job.startswith("task ")} == {f"task {one}: de" for one in tasks}
    assert records(jobs) == {f"recordings of one in de: {PROMPTS}"}
    assert "sharing: answers of one to facts without neurons" in jobs
    assert not of_analysis(jobs, "roles")


def test_a_text_reruns_when_its_content_changes_and_not_when_it_is_touched(
    finished: Workplace,
) -> None:
    file = "texts/plain/de.tsv"
    with changed(finished, file):
        os.utime(finished.folder / file)
        assert wanted(finished) == set()
        finished.edit(file, "Das Haus", "Ein Haus")
        jobs = wanted(finished)
    assert {job for job in jobs if job.startswith("corpus ")} == {"corpus plain: de"}
    assert {job.partition(":")[0] for job in records(jobs)} == {"recordings of one in de"}
    assert "other/" not in " ".join(records(jobs))


def test_weights_that_change_make_the_model_again_and_all_that_follows(
    finished: Workplace, tmp_path: Path
) -> None:
    weights = "checkpoints/one/model.safetensors"
    with changed(finished, weights):
        os.utime(finished.folder / weights)
        assert wanted(finished) == set()
        texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
        tiny_checkpoints.write_checkpoint(tmp_path / "new", "llama", texts=texts, seed=7)
        shutil.copy(tmp_path / "new" / "model.safetensors", finished.folder / weights)
        jobs = wanted(finished)
    assert "model one: weights, tokenizer and card" in jobs
    assert {job.partition(":")[0] for job in records(jobs)} == {
        "recordings of one in en",
        "recordings of one in de",
    }
    assert not {job for job in jobs if job.startswith(("corpus ", "task "))}
    for name in finished.config:
        if (finished.folder / "results" / name).is_dir() and name not in (
            "models",
            "corpora",
            "tasks",
        ):
            assert of_analysis(jobs, name), name


# LAPE, and the analyses that read its neurons.
TAKEN_AWAY = ("lape", "agreement", "boost", "transfer")


def test_an_analysis_that_is_taken_away_reruns_nothing(finished: Workplace) -> None:
    def without(config: dict) -> dict:
        return dict.fromkeys(TAKEN_AWAY)

    assert configured(finished, without) == set()


def test_an_analysis_does_without_lape_what_it_did_beside_it(finished: Workplace) -> None:
    """Transfer stays, and so do all its steps but that for LAPE's neurons."""
    taken = set(TAKEN_AWAY) - {"transfer"}
    assert configured(finished, lambda _: dict.fromkeys(taken)) == set()


def test_one_that_is_put_back_finds_its_recordings(finished: Workplace, tmp_path: Path) -> None:
    place = finished.copy(tmp_path / "place")
    whole = (place.folder / "config.yaml").read_text("utf-8")
    place.configure(**dict.fromkeys(TAKEN_AWAY))
    run = place.run()
    assert run.status == 0, run.output
    assert run.jobs <= ENDS
    (place.folder / "config.yaml").write_text(whole, "utf-8")
    assert wanted(place) == set()
    shutil.rmtree(place.folder / "results" / "lape")
    shutil.rmtree(place.folder / "results" / "transfer" / "one" / "lape.zarr")
    jobs = wanted(place)
    assert of_analysis(jobs, "transfer") == {
        message_of("transfer", "lape"),
        "transfer: figures of lape",
    }


def test_what_is_added_records_only_what_is_missing(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    place.configure(roles={**place.config["roles"], "sample_segments": 3})
    place.draw_nothing()
    run = place.run("roles")
    assert run.status == 0, run.output
    stores = {
        path: path.stat().st_mtime_ns
        for path in (place.folder / "results/activations").rglob("*")
        if path.is_file() and path.parent.name != "de.zarr" and path.parent.name != "en.zarr"
    }
    place.configure(lape={"corpus": "plain", "top_fraction": 0.2})
    run = place.run("lape")
    assert run.status == 0, run.output
    assert records(run.jobs) == {
        f"recordings of one in {language}: plain/firing" for language in ("en", "de")
    }
    assert not of_analysis(run.jobs, "roles")
    for path, written in stores.items():
        assert path.stat().st_mtime_ns == written, path
    place.configure(roles={**place.config["roles"], "sample_segments": 2})
    assert not records(wanted(place, "roles"))
    place.configure(roles={**place.config["roles"], "sample_segments": 4})
    assert records(wanted(place, "roles")) == {
        f"recordings of one in {language}: plain/sample"  # of the other all three are there
        for language in ("en", "de")
    }


def test_languages_are_added_taken_away_and_reordered(finished: Workplace) -> None:
    jobs = configured(finished, lambda _: {"languages": ["en", "de", "fr"]})
    own = {job for job in jobs if job.startswith(("corpus", "task", "recordings"))}
    assert own
    assert all("fr" in job.replace(":", " ").split() for job in own), own
    jobs = configured(finished, lambda _: {"languages": ["de", "en"]})
    assert not {job for job in jobs if job.startswith(("corpus", "task", "recordings"))}
    assert of_analysis(jobs, "roles")


def test_a_corpus_or_a_task_is_added(finished: Workplace) -> None:
    def more_text(config: dict) -> dict:
        again = {"source": "text", "path": "texts/other/{language}.tsv", "skip_segments": 1}
        return {
            "corpora": {**config["corpora"], "more": again},
            "roles": {**config["roles"], "corpora": ["plain", "other", "more"]},
        }

    jobs = configured(finished, more_text)
    assert records(jobs) == {
        f"recordings of one in {language}: more/tokens, more/roles, more/sample"
        for language in ("en", "de")
    }
    assert not of_analysis(jobs, "lape")

    def more_tasks(config: dict) -> dict:
        return {
            "tasks": {
                **config["tasks"],
                "more": {"source": "facts", "paraphrases": 1, "max_items": 2},
            },
            "sharing": {**config["sharing"], "tasks": ["facts", "edits", "more"]},
        }

    jobs = configured(finished, more_tasks)
    assert records(jobs) == {
        f"recordings of one in {language}: more/prompts" for language in ("en", "de")
    }
    assert "sharing: answers of one to more without neurons" in jobs
    assert "sharing: answers of one to facts without neurons" not in jobs


def test_another_model_touches_none(finished: Workplace) -> None:
    def two(config: dict) -> dict:
        return {"models": {**config["models"], "two": {"source": "./checkpoints/two"}}}

    jobs = configured(finished, two)
    assert "model two: weights, tokenizer and card" in jobs
    assert not {job for job in jobs if "one" in job.split()}, jobs


def test_how_much_is_done_at_a_time_reruns_nothing(finished: Workplace) -> None:
    assert configured(finished, lambda _: {"execution": {"batch_tokens": 100}}) == set()


def test_a_model_is_chosen_by_an_analysis(finished: Workplace) -> None:
    def two(config: dict) -> dict:
        return {
            "models": {**config["models"], "two": {"source": "./checkpoints/two"}},
            "lape": {**config["lape"], "models": ["one"]},
            "agreement": None,
            "boost": None,
        }

    jobs = configured(finished, two)
    assert not {job for job in of_analysis(jobs, "lape") if "two" in job.split()}
    assert message_of("roles", "flatness", "two") in jobs


def test_kept_configuration_names_what_made_the_results(finished: Workplace) -> None:
    kept = json.loads((finished.folder / "results" / "configuration.json").read_text("utf-8"))
    assert kept["configuration"]["languages"] == ["en", "de"]
    assert kept["versions"]["neuroglot"]
    report = (finished.folder / "results" / "report.html").read_text("utf-8", "replace")
    assert kept["versions"]["torch"] in report


def test_results_that_came_without_their_history_are_refused(
    finished: Workplace, tmp_path: Path
) -> None:
    """Snakemake would take them for up to date, whatever has changed; said to be, they are."""
    place = finished.copy(tmp_path / "place")
    shutil.rmtree(place.folder / ".snakemake")
    plan = place.plan()
    assert plan.status != 0
    assert "snakemake --cores all --touch --forceall" in plan.output
    assert "Traceback" not in plan.output
    kept_elsewhere = place.plan("--persistence-backend", "db")
    assert kept_elsewhere.status == 0, kept_elsewhere.output
    run = place.run("--touch", "--forceall")
    assert run.status == 0, run.output
    assert wanted(place) == set()
    place.configure(roles={**place.config["roles"], "heatmap_rows": 5})
    assert wanted(place) == {message_of("roles", "heatmap"), "roles: figures of heatmap"}


def test_another_text_under_the_same_id_is_refused(finished: Workplace) -> None:
    with changed(finished, "config.yaml"):
        corpora = finished.config["corpora"]
        other = {"source": "text", "path": "texts/other/{language}.tsv"}
        finished.configure(corpora={**corpora, "plain": other})
        run = finished.run()
    assert run.status != 0
    assert "plain" in run.output
    assert "--directory" in run.output
    assert "Traceback" not in run.output
    assert wanted(finished) == set()
