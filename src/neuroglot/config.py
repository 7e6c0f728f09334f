"""The configuration's one reader: typed, and refused before any job runs if it is wrong."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from neuroglot import languages
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings
from neuroglot.corpora import CorpusSettings
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import Language, LanguageRow, find_language
from neuroglot.models.source import ModelSettings

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]*")


def _identifier(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be part of a path: use lower-case letters, digits, - and _, "
            "beginning with a letter or digit"
        )
    return name


def _language(tag: Any) -> str:
    if not isinstance(tag, str):
        raise ValueError(f"{tag!r} is no text: YAML reads some tags as values; put it in quotes")
    return tag


def _distinct(items: list[str]) -> list[str]:
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{item!r} is listed twice")
    return items


Id = Annotated[str, AfterValidator(_identifier)]
LanguageId = Annotated[languages.LanguageId, BeforeValidator(_language)]
Languages = Annotated[list[LanguageId], AfterValidator(_distinct), Field(min_length=1)]


class Section(BaseModel):
    """A part of the configuration; a key it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RolesSettings(Section):
    """Detectors and combinators through the layers (Bhattacharya & Bojar)."""

    corpora: Annotated[list[Id], AfterValidator(_distinct), Field(min_length=1)] = Field(
        description="Corpora to analyse; at least two parallel ones for figures 14 to 18."
    )
    rule: Literal["nonzero", "positive", "above"] = Field(
        "nonzero",
        description="When a neuron counts as active: its value is not zero, is "
        "positive, or is above `threshold`.",
    )
    threshold: float = Field(0.0, description="For `rule: above`.")
    combinator_gelu: bool = Field(
        True,
        description="Draw the combinators' activation frequency after GELU, as published; an "
        "affine output is never exactly zero. Both are stored.",
    )
    scale: Literal["none", "minmax"] = Field(
        "none", description="Scaling of each prefix's activations before distances are taken."
    )
    sample_segments: int = Field(
        150,
        ge=2,
        description="Segments, from the first, whose raw activations are stored: for distances, "
        "heat maps and the similarity between models. Frequencies, flatness and ranks use every "
        "segment.",
    )
    heatmap_layers: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.0, 0.33, 0.67, 1.0],
        min_length=1,
        description="Layers to draw as heat maps, as a fraction of the depth.",
    )
    heatmap_rows: int = Field(120, ge=1, description="Prefixes per language in the heat maps.")
    rsa_stimuli: int = Field(
        300,
        ge=3,
        description="Prefixes per language that the similarity between models is computed on.",
    )


class Config(Section):
    """The whole configuration."""

    languages: Languages = Field(description="BCP 47 tags of the languages, in drawing order.")
    pivot: LanguageId = Field(
        "en", description="The language the others are paired with in figures 9, 10, 17 and 18."
    )
    language_table: list[LanguageRow] = Field(
        [], description="Rows for languages the built-in table lacks, or to correct it."
    )
    models: dict[Id, ModelSettings] = Field(min_length=1, description="Models by id.")
    corpora: dict[Id, CorpusSettings] = Field(min_length=1, description="Texts by id.")
    capture: CaptureSettings = CaptureSettings()  # type: ignore[call-arg]
    execution: ExecutionSettings = ExecutionSettings()  # type: ignore[call-arg]
    roles: RolesSettings

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        if self.pivot not in self.languages:
            raise ValueError(f"pivot: {unknown_name('language', self.pivot, self.languages)}")
        for index, corpus in enumerate(self.roles.corpora):
            if corpus not in self.corpora:
                raise ValueError(
                    f"roles.corpora[{index}]: {unknown_name('corpus', corpus, self.corpora)}"
                )
        return self

    def corpus_languages(self, corpus: str) -> list[str]:
        """The languages a corpus is read in, in drawing order."""
        chosen = self.corpora[corpus].languages
        return [language for language in self.languages if chosen is None or language in chosen]

    def language(self, language: str) -> Language:
        """What is known of a configured language."""
        return find_language(language, self.language_table)


def load(settings: Mapping[str, Any], files: Sequence[Path] = ()) -> Config:
    """Validate a configuration.

    Args:
        settings: what Snakemake merged from the files and the command line.
        files: the configuration files themselves, to find keys that stand in them twice.

    Raises:
        NeuroglotError: every fault found, one a line, each with its key.
    """
    for file in files:
        read_yaml(file)
    try:
        config = Config.model_validate(dict(settings))
    except ValidationError as error:
        name = ", ".join(map(str, files)) or "configuration"
        raise NeuroglotError("\n".join([f"{name}:", *(_word(e) for e in error.errors())])) from None
    problems = list(_missing(config))
    if problems:
        raise NeuroglotError("\n".join(problems))
    return config


def _missing(config: Config) -> Any:
    """Find languages without a table row and corpora without a language, before any job runs."""
    for language in config.languages:
        try:
            config.language(language)
        except NeuroglotError as error:
            yield f"languages: {error}"
    for name, corpus in config.corpora.items():
        for language in corpus.languages or ():
            if language not in config.languages:
                yield (
                    f"corpora.{name}.languages: "
                    f"{unknown_name('language', language, config.languages)}; "
                    "add it to languages first"
                )
        for problem in corpus.problems(config.corpus_languages(name)):
            yield f"corpora.{name}: {problem}"


def _word(error: Any) -> str:
    """Word one of pydantic's findings, with the nearest valid key for an unknown one."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        return f"  {where}: {unknown_name('key', str(key), _keys(Config, parents))}"
    if error["type"] == "missing":
        return f"  {where}: is required"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict) else f" (found {error['input']!r})"
    return f"  {where}: {message}{shown}" if where else f"  {message}"


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


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of taking the last."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if key in seen:
            raise NeuroglotError(
                f"{node.start_mark.name}: {key!r} stands in lines {seen[key]} and {line}; "
                "keep one of them"
            )
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(file: Path) -> Any:
    """Read a configuration file.

    Raises:
        NeuroglotError: it is missing, no YAML, no mapping, or has a key twice.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            settings = yaml.load(stream, _StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglotError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(settings, dict):
        raise NeuroglotError(f"{file}: must hold keys and values, found {type(settings).__name__}")
    return settings


def load_file(file: Path) -> Config:
    """Read and validate one configuration file."""
    return load(read_yaml(file), [file])
