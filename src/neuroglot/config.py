"""Reads and validates the configuration before any job runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from neuroglot import layout, ownership
from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import AnalysisSettings, JudgingSettings, LanguageFacts
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings
from neuroglot.config_file import read_yaml
from neuroglot.corpora import CorpusSettings
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import Language, LanguageId, LanguageRow, find_language
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.card import read_card
from neuroglot.models.chat import read_chat
from neuroglot.models.entry import Architecture
from neuroglot.models.revisions import training_steps
from neuroglot.models.source import NO_TEMPLATE, ModelSettings, RevisionSettings, has_template
from neuroglot.running import Running, resolve
from neuroglot.settings import Id, ModelId, PerplexitySettings, Section, named
from neuroglot.sources import Languages
from neuroglot.tasks import TaskSettings
from neuroglot.tokens import Tokenising

SHOWN_FAULTS, SHOWN_CHARACTERS = 20, 600
UNQUOTED = (bool, int, float, date)
ENTRIES = {"corpora": "corpus", "tasks": "task", "models": "model"}


class Config(Section):
    """The whole configuration."""

    languages: Languages = Field(description="BCP 47 tags of the languages, in drawing order.")
    pivot: LanguageId = Field(
        "en",
        description="The language the others are paired with: in `transfer`, in figures of "
        "`roles`, in the prompts of `boost`, and in tasks that go between two languages. Segments "
        "of parallel texts are drawn from it.",
    )
    language_table: list[LanguageRow] = Field(
        [], description="Rows for languages the built-in table lacks, or to correct it."
    )
    models: dict[Id, ModelSettings] = Field(min_length=1, description="Models by id.")
    judged_models: list[ModelId] | None = Field(
        None,
        description="Those of `models` that are judged with edited neurons, where an analysis does "
        "not name its own. Left out: all.",
    )
    corpora: dict[Id, CorpusSettings] = Field({}, description="Texts by id.")
    tasks: dict[Id, TaskSettings] = Field({}, description="Tasks by id.")
    capture: CaptureSettings = CaptureSettings()
    execution: ExecutionSettings = ExecutionSettings()
    perplexity: PerplexitySettings | None = Field(
        None, description="Held-out text; without it nothing is made that needs perplexity."
    )

    @field_validator("models")
    @classmethod
    def _by_revision(cls, models: dict[Id, ModelSettings]) -> dict[Id, ModelSettings]:
        """Give each revision of a model its own entry, in the place of the model's."""
        entries: dict[Id, ModelSettings] = {}
        for name, model in models.items():
            for identifier, entry in model.by_revision(name):
                identifier = TypeAdapter(Id).validate_python(identifier)
                if identifier in entries or (identifier != name and identifier in models):
                    raise ValueError(
                        f"{name}.revisions: another model is named {identifier!r}; give one of "
                        "them another id"
                    )
                entries[identifier] = entry
        return entries

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        if self.pivot not in self.languages:
            raise ValueError(f"pivot: {unknown_name('language', self.pivot, self.languages)}")
        if not self.analyses:
            raise ValueError(f"no analysis is configured; add one of {', '.join(ANALYSES)}")
        for place, model in enumerate(self.judged_models or ()):
            if model not in self.models:
                message = unknown_name(ENTRIES["models"], model, self.models)
                raise ValueError(f"judged_models[{place}]: {message}")
        sections = [("perplexity", self.perplexity), *self._sections()]
        for name, section in sections:
            for key, names, entry in named(section) if section else ():
                known = getattr(self, names.section)
                if entry not in known:
                    message = unknown_name(ENTRIES[names.section], entry, known)
                    raise ValueError(f"{name}.{key}: {message}")
        for name, corpus in self.corpora.items():
            if corpus.pivot is None:
                languages = self.corpus_languages(name)
                pivot = self.pivot if self.pivot in languages else languages[0]
                self.corpora[name] = corpus.model_copy(update={"pivot": pivot})
        if both := sorted(set(self.tasks) & set(self.corpora)):
            raise ValueError(f"tasks.{both[0]}: a corpus has this name too; give the task another")
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Messages for faults that concern several sections."""
        for name, section in self._sections():
            analysis = ANALYSES[name]
            yield from analysis.problems(self, section)
            for read in analysis.reads(self, section):
                known = self.models_of(read)
                for place, model in enumerate(section.models or ()):
                    if model not in known:
                        yield (
                            f"{name}.models[{place}]: {read} is not asked of {model!r}, and {name} "
                            f"reads its results; add the model to {read}.models or leave it out"
                        )
            if not self.models_of(name):
                yield f"{name}.models: no model has all of the analyses that {name} reads"
            if isinstance(section, JudgingSettings):
                for place, model in enumerate(section.judged_models or ()):
                    if model not in self.models_of(name):
                        yield (
                            f"{name}.judged_models[{place}]: {model!r} is not among the models of "
                            f"{name}: {', '.join(self.models_of(name))}"
                        )

    def not_causal(self) -> Iterator[str]:
        """Messages for models on which analyses would run steps for other kinds of models."""
        for name, section in self._sections():
            told = {model: self._entry(model) for model in self.models_of(name)}
            encoders = [
                model for model, (_, entry) in told.items() if entry and entry.encoder_alone
            ]
            if encoders and not ANALYSES[name].encoders:
                others = [model for model in told if model not in encoders]
                yield (
                    f"{name}.models: {encoders[0]!r} is an encoder alone ({told[encoders[0]][0]}), "
                    f"and {name} needs models that write text; set models: [{', '.join(others)}]"
                )
            elif isinstance(section, JudgingSettings):
                yield from self._not_causal(name, section)
            yield from self._mixtures(name, section, told)
            deep = [model for model, (_, entry) in told.items() if entry and entry.deep_head]
            if deep and name == "lexicon":
                others = [model for model in told if model not in deep]
                yield (
                    f"lexicon.models: {deep[0]!r} ({told[deep[0]][0]}) has layers of its own "
                    "between the last state and the unembedding, so no neuron has a weight on a "
                    f"token; set models: [{', '.join(others)}]"
                )

    def _mixtures(
        self,
        name: str,
        section: AnalysisSettings,
        told: Mapping[str, tuple[str, Architecture | None]],
    ) -> Iterator[str]:
        takes_mixtures, takes_dense = ANALYSES[name].takes(section)
        known = [model for model, (_, entry) in told.items() if entry]
        found = [model for model in known if self._is_mixture(model)]
        dense = [model for model in known if model not in found]
        if dense and not takes_dense:
            others = [model for model in told if model not in dense]
            yield (
                f"{name}.models: {dense[0]!r} is dense ({told[dense[0]][0]}), and {name} is of "
                f"mixtures of experts; set models: [{', '.join(others)}]"
            )
        if found and not takes_mixtures:
            others = [model for model in told if model not in found]
            able = ", ".join(other for other in ANALYSES if ANALYSES[other].mixtures) or "none"
            yield (
                f"{name}.models: {found[0]!r} is a mixture of experts ({told[found[0]][0]}), and "
                f"{name} needs models whose neurons all read every token (analyses of mixtures: "
                f"{able}); set models: [{', '.join(others)}]"
            )

    def _is_mixture(self, model: str) -> bool:
        """Whether a model, whose entry is known, is a mixture of experts."""
        settings = self.models[model]
        if settings.source_type == "folder":
            return settings.mixture
        return bool(read_card(layout.model(model)).routed)

    def _not_causal(self, name: str, section: JudgingSettings) -> Iterator[str]:
        steps = [
            step for step in ANALYSES[name].steps if step.causal and step.wanted(self, section)
        ]
        if not steps:
            return
        models = self.models_of(name, judged=True)
        told = {model: self._entry(model) for model in models}
        others = [model for model, (_, entry) in told.items() if not entry or entry.causal]
        for model, (model_type, entry) in told.items():
            if entry and not entry.causal:
                kind = "an encoder" if entry.encoder_alone else "an encoder-decoder"
                yield (
                    f"{name}.judged_models: {model!r} is {kind} ({model_type}), and "
                    f"{', '.join(step.name for step in steps)} of {name} needs models that read "
                    f"from left to right; set judged_models: [{', '.join(others)}]"
                )

    def chat_tasks(self, model: str) -> list[str]:
        """The tasks that are asked of a model through its chat template."""
        asked: dict[str, None] = {}
        for name, section in self._sections():
            recorded = {wish.source for wish in ANALYSES[name].recordings(self, section)}
            for task in (entry for _, of, entry in named(section) if of.section == "tasks"):
                # A task that is not recorded is only answered.
                judged = task not in recorded and isinstance(section, JudgingSettings)
                if self.tasks[task].chat and model in self.models_of(name, judged=judged):
                    asked[task] = None
        return list(asked)

    def without_chat(self) -> Iterator[str]:
        """Messages for models that are known to lack the chat template that a task needs."""
        for model in self.models:
            for task in self.chat_tasks(model):
                if reason := self._no_chat(model):
                    yield (
                        f"tasks.{task}: chat: true asks model {model!r} through its chat template, "
                        f"and {reason}; take chat out of the task, or leave the model out of the "
                        "analysis"
                    )

    def _no_chat(self, model: str) -> str | None:
        """Why a model cannot be asked in a chat; None if it can, or if that is not known yet."""
        settings, folder = self.models[model], layout.model(model)
        if settings.source_type == "folder" and not has_template(settings.folder):
            return NO_TEMPLATE
        try:
            read_card(folder)
        except NeuroglotError:  # it is made later, and then its job says so
            return None
        try:
            read_chat(folder)
        except NeuroglotError as error:
            return str(error)
        return None

    def _entry(self, model: str) -> tuple[str, Architecture | None]:
        """A model's type and its entry in the table of architectures, as far as they are known."""
        settings = self.models[model]
        try:
            model_type = (
                settings.model_type
                if settings.source_type == "folder"
                else read_card(layout.model(model)).model_type
            )
        except NeuroglotError:  # it is made later, and then its jobs say so
            return "", None
        return model_type, ARCHITECTURES.get(model_type)

    def _sections(self) -> Iterator[tuple[str, AnalysisSettings]]:
        """Names and sections of the configured analyses."""
        for name in ANALYSES:
            if (section := self.section(name)) is not None:
                yield name, section

    def section(self, analysis: str) -> Any:
        """The section of an analysis; None if it is not configured."""
        return getattr(self, analysis, None)

    @property
    def analyses(self) -> list[str]:
        """Names of the configured analyses."""
        return [name for name, _ in self._sections()]

    def models_of(self, analysis: str, judged: bool = False) -> list[str]:
        """The models on which an analysis runs, or with ``judged`` its steps that judge models.

        An analysis that names no models runs on all configured models. If it reads other analyses'
        results, it runs on the models that all of these analyses have.
        """
        section = self.section(analysis)
        chosen = section.models
        if chosen is None:
            read = list(map(self.models_of, ANALYSES[analysis].reads(self, section)))
            chosen = [model for model in self.models if all(model in models for models in read)]
        judges = section.judged_models if judged else None
        if judged and judges is None:
            judges = self.judged_models
        return [
            model
            for model in self.models
            if model in chosen and (judges is None or model in judges)
        ]

    def families(self, models: Sequence[str]) -> dict[str, dict[str, int | None]]:
        """Those of some models that are revisions of one, by the id of its entry.

        Of one revision alone, there is no family.

        Returns:
            By family, its models with their numbers of training steps: in the order of training, or
            as they are listed, with None, if their names do not tell it.
        """
        revisions: dict[str, dict[str, str]] = {}
        for model in models:
            settings = self.models[model]
            if isinstance(settings, RevisionSettings):
                revisions.setdefault(settings.family, {})[model] = str(settings.revision)
        families: dict[str, dict[str, int | None]] = {}
        for family, members in revisions.items():
            if len(members) > 1:
                steps = training_steps([*members.values()])
                families[family] = dict.fromkeys(members)
                if steps:
                    by_step = sorted(zip(steps, members, strict=True))
                    families[family] = {model: step for step, model in by_step}
        return families

    @property
    def all_languages(self) -> list[str]:
        """All languages of any corpus or task, in drawing order."""
        sources = [*self.corpora.values(), *self.tasks.values()]
        further = [language for source in sources for language in source.languages or ()]
        return list(dict.fromkeys([*self.languages, *further]))

    def corpus_languages(self, *names: str) -> list[str]:
        """All languages of the named corpora and tasks, in drawing order."""
        read = {
            language
            for name in names
            for language in (
                self.tasks[name].read_in(self.languages)
                if name in self.tasks
                else self.corpora[name].languages or self.languages
            )
        }
        return [language for language in self.all_languages if language in read]

    def held_out_languages(self, corpus: str) -> list[str]:
        """The languages of a corpus that have held-out text."""
        if self.perplexity is None:
            return []
        held_out = self.corpus_languages(self.perplexity.corpus)
        return [language for language in self.corpus_languages(corpus) if language in held_out]

    def tokenising(self, corpus: str, language: str) -> Tokenising:
        """How one language of a corpus is tokenised."""
        settings = self.corpora[corpus]
        prefix = settings.prefix
        if prefix == "auto":  # scripts without spaces have no word boundaries
            prefix = "word" if self.language(language).spaced else "subword"
        return Tokenising(prefix=prefix, long_segments=settings.long_segments)

    def running(self, model: str) -> Running:
        """How a model is run, on which device and in which precision."""
        return self._running[model]

    @cached_property
    def _running(self) -> dict[str, Running]:
        """Found together and once, so that it stays the same while jobs are planned."""
        return {model: resolve(model, self.capture, self.execution) for model in self.models}

    def language(self, language: str) -> Language:
        """Look up a configured language."""
        return find_language(language, self.language_table)

    def facts(self, languages: Iterable[str]) -> dict[str, LanguageFacts]:
        """The facts about languages that reductions and figures use."""
        return {
            language: LanguageFacts.model_validate(self.language(language), from_attributes=True)
            for language in languages
        }


