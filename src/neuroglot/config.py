"""The configuration's one reader: typed, and refused before any job runs if it is wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from neuroglot import languages
from neuroglot.analyses import (
    NAMING_METHODS,
    AgreementSettings,
    BoostSettings,
    ExpertsSettings,
    Id,
    LapeSettings,
    LexiconSettings,
    PerplexitySettings,
    RolesSettings,
    Section,
    SharingSettings,
    TransferSettings,
    distinct,
)
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    Group,
    RolesGroup,
    RowsGroup,
    SampleGroup,
)
from neuroglot.config_file import read_yaml
from neuroglot.corpora import CorpusSettings
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import Language, LanguageRow, find_language
from neuroglot.models.source import ModelSettings
from neuroglot.tasks import TaskSettings

SHOWN_FAULTS, SHOWN_CHARACTERS = 20, 600
ANALYSES = ("roles", "lexicon", "sharing", "experts", "transfer", "lape", "agreement", "boost")


def _language(tag: Any) -> str:
    if not isinstance(tag, str):
        raise ValueError(f"{tag!r} is no text: YAML reads some tags as values; put it in quotes")
    return tag


LanguageId = Annotated[languages.LanguageId, BeforeValidator(_language)]
Languages = Annotated[list[LanguageId], AfterValidator(distinct), Field(min_length=1)]


class Config(Section):
    """The whole configuration."""

    languages: Languages = Field(description="BCP 47 tags of the languages, in drawing order.")
    pivot: LanguageId = Field(
        "en",
        description="The language the others are paired with, in figures 9, 10, 17 and 18 of "
        "`roles` and in `transfer`.",
    )
    language_table: list[LanguageRow] = Field(
        [], description="Rows for languages the built-in table lacks, or to correct it."
    )
    models: dict[Id, ModelSettings] = Field(min_length=1, description="Models by id.")
    corpora: dict[Id, CorpusSettings] = Field({}, description="Texts by id.")
    tasks: dict[Id, TaskSettings] = Field({}, description="Tasks by id.")
    capture: CaptureSettings = CaptureSettings()  # type: ignore[call-arg]
    execution: ExecutionSettings = ExecutionSettings()  # type: ignore[call-arg]
    perplexity: PerplexitySettings | None = Field(
        None, description="Held-out text; without it nothing is made that needs perplexity."
    )
    roles: RolesSettings | None = Field(
        None, description="Detectors and combinators through the layers."
    )
    lexicon: LexiconSettings | None = Field(None, description="What the last layer writes.")
    sharing: SharingSettings | None = Field(
        None, description="Neurons that languages share in tasks."
    )
    experts: ExpertsSettings | None = Field(None, description="Languages over clustered neurons.")
    transfer: TransferSettings | None = Field(
        None, description="Neurons that move representations between latent spaces."
    )
    lape: LapeSettings | None = Field(None, description="Language-specific neurons.")
    agreement: AgreementSettings | None = Field(
        None, description="Whether methods name the same neurons for a language."
    )
    boost: BoostSettings | None = Field(
        None, description="Text that is written with a language's neurons multiplied."
    )

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        if self.pivot not in self.languages:
            raise ValueError(f"pivot: {unknown_name('language', self.pivot, self.languages)}")
        if not self.analyses:
            raise ValueError(f"no analysis is configured; add one of {', '.join(ANALYSES)}")
        for key, corpus in self._named_corpora():
            if corpus not in self.corpora:
                raise ValueError(f"{key}: {unknown_name('corpus', corpus, self.corpora)}")
        for key, task in self._named_tasks():
            if task not in self.tasks:
                raise ValueError(f"{key}: {unknown_name('task', task, self.tasks)}")
        if both := sorted(set(self.tasks) & set(self.corpora)):
            raise ValueError(f"tasks.{both[0]}: a corpus has this name too; give the task another")
        self._check_held_out()
        self._check_transfer()
        self._check_agreement()
        self._check_boost()
        return self

    def _check_held_out(self) -> None:
        for name, section in (("experts", self.experts), ("lape", self.lape)):
            if section is None or self.perplexity is None:
                continue
            if section.corpus == self.perplexity.corpus:
                raise ValueError(
                    f"perplexity.corpus: {section.corpus!r} is also {name}.corpus, so it is not "
                    "held out; name another corpus, such as the same source with skip_segments"
                )
            if not self.held_out_languages(section.corpus):
                raise ValueError(
                    f"perplexity.corpus: {self.perplexity.corpus!r} and {name}.corpus "
                    f"{section.corpus!r} have no language in common"
                )

    def _check_transfer(self) -> None:
        if (transfer := self.transfer) is None:
            return
        read = self.corpus_languages(transfer.corpus)
        if self.pivot not in read:
            raise ValueError(
                f"pivot: transfer pairs every language with {self.pivot!r}, and transfer.corpus "
                f"{transfer.corpus!r} is read in {', '.join(read)}; add the pivot to its languages"
            )
        if len(read) < 2:
            raise ValueError(
                f"transfer.corpus: {transfer.corpus!r} is read in {self.pivot!r} alone, and "
                "transfer pairs other languages with it; add one"
            )
        segments = self.corpora[transfer.corpus].max_segments
        if segments is not None and max(transfer.k) >= segments:
            raise ValueError(
                f"transfer.k: a segment has no {max(transfer.k)} neighbours among the {segments} "
                f"segments of corpus {transfer.corpus!r}; lower k or raise its max_segments"
            )
        for index, task in enumerate(transfer.tasks):
            if not self.transfer_languages(task):
                raise ValueError(
                    f"transfer.tasks[{index}]: {task!r} and transfer.corpus {transfer.corpus!r} "
                    "have no language in common but the pivot"
                )
        paired = self.transfer_languages(transfer.corpus)
        for task, language in (transfer.harness.tasks if transfer.harness else {}).items():
            if language not in paired:
                raise ValueError(
                    f"transfer.harness.tasks.{task}: {language!r} has no neurons of its own; "
                    f"{unknown_name('language', language, paired)}"
                )

    def _check_agreement(self) -> None:
        if self.agreement is None:
            return
        configured = sorted({NAMING_METHODS[method] for method in self.naming_methods})
        if len(configured) < 2:
            known = ", ".join(dict.fromkeys(NAMING_METHODS.values()))
            raise ValueError(
                "agreement: it compares analyses that name a language's neurons, of which "
                f"{configured or 'none'} is configured; configure two of {known}"
            )
        if not self.agreement_languages:
            raise ValueError(
                f"agreement: no language is read by two of {', '.join(configured)}; "
                "give their corpora or tasks languages in common"
            )

    def _check_boost(self) -> None:
        if (boost := self.boost) is None:
            return
        analysis = NAMING_METHODS[boost.method]
        if (section := getattr(self, analysis)) is None:
            raise ValueError(
                f"boost.method: {boost.method!r} needs the section {analysis!r}, which the "
                "configuration has not; add it or name another method"
            )
        if self.perplexity is None:
            raise ValueError(
                "boost: prompts and perplexity are taken from held-out text; add a section "
                "perplexity that names its corpus"
            )
        corpus = self.perplexity.corpus
        if getattr(section, "corpus", None) == corpus:
            raise ValueError(
                f"perplexity.corpus: {corpus!r} is also {analysis}.corpus, so it is not held out; "
                "name another corpus, such as the same source with skip_segments"
            )
        if self.pivot not in self.corpus_languages(corpus):
            raise ValueError(
                f"perplexity.corpus: {corpus!r} is not read in the pivot {self.pivot!r}, whose "
                "prompts boost starts from; add the pivot to its languages"
            )
        if not self.boost_languages:
            raise ValueError(
                f"perplexity.corpus: {corpus!r} is read in no language whose neurons "
                f"boost.method {boost.method!r} names"
            )

    def _named_corpora(self) -> Iterator[tuple[str, str]]:
        """Where a section names a corpus, and which."""
        for name in ("perplexity", *self.analyses):
            section = getattr(self, name)
            if isinstance(section, RolesSettings):
                for index, corpus in enumerate(section.corpora):
                    yield f"roles.corpora[{index}]", corpus
            elif section is not None and not isinstance(
                section, SharingSettings | AgreementSettings | BoostSettings
            ):
                yield f"{name}.corpus", section.corpus

    def _named_tasks(self) -> Iterator[tuple[str, str]]:
        if self.sharing is not None:
            for key in ("tasks", "few_shot"):
                for index, task in enumerate(getattr(self.sharing, key)):
                    yield f"sharing.{key}[{index}]", task
        if self.transfer is not None:
            for index, task in enumerate(self.transfer.tasks):
                yield f"transfer.tasks[{index}]", task

    @property
    def few_shot(self) -> list[str]:
        """Tasks that are compared over their number of examples."""
        return self.sharing.few_shot if self.sharing else []

    @property
    def analyses(self) -> list[str]:
        """The configured analyses."""
        return [name for name in ANALYSES if getattr(self, name) is not None]

    @property
    def all_languages(self) -> list[str]:
        """Every language that any corpus is read in, in drawing order."""
        texts = [*self.corpora.values(), *self.tasks.values()]
        own = [language for text in texts for language in text.languages or ()]
        return list(dict.fromkeys([*self.languages, *own]))

    def corpus_languages(self, *names: str) -> list[str]:
        """The languages that any of some corpora or tasks is read in, in drawing order."""
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

    def recording(self, corpus: str) -> list[Group]:
        """What the configured analyses need of a corpus' activations."""
        roles, experts, lape = self.roles, self.experts, self.lape
        groups: list[Group] = []
        if roles is not None and corpus in roles.corpora:
            groups.append(RolesGroup(rule=roles.rule, threshold=roles.threshold))
            groups.append(SampleGroup(segments=roles.sample_segments))
        if lape is not None and lape.corpus == corpus:
            groups.append(FiringGroup())
        if experts is not None and experts.corpus == corpus and experts.scores_from == "rows":
            groups.append(RowsGroup())
        return groups

    def held_out_languages(self, corpus: str) -> list[str]:
        """The languages of a corpus that there is held-out text in."""
        if self.perplexity is None:
            return []
        held_out = self.corpus_languages(self.perplexity.corpus)
        return [language for language in self.corpus_languages(corpus) if language in held_out]

    def transfer_languages(self, *names: str) -> list[str]:
        """The languages of some corpora or tasks that transfer pairs with the pivot."""
        if self.transfer is None:
            return []
        paired = self.corpus_languages(self.transfer.corpus)
        read = self.corpus_languages(*names)
        return [language for language in read if language in paired and language != self.pivot]

    @property
    def naming_methods(self) -> list[str]:
        """The methods of the configured analyses that name a language's neurons."""
        return [method for method, one in NAMING_METHODS.items() if getattr(self, one) is not None]

    @property
    def agreement_languages(self) -> list[str]:
        """The languages that two analyses or more name neurons of, in drawing order."""
        named = [
            language
            for analysis in {NAMING_METHODS[method] for method in self.naming_methods}
            for language in self.named_languages(analysis)
        ]
        return [language for language in self.all_languages if named.count(language) > 1]

    def named_languages(self, analysis: str) -> list[str]:
        """The languages that a configured analysis names neurons of."""
        section = getattr(self, analysis)
        if isinstance(section, SharingSettings):
            return self.corpus_languages(*section.tasks, *section.few_shot)
        if isinstance(section, TransferSettings):
            return self.transfer_languages(section.corpus)
        return self.corpus_languages(section.corpus)

    @property
    def boost_languages(self) -> list[str]:
        """The languages that have held-out text and neurons to be multiplied."""
        if self.boost is None or self.perplexity is None:
            return []
        held_out = self.corpus_languages(self.perplexity.corpus)
        named = self.named_languages(NAMING_METHODS[self.boost.method])
        return [language for language in named if language in held_out]

    def language(self, language: str) -> Language:
        """What is known of a configured language."""
        return find_language(language, self.language_table)


