"""Pairs of sentences with a pivot (OPUS, Tatoeba), joined to segments that all languages have."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from neuroglot.corpora.base import Corpus, Segment, plain_ends, standard_id
from neuroglot.corpora.template import SHOWN_FILES, FileSource, SearchedSource, with_place
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError
from neuroglot.provenance import digest
from neuroglot.sources import Languages


class Pair(NamedTuple):
    """A sentence of the pivot and its translation, with an id of the pivot's sentence."""

    id: str
    of_pivot: str
    text: str


class PairCorpus(SearchedSource, Corpus):
    """Each language is paired with the pivot, and has the pivot's sentences that its pairs have.

    The pivot has the sentences that the pairs of all languages have. Of several translations of a
    sentence the first is read.
    """

    languages: Languages = Field(
        description="Languages to read, with the pivot; its segments are those that the pairs of "
        "all of these have.",
    )

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if not self.parallel:
            raise ValueError("pairs are parallel; leave parallel out")
        if self.pivot is not None and self.pivot not in self.languages:
            raise ValueError(f"languages: the pivot {self.pivot!r} must be among them")
        if len(self.languages) < 2:
            raise ValueError("languages: name the pivot and at least one more")
        return self

    @property
    def _pivot(self) -> str:
        return self.pivot or self.languages[0]

    @property
    def _paired_languages(self) -> list[str]:
        return [language for language in self.languages if language != self._pivot]

    def read_with(self, language: str) -> tuple[str, ...]:
        """Return all languages, because the pivot's segments depend on all pairs."""
        return tuple(dict.fromkeys((language, *self.languages, self._pivot)))

    @abstractmethod
    def pair_files(self, language: str) -> list[Path]:
        """Return the files of a language's pairs with the pivot.

        Raises:
            NeuroglotError: There are none.
        """

    @abstractmethod
    def pairs(self, language: str) -> Iterator[Pair]:
        """Yield a language's pairs, in the files' order."""

    def available(self) -> None:
        """Return None: `problems` names the pairs that are missing."""

    def inputs(self, language: str) -> list[Path]:
        """Return the files of the language's pairs; for the pivot those of all languages."""
        paired = self._paired_languages if language == self._pivot else [language]
        return [path for each in paired for path in self.pair_files(each)]

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        if language != self._pivot:
            pairs = list(self.pairs(language))
            first = {pair.id: pair.text for pair in reversed(pairs)}
            segments = [Segment(name, first[name]) for name in dict.fromkeys(p.id for p in pairs)]
            further = len(pairs) - len(segments)
            notes = [f"left out {further} further translations of a sentence"] if further else []
            return segments, notes
        shared: dict[str, str] | None = None
        for paired in self._paired_languages:
            of_pivot = {pair.id: pair.of_pivot for pair in self.pairs(paired) if pair.text}
            kept = of_pivot if shared is None else shared
            shared = {name: text for name, text in kept.items() if name in of_pivot}
        if not shared:
            raise NeuroglotError(
                f"no sentence of {self._pivot!r} is paired with all of "
                f"{', '.join(self._paired_languages)}; leave out the language with the fewest pairs"
            )
        return [Segment(*segment) for segment in shared.items()], []


class MosesCorpus(PairCorpus):
    """Pairs in Moses format, two files aligned by line, as OPUS offers them.

    The folder is searched, at any depth, for OPUS's names: `Tatoeba.de-en.de` and
    `Tatoeba.de-en.en`. A sentence of the pivot is known by its text.
    """

    source: Literal["moses"] = Field(description="Pairs of files aligned by line, from OPUS.")
    folder: Path = Field(description="Folder of the unpacked files.")
    name: str = Field(
        pattern=r"^[\w.-]+$", description="The files' name before the pair, such as Tatoeba."
    )

    def pair_files(self, language: str) -> list[Path]:
        """Return the pivot's and the language's file."""
        sides = sorted(self.folder.rglob(f"{self.name}.*-*.*"))
        pairs = [pair for side in sides if (pair := self._pair(side, language))]
        if len(pairs) == 1:
            return pairs[0]
        if pairs:
            several = ", ".join(str(path) for pair in pairs for path in pair)
            raise NeuroglotError(f"language {language!r}: several pairs of files: {several}")
        codes = "-".join(sorted((self.code(language), self.code(self._pivot))))
        there = ", ".join(sorted({path.name for path in sides})[:SHOWN_FILES]) or "none"
        raise NeuroglotError(
            f"{self.folder}: language {language!r}: no pair of files {self.name}.{codes}.*; there "
            f"are: {there}; `codes` can name the data's own code"
        )

    def _pair(self, side: Path, language: str) -> list[Path] | None:
        """Return a pair's files if ``side`` is the pivot's and the other one is the language's."""
        stem, _, code = side.name.rpartition(".")
        codes = stem.removeprefix(f"{self.name}.").split("-")
        if len(codes) != 2 or code not in codes or not self.has_code(code, self._pivot):
            return None
        other = codes[1 - codes.index(code)]
        translation = side.with_name(f"{stem}.{other}")
        is_pair = self.has_code(other, language) and translation.is_file()
        return [side, translation] if is_pair else None

    def pairs(self, language: str) -> Iterator[Pair]:
        of_pivot, ours = self.pair_files(language)
        left, right = read_lines(of_pivot), read_lines(ours)
        if len(left) != len(right):
            raise NeuroglotError(
                f"{of_pivot} has {len(left)} lines and {ours} has {len(right)}; a pair's files are "
                "aligned by line, so one of them is damaged"
            )
        for pivot_line, line in zip(left, right, strict=True):
            sentence = " ".join(plain_ends(pivot_line).split())
            if sentence and plain_ends(line):
                yield Pair(digest(sentence), sentence, line)


class TatoebaCorpus(FileSource, PairCorpus):
    """Sentence pairs as tatoeba.org exports them: id, sentence, id, sentence, with tabs between.

    The first two columns are the pivot's. A sentence of the pivot is known by its id.
    """

    source: Literal["tatoeba"] = Field(description="Sentence pairs exported by tatoeba.org.")
    path: Annotated[str, AfterValidator(with_place)] = Field(
        description="Path of the .tsv file of a language's pairs with the pivot, with {language} "
        "in it."
    )

    def available(self) -> None:
        """Return None: `problems` names the files that are missing."""

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each missing file."""
        asked = dict.fromkeys([*languages, *self._paired_languages])
        return self.missing_files(self.path, [each for each in asked if each != self._pivot])

    def inputs(self, language: str) -> list[Path]:
        """Return the files of the language's pairs; for the pivot those of all languages."""
        return PairCorpus.inputs(self, language)

    def pair_files(self, language: str) -> list[Path]:
        """Return the file of the language's pairs."""
        return [Path(self.file(self.path, language))]

    def pairs(self, language: str) -> Iterator[Pair]:
        (path,) = self.pair_files(language)
        for number, line in enumerate(read_lines(path), start=1):
            cells = line.split("\t")
            ids = [standard_id(cell) for cell in cells[::2]]
            if len(cells) != 4 or not all(map(str.isdecimal, ids)):
                raise NeuroglotError(
                    f"{path}: line {number} is not an id, a sentence, an id and a sentence, as "
                    f"tatoeba.org exports pairs: {' | '.join(cells)[:80]!r}"
                )
            if plain_ends(cells[1]) and plain_ends(cells[3]):
                yield Pair(ids[0], cells[1], cells[3])
