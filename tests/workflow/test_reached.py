"""What jobs execute is within what their fingerprints count: the whole pipeline, job by job."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from neuroglot import commands, layout, recordings
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses import run as analyses_run
from neuroglot.analyses.base import Scope
from neuroglot.analyses.run import code_of, code_of_figures
from neuroglot.capture.settings import GROUPS
from neuroglot.config import Config, load_file
from neuroglot.corpora.base import write_parquet
from neuroglot.keys import MODELS, Keys
from neuroglot.recordings import RECORD, TOKENISE
from neuroglot.sources import Source
from neuroglot.tasks.base import write_items
from support.tiny_workflow import Workplace, add_analyses, make_workplace, take_mixture
from support.tracing import executed, unreached

ENTRIES = tuple(
    f"neuroglot.models.architectures:ARCHITECTURES[{name}]" for name in ("llama", "qwen3_moe")
)
# The function that each kind of job is, as the commands call it.
FUNCTIONS = {
    "model": "neuroglot.models.normalise.normalise",
    "tokens": "neuroglot.capture.tokenise.write_tokens",
    "record": "neuroglot.capture.record.record",
    "step": "neuroglot.analyses.run.run_step",
    "draw": "neuroglot.analyses.run.draw_figures",
}
# They need a package that is installed apart, or a second model.
NOT_RUN = {"transfer harness", "figures of roles rsa", "figures of sharing comparison"}
STEPS = [f"{name} {step.name}" for name, one in ANALYSES.items() for step in one.steps]
FAMILIES = [
    f"figures of {name} {family.name}" for name, one in ANALYSES.items() for family in one.figures
]


class Jobs:
    """Runs jobs, and tells of each what it executed and what its fingerprint is of."""

    def __init__(self) -> None:
        self.executed: dict[str, set[str]] = {}
        self.targets: dict[str, set[str]] = {}

    def run(self, name: str, targets: tuple[str, ...], function: Callable[..., Any], *given: Any):
        with executed() as now:
            made = function(*given)
        self.executed.setdefault(name, set()).update(now)
        self.targets.setdefault(name, set()).update(targets)
        return made


def targets_of(code: Callable[..., str], *given: Any) -> tuple[str, ...]:
    """What a function fingerprints that tells of the code of a job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(code.__globals__, "fingerprint", lambda *targets: targets)
        return code(*given)  # type: ignore[return-value]


def name_and_targets(kind: str, given: tuple[Any, ...]) -> tuple[str, tuple[str, ...]]:
    """What a job is called here, and what its fingerprint is of."""
    if kind == "step":
        analysis, step, _, settings, *_ = given
        own = targets_of(code_of, analysis, step, settings)
        return f"{analysis.name} {step.name}", (*own, *ENTRIES)
    if kind == "draw":
        analysis, family, *_ = given
        own = targets_of(code_of_figures, analysis, family)
        return f"figures of {analysis.name} {family.name}", own
    if kind == "record":
        [group] = (group for one in given[1] for group in one.groups)
        return f"recording of {group.name}", (*targets_of(recordings.code_of, group), *ENTRIES)
    return kind, {"model": (MODELS, *ENTRIES), "tokens": (TOKENISE,)}[kind]


