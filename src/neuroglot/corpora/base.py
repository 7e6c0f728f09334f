"""The base class of corpora: settings, how a text is read, and the Parquet file of a Reading."""

import re
import unicodedata
from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from neuroglot.corpora.parquet import read_table, write_table
from neuroglot.corpora.punctuation import strip_punctuation
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, script_of
from neuroglot.provenance import digest
from neuroglot.sources import Languages, Source

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_IDS = 20
LONGEST_ID = 1000  # all ids are stored with the width of the longest id
CHUNK_SEGMENTS = 1 << 16  # segments in an Arrow array, which holds at most 2 GiB of text


UNSEEN = {
    "\u00a0": "no-break blank",
    "\u202f": "narrow no-break blank",
    "\u00ad": "soft hyphen",
    "\u200b": "zero-width space",
    "\u2060": "word joiner",
    "\ufeff": "byte order mark",
}
"""Characters that are counted within segments. Joiners that change letters are not among them."""
_END = "[\\s\u200b\u2060\ufeff]+"
_ENDS = re.compile(rf"\A{_END}|{_END}\Z")
_WHOLE_NUMBER = re.compile(r"0*([0-9]+)(?:\.0+)?")


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
    not_read = Source.not_read | {"prefix", "long_segments", "release", "check_language"}

    languages: Languages | None = Field(
        None, description="Languages to read; all configured ones if left out."
    )
    normalise: Literal["NFC", "as_is"] = Field(
        "NFC",
        description="Unicode normalisation: NFC, the composed form in which most text on the Web "
        "is written, so that a letter has one spelling; as_is leaves characters as they are.",
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
    check_language: Literal["report", "drop", "off"] = Field(
        "report",
        description="What to do with segments that lingua takes to be in another language than "
        "that under which they are filed: report makes `config check` say how many there are of "
        "texts that are files here; drop leaves them out. Languages that lingua does not know are "
        "not checked.",
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
        drop = self.check_language == "drop"
        return {**super().leaf(language), "of_pivot": self.shipped(pivot), "drop": drop}

    @property
    def numbered(self) -> bool:
        """Whether a segment's id is its line's number, so that all languages need equal lines."""
        return False

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
        pivot = self.pivot if self.parallel and self.pivot else language
        read = {each: self.with_text(each, archive) for each in dict.fromkeys((language, pivot))}
        self.check_aligned(read)
        return self.draw(language, read)

    def check_aligned(self, read: Mapping[str, "WithText"]) -> set[str]:
        """Return the ids that all languages have, whose texts are given before the draw.

        Raises:
            NeuroglotError: A language repeats an id; or, in a parallel corpus, segments are
                numbered by line and languages have unequal numbers of lines, or less than half of
                the ids are shared.
        """
        for language, text in read.items():
            check_ids(language, "segment id", [segment.id for segment in text.kept])
        if not self.parallel:
            return set()
        self._check_lines(read)
        return _shared_ids({language: text.kept for language, text in read.items()})

    def draw(self, language: str, read: Mapping[str, "WithText"]) -> Reading:
        """Draw a language's segments from its text and that of the pivot.

        Raises:
            NeuroglotError: Fewer than two segments are left after choosing and skipping.
        """
        pivot = self.pivot if self.parallel and self.pivot else language
        ids = [segment.id for segment in read[pivot].kept]
        drawn = ids
        if self.parallel:
            drawn = sorted(ids, key=lambda identifier: digest([self.seed, identifier]))
        if self.skip_segments and len(drawn) < self.skip_segments + 2:
            raise NeuroglotError(
                f"language {pivot!r}: skip_segments leaves out {self.skip_segments} of "
                f"{len(drawn)} segments with text; a corpus needs at least two"
            )
        drawn = drawn[self.skip_segments :][: self.max_segments]
        place, text = {name: at for at, name in enumerate(drawn)}, dict(read[language].kept)
        segments = [Segment(name, text[name]) for name in ids if name in place and name in text]
        if len(segments) < 2 and pivot != language:
            raise NeuroglotError(
                f"language {language!r} has {len(segments)} of the {len(drawn)} segments drawn of "
                f"{pivot!r}, and a corpus needs at least two; raise max_segments"
            )
        if len(segments) < 2:
            raise NeuroglotError(
                f"language {language!r}: found {len(segments)} segment(s) with text; a corpus "
                "needs at least two"
            )
        notes = read[language].notes
        if lacking := [name for name in drawn if name not in text]:
            missing = named_ids(lacking)
            notes = (
                *notes,
                f"lacks {len(lacking)} of the {len(drawn)} segments drawn of {pivot}: {missing}",
            )
        places = tuple(place[segment.id] for segment in segments)
        return Reading(tuple(segments), notes, places, len(drawn) if self.parallel else 0)

    def _check_lines(self, read: Mapping[str, "WithText"]) -> None:
        """Refuse languages of unequal numbers of lines if segments are numbered by line."""
        unequal = len({text.lines for text in read.values()}) > 1
        if self.numbered and unequal and len({text.last_line for text in read.values()}) > 1:
            counts = ", ".join(
                f"{text.lines} of {language!r} ({', '.join(map(str, self.inputs(language)))})"
                for language, text in read.items()
            )
            raise NeuroglotError(
                f"texts are aligned by line, and have unequal numbers of lines: {counts}; a line "
                "that is split or missing shifts all that follow. Give segments ids (files named "
                ".tsv with an id, a tab and the text on each line), or set parallel: false if they "
                "are no translations"
            )

    def with_text(self, language: str, archive: Path | None = None) -> "WithText":
        """Read a language's segments that match ``segment_ids`` and have text, before the draw."""
        segments, notes = self.segments(language, archive)
        last = (number for number, (_, text) in enumerate(segments, 1) if plain_ends(text))
        kept, changes = self._cleaned(segments)
        notes = [*notes, *changes]
        if len(kept) < len(segments):
            empty = sorted({segment.id for segment in segments} - {segment.id for segment in kept})
            notes = [*notes, f"left out without text: {named_ids(empty)}"]
        if self.segment_ids is not None:
            kept = _matching(language, kept, self.segment_ids)
        if self.check_language == "drop":
            others = in_other_language(language, kept)
            if others:
                kept = [each for place, each in enumerate(kept) if place not in others]
                named = named_ids([f"{each.id} ({code})" for each, code in others.values()])
                notes.append(f"left out {len(others)} segments in other languages: {named}")
        return WithText(tuple(kept), tuple(notes), len(segments), max(last, default=0))

    def _cleaned(self, segments: Iterable[Segment]) -> tuple[list[Segment], list[str]]:
        """Clean the segments; leave out those without text; say what was changed or is not seen."""
        kept, composed, unseen = [], 0, Counter[str]()
        for identifier, text in segments:
            normal = unicodedata.normalize("NFC", text) if self.normalise == "NFC" else text
            composed += normal != text
            plain = plain_ends(normal)
            cleaned = strip_punctuation(plain) if self.strip_punctuation else plain
            if cleaned:
                kept.append(Segment(identifier, cleaned))
                unseen.update(UNSEEN[each] for each in UNSEEN.keys() & set(cleaned))
        notes = []
        if composed:
            notes.append(f"{composed} of {len(kept)} segments changed in normalisation to NFC")
        if unseen:
            counts = ", ".join(
                f"{name} in {count} segments" for name, count in sorted(unseen.items())
            )
            notes.append(f"characters that are not seen, left as they are: {counts}")
        return kept, notes


def named_ids(ids: Sequence[str]) -> str:
    """List the first ids, and count the others."""
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(ids[:SHOWN_IDS]) + more


def in_other_language(
    language: str, segments: Sequence[Segment]
) -> dict[int, tuple[Segment, str]] | None:
    """Find segments that are in another language than that under which they are filed.

    Returns:
        By place in ``segments``: the segment and the code of its language. None if the language
        cannot be identified.
    """
    from neuroglot.identification import code_of, foreign

    code = code_of(language, script_of(language))
    if code is None:
        return None
    elsewhere = foreign([segment.text for segment in segments], code)
    return {each.place: (segments[each.place], each.code) for each in elsewhere}


class WithText(NamedTuple):
    """One language's segments that have text.

    Attributes:
        kept: the segments.
        notes: what was left out or changed.
        lines: number of the source's lines or rows.
        last_line: number of its last line with text, counted from 1.
    """

    kept: tuple[Segment, ...]
    notes: tuple[str, ...]
    lines: int
    last_line: int


def plain_ends(text: str) -> str:
    """Remove blanks of every kind, zero-width ones and byte order marks from a text's ends."""
    return _ENDS.sub("", text)


def standard_id(identifier: str) -> str:
    """Write an id as in every language, whatever a spreadsheet made of it: `007` and `7.0` as `7`.

    Example:
        >>> standard_id("007"), standard_id("7.0"), standard_id(" s.007 "), standard_id("1.10")
        ('7', '7', 's.007', '1.10')
    """
    plain = plain_ends(identifier)
    number = _WHOLE_NUMBER.fullmatch(plain)
    return number[1] if number else plain


def _shared_ids(segments: Mapping[str, Sequence[Segment]]) -> set[str]:
    """Return the ids that all languages have.

    Raises:
        NeuroglotError: they are less than half of those of the language with the fewest.
    """
    from neuroglot.measures.folds import MIN_SHARED

    ids = {language: {segment.id for segment in of} for language, of in segments.items()}
    shared = set.intersection(*ids.values())
    scarce = min(ids, key=lambda language: len(ids[language]))
    if not ids[scarce]:
        raise NeuroglotError(f"language {scarce!r} has no segment with text")
    if len(shared) < MIN_SHARED * len(ids[scarce]) or not shared:
        first = ", ".join(f"{language}: {of[0].id!r}, …" for language, of in segments.items() if of)
        raise NeuroglotError(
            f"of the {len(ids[scarce])} segment ids of {scarce!r} only {len(shared)} are in all "
            f"of {', '.join(ids)} ({first}), less than half; give parallel texts the same ids in "
            "every language, leave out the languages that lack many, or set parallel: false"
        )
    return shared


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


def write_parquet(reading: Reading, path: Path, key: str = "") -> None:
    """Write a reading as columns `segment, text, place`; notes, `drawn` and `key` are metadata."""
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
    write_table(table, reading.notes, _content(reading), path, key)


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
