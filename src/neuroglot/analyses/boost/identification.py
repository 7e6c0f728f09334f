"""Identifies the language of a text with lingua, a statistical identifier."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from neuroglot.analyses.boost.measures.variants import UNDETERMINED

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

# BCP 47 tags of languages for which lingua has another ISO 639-1 code.
_OTHER_CODES = {"fil": "tl", "no": "nb"}


def identify(texts: Sequence[str]) -> list[str]:
    """Identify the language of each whole text, among the 75 languages that lingua knows.

    All 75 languages are candidates, not only the configured ones: a text may be in another
    language, and adding a language must not change a result. Texts of mixed languages are not
    split, because lingua does not split texts of a few words reliably.

    Returns:
        ISO 639-1 codes; ``und`` if no language is found, for example in a text without letters.
    """
    detected = _detector().detect_languages_in_parallel_of(list(texts))
    return [_code(language) if language else UNDETERMINED for language in detected]


def code_of(language: str, script: str) -> str | None:
    """Give the code of a language in ``identify``; None if lingua does not know the language.

    A language is unknown if lingua knows it only in another script: Serbian in Latin script would
    be identified as Croatian. Simplified and traditional Chinese are both ``zh``. Regional variants
    have the code of their language.

    Args:
        language: BCP 47 tag or id.
        script: ISO 15924 code of the language's script.

    Example:
        >>> code_of("pt-br", "Latn"), code_of("sr-latn", "Latn"), code_of("wo", "Latn")
        ('pt', None, None)
    """
    primary = language.split("-")[0].lower()
    code = _OTHER_CODES.get(primary, primary)
    return code if script in _scripts().get(code, ()) else None


def _code(language: "Language") -> str:
    return language.iso_code_639_1.name.lower()


@cache
def _detector() -> "LanguageDetector":
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().build()


@cache
def _scripts() -> dict[str, frozenset[str]]:
    """Scripts by language code: shared scripts from lingua, other scripts from CLDR."""
    import langcodes
    from lingua import Language

    shared = {
        "Latn": Language.all_with_latin_script(),
        "Cyrl": Language.all_with_cyrillic_script(),
        "Arab": Language.all_with_arabic_script(),
        "Deva": Language.all_with_devanagari_script(),
    }
    scripts = {}
    for language in Language.all():
        code = _code(language)
        known = [script for script, languages in shared.items() if language in languages]
        scripts[code] = frozenset(known or [str(langcodes.Language.get(code).maximize().script)])
    return scripts | {"zh": frozenset(("Hans", "Hant"))}
