"""The base class of corpora: settings, reading, and the Parquet file of a reading."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from neuroglot.corpora.punctuation import strip_punctuation
from neuroglot.errors import NeuroglotError
from neuroglot.files import written_whole
from neuroglot.provenance import digest
from neuroglot.sources import Languages, Source

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_IDS = 20
LONGEST_ID = 1000  # all ids are stored with the width of the longest id
CHUNK_SEGMENTS = 1 << 16  # an Arrow array of text holds at most 2 GiB


class Segment(NamedTuple):
    """A piece of aligned text, with an id that is the same in every language."""

    id: str
    text: str


@dataclass(frozen=True)
class Reading:
    """One language's segments in corpus order, and notes on segments left out or joined."""

    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()


class Corpus(Source):
    """Settings of one corpus, which know how to read it."""

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
        description="The prefixes that roles looks at end at word boundaries or at every subword; "
        "auto takes subwords for scripts written without spaces. Other analyses look at every "
        "token.",
    )
    segment_ids: str | None = Field(
        None,
        min_length=1,
        description="Keep only segments whose id matches this shell pattern, such as `article-*`: "
        "those that every language has.",
    )
    skip_segments: int = Field(
        0,
        ge=0,
        description="Leave out each language's first segments: held-out text for another entry "
        "of the same source whose max_segments is this number.",
    )
    max_segments: int | None = Field(
        None, ge=2, description="Keep only each language's first segments, after skip_segments."
    )
    long_segments: Literal["truncate", "refuse"] = Field(
        "truncate",
        description="What to do with segments longer than a model's context window: leave out "
        "what exceeds it, with a warning and a count, or stop.",
    )

    @property
    def last_segment(self) -> int | None:
        """Number of segments with text to read; None for all."""
        if self.max_segments is None or self.segment_ids is not None:
            return None
        return self.skip_segments + self.max_segments

    def origin(self) -> dict[str, Any]:
        """Return the settings that identify the text, and the package that holds it."""
        package = self.package()
        return {**super().origin(), **({"package": str(package)} if package else {})}

    @abstractmethod
    def segments(self, language_id: str, archive: Path | None) -> tuple[list[Segment], list[str]]:
        """Read one language's segments as they are in the source, and notes."""

    def read(self, language_id: str, archive: Path | None = None) -> Reading:
        """Read one language.

        Args:
            language_id: The language's id.
            archive: The downloaded file of `package()`, if there is one.

        Raises:
            NeuroglotError: The source cannot be read, lacks the language or repeats a segment's id;
                or fewer than two segments are left after choosing and skipping.
        """
        found, notes = self.segments(language_id, archive)
        kept = list(self._cleaned(found))
        if len(kept) < len(found):
            empty = sorted({segment.id for segment in found} - {segment.id for segment in kept})
            more = f" and {len(empty) - SHOWN_IDS} more" if len(empty) > SHOWN_IDS else ""
            notes = [*notes, f"left out without text: {', '.join(empty[:SHOWN_IDS])}{more}"]
        if self.segment_ids is not None:
            kept = self._chosen(language_id, kept)
        if self.skip_segments and len(kept) < self.skip_segments + 2:
            raise NeuroglotError(
                f"language {language_id!r}: skip_segments leaves out {self.skip_segments} of "
                f"{len(kept)} segments with text; a corpus needs at least two"
            )
        kept = kept[self.skip_segments :][: self.max_segments]
        _check_segments(language_id, kept)
        return Reading(tuple(kept), tuple(notes))

    def _chosen(self, language_id: str, segments: list[Segment]) -> list[Segment]:
        pattern = self.segment_ids or "*"
        chosen = [segment for segment in segments if fnmatchcase(segment.id, pattern)]
        if segments and not chosen:
            raise NeuroglotError(
                f"language {language_id!r}: segment_ids: no segment's id matches {pattern!r}; "
                f"the first is {segments[0].id!r}"
            )
        return chosen

    def _cleaned(self, segments: Iterable[Segment]) -> Iterable[Segment]:
        for identifier, text in segments:
            cleaned = strip_punctuation(text) if self.strip_punctuation else text.strip()
            if cleaned:
                yield Segment(identifier, cleaned)


def _check_segments(language_id: str, segments: Sequence[Segment]) -> None:
    if len(segments) < 2:
        raise NeuroglotError(
            f"language {language_id!r}: found {len(segments)} segment(s) with text; a corpus "
            "needs at least two"
        )
    seen: set[str] = set()
    for segment in segments:
        if len(segment.id) > LONGEST_ID or "\0" in segment.id:
            raise NeuroglotError(
                f"language {language_id!r}: {segment.id[:80]!r} is no segment id: it has more than "
                f"{LONGEST_ID} characters, or a NUL"
            )
        if segment.id in seen:
            raise NeuroglotError(
                f"language {language_id!r}: segment id {segment.id!r} stands twice; ids must be "
                "distinct within a language"
            )
        seen.add(segment.id)


def check_parallel(corpus: str, segment_ids: Mapping[str, Sequence[str]]) -> None:
    """Refuse a corpus in which two languages share no segment.

    Args:
        corpus: The corpus's id, for the message.
        segment_ids: Segment ids by language.

    Raises:
        NeuroglotError: Two languages share no segment id.
    """
    sets = {language: set(ids) for language, ids in segment_ids.items()}
    for one, other in combinations(sets, 2):
        if sets[one].isdisjoint(sets[other]):
            raise NeuroglotError(
                f"corpus {corpus!r}: languages {one!r} and {other!r} share no segment id "
                f"({one}: {segment_ids[one][0]!r}, …; {other}: {segment_ids[other][0]!r}, …); "
                "parallel texts need the same ids in every language"
            )


def write_parquet(reading: Reading, path: Path) -> None:
    """Write a reading as columns `segment` and `text`, with notes in the schema's metadata.

    The file appears complete or not at all; equal readings give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("segment", pa.string()), ("text", pa.string())],
        metadata={
            "notes": json.dumps(list(reading.notes), ensure_ascii=False),
            "content": digest([reading.segments, reading.notes]),
        },
    )
    columns = [_strings([segment.id for segment in reading.segments])]
    columns.append(_strings([segment.text for segment in reading.segments]))
    table = pa.table(columns, schema=schema)
    with written_whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _strings(texts: Sequence[str]) -> "pa.ChunkedArray":
    """Make a column of text. `pa.array` would import pandas, half of a command's time."""
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # read_table needs imports of a quarter of a second
            table = file.read()
        notes = json.loads((table.schema.metadata or {})[b"notes"])
        content = (table.schema.metadata or {})[b"content"].decode()
        pairs = zip(table["segment"].to_pylist(), table["text"].to_pylist(), strict=True)
        reading = Reading(tuple(Segment(*pair) for pair in pairs), tuple(notes))
        whole = digest([reading.segments, reading.notes]) == content
    except (OSError, KeyError, ValueError, TypeError, MemoryError, pa.ArrowException) as error:
        raise NeuroglotError(f"{path}: is not a corpus file of this workflow: {error}") from error
    if not whole:
        raise NeuroglotError(f"{path} is damaged; remove it and run the workflow again")
    return reading
