"""Real runs of one analysis on tiny models: what is made, again, more, and not at all."""

import os
from pathlib import Path

import pytest

from neuroglot.analyses import ANALYSES
from support.tiny_workflow import Workplace, make_workplace, message_of

ENDS = {"every configured analysis is done", "report: figures and tables with captions"}


def reductions(model: str = "one") -> set[str]:
    names = "activation_frequency flatness heatmap dominant_neurons distance rank_correlation"
    return {message_of("roles", name, model) for name in [*names.split(), "parallel_sets"]}


FAMILIES = "frequency flatness heatmap distance rank_correlation related parallel_sets"
FIGURES = {f"roles: figures of {family}" for family in FAMILIES.split()}
RSA = {message_of("roles", "rsa")}


@pytest.fixture(scope="module")
def finished(finished: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A copy of a run of all analyses that is left with one, to run fast."""
    place = finished.copy(tmp_path_factory.mktemp("workflow") / "place")
    place.configure(**dict.fromkeys(name for name in ANALYSES if name != "roles"))
    place.draw_nothing()
    run = place.run()
    assert run.status == 0, run.output
    assert run.jobs <= FIGURES | ENDS
    return place


@pytest.fixture
def place(finished: Workplace, tmp_path: Path) -> Workplace:
    return finished.copy(tmp_path / "place")


def test_a_second_run_does_nothing(place: Workplace) -> None:
    run = place.run()
    assert run.status == 0
    assert run.jobs == set(), run.output


def test_touched_files_and_edited_comments_rerun_nothing(place: Workplace) -> None:
    place.edit("src/neuroglot/measures/kernels.py", "def fires(", "# A comment.\ndef fires(")
    place.edit("src/neuroglot/capture/engine.py", '"""Runs a model', '"""Here runs a model')
    place.edit("src/neuroglot/capture/engine.py", "class Engine:", "UNUSED = 1\n\n\nclass Engine:")
    for path in place.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    run = place.run()
    assert run.status == 0
    assert run.jobs == set(), run.output


@pytest.fixture(scope="module")
def grown(finished: Workplace, tmp_path_factory: pytest.TempPathFactory):
    """The workplace after a language was added, and the run that added it."""
    place = finished.copy(tmp_path_factory.mktemp("grown") / "place")
    place.configure(languages=["en", "de", "fr"])
    return place, place.run()


def test_adding_a_language_runs_its_own_jobs_and_the_aggregates(grown) -> None:
    _, run = grown
    assert run.status == 0, run.output
    own = {f"corpus {corpus}: fr" for corpus in ("plain", "other")}
    recorded = (
        f"{one}/{what}" for one in ("other", "plain") for what in ("tokens", "roles", "sample")
    )
    own |= {f"recordings of one in fr: {', '.join(recorded)}"}
    assert run.jobs == own | reductions() | RSA | FIGURES | ENDS


def test_removing_a_language_runs_aggregates_only(grown) -> None:
    place, _ = grown
    place.configure(languages=["en", "de"])
    run = place.run()
    assert run.status == 0, run.output
    assert run.jobs == reductions() | RSA | FIGURES | ENDS


def test_an_edited_caption_makes_the_report_alone(place: Workplace) -> None:
    caption = "src/neuroglot/analyses/roles/captions/figure_16_overlap.rst"
    text = (place.folder / caption).read_text("utf-8")
    place.edit(caption, text, f"{text.rstrip()}\n\nA new last sentence.\n")
    run = place.run()
    assert run.status == 0, run.output
    assert run.jobs == ENDS
    assert "A new last sentence." in (place.folder / "results/report.html").read_text("utf-8")
    place.edit(caption, "A new last", "{{ unknown }} A new last")
    run = place.run()
    assert run.status != 0
    assert "figure_16_overlap.rst: 'unknown' is undefined" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("target", ["lape", "results/lape/one/neurons.csv"])
def test_one_target_makes_nothing_else(tmp_path: Path, target: str) -> None:
    """Of the texts too only that is recorded which the target's analysis reads."""
    place = make_workplace(tmp_path / "place")
    place.configure(lape={"corpus": "plain", "top_fraction": 0.2})
    plan = place.plan(target)
    assert plan.status == 0, plan.output
    figures = {job for job in plan.jobs if job.startswith("lape: figures of")}
    assert plan.jobs - figures - {"lape: the neurons that are a language's own"} == {
        "model one: weights, tokenizer and card",
        "corpus plain: en de",
        *(f"recordings of one in {one}: plain/tokens, plain/firing" for one in ("en", "de")),
        "lape: language-specific neurons of one",
    }


def test_a_bad_configuration_stops_before_any_job(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    place.configure(langauges=["en"])
    run = place.run()
    assert run.status != 0
    assert "langauges: unknown key 'langauges'; did you mean 'languages'?" in run.output
    assert "Traceback" not in run.output
    assert not (place.folder / "results").exists()


def test_a_failing_step_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    (place.folder / "texts" / "plain" / "de.tsv").write_bytes(b"s0\tok\ns1\t\xff\xfe broken\n")
    run = place.run()
    assert run.status != 0
    assert "error: " in run.output
    assert "de.tsv" in run.output
    assert "Traceback" not in run.output
    assert not (place.folder / "results" / "corpora" / "plain" / "de.parquet").exists()


def test_a_failed_run_ends_with_what_failed_and_keeps_no_old_figure(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    assert place.run("roles").status == 0
    figures = place.folder / "results" / "roles" / "one" / "figures"
    others = {path.name for path in figures.iterdir() if "flatness" not in path.name}
    assert len(others) < len([*figures.iterdir()])
    step = "src/neuroglot/analyses/roles/steps/flatness.py"
    place.edit(step, "import numpy", "from neuroglot.errors import NeuroglotError\nimport numpy")
    place.edit(step, "    return xr", "    raise NeuroglotError('not today')\n    return xr")
    run = place.run("roles")
    assert run.status != 0
    end = run.output[run.output.index("What failed:") :]
    assert "roles/one/flatness: error: not today" in end
    assert {path.name for path in figures.iterdir()} == others
