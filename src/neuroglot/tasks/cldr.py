"""Names of countries and their capitals in `LANGUAGES`, from Babel's CLDR data.

CLDR names cities as the exemplar cities of time zones. `data/capitals.csv` lists the zones whose
exemplar city is a country's undisputed capital. It leaves out a country if its English or Spanish
name needs an article, if a language has one name for the country and the capital, or if CLDR's name
of either is wrong or hardly recognisable in one of the languages (all names were checked in Babel
2.18).
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from neuroglot.corpora.shipped import find_id, shipped_text
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import find_language

LANGUAGES = ("en", "de", "fr", "es", "pt", "cs", "hi", "bn", "th", "zh", "ru", "tr", "vi")
_SCRIPTS = {
    "Latn": "LATIN",
    "Cyrl": "CYRILLIC",
    "Deva": "DEVANAGARI",
    "Beng": "BENGALI",
    "Thai": "THAI",
    "Hans": "CJK",
}


@dataclass(frozen=True)
class Capital:
    """The names of a country and its capital in one language.

    Attributes:
        territory: the country's ISO 3166 code, in lower case.
        country: the country's name.
        city: the capital's name.
    """

    territory: str
    country: str
    city: str


def shipped_language(language: str) -> str:
    """Return the language of `LANGUAGES` for an id (`zh` for `zh-hans`).

    Raises:
        NeuroglotError: there is no such language.
    """
    identifier = find_id(language, LANGUAGES)
    if identifier is None:
        raise NeuroglotError(unknown_name("language of capitals", language, LANGUAGES))
    return identifier


def capitals(language: str) -> tuple[Capital, ...]:
    """Name the countries and capitals in one language, in order of the countries' codes.

    The countries are the same for every language; see `usable`.

    Raises:
        NeuroglotError: the language is not one of `LANGUAGES`.
    """
    named = _named(shipped_language(language))
    return tuple(named[territory] for territory in _usable())


@cache
def _usable() -> tuple[str, ...]:
    return usable({language: _named(language) for language in LANGUAGES})


def usable(named: Mapping[str, Mapping[str, Capital]]) -> tuple[str, ...]:
    """Return the territories that are usable in every language, sorted.

    In every language both names must exist and be in the language's script. The capital's name must
    differ from the country's name and from the names of all other capitals.

    Args:
        named: capitals by language and territory.
    """
    kept = set[str].intersection(*map(set, named.values()))
    for language, by_territory in named.items():
        script = find_language(language).script
        cities = Counter(capital.city for capital in by_territory.values())
        kept -= {
            territory
            for territory, capital in by_territory.items()
            if not (in_script(capital.country, script) and in_script(capital.city, script))
            or capital.country == capital.city
            or cities[capital.city] > 1
        }
    return tuple(sorted(kept))


def in_script(name: str, script: str) -> bool:
    """Whether all letters of a name are in a script (ISO 15924), without soft hyphens.

    A few names in CLDR have soft hyphens, which would split their tokens.
    """
    letters = [character for character in name if unicodedata.category(character)[0] in "LM"]
    return (
        bool(letters)
        and "\N{SOFT HYPHEN}" not in name
        and all(unicodedata.name(letter).startswith(_SCRIPTS[script]) for letter in letters)
    )


@cache
def _named(language: str) -> dict[str, Capital]:
    from babel import Locale

    locale = Locale.parse(language)
    named = {}
    for row in csv.DictReader(shipped_text("tasks", "data", "capitals.csv").splitlines()):
        zone, territory = row["zone"], row["territory"]
        cldr_name = locale.time_zones.get(zone, {}).get("city")
        country = locale.territories.get(territory)
        city = city_name(language, zone, cldr_name, row["spelt_as_zone"].split())
        if country and city:
            named[territory.lower()] = Capital(territory.lower(), country, city)
    return named


def city_name(
    language: str, zone: str, cldr_name: str | None, spelt_as_zone: Iterable[str]
) -> str | None:
    """Name a zone's city in a language.

    CLDR leaves out a name that equals the city in the zone's id (`Europe/Paris`). But an unknown
    name is left out too, and ids have no diacritics (`America/Bogota`). So the id's spelling is
    used only for the languages ``spelt_as_zone``, which the table lists.
    """
    if cldr_name is None and language in spelt_as_zone:
        return zone.rpartition("/")[2].replace("_", " ")
    return cldr_name