def load(settings: Mapping[str, Any], files: Sequence[Path] = ()) -> Config:
    """Validate a configuration.

    Args:
        settings: what Snakemake merged from the files and the command line.
        files: the configuration files themselves, to find keys that stand in them twice.

    Raises:
        NeuroglotError: the faults found, one a line, each with its key.
    """
    for file in files:
        read_yaml(file)
    try:
        config = Config.model_validate(dict(settings))
    except ValidationError as error:
        name = ", ".join(map(str, files)) or "configuration"
        found = error.errors()
        raise NeuroglotError("\n".join([f"{name}:", *_first(_word(e) for e in found)])) from None
    problems = list(_missing(config))
    if problems:
        raise NeuroglotError("\n".join(_first(problems)))
    return config


def _first(faults: Iterable[str]) -> Iterator[str]:
    """The first faults, each cut in its middle where a value in it is endless."""
    faults = list(faults)
    for fault in faults[:SHOWN_FAULTS]:
        half = SHOWN_CHARACTERS // 2
        yield f"{fault[:half]} … {fault[-half:]}" if len(fault) > 2 * half else fault
    if len(faults) > SHOWN_FAULTS:
        yield f"  and {len(faults) - SHOWN_FAULTS} more"


def _missing(config: Config) -> Any:
    """Find languages without a table row and corpora without a language, before any job runs."""
    for language in config.all_languages:
        try:
            config.language(language)
        except NeuroglotError as error:
            yield f"languages: {error}"
    for kind, texts in (("corpora", config.corpora), ("tasks", config.tasks)):
        for name, text in texts.items():
            for problem in text.problems(config.corpus_languages(name)):
                yield f"{kind}.{name}: {problem}"
    for name in config.tasks:
        if len(read := config.corpus_languages(name)) < 2:
            yield (
                f"tasks.{name}: it has {len(read)} of the configured languages, and languages are "
                "compared; add languages that it has (docs/tasks.md), or leave it out"
            )
    asked = {name: config.corpus_languages(name) for name in config.few_shot}
    for name, read in asked.items():
        if read != (first := next(iter(asked.values()))):
            yield (
                f"sharing.few_shot: {next(iter(asked))!r} is asked in {', '.join(first)} and "
                f"{name!r} in {', '.join(read)}; kinds of neurons depend on how many languages are "
                "compared: give both the same languages"
            )


