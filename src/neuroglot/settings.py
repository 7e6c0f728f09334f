"""Building blocks of the configuration's sections: strict models, ids and lists of ids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
BOOLEANS = {True: "true, as YAML reads yes and on", False: "false, as YAML reads no and off"}
Items = TypeVar("Items", bound=Sequence[object])


class Strict(BaseModel):
    """Settings that are not changed; a key that they do not know is refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # most of a job's settings are never made
    )


class Section(Strict):
    """A part of the configuration."""

    @model_validator(mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, given: Any) -> Any:
        """Make words of true and false for numbers, which pydantic would take for 1 and 0."""
        if not isinstance(given, Mapping):
            return given
        known = {key: _types(field.annotation) for key, field in cls.model_fields.items()}
        numbers = {key for key, of in known.items() if of & {int, float} and bool not in of}
        return {key: _worded(value) if key in numbers else value for key, value in given.items()}


def _types(annotation: Any) -> set[Any]:
    """The types in an annotation, such as int in ``list[int] | None``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None:
        return {annotation} if isinstance(annotation, type) else set()
    if origin is Annotated:
        return _types(parts[0])
    return set() if origin is Literal else set().union(*map(_types, parts))


def _worded(value: Any) -> Any:
    """A value with words, which are no number, in the place of true and false."""
    if isinstance(value, Mapping):
        return {key: _worded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_worded, value)]
    return BOOLEANS[value] if isinstance(value, bool) else value


class Names:
    """Marks an id as the id of an entry in another section, which must exist."""

    def __init__(self, section: Literal["corpora", "tasks", "models"]) -> None:
        self.section = section


def _identifier(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be part of a path: use lower-case letters, digits, - and _, "
            "beginning with a letter or digit, at most 100 of them"
        )
    return name


def distinct(items: Items) -> Items:
    """Refuse a list with duplicates."""
    for place, item in enumerate(items):
        if item in items[:place]:
            raise ValueError(f"{item!r} is listed twice")
    return items


Id = Annotated[str, AfterValidator(_identifier)]
CorpusId = Annotated[Id, Names("corpora")]
TaskId = Annotated[Id, Names("tasks")]
ModelId = Annotated[Id, Names("models")]
Share = Annotated[float, Field(gt=0, lt=1)]
Rule = Literal["nonzero", "positive", "above"]
"""When a neuron counts as active: its value is nonzero, positive, or above a threshold."""


def named(section: Section) -> Iterator[tuple[str, Names, str]]:
    """Find the ids in a section that name entries of another section.

    Yields:
        For each such id: its key, such as ``corpora[1]``, its mark, and the id.
    """
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if value is None:
            continue
        names = _names([field.annotation, *field.metadata])
        if names is not None and isinstance(value, str):
            yield key, names, value
        elif names is not None:
            yield from ((f"{key}[{place}]", names, entry) for place, entry in enumerate(value))


def _names(annotations: Sequence[object]) -> Names | None:
    """Find the mark in annotations, also inside list and optional types."""
    for annotation in annotations:
        if isinstance(annotation, Names):
            return annotation
        parts = [*getattr(annotation, "__metadata__", ()), *getattr(annotation, "__args__", ())]
        if names := _names(parts):
            return names
    return None


class PerplexitySettings(Section):
    """Held-out text, on which models are judged with and without some of their neurons."""

    corpus: CorpusId = Field(
        description="A corpus of text that no neurons were chosen on; `skip_segments` helps."
    )
    segments: int | None = Field(
        500,
        ge=1,
        description="Segments per language, in a parallel corpus the first drawn ones that all "
        "languages have; null: all there are. They are the units of intervals and tests, which "
        "need at least six.",
    )
    tokens_per_segment: int = Field(
        200,
        ge=2,
        description="Tokens that are read of a segment, from its first. Every segment is read by "
        "itself.",
    )
