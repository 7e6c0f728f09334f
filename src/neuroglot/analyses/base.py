"""What an analysis declares: its settings, recordings, steps, figures and checks.

Nothing here or in a declaration imports torch or matplotlib: the workflow reads declarations while
it is parsed. What a step or a figure computes lies in modules beside the declaration, which are
imported when it is its turn: ``steps/{name}.py`` and ``figures/{name}.py`` in the analysis' folder.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import Field

from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, Group
from neuroglot.corpora.base import Corpus
from neuroglot.settings import ModelId, PerplexitySettings, Section
from neuroglot.tasks.base import Task


class AnalysisSettings(Section):
    """What every analysis' section of the configuration has."""

    models: list[ModelId] | None = Field(
        None, min_length=1, description="Models to analyse; left out: all that are configured."
    )


class EditingSettings(AnalysisSettings):
    """The section of an analysis some of whose steps run causal models, with neurons edited."""

    causal_models: list[ModelId] | None = Field(
        None,
        description="Those of `models` that the steps which edit neurons run: perplexity, answers "
        "and generation need a causal model. Left out: all of `models`.",
    )


class LanguageFacts(Section):
    """What reductions and figures know of a language."""

    name: str
    family: str
    genus: str
    script: str


class StepSettings(Section):
    """What a step is told; it is rerun when any of it changes.

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


class RunningSettings(StepSettings):
    """What a step that runs a model is told beside its own settings."""

    device: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Work:
    """Where and how a step works; none of it changes a number.

    Attributes:
        execution: how much to do at a time.
        pieces: a folder for parts that an interrupted or later run need not compute again.
        progress: a folder for what this very step has done; it is removed once all is done.
    """

    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    pieces: Path = Path("pieces")
    progress: Path = Path("pieces/progress")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a step reads, by name: paths, or mappings from languages and the like to paths.

    A path is a model's folder, a store (or a group of one), or a Parquet file of a text or task.
    """

    work: Work = field(default_factory=Work, repr=False)

    def named(self) -> dict[str, list[Path]]:
        """All paths, by the name of the field that holds them."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "work"}
        return {name: list(_paths(value)) for name, value in found.items()}

    def paths(self) -> list[Path]:
        """All paths."""
        return [path for paths in self.named().values() for path in paths]


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _paths(one)
    elif value is not None:
        raise TypeError(f"inputs are paths or mappings of them, not {value!r}")


class Run(Protocol):
    """The configuration, as far as analyses know it."""

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
        """Every language that any corpus or task is read in, in drawing order."""

    def corpus_languages(self, *names: str) -> list[str]:
        """The languages that any of some corpora or tasks is read in, in drawing order."""

    def held_out_languages(self, corpus: str) -> list[str]:
        """The languages of a corpus that there is held-out text in."""

    def facts(self, languages: Iterable[str]) -> dict[str, LanguageFacts]:
        """What is known of languages."""

    def section(self, analysis: str) -> Any:
        """The section of an analysis; None where it is not configured."""

    def models_of(self, analysis: str, causal: bool = False) -> list[str]:
        """The models that an analysis, or those of its steps that edit neurons, runs on."""


@dataclass(frozen=True)
class Scope:
    """Which job of a step: of which model, or over which models, and of which part."""

    models: tuple[str, ...]
    part: str | None = None

    @property
    def model(self) -> str:
        """The one model."""
        [one] = self.models
        return one

    @property
    def one_part(self) -> str:
        """The one part, of a step that has parts."""
        if self.part is None:
            raise TypeError("a step that has parts was given none")
        return self.part


In = TypeVar("In", bound=Inputs)
Told = TypeVar("Told", bound=StepSettings)
Configured = TypeVar("Configured", bound=AnalysisSettings)


def always(_run: Run, _section: Any) -> bool:
    """Say that a step is wanted whatever the configuration."""
    return True


def no_modules(_settings: Any) -> Iterable[str]:
    """Say that a step imports what it needs, and finds nothing by name."""
    return ()


@dataclass(frozen=True)
class Step(Generic[Configured, In, Told]):
    """One reduction: what it reads and is told, and what it writes beside its dataset.

    ``steps/{name}.py`` has ``compute(inputs, settings)``, which gives an ``xarray.Dataset``;
    ``VARIABLES``, a sentence for each variable and coordinate (see ``described``); with ``tables``
    either ``TABLE``, the variables of the one table, or ``tables(data)``, which gives a
    frame for each; and with ``files`` an ``export(data, folder)`` that writes them.

    Attributes:
        name: of the step, its module and its dataset.
        message: what the workflow says while it runs, with ``{model}`` and ``{part}``.
        inputs: what it reads, for one job.
        settings: what it is told, for one job. Nothing else reruns it.
        tables: stems of its CSV files.
        files: names of other files.
        parts: of a step of several jobs, their names: languages, tasks or numbers.
        wanted: whether a configuration asks for the step.
        compares_models: one job reads all models.
        causal: it edits neurons of causal models, so it runs on ``causal_models``.
        runs_model: it runs a model, on a GPU if there is one.
        passes: how often it reads its texts.
        runtime: minutes that it takes beside that.
        modules: of settings, the modules that it finds by name, whose code counts as its own.
    """

    name: str
    message: str
    inputs: Callable[[Run, Configured, Scope], In]
    settings: Callable[[Run, Configured, Scope], Told]
    tables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    parts: Callable[[Run, Configured], Sequence[str]] | None = None
    wanted: Callable[[Run, Configured], bool] = always
    compares_models: bool = False
    causal: bool = False
    runs_model: Callable[[Configured], bool] | bool = False
    passes: Callable[[Run, Configured], int] | int = 1
    runtime: int = 60
    modules: Callable[[Told], Iterable[str]] = no_modules


@dataclass(frozen=True)
class Figures:
    """A family of figures: ``figures/{name}.py`` has ``FIGURES``, a drawing function by stem.

    Attributes:
        name: of the family and its module.
        stems: of the files; each has its caption in ``captions/{stem}.rst``.
        steps: whose datasets, merged into one, the functions are given.
        between_models: those of the stems that say nothing of fewer than two models.
    """

    name: str
    stems: tuple[str, ...]
    steps: tuple[str, ...]
    between_models: tuple[str, ...] = ()

    def drawn(self, models: int) -> tuple[str, ...]:
        """The stems that are drawn of so many models."""
        return tuple(one for one in self.stems if models > 1 or one not in self.between_models)


@dataclass(frozen=True)
class Naming(Generic[Configured]):
    """A way of naming a language's neurons, which ``agreement`` and ``boost`` build on.

    ``naming.py`` in the analysis' folder has ``named(method, inputs, top_fraction)``, which gives
    bool ``[language, layer, neuron]``, and ``looked_at(method, inputs)``, bool ``[layer]``: where
    the method may name any.

    Attributes:
        method: its name.
        steps: the steps of its analysis that say which neurons are named.
        languages: the languages it names neurons of.
        chosen_on: the corpus that neurons are chosen on, if it is one.
    """

    method: str
    steps: tuple[str, ...]
    languages: Callable[[Run, Configured], list[str]]
    chosen_on: Callable[[Configured], str | None] = lambda _section: None


@dataclass(frozen=True)
class NamingInputs:
    """What a way of naming neurons reads of one model.

    Attributes:
        model: its folder.
        reductions: its analysis' datasets, by step, and by ``step/part`` where there are parts.
    """

    model: Path
    reductions: Mapping[str, Path]

    def parts(self, step: str) -> dict[str, Path]:
        """The datasets of a step that has several, by part."""
        own = f"{step}/"
        return {
            name.removeprefix(own): path
            for name, path in self.reductions.items()
            if name.startswith(own)
        }


@dataclass(frozen=True)
class Wish:
    """A group of statistics or rows that an analysis wants recorded of a corpus or task."""

    text: str
    group: Group


def nothing(_run: Run, _section: Any) -> Iterable[Any]:
    """Give nothing: no recordings, no problems, no analyses that are read."""
    return ()


@dataclass(frozen=True)
class Analysis(Generic[Configured]):
    """One analysis, declared in the ``__init__`` of its folder.

    Attributes:
        name: of the analysis, its folder, its target and its section.
        title: what it asks, in a few words.
        section: its settings.
        steps: its reductions.
        figures: its families of figures.
        recordings: what it needs recorded.
        problems: what is wrong with its section, one message each that begins with the key.
        naming: the ways it names a language's neurons.
        reads: the analyses whose results it reads.
    """

    name: str
    title: str
    section: type[Configured]
    steps: tuple[Step[Configured, Any, Any], ...]
    figures: tuple[Figures, ...] = ()
    recordings: Callable[[Run, Configured], Iterable[Wish]] = nothing
    problems: Callable[[Run, Configured], Iterable[str]] = nothing
    naming: tuple[Naming[Configured], ...] = ()
    reads: Callable[[Run, Configured], Iterable[str]] = nothing

    @property
    def package(self) -> str:
        """The package that holds the analysis."""
        return f"neuroglot.analyses.{self.name}"

    @property
    def folder(self) -> Path:
        """The folder that holds the analysis."""
        return Path(__file__).parent / self.name

    def step(self, name: str) -> Step[Configured, Any, Any]:
        """The step of a name."""
        [found] = [step for step in self.steps if step.name == name]
        return found

    def family(self, name: str) -> Figures:
        """The family of figures of a name."""
        [found] = [family for family in self.figures if family.name == name]
        return found
