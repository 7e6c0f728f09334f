"""The declaration of an analysis: its settings, recordings, steps, figures and checks.

Nothing here or in a declaration imports torch or matplotlib, because the workflow reads
declarations while it is parsed. The code of steps and figures is in separate modules of the
analysis' folder, ``steps/{name}.py`` and ``figures/{name}.py``, which are imported when they run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import Field

from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, Group, Precision
from neuroglot.corpora.base import Corpus
from neuroglot.running import Device, Running
from neuroglot.settings import ModelId, PerplexitySettings, Section, Strict
from neuroglot.tasks.base import Task
from neuroglot.tokens import Tokenising


class AnalysisSettings(Section):
    """What every analysis' section of the configuration has."""

    models: list[ModelId] | None = Field(
        None, min_length=1, description="Models to analyse; left out: all that are configured."
    )


class JudgingSettings(AnalysisSettings):
    """The section of an analysis that judges models while some of their neurons are edited."""

    judged_models: list[ModelId] | None = Field(
        None,
        description="Those of `models` that are judged with edited neurons: by their perplexity, "
        "answers or generated text. Left out: those of `models` that the top level's "
        "`judged_models` names, or all. Except in `sharing`, they have to be causal models.",
    )


class LanguageFacts(Strict):
    """What reductions and figures know of a language."""

    name: str
    family: str
    genus: str
    script: str


class StepSettings(Strict):
    """The settings of a step; the step is rerun when any of them changes.

    Attributes:
        model: id, of a step that reads one model.
        pivot: id of the language that others are paired with.
        languages: ids, in drawing order.
        language_table: what is known of each.
    """

    model: str | None = None
    pivot: str | None = None
    languages: list[str] = Field(default_factory=list)
    language_table: dict[str, LanguageFacts] = Field(default_factory=dict)


class WeightsSettings(StepSettings):
    """Settings of a step that reads a model's weights and runs no text through it."""

    device: Device


class RunningSettings(WeightsSettings):
    """Settings that every step has that runs a model; see ``running.Running``."""

    dtype: Precision
    batch_tokens: int | None = None


RUNNING = set(RunningSettings.model_fields) - set(StepSettings.model_fields)
"""Settings that all numbers depend on that come from running a model."""


