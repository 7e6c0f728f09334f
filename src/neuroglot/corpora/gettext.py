"""Sentences of GNU gettext catalogues, from a package or the user's files, aligned by message.

Only messages that look like sentences are kept: at least five words, no placeholders, markup,
plural forms or context.
"""

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.archive import read_zip
from neuroglot.corpora.base import Corpus, Segment
from neuroglot.corpora.shipped import shipped_table
from neuroglot.corpora.template import CodedSource
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import LanguageId
from neuroglot.packages import PinnedPackage

DJANGO = PinnedPackage(
    registry="pypi",
    name="django",
    version="5.2.19",
    sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
)
MO_MAGIC = 0x950412DE
CONTEXT, PLURAL = "\x04", "\x00"
_NO_SENTENCE = re.compile(r"[%{}\x00\x04]|</?[A-Za-z][^>]*>|&#?\w+;")
_CHARSET = re.compile(rb"charset=([\w.:-]+)", re.IGNORECASE)
_CATALOGUE = re.compile(r"(?:^|/)([^/]+)/LC_MESSAGES/[^/]+\.mo$")


class GettextCorpus(CodedSource, Corpus):
    """Messages of gettext catalogues, the default being the web framework Django's."""

    source: Literal["gettext"] = Field(description="Compiled gettext catalogues (.mo).")
    folder: Path | None = Field(
        None, description="Your own catalogues, as {locale}/LC_MESSAGES/*.mo, not the package's."
    )
    release: PinnedPackage = Field(DJANGO, description="The pinned package, without `folder`.")
    source_language: LanguageId = Field(
        "en", description="Language that the messages are written in."
    )
    min_words: int = Field(5, ge=1, description="Least number of words of a message.")

    @model_validator(mode="after")
    def _wheel(self) -> Self:
        if self.release.registry != "pypi":
            raise ValueError("release: only wheels (registry: pypi) can be read")
        return self

    def available(self) -> frozenset[str] | None:
        """Return the languages of the folder or of the default package."""
        if self.folder is not None:
            return self.spelt_by(self._locales()) | {self.source_language}
        if self.release == DJANGO:
            return frozenset(shipped_table("django.csv"))
        return None

    def inputs(self, language: str) -> list[Path]:
        """Return the catalogues of one language; for the source language all catalogues."""
        files = self._files()
        if self.folder is None or language == self.source_language:
            return files
        locale = self._locale(language, self._locales())
        return [path for path in files if path.parents[1].name == locale]

    def package(self) -> PinnedPackage | None:
        """Return the pinned package; None if a folder is given."""
        return None if self.folder is not None else self.release

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:
        """Read one language's sentences, ordered by segment id."""
        contents = self._contents(archive)
        locales = {
            name: PurePosixPath(Path(name).as_posix()).parents[1].name for name in sorted(contents)
        }
        chosen = None
        if language != self.source_language:
            chosen = self._locale(language, set(locales.values()))
        sentences: dict[str, str] = {}
        for name, locale in locales.items():
            if chosen in (None, locale):
                for message, translation in parse_mo(contents[name], name):
                    text = message if chosen is None else translation
                    if self._is_sentence(message, translation):
                        sentences.setdefault(segment_id(message), " ".join(text.split()))
        return [Segment(*pair) for pair in sorted(sentences.items())], []

    def _is_sentence(self, message: str, translation: str) -> bool:
        return (
            len(message.split()) >= self.min_words
            and not _NO_SENTENCE.search(message)
            and not _NO_SENTENCE.search(translation)
            and translation.strip() not in ("", message.strip())
        )

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each language without a folder; name the folders that there are."""
        asked = list(languages)
        if self.folder is None:
            return super().problems(asked)
        problems = []
        for language in asked:
            try:
                self.inputs(language)
            except NeuroglotError as error:
                problems.append(str(error))
        return problems

    def _locales(self) -> set[str]:
        return {path.parents[1].name for path in self._files()}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*/LC_MESSAGES/*.mo")) if self.folder else []

    def _contents(self, archive: Path | None) -> Mapping[str, bytes]:
        if self.folder is not None:
            contents = {str(path): path.read_bytes() for path in self._files()}
        elif archive is not None:
            contents = read_zip(archive, lambda name: bool(_CATALOGUE.search(name)))
        else:
            raise NeuroglotError("gettext: needs the downloaded package")
        if not contents:
            raise NeuroglotError(
                f"{self.folder or archive}: no catalogue {{locale}}/LC_MESSAGES/*.mo in it"
            )
        return contents

    def _locale(self, language: str, locales: set[str]) -> str:
        locale = self.code_among(language, locales)
        if locale is None:
            message = unknown_name("locale", self.code(language), locales)
            raise NeuroglotError(
                f"gettext: language {language!r}: {message}; `codes` can name the folder's locale"
            )
        return locale


def segment_id(message: str) -> str:
    """Make a segment's id: the message's first words, and a digest of the whole message."""
    words = re.findall(r"[a-z0-9]+", message.lower())[:6]
    digest = hashlib.sha256(message.encode()).hexdigest()[:8]
    return "-".join([*words, digest])


def parse_mo(content: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Read the messages and translations of a compiled catalogue.

    The standard library's reader would compile the header's plural formula to Python code. This
    one reads only the two tables of strings (GNU gettext manual, "The Format of GNU MO Files").

    Raises:
        NeuroglotError: The file is not a catalogue, an offset points outside it, its messages
            overlap, or its text cannot be decoded.
    """
    order = next((o for o in "<>" if content[:4] == struct.pack(f"{o}I", MO_MAGIC)), None)
    if order is None or len(content) < 20:
        raise NeuroglotError(f"{name}: is not a compiled gettext catalogue (.mo)")
    count, messages, translations = struct.unpack_from(f"{order}III", content, 8)
    if max(messages, translations) + 8 * count > len(content):
        raise NeuroglotError(f"{name}: is truncated: its tables reach beyond the file's end")

    def string(table: int, index: int) -> bytes:
        length, start = struct.unpack_from(f"{order}II", content, table + 8 * index)
        if start + length > len(content):
            raise NeuroglotError(f"{name}: message {index} reaches beyond the file's end")
        return content[start : start + length]

    pairs = []
    left = 2 * len(content)  # overlapping strings could turn a small file into terabytes
    for index in range(count):
        pairs.append((string(messages, index), string(translations, index)))
        left -= sum(map(len, pairs[-1]))
        if left < 0:
            raise NeuroglotError(f"{name}: its messages overlap; it is damaged")
    header = next((text for message, text in pairs if not message), b"")
    charset = _CHARSET.search(header)
    encoding = charset[1].decode() if charset else "utf-8"
    try:
        for message, text in pairs:
            if message:
                decoded = message.decode(encoding), text.decode(encoding)
                "".join(decoded).encode()  # some encodings decode to half a surrogate pair
                yield decoded
    except (UnicodeError, LookupError) as error:
        raise NeuroglotError(f"{name}: its text is not {encoding}: {error}") from error