@contextlib.contextmanager
def watched(jobs: Jobs) -> Iterator[None]:
    """Within this, the jobs that commands run are told of."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, place in FUNCTIONS.items():
            module, _, name = place.rpartition(".")
            function = getattr(__import__(module, fromlist=[name]), name)

            def run(*given: Any, kind: str = kind, function: Callable[..., Any] = function) -> Any:
                return jobs.run(*name_and_targets(kind, given), function, *given)

            patch.setattr(place, run)
        # What chooses what counts is no part of a job.
        patch.setattr(analyses_run, "code_of", lambda *_: "code")
        # Figures are laid out; what is left is matplotlib's own, and takes half of the time.
        patch.setattr(Figure, "savefig", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """Every job of a workplace with all analyses."""
    place = make_workplace(tmp_path_factory.mktemp("reached") / "place")
    add_analyses(place)
    found = Jobs()
    with contextlib.chdir(place.folder), watched(found):
        config = load_file(Path("config.yaml"))
        _sources(config, found)
        _recordings(config)
        _analyses(config)
        # Another way to the same: experts of rows that were recorded.
        place.configure(experts={**place.config["experts"], "scores_from": "rows"})
        config = load_file(Path("config.yaml"))
        _recordings(config, "rows")
        for language in config.languages:
            shutil.rmtree(layout.reduction("experts", "routing", "one", language))
            commands.make_reduction(config, "experts", "routing", "one", language)
        _training(place)
        mixture = make_workplace(place.folder.parent / "mixture")
        take_mixture(mixture)
    with contextlib.chdir(mixture.folder), watched(found):
        config = load_file(Path("config.yaml"))
        _sources(config, found)
        _recordings(config)
        _analyses(config)
        _training(mixture)
    return found


def _sources(config: Config, jobs: Jobs) -> None:
    """Models, texts, tasks and tokens."""
    for model in config.models:
        commands.make_model(config, model)
    for texts, write, place in (
        (config.corpora, write_parquet, layout.corpus),
        (config.tasks, write_items, layout.items),
    ):
        for text, source in texts.items():
            for language in config.languages:
                name, path = f"source {source.source}", place(text, language)
                jobs.run(name, source.code_targets(), _read, source, language, write, path)
    for model in config.models:
        for corpus in config.corpora:
            for language in config.languages:
                commands.make_recordings(config, model, language, [f"{corpus}/tokens"])


def _read(source: Source, language: str, write: Callable[..., None], path: Path) -> None:
    write(source.read(language), path)


def _recordings(config: Config, *groups: str) -> None:
    """Everything that is recorded, or these groups, each alone."""
    [model] = config.models
    needed = recordings.Recordings(config, Keys(config))
    for target in needed.groups[model]:
        for language in config.languages:
            if not groups or target.group in groups:
                commands.make_recordings(config, model, language, [str(target)])


def _analyses(config: Config) -> None:
    """Every job of every step, each once what it reads is there, and every family of figures."""
    waiting = [
        (name, step, model, part)
        for name in config.analyses
        for step in wanted.steps(config, ANALYSES[name])
        for model in wanted.scopes(config, ANALYSES[name], [step.name])
        for part in (step.parts(config, config.section(name)) if step.parts else [None])
    ]
    while waiting:
        ready = [job for job in waiting if _is_ready(config, *job)]
        assert ready, waiting
        for name, step, model, part in ready:
            commands.make_reduction(config, name, step.name, model, part)
        waiting = [job for job in waiting if job not in ready]
    for name in config.analyses:
        for family in wanted.figure_sets(config, ANALYSES[name]):
            if f"figures of {name} {family.name}" not in NOT_RUN:
                commands.make_figures(config, name, family.name, *config.models)


def _training(place: Workplace) -> None:
    """Follow the results through two revisions of a model, whose results are those of another."""
    [made] = place.config["models"]
    revisions = {"source": "owner/olmo", "revisions": ["step1", "step20"]}
    place.configure(models={"olmo": revisions})
    config = load_file(Path("config.yaml"))
    for name in config.analyses:
        for model in config.models:
            shutil.copytree(layout.RESULTS / name / made, layout.RESULTS / name / model)
        if any(step.name == "training" for step in ANALYSES[name].steps):
            commands.make_reduction(config, name, "training", None, None)
            commands.make_figures(config, name, "training", None)


def _is_ready(config: Config, name: str, step: Any, model: str | None, part: str | None) -> bool:
    models = wanted.models(config, ANALYSES[name], [step])
    scope = Scope(tuple(models) if model is None else (model,), part)
    inputs = step.inputs(config, config.section(name), scope)
    return all(layout.done(path).is_file() for path in inputs.paths())


@pytest.mark.parametrize(
    "job",
    [
        *("model", "source text", "source facts", "source edits", "tokens"),
        *(f"recording of {group}" for group in GROUPS),
        *(one for one in [*STEPS, *FAMILIES] if one not in NOT_RUN),
    ],
)
def test_what_is_executed_is_reached(jobs: Jobs, job: str) -> None:
    assert len(jobs.executed[job]) > 5
    assert unreached(jobs.executed[job], *jobs.targets[job]) == set()


def test_what_is_not_reached_is_noticed(jobs: Jobs) -> None:
    """A recording's code against the targets of tokens, and a text's without its source."""
    missing = unreached(jobs.executed["recording of sample"], *jobs.targets["tokens"])
    assert {"neuroglot.capture.engine:Engine", "neuroglot.capture.record:record"} <= missing
    assert unreached(jobs.executed["recording of sample"], RECORD, TOKENISE, *ENTRIES) == {
        "neuroglot.capture.settings:SampleGroup"
    }
    assert unreached(jobs.executed["source text"], "neuroglot.corpora.base:write_parquet") >= {
        "neuroglot.corpora.text:TextCorpus",
        "neuroglot.corpora.base:Corpus",
    }
