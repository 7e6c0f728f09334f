"""Names of countries and their capitals in ten languages, from the CLDR data that Babel carries.

CLDR names capitals as the exemplar cities of time zones. `data/capitals.csv` holds the zones whose
exemplar city is a country's undisputed capital. A country is left out there if a language's name
of it needs an article in English or Spanish, or if CLDR's name of the country or the capital is
wrong or hardly recognisable in one of the languages (read one by one in Babel 2.18).
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from neuroglot.corpora.shipped import find_id
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import find_language

LANGUAGES = ("en", "de", "fr", "es", "pt", "cs", "hi", "bn", "th", "zh")
_SCRIPTS = {"Latn": "LATIN", "Deva": "DEVANAGARI", "Beng": "BENGALI", "Thai": "THAI", "Hans": "CJK"}


@dataclass(frozen=True)
class Capital:
    """A country and its capital as one language names them.

    Attributes:
        territory: the country's ISO 3166 code, in lower case.
        country: the country's name.
        city: the capital's name.
    """

    territory: str
    country: str
    city: str


def shipped_language(language_id: str) -> str:
    """Return the one of `LANGUAGES` that an id means (`zh-hans` is `zh`).

    Raises:
        NeuroglotError: it is none of them.
    """
    found = find_id(language_id, LANGUAGES)
    if found is None:
        raise NeuroglotError(unknown_name("language of capitals", language_id, LANGUAGES))
    return found


def capitals(language_id: str) -> tuple[Capital, ...]:
    """Name the countries that all ten languages can name, in order of their codes.

    The countries are the same whichever languages are asked for, see `usable`.

    Raises:
        NeuroglotError: the language is not one of `LANGUAGES`.
    """
    named = _named(shipped_language(language_id))
    return tuple(named[territory] for territory in _usable())


@cache
def _usable() -> tuple[str, ...]:
    return usable({language_id: _named(language_id) for language_id in LANGUAGES})


def usable(named: Mapping[str, Mapping[str, Capital]]) -> tuple[str, ...]:
    """Return the territories whose question every language can ask and answer, sorted.

    In every language both names must be there and be written in the language's script, the capital
    must not be named as the country is, and no other country's capital may be named as it is.

    Args:
        named: by language, capitals by territory.
    """
    kept = set[str].intersection(*(set(ours) for ours in named.values()))
    for language_id, ours in named.items():
        script = find_language(language_id).script
        cities = Counter(one.city for one in ours.values())
        kept -= {
            territory
            for territory, one in ours.items()
            if not (in_script(one.country, script) and in_script(one.city, script))
            or one.country == one.city
            or cities[one.city] > 1
        }
    return tuple(sorted(kept))


def in_script(name: str, script: str) -> bool:
    """Whether all letters of a name are of a script (ISO 15924) and no character is a soft hyphen.

    CLDR hyphenates a few names softly, which would split their tokens.
    """
    letters = [character for character in name if unicodedata.category(character)[0] in "LM"]
    return (
        bool(letters)
        and "\N{SOFT HYPHEN}" not in name
        and all(unicodedata.name(letter).startswith(_SCRIPTS[script]) for letter in letters)
    )


@cache
def _named(language_id: str) -> dict[str, Capital]:
    from babel import Locale

    locale = Locale.parse(language_id)
    text = files("neuroglot.tasks").joinpath("data/capitals.csv").read_text(encoding="utf-8")
    named = {}
    for row in csv.DictReader(text.splitlines()):
        zone, territory = row["zone"], row["territory"]
        own = locale.time_zones.get(zone, {}).get("city")
        country = locale.territories.get(territory)
        city = city_name(language_id, zone, own, row["spelt_as_zone"].split())
        if country and city:
            named[territory.lower()] = Capital(territory.lower(), country, city)
    return named


def city_name(
    language_id: str, zone: str, own: str | None, spelt_as_zone: Iterable[str]
) -> str | None:
    """Name a zone's city in a language.

    CLDR leaves a name out where it equals what the zone's id says (`Europe/Paris`), but a gap looks
    the same, and an id has no diacritics (`America/Bogota`). So the id's spelling is taken only in
    the languages for which the table says that it is right.

    Args:
        language_id: the language.
        zone: the zone's id.
        own: what the language's CLDR data has, if anything.
        spelt_as_zone: the languages that spell the city as the zone's id does.
    """
    if own is None and language_id in spelt_as_zone:
        return zone.rpartition("/")[2].replace("_", " ")
    return own
