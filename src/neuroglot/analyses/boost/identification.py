"""Says which language a text is written in, with lingua, a statistical identifier."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from neuroglot.analyses.boost.measures.variants import UNDETERMINED

if TYPE_CHECKING:
    from lingua import LanguageDetector

# BCP 47's tags of languages that lingua names by another code of ISO 639-1.
_OTHER_CODES = {"fil": "tl", "no": "nb"}


def identify(texts: Sequence[str]) -> list[str]:
    """Name the language of each text as a whole, among the 75 that lingua knows.

    The choice is not narrowed to the languages of a configuration: a text may well be in none of
    them, and what is found must not change when a language is added. Texts of mixed languages are
    not cut up: lingua finds no reliable seams in texts of a few words.

    Returns:
        ISO 639-1 codes; ``und`` where no language is found, as in a text without letters.
    """
    detected = _detector().detect_languages_in_parallel_of(list(texts))
    return [one.iso_code_639_1.name.lower() if one else UNDETERMINED for one in detected]


def code_of(language: str, script: str) -> str | None:
    """The code under which ``identify`` finds a language; None where it knows it not.

    A language that lingua knows in another script only is one that it does not know: Serbian in
    Latin letters would be found to be Croatian. Simplified and traditional Chinese are both
    ``zh``, and a language's regional kinds are one.

    Args:
        language: BCP 47 tag or id.
        script: that it is written in, an ISO 15924 code.

    Example:
        >>> code_of("pt-br", "Latn"), code_of("sr-latn", "Latn"), code_of("wo", "Latn")
        ('pt', None, None)
    """
    primary = language.split("-")[0].lower()
    code = _OTHER_CODES.get(primary, primary)
    return code if script in _scripts().get(code, ()) else None


@cache
def _detector() -> "LanguageDetector":
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().build()


@cache
def _scripts() -> dict[str, frozenset[str]]:
    """Scripts by code; lingua tells those that several languages share, CLDR the others."""
    import langcodes
    from lingua import Language

    shared = {
        "Latn": Language.all_with_latin_script(),
        "Cyrl": Language.all_with_cyrillic_script(),
        "Arab": Language.all_with_arabic_script(),
        "Deva": Language.all_with_devanagari_script(),
    }
    found = {}
    for language in Language.all():
        code = language.iso_code_639_1.name.lower()
        own = [script for script, languages in shared.items() if language in languages]
        found[code] = frozenset(own or [str(langcodes.Language.get(code).maximize().script)])
    found["zh"] = frozenset(("Hans", "Hant"))
    return found
