"""Identifies the language of a text with lingua, a statistical identifier."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from neuroglot.analyses.boost.measures.variants import UNDETERMINED
from neuroglot.identification import lingua_code

if TYPE_CHECKING:
    from lingua import LanguageDetector


def identify(texts: Sequence[str]) -> list[str]:
    """Identify the language of each whole text, among the 75 languages that lingua knows.

    All 75 languages are candidates, not only the configured ones: a text may be in another
    language, and adding a language must not change a result. Texts of mixed languages are not
    split, because lingua does not split texts of a few words reliably.

    Returns:
        ISO 639-1 codes; ``und`` if no language is found, for example in a text without letters.
    """
    detected = _detector().detect_languages_in_parallel_of(list(texts))
    return [lingua_code(language) if language else UNDETERMINED for language in detected]


@cache
def _detector() -> "LanguageDetector":
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().build()