def _with_sections() -> type[Config]:
    """Make the configuration's class, with a section for every registered analysis."""
    sections: dict[str, Any] = {
        name: (analysis.section | None, Field(None, description=_sentence(analysis.title)))
        for name, analysis in ANALYSES.items()
    }
    return create_model("Config", __base__=Config, __doc__=Config.__doc__, **sections)


def _sentence(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}."


Configuration = _with_sections()


def load(settings: Mapping[str, Any], files: Sequence[Path] = ()) -> Config:
    """Validate a configuration.

    Args:
        settings: the settings that Snakemake merged from the files and the command line.
        files: the configuration files, to find duplicate keys.

    Raises:
        NeuroglotError: the faults found, one per line, each with its key.
    """
    for file in files:
        read_yaml(file)
    try:
        config = Configuration.model_validate(dict(settings))
    except ValidationError as error:
        name = ", ".join(map(str, files)) or "configuration"
        faults = _first(map(_word, error.errors()))
        raise NeuroglotError("\n".join([f"{name}:", *faults])) from None
    problems = list(_missing(config))
    if problems:
        raise NeuroglotError("\n".join(_first(problems)))
    return config


def _first(faults: Iterable[str]) -> Iterator[str]:
    """The first faults; very long ones are shortened in the middle."""
    faults = list(faults)
    for fault in faults[:SHOWN_FAULTS]:
        half = SHOWN_CHARACTERS // 2
        yield f"{fault[:half]} … {fault[-half:]}" if len(fault) > 2 * half else fault
    if len(faults) > SHOWN_FAULTS:
        yield f"  and {len(faults) - SHOWN_FAULTS} more"


