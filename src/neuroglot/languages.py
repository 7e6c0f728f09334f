"""Languages: name, family, genus, script, direction and word spacing of a BCP 47 tag.

Families and genera are those of WALS Online (Dryer & Haspelmath, eds., 2013, CC BY 4.0); scripts
are CLDR's likely subtags, from langcodes. `data/README.md` describes how the table was made.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import langcodes
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from neuroglot.errors import NeuroglotError, unknown_name

RIGHT_TO_LEFT = frozenset(
    ("Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi")
)
_EAST_ASIAN = ("Bopo", "Hani", "Hans", "Hant", "Hira", "Hrkt", "Jpan", "Kana", "Yiii")
_SOUTH_EAST_ASIAN = ("Bali", "Cham", "Java", "Khmr", "Lana", "Laoo", "Mymr", "Tale", "Talu", "Thai")
UNSPACED = frozenset((*_EAST_ASIAN, *_SOUTH_EAST_ASIAN, "Tibt"))

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_UNDETERMINED = frozenset({"und", "mul", "mis", "zxx"})


@dataclass(frozen=True)
class Language:
    """One language in one script.

    Attributes:
        id: The standardised tag in lower case, as used in paths (`zh-hans`).
        tag: The standardised BCP 47 tag (`zh-Hans`).
        name: English name.
        family: WALS family.
        genus: WALS genus.
        script: ISO 15924 code.
    """

    id: str
    tag: str
    name: str
    family: str
    genus: str
    script: str

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """Direction of the script."""
        return "rtl" if self.script in RIGHT_TO_LEFT else "ltr"

    @property
    def spaced(self) -> bool:
        """Whether the script puts spaces between words."""
        return self.script not in UNSPACED


def language_id(tag: str) -> str:
    """Standardise a tag to a language's id: `zh_Hans` and `zho-hans` give `zh-hans`.

    The main language of a macrolanguage gets the macrolanguage's tag: `cmn` gives `zh`, `arb` gives
    `ar`.

    Raises:
        NeuroglotError: The tag is malformed, unknown, or does not name a single language.
    """
    try:
        standard = langcodes.standardize_tag(tag, macro=True) if langcodes.tag_is_valid(tag) else ""
    except ValueError:
        standard = ""
    identifier = standard.lower()
    if not _ID.fullmatch(identifier) or identifier.split("-")[0] in _UNDETERMINED:
        raise NeuroglotError(_unknown_tag(tag))
    return identifier


def _language_id(tag: str) -> str:
    try:
        return language_id(tag)
    except NeuroglotError as error:
        raise ValueError(str(error)) from None  # pydantic adds the key's location


def _text(tag: Any) -> str:
    if not isinstance(tag, str):
        raise ValueError(f"{tag!r} is no text: YAML reads some tags as values; put it in quotes")
    return tag


LanguageId = Annotated[str, BeforeValidator(_text), AfterValidator(_language_id)]
_Text = Annotated[str, Field(min_length=1)]


class LanguageRow(BaseModel):
    """A row for a language that the shipped table lacks, or that corrects a row of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: LanguageId = Field(description="BCP 47 tag.")
    name: _Text = Field(description="English name.")
    family: _Text = Field(description="Family, as in WALS.")
    genus: _Text = Field(description="Genus, as in WALS.")
    script: str = Field(pattern="^[A-Z][a-z]{3}$", description="ISO 15924 code, such as Latn.")


def _unknown_tag(tag: str) -> str:
    by_name = {row["name"].casefold(): row["tag"] for row in _table().values()}
    if tag.casefold() in by_name:
        return f"unknown language tag {tag!r}; did you mean {by_name[tag.casefold()]!r}?"
    return unknown_name("language tag", tag, _table())


@cache
def _table() -> dict[str, dict[str, str]]:
    text = files("neuroglot").joinpath("data/languages.csv").read_text(encoding="utf-8")
    return {row["tag"]: row for row in csv.DictReader(text.splitlines())}


