"""Sentences of Universal Dependencies treebanks (CoNLL-U), such as the parallel ones (PUD)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroglot.corpora.base import Corpus, Segment
from neuroglot.corpora.template import SearchedSource
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError, unknown_name

_COMMENT = re.compile(r"#\s*(sent_id|text)\s*=(.*)")


class TreebankCorpus(SearchedSource, Corpus):
    """Sentences of treebanks, as `# text` gives them; `# sent_id` is the segment's id.

    The folder is searched for `{code}_{treebank}-ud-{split}.conllu`, at any depth, as in a release
    of Universal Dependencies. PUD treebanks are parallel; of others set `parallel: false`.
    """

    source: Literal["treebank"] = Field(description="Universal Dependencies, in CoNLL-U.")
    folder: Path = Field(description="Folder that holds the treebanks, such as a release.")
    treebank: str = Field(
        "pud",
        pattern="^[a-z0-9]+$",
        description="The treebank's name in its files' names: `pud` of `de_pud-ud-test.conllu`.",
    )
    split: Literal["test", "dev", "train"] = Field(
        "test", description="Part of the treebank; PUD has only test."
    )

    def available(self) -> frozenset[str]:
        """Return the languages that have such a file."""
        return self.spelt_by(self._files())

    def inputs(self, language: str) -> list[Path]:
        """Return the language's file."""
        files = self._files()
        code = self.code_among(language, files)
        if code is None:
            name = unknown_name("language code", self.code(language), files)
            raise NeuroglotError(
                f"{self.folder}: no file {self.code(language)}{self._ending} for language "
                f"{language!r}: {name}"
            )
        return [files[code]]

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        (path,) = self.inputs(language)
        return sentences(path, read_lines(path)), []

    @property
    def _ending(self) -> str:
        return f"_{self.treebank}-ud-{self.split}.conllu"

    def _files(self) -> dict[str, Path]:
        """The treebank's files by the code in their names."""
        paths = sorted(self.folder.rglob(f"*{self._ending}"), reverse=True)
        return {path.name.removesuffix(self._ending): path for path in paths}


def sentences(path: Path, lines: Sequence[str]) -> list[Segment]:
    """Read the ids and texts of CoNLL-U sentences, which blank lines separate.

    Raises:
        NeuroglotError: A sentence has no id or no text, or its words are hidden (`_`).
    """
    segments: list[Segment] = []
    about: dict[str, str] = {}
    words: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            if comment := _COMMENT.match(line):
                about[comment[1]] = comment[2].strip()
            elif not line.startswith("#"):
                words.append(line)
            continue
        if words:
            segments.append(_sentence(f"{path}: line {number - 1}", about, words))
        about, words = {}, []
    if not segments:
        raise NeuroglotError(f"{path}: holds no sentence in CoNLL-U")
    return segments


def _sentence(where: str, about: dict[str, str], words: Sequence[str]) -> Segment:
    cells = [word.split("\t") for word in words]
    if any(len(of_word) != 10 for of_word in cells):
        raise NeuroglotError(f"{where}: the sentence's lines are not the 10 columns of CoNLL-U")
    for key in ("sent_id", "text"):
        if not about.get(key):
            raise NeuroglotError(f"{where}: the sentence has no `# {key} =`")
    if all(of_word[1] == "_" for of_word in cells):
        raise NeuroglotError(
            f"{where}: the sentence's words are hidden (_), as its licence demands; the treebank's "
            "page says how to put them in"
        )
    return Segment(about["sent_id"], about["text"])