def _missing(config: Config) -> Iterator[str]:
    """Messages for what a checked configuration lacks: languages, and models of the right kind."""
    for language in config.all_languages:
        try:
            config.language(language)
        except NeuroglotError as error:
            yield f"languages: {error}"
    for section, sources in (("corpora", config.corpora), ("tasks", config.tasks)):
        for name, source in sources.items():
            for problem in source.problems(config.corpus_languages(name)):
                yield f"{section}.{name}: {problem}"
    yield from config.not_causal()
    yield from config.without_chat()
    for name in config.tasks:
        if len(read := config.corpus_languages(name)) < 2:
            yield (
                f"tasks.{name}: it has {len(read)} of the configured languages, and languages are "
                "compared; add languages that it has (docs/tasks.md), or leave it out"
            )


def _word(error: Any) -> str:
    """Word one of pydantic's errors; for an unknown key, suggest the nearest valid key."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        return f"  {where}: {unknown_name('key', str(key), _keys(Configuration, parents))}"
    if error["type"] == "missing":
        return f"  {where}: is required"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type" and isinstance(error["input"], UNQUOTED):
        message = "must be text, and YAML reads this as something else; put it in quotes"
    shown = "" if isinstance(error["input"], dict) else f" (found {_shown(error['input'])})"
    return f"  {where}: {message}{shown}" if where else f"  {message}"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python does not print numbers of more than 4300 digits
        return "an endless number"


def _keys(model: Any, path: Sequence[Any]) -> list[str]:
    """The valid keys of a section, found by following an error's location through the models."""
    nodes = [model]
    for part in path:
        nodes = [child for node in nodes for child in _children(node, str(part))]
    return sorted({key for node in nodes for key in getattr(node, "model_fields", {})})


def _children(node: Any, part: str) -> list[Any]:
    fields = getattr(node, "model_fields", {})
    if part in fields:
        return [fields[part].annotation, *_arguments(fields[part].annotation)]
    if "source" in fields and [part] == _arguments(fields["source"].annotation):
        return [node]  # a discriminated union's location names the chosen member
    return list(_arguments(node)) or ([node] if not fields else [])


def _arguments(annotation: Any) -> list[Any]:
    arguments = []
    for argument in getattr(annotation, "__args__", ()):
        arguments += [argument, *_arguments(argument)]
    return arguments


def load_file(file: Path) -> Config:
    """Read and validate a configuration file, or the configuration that is kept with the results.

    Raises:
        NeuroglotError: the configuration has faults, or the kept one is missing or damaged.
    """
    if file != layout.CONFIGURATION:
        return load(read_yaml(file), [file])
    kept = ownership.read_kept(file.parent).configuration
    if not kept:
        raise NeuroglotError(f"{file} is missing or damaged; start the run again")
    return load(kept)