def find_language(tag: str, extra: Iterable[LanguageRow] = ()) -> Language:
    """Look up a language.

    If a tag with a script or territory has no row, the row of the shorter tag is used, with the
    tag's own script: `sr-latn-rs` is Serbian in Latin script.

    Args:
        tag: Language tag or id.
        extra: Rows that add to the shipped table or replace its rows.

    Raises:
        NeuroglotError: The tag is invalid, or its language has no row.
    """
    identifier = language_id(tag)
    standard = langcodes.standardize_tag(identifier, macro=True)
    table = _table() | {row.tag: row.model_dump() for row in extra}
    for known in (identifier, *_shorter(identifier)):
        if known in table:
            row = table[known]
            name, script = row["name"], row["script"]
            if known != identifier:
                name = f"{name} ({standard.split('-', known.count('-') + 1)[-1]})"
                script = _own_script(standard) or script
            return Language(identifier, standard, name, row["family"], row["genus"], script)
    raise NeuroglotError(
        f"language {identifier!r} is not in the table of languages; add a row to language_table: "
        f"{{tag: {standard}, name: …, family: …, genus: …, script: …}}"
    )


def _shorter(identifier: str) -> Iterator[str]:
    parsed = langcodes.get(identifier)
    script = _own_script(identifier)
    if parsed.language and script:
        yield f"{parsed.language}-{script}".lower()
    if parsed.language:
        yield parsed.language


def _own_script(tag: str) -> str | None:
    """Return the script that a tag names, or that its territory implies (zh-TW); else None."""
    parsed = langcodes.get(tag)
    if parsed.script or not parsed.territory:
        return parsed.script  # type: ignore[no-any-return]
    by_territory = parsed.maximize().script
    usual = langcodes.Language.make(language=parsed.language).maximize().script
    return by_territory if by_territory != usual else None


@cache
def with_script(identifier: str) -> str:
    """Add the script to an id, so that ids of the same language and script are equal.

    Example:
        >>> with_script("zh"), with_script("zh-hans"), with_script("pt-br")
        ('zh-hans', 'zh-hans', 'pt-latn-br')
    """
    parsed = langcodes.get(identifier)
    row = _table().get(identifier) or _table().get(parsed.language or "")
    script = _own_script(identifier) or (row["script"] if row else parsed.maximize().script)
    return str(parsed.update_dict({"script": script}).to_tag()).lower()


def script_of(identifier: str) -> str:
    """Return the ISO 15924 code of an id's script, named or implied."""
    return str(langcodes.get(with_script(identifier)).script)


def is_spelling(code: str, language: str) -> bool:
    """Whether a code spells a language's id in some standard: BCP 47, ISO 639-3, FLORES, gettext.

    A territory may be left out of the id where it is the likeliest: `zh_CN` spells `zh`, and
    `pt_BR` spells `pt`, but `pt_PT` does not, nor does `pt` spell `pt-br`.

    Example:
        >>> is_spelling("deu_Latn", "de"), is_spelling("cmn_Hani", "zh"), is_spelling("en_GB", "en")
        (True, True, False)
    """
    spelt = spelt_id(code)
    if spelt is None or with_script(spelt) == with_script(language):
        return spelt is not None
    wanted = langcodes.get(with_script(language))
    return (
        wanted.territory is None
        and langcodes.get(with_script(spelt)).maximize() == wanted.maximize()
    )


def spelt_ids(code: str) -> set[str]:
    """Return the ids that a code spells: none, one, or also the one without a likely territory."""
    identifier = spelt_id(code)
    if identifier is None:
        return set()
    parsed = langcodes.get(identifier)
    short = parsed.update_dict({"territory": None}).to_tag().lower()
    return {identifier} | ({short} if parsed.territory and is_spelling(code, short) else set())


@cache
def spelt_id(code: str) -> str | None:
    """Return the id of the language that a code of any standard spells; None if it spells none."""
    tag = code.replace("@latin", "-Latn").replace("@cyrillic", "-Cyrl")
    tag = re.sub(r"^(cmn|zho)_Hani$", "zh", tag)
    try:
        return language_id(tag)
    except NeuroglotError:
        return None