def _word(error: Any) -> str:
    """Word one of pydantic's findings, with the nearest valid key for an unknown one."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        return f"  {where}: {unknown_name('key', str(key), _keys(Config, parents))}"
    if error["type"] == "missing":
        return f"  {where}: is required"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict) else f" (found {_shown(error['input'])})"
    return f"  {where}: {message}{shown}" if where else f"  {message}"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "an endless number"


def _keys(model: Any, path: Sequence[Any]) -> list[str]:
    """The keys a section knows, found by walking the models along an error's location."""
    nodes = [model]
    for part in path:
        nodes = [found for node in nodes for found in _children(node, str(part))]
    return sorted({key for node in nodes for key in getattr(node, "model_fields", {})})


def _children(node: Any, part: str) -> list[Any]:
    fields = getattr(node, "model_fields", {})
    if part in fields:
        return [fields[part].annotation, *_arguments(fields[part].annotation)]
    if "source" in fields and part == _literal(fields["source"].annotation):
        return [node]  # a discriminated union's location names the chosen member
    return list(_arguments(node)) or ([node] if not fields else [])


def _arguments(annotation: Any) -> list[Any]:
    found = []
    for argument in getattr(annotation, "__args__", ()):
        found += [argument, *_arguments(argument)]
    return found


def _literal(annotation: Any) -> Any:
    return next(iter(getattr(annotation, "__args__", ())), None)


def load_file(file: Path) -> Config:
    """Read and validate one configuration file."""
    return load(read_yaml(file), [file])
