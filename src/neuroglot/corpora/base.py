"""The base class of corpora: settings, how a text is read, and the Parquet file of a Reading."""

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from neuroglot.corpora.parquet import read_table, write_table
from neuroglot.corpora.punctuation import strip_punctuation
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId
from neuroglot.provenance import digest
from neuroglot.sources import Languages, Source

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_IDS = 20
LONGEST_ID = 1000  # all ids are stored with the width of the longest id
CHUNK_SEGMENTS = 1 << 16  # segments in an Arrow array, which holds at most 2 GiB of text


class Segment(NamedTuple):
    """A piece of aligned text, with an id that is the same in every language."""

    id: str
    text: str


@dataclass(frozen=True)
class Reading:
    """One language's segments in corpus order.

    Attributes:
        segments: the segments.
        notes: what was left out or joined.
        places: each segment's place in the draw, counted from 0: not in corpus order, but in the
            draw's random order, which is the same in every language. In a corpus that is not
            parallel, its index in ``segments``.
        drawn: number of segments drawn for all languages, of which this one may lack some; 0 in a
            corpus that is not parallel.
    """

    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    drawn: int = 0

    def __post_init__(self) -> None:
        """If nothing was drawn, make each segment's index in ``segments`` its place."""
        if not self.drawn:
            object.__setattr__(self, "places", tuple(range(len(self.segments))))

    @property
    def content(self) -> str:
        """Digest of the segments and their places."""
        return digest([self.segments, self.places, self.drawn])


