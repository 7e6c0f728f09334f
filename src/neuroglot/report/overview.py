"""What a run is: its models, languages, texts and tasks, and its configuration."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from neuroglot import layout, ownership, store
from neuroglot.analyses.captions import Counted, number, size, source_of
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card


class Model(NamedTuple):
    """A model as the report shows it."""

    id: str
    source: str
    architecture: str
    layers: str
    neurons: str
    parameters: str
    running: str


class Text(NamedTuple):
    """A text or task, with its sizes by language.

    Attributes:
        columns: headings of the sizes.
        rows: a language's name and its sizes, one for each heading.
    """

    id: str
    noun: str
    source: str
    size: str
    columns: list[str]
    rows: list[list[str]]


def about(config: Config) -> dict[str, Any]:
    """What the first section of the report shows, by its names in the template."""
    kept = ownership.read_kept(layout.RESULTS)
    main = config.facts(config.languages)
    return {
        "models": [_model(config, model) for model in config.models],
        "languages": main,
        "further": config.facts(each for each in config.all_languages if each not in main),
        "texts": list(_texts(config)),
        "files": kept.files,
        "versions": kept.versions,
        "configuration": as_yaml(kept.configuration),
    }


def as_yaml(settings: Any) -> str:
    """Settings as a user writes them."""
    return yaml.safe_dump(settings, allow_unicode=True, sort_keys=False, width=100)


def _model(config: Config, model: str) -> Model:
    card = read_card(layout.model(model))
    widths = sorted(set(card.neurons))
    stacks = ", ".join(f"{layers} {stack}" for stack, layers in card.stacks.items())
    seed = card.reinitialised
    random = None if seed is None else f"(random weights, seed {seed})"
    settings = config.models[model]
    return Model(
        id=model,
        source=" ".join(filter(None, [settings.source, settings.revision, random])),
        architecture=f"{card.model_type}, {'gated ' if card.gated else ''}{card.activation}",
        layers=f"{card.layers} ({stacks})" if len(card.stacks) > 1 else str(card.layers),
        neurons=" to ".join(map(number, dict.fromkeys([widths[0], widths[-1]]))),
        parameters=number(card.parameters),
        running=str(config.running(model)),
    )


def counter(config: Config) -> Counted:
    """A function that gives the number of segments or items of a text in a language."""

    @cache
    def counted(text: str, language: str) -> int:
        path = _file(config, text, language)
        try:
            return int(pq.read_metadata(path).num_rows)
        except pa.ArrowException as error:
            raise NeuroglotError(f"{path} is damaged: {error}; make it again") from error

    return counted


def _file(config: Config, text: str, language: str) -> Path:
    return layout.items(text, language) if text in config.tasks else layout.corpus(text, language)


def _texts(config: Config) -> Iterator[Text]:
    """The texts and tasks that were read."""
    counted = counter(config)
    for text in (*config.corpora, *config.tasks):
        task = text in config.tasks
        languages = [
            language
            for language in config.corpus_languages(text)
            if _file(config, text, language).is_file()
        ]
        if not languages:
            continue
        models = [model for model in config.models if _tokens(model, text, languages[0])]
        yield Text(
            id=text,
            noun="task" if task else "text",
            source=source_of(config, text),
            size=size(config, text, languages, counted),
            columns=["items" if task else "segments", *(f"tokens of {model}" for model in models)],
            rows=[
                [facts.name, number(counted(text, language))]
                + [number(_tokens(model, text, language)) for model in models]
                for language, facts in config.facts(languages).items()
            ],
        )


def _tokens(model: str, text: str, language: str) -> int:
    """How many tokens a text has in a language; 0 if its tokens are not kept."""
    path = layout.tokens(model, text, language)
    return (
        store.read_completion(path, "tokens").counts["rows"] if layout.done(path).is_file() else 0
    )