@dataclass(frozen=True)
class Work:
    """Folders and execution settings of a step, which change no number.

    Attributes:
        execution: how much to do at a time.
        pieces: a folder for parts that an interrupted or later run need not compute again.
        progress: a folder for the step's progress; it is removed when the step is done.
    """

    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    pieces: Path = Path("pieces")
    progress: Path = Path("pieces/progress")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of a step, by name: paths, or mappings (for example from languages) to paths.

    A path is a model's folder, a store (or a group of one), or a Parquet file of a text or task.
    """

    work: Work = field(default_factory=Work, repr=False)

    def named(self) -> dict[str, list[Path]]:
        """All paths, by field name."""
        names = [declared.name for declared in fields(self) if declared.name != "work"]
        return {name: list(_paths(getattr(self, name))) for name in names}

    def paths(self) -> list[Path]:
        """All paths."""
        return [path for paths in self.named().values() for path in paths]


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _paths(part)
    elif value is not None:
        raise TypeError(f"inputs are paths or mappings of them, not {value!r}")


class Run(Protocol):
    """The part of the configuration that analyses know."""

    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def pivot(self) -> str: ...
    @property
    def corpora(self) -> Mapping[str, Corpus]: ...
    @property
    def tasks(self) -> Mapping[str, Task]: ...
    @property
    def capture(self) -> CaptureSettings: ...
    @property
    def perplexity(self) -> PerplexitySettings | None: ...
    @property
    def all_languages(self) -> list[str]:
        """Every language of any corpus or task, in drawing order."""

    def corpus_languages(self, *names: str) -> list[str]:
        """The languages of some corpora or tasks, in drawing order."""

    def held_out_languages(self, corpus: str) -> list[str]:
        """The languages of a corpus that have held-out text."""

    def running(self, model: str) -> Running:
        """How a model is run, on which device and in which precision."""

    def tokenising(self, corpus: str, language: str) -> Tokenising:
        """How one language of a corpus is tokenised."""

    def facts(self, languages: Iterable[str]) -> dict[str, LanguageFacts]:
        """The facts about some languages."""

    def section(self, analysis: str) -> Any:
        """The section of an analysis; None if it is not configured."""

    def models_of(self, analysis: str, judged: bool = False) -> list[str]:
        """The models of an analysis or, with ``judged``, of its steps that judge edited models."""

    def families(self, models: Sequence[str]) -> dict[str, dict[str, int | None]]:
        """Those of some models that are revisions of one, by family, with their training steps."""


@dataclass(frozen=True)
class Scope:
    """What one job of a step is about: its model or models, and its part."""

    models: tuple[str, ...]
    part: str | None = None

    @property
    def model(self) -> str:
        """The only model."""
        [model] = self.models
        return model

    @property
    def one_part(self) -> str:
        """The only part, for a step with parts."""
        if self.part is None:
            raise TypeError("a step that has parts was given none")
        return self.part


In = TypeVar("In", bound=Inputs)
Told = TypeVar("Told", bound=StepSettings)
Configured = TypeVar("Configured", bound=AnalysisSettings)


@dataclass(frozen=True)
class Step(Generic[Configured, In, Told]):
    """One reduction: its inputs, its settings, and its files apart from its dataset.

    ``steps/{name}.py`` has ``compute(inputs, settings)``, which gives an ``xarray.Dataset``, and
    ``VARIABLES``, a sentence for each variable and coordinate (see ``described``). A step with
    ``tables`` has either ``TABLE``, the variables of its only table, or ``tables(data)``, which
    gives a frame for each table. A step with ``files`` has ``export(data, folder)``, which writes
    the files.

    Attributes:
        name: name of the step, its module and its dataset.
        message: the workflow's message for the step, with ``{model}`` and ``{part}``.
        inputs: function that gives the inputs of one job.
        settings: function that gives the settings of one job. A job is rerun when its code, its
            inputs or these settings change.
        tables: stems of its CSV files.
        files: names of other files.
        parts: function that gives the names of a step's several jobs: languages, tasks or numbers.
        wanted: function that says whether a configuration asks for the step.
        compares_models: one job reads all models.
        judges: the step judges models with edited neurons, so it runs on ``judged_models`` only.
        causal: the step needs causal models.
        beside: name of another analysis whose results the step reads, for a step that is wanted
            only for the models of that analysis.
        runs_model: the step runs a model, on a GPU if there is one.
        passes: how often the step reads its texts.
        runtime: further minutes that the step takes.
        modules: function from settings to the modules that the step imports by name; their code
            counts as the step's code.
    """

    name: str
    message: str
    inputs: Callable[[Run, Configured, Scope], In]
    settings: Callable[[Run, Configured, Scope], Told]
    tables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    parts: Callable[[Run, Configured], Sequence[str]] | None = None
    wanted: Callable[[Run, Configured], bool] = lambda _run, _section: True
    compares_models: bool = False
    judges: bool = False
    causal: bool = False
    beside: str | None = None
    runs_model: Callable[[Configured], bool] | bool = False
    passes: Callable[[Run, Configured], int] | int = 1
    runtime: int = 60
    modules: Callable[[Told], Iterable[str]] = lambda _settings: ()


@dataclass(frozen=True)
class FigureSet:
    """A set of figures: ``figures/{name}.py`` has ``FIGURES``, drawing functions by stem.

    Attributes:
        name: name of the set and its module.
        stems: stems of the files; each has its caption in ``captions/{stem}.rst``.
        steps: steps whose merged datasets the functions draw.
        between_models: stems that are drawn only for two or more models.
        front: stems that are also shown at the start of the report, for the first model.
    """

    name: str
    stems: tuple[str, ...]
    steps: tuple[str, ...]
    between_models: tuple[str, ...] = ()
    front: tuple[str, ...] = ()

    def drawn(self, models: int) -> tuple[str, ...]:
        """The stems that are drawn for this number of models."""
        return tuple(stem for stem in self.stems if models > 1 or stem not in self.between_models)


@dataclass(frozen=True)
class Naming(Generic[Configured]):
    """A method that names a language's neurons; ``agreement`` and ``boost`` compare and use it.

    ``naming.py`` in the analysis' folder has ``named(method, inputs, top_fraction)``, which gives
    the named neurons, bool ``[language, layer, neuron]``, and ``looked_at(method, inputs)``, which
    gives the layers that may have named neurons, bool ``[layer]``.

    Attributes:
        method: name of the method.
        steps: steps of the analysis whose datasets the method reads.
        languages: languages for which the method names neurons.
        chosen_on: corpus that neurons are chosen on, if any.
    """

    method: str
    steps: tuple[str, ...]
    languages: Callable[[Run, Configured], list[str]]
    chosen_on: Callable[[Configured], str | None] = lambda _section: None


@dataclass(frozen=True)
class NamingInputs:
    """Inputs of a naming method for one model.

    Attributes:
        model: folder of the model.
        reductions: datasets of the method's analysis, by step, or by ``step/part`` for parts.
    """

    model: Path
    reductions: Mapping[str, Path]

    def parts(self, step: str) -> dict[str, Path]:
        """The datasets of a step with parts, by part."""
        prefix = f"{step}/"
        return {
            name.removeprefix(prefix): path
            for name, path in self.reductions.items()
            if name.startswith(prefix)
        }


@dataclass(frozen=True)
class Wish:
    """A group of statistics or rows that an analysis needs recorded for a corpus or task."""

    source: str
    group: Group


@dataclass(frozen=True)
class Sizes:
    """The sizes of texts and models that are known before any job runs.

    Attributes:
        segments: number of segments of a corpus, by id; see ``texts_check``.
        neurons: each layer's number of neurons, by the id of the model.
    """

    segments: Mapping[str, int]
    neurons: Mapping[str, tuple[int, ...]]


def nothing(*_: Any) -> Iterable[Any]:
    """Give nothing: no recordings, no problems, or no analyses to read."""
    return ()


@dataclass(frozen=True)
class Analysis(Generic[Configured]):
    """One analysis, declared in the ``__init__`` of its folder.

    Attributes:
        name: name of the analysis, its folder, its target and its section.
        title: its subject in a few words.
        section: class of its section.
        steps: its reductions.
        figures: its sets of figures.
        recordings: function that gives the recordings it needs.
        problems: function that gives the problems of its section, as messages that begin with the
            key.
        too_small: function that gives the settings that ask for more than the texts and models
            have, as such messages.
        naming: its methods that name a language's neurons.
        reads: function that gives the analyses whose results it reads.
        encoders: it also runs on encoders without a decoder.
        mixtures: it also runs on mixtures of experts, or does with some settings.
        dense: it also runs on models that are no mixtures of experts, or does with some settings.
    """

    name: str
    title: str
    section: type[Configured]
    steps: tuple[Step[Configured, Any, Any], ...]
    figures: tuple[FigureSet, ...] = ()
    recordings: Callable[[Run, Configured], Iterable[Wish]] = nothing
    problems: Callable[[Run, Configured], Iterable[str]] = nothing
    too_small: Callable[[Run, Configured, Sizes], Iterable[str]] = nothing
    naming: tuple[Naming[Configured], ...] = ()
    reads: Callable[[Run, Configured], Iterable[str]] = nothing
    encoders: bool = False
    mixtures: Callable[[Configured], bool] | bool = False
    dense: Callable[[Configured], bool] | bool = True

    def takes(self, section: Configured) -> tuple[bool, bool]:
        """Whether it runs on mixtures of experts, and whether on other models."""
        mixtures, dense = self.mixtures, self.dense
        return (
            mixtures(section) if callable(mixtures) else mixtures,
            dense(section) if callable(dense) else dense,
        )

    @property
    def package(self) -> str:
        """The package that holds the analysis."""
        return f"neuroglot.analyses.{self.name}"

    @property
    def folder(self) -> Path:
        """The folder that holds the analysis."""
        return Path(__file__).parent / self.name

    def caption(self, stem: str) -> Path:
        """The template of the caption of a figure or, with ``table``, of the tables."""
        return self.folder / "captions" / f"{stem}.rst"

    def step(self, name: str) -> Step[Configured, Any, Any]:
        """The step with this name."""
        [step] = [step for step in self.steps if step.name == name]
        return step

    def figure_set(self, name: str) -> FigureSet:
        """The set of figures with this name."""
        [figure_set] = [figure_set for figure_set in self.figures if figure_set.name == name]
        return figure_set