class Corpus(Source):
    """The settings of one corpus, with the methods that read it."""

    noun = "corpus"
    writer = "neuroglot.corpora.base:write_parquet"
    not_read = Source.not_read | {"prefix", "long_segments", "release"}

    languages: Languages | None = Field(
        None, description="Languages to read; all configured ones if left out."
    )
    strip_punctuation: bool = Field(
        False, description="Remove all punctuation but each segment's last mark."
    )
    prefix: Literal["auto", "word", "subword"] = Field(
        "auto",
        description="Where the prefixes end that the analysis roles looks at: at word boundaries "
        "or at every subword; auto takes subwords for scripts written without spaces. Other "
        "analyses look at every token.",
    )
    segment_ids: str | None = Field(
        None,
        min_length=1,
        description="Keep only segments whose id matches this shell pattern, such as `article-*` "
        "if some languages lack the others.",
    )
    parallel: bool = Field(
        True,
        description="A segment has the same id in every language. Segments are drawn from the "
        "pivot's, and each language reads those of them that it has. If false, each language reads "
        "its own first segments, and nothing is compared segment by segment.",
    )
    pivot: LanguageId | None = Field(
        None,
        description="The language from whose segments the draw is made: if left out, the "
        "configuration's pivot, or the corpus's first language if it lacks the pivot.",
    )
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    skip_segments: int = Field(
        0,
        ge=0,
        description="Leave out this many segments, the first of the draw. What is left is held-out "
        "text for another entry of the same source whose max_segments is this number.",
    )
    max_segments: int | None = Field(
        None, ge=2, description="Draw at most this many segments, after skip_segments."
    )
    long_segments: Literal["truncate", "refuse"] = Field(
        "truncate",
        description="What to do with segments longer than a model's context window: leave out "
        "what exceeds it, with a warning and a count, or stop.",
    )

    @property
    def last_segment(self) -> int | None:
        """How many segments with text have to be read, from the source's first; None for all."""
        if self.parallel or self.max_segments is None or self.segment_ids is not None:
            return None
        return self.skip_segments + self.max_segments

    def origin(self) -> dict[str, Any]:
        """Return the settings that identify the text, and the package that holds it."""
        package = self.package()
        return {**super().origin(), **({"package": str(package)} if package else {})}

    def read_with(self, language: str) -> tuple[str, ...]:
        """Return the language and, if segments are drawn from a pivot, also the pivot."""
        pivot = self.pivot if self.parallel else None
        return tuple(dict.fromkeys((language, pivot or language)))

    def files(self, language: str) -> list[Path]:
        """Return the user's files of the language and of the pivot."""
        return list(
            dict.fromkeys(path for read in self.read_with(language) for path in self.inputs(read))
        )

    def leaf(self, language: str) -> dict[str, Any]:
        """Return the inputs of a language, with the shipped data of the pivot."""
        pivot = self.read_with(language)[-1]
        return {**super().leaf(language), "of_pivot": self.shipped(pivot)}

    @abstractmethod
    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:
        """Read one language's segments as they are in the source; return them and notes."""

    def read(self, language: str, archive: Path | None = None) -> Reading:
        """Read one language.

        Args:
            language: The language's id.
            archive: The downloaded file of `package()`, if there is one.

        Raises:
            NeuroglotError: The source cannot be read, lacks the language or repeats a segment's id;
                or fewer than two segments are left after choosing and skipping.
        """
        kept, notes = self._with_text(language, archive)
        check_ids(language, "segment id", [segment.id for segment in kept])
        pivot = self.pivot or language
        if self.parallel:
            of_pivot = kept if pivot == language else self._with_text(pivot, archive)[0]
            ids = [segment.id for segment in of_pivot]
            drawn = sorted(ids, key=lambda identifier: digest([self.seed, identifier]))
        else:
            ids = drawn = [segment.id for segment in kept]
        if self.skip_segments and len(drawn) < self.skip_segments + 2:
            raise NeuroglotError(
                f"language {pivot!r}: skip_segments leaves out {self.skip_segments} of "
                f"{len(drawn)} segments with text; a corpus needs at least two"
            )
        drawn = drawn[self.skip_segments :][: self.max_segments]
        place, text = {name: at for at, name in enumerate(drawn)}, dict(kept)
        read = [Segment(name, text[name]) for name in ids if name in place and name in text]
        if len(read) < 2 and pivot != language:
            raise NeuroglotError(
                f"language {language!r} has {len(read)} of the {len(drawn)} segments drawn of "
                f"{pivot!r} ({language}: {kept[0].id!r}, …; {pivot}: {drawn[0]!r}, …), and a "
                "corpus needs at least two; give parallel texts the same ids in every language, "
                "or set parallel: false"
            )
        if len(read) < 2:
            raise NeuroglotError(
                f"language {language!r}: found {len(read)} segment(s) with text; a corpus needs at "
                "least two"
            )
        if lacking := len(drawn) - len(read):
            notes = [*notes, f"lacks {lacking} of the {len(drawn)} segments drawn of {pivot}"]
        places = tuple(place[segment.id] for segment in read)
        return Reading(tuple(read), tuple(notes), places, len(drawn) if self.parallel else 0)

    def _with_text(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:
        """Read a language's segments that match ``segment_ids`` and have text, and notes."""
        segments, notes = self.segments(language, archive)
        kept = list(self._cleaned(segments))
        if len(kept) < len(segments):
            empty = sorted({segment.id for segment in segments} - {segment.id for segment in kept})
            more = f" and {len(empty) - SHOWN_IDS} more" if len(empty) > SHOWN_IDS else ""
            notes = [*notes, f"left out without text: {', '.join(empty[:SHOWN_IDS])}{more}"]
        if self.segment_ids is not None:
            kept = _matching(language, kept, self.segment_ids)
        return kept, list(notes)

    def _cleaned(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        for identifier, text in segments:
            cleaned = strip_punctuation(text) if self.strip_punctuation else text.strip()
            if cleaned:
                yield Segment(identifier, cleaned)


def _matching(language: str, segments: list[Segment], pattern: str) -> list[Segment]:
    chosen = [segment for segment in segments if fnmatchcase(segment.id, pattern)]
    if segments and not chosen:
        raise NeuroglotError(
            f"language {language!r}: segment_ids: no segment's id matches {pattern!r}; the first "
            f"is {segments[0].id!r}"
        )
    return chosen


def check_ids(language: str, noun: str, ids: Iterable[str]) -> None:
    """Refuse ids that are repeated, too long or contain NUL; ``noun`` says what they are.

    Raises:
        NeuroglotError: Names the language and the first such id.
    """
    seen: set[str] = set()
    for identifier in ids:
        if len(identifier) > LONGEST_ID or "\0" in identifier:
            raise NeuroglotError(
                f"language {language!r}: {identifier[:80]!r} is no {noun}: it has more than "
                f"{LONGEST_ID} characters, or a NUL"
            )
        if identifier in seen:
            raise NeuroglotError(
                f"language {language!r}: {noun} {identifier!r} stands twice; ids must be distinct "
                "within a language"
            )
        seen.add(identifier)


def write_parquet(reading: Reading, path: Path) -> None:
    """Write a reading as columns `segment, text, place`; notes and `drawn` are metadata."""
    import pyarrow as pa

    ids, texts = zip(*reading.segments, strict=True) if reading.segments else ((), ())
    # Not `pa.array`, which would import pandas; see `_strings`.
    places = [None, pa.py_buffer(array("q", reading.places))]
    columns = {
        "segment": _strings(ids),
        "text": _strings(texts),
        "place": pa.Array.from_buffers(pa.int64(), len(ids), places),
    }
    table = pa.table(columns, metadata={"drawn": str(reading.drawn)})
    write_table(table, reading.notes, _content(reading), path)


def _content(reading: Reading) -> str:
    return digest([reading.content, reading.notes])


def _strings(texts: Sequence[str]) -> "pa.ChunkedArray":
    """Make a column of text, without `pa.array`: it imports pandas, half of a command's time."""
    import pyarrow as pa

    builder, chunks = pa.lib.StringBuilder(), []
    for start in range(0, len(texts), CHUNK_SEGMENTS):
        builder.append_values(texts[start : start + CHUNK_SEGMENTS])
        chunks.append(builder.finish())
    return pa.chunked_array(chunks, pa.string())


def read_parquet(path: Path) -> Reading:
    """Read a reading from its Parquet file.

    Raises:
        NeuroglotError: The file is missing, damaged or was not written by `write_parquet`.
    """

    def parse(table: "pa.Table", notes: tuple[str, ...]) -> Reading:
        pairs = zip(table["segment"].to_pylist(), table["text"].to_pylist(), strict=True)
        segments = tuple(Segment(*pair) for pair in pairs)
        places, drawn = tuple(table["place"].to_pylist()), table.schema.metadata[b"drawn"]
        return Reading(segments, notes, places, int(drawn))

    return read_table(path, "corpus", parse, _content)
