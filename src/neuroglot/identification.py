"""Which languages lingua, a statistical identifier, knows, and which texts are in another one."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

# BCP 47 tags of languages for which lingua has another ISO 639-1 code.
_OTHER_CODES = {"fil": "tl", "no": "nb"}
# Languages that short texts do not tell apart.
_ALIKE = (frozenset({"bs", "hr", "sr"}), frozenset({"id", "ms"}), frozenset({"da", "nb", "nn"}))
UNLIKELY = 0.1
"""Confidence below which a text is not in its language."""
FEWEST_BYTES = 30
"""Bytes of UTF-8 of the shortest text that is judged."""


class Foreign(NamedTuple):
    """A text that is in another language: its place, and that language's code."""

    place: int
    code: str


def code_of(language: str, script: str) -> str | None:
    """Give the code of a language in lingua; None if lingua does not know the language.

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


def lingua_code(language: "Language") -> str:
    """Return the ISO 639-1 code of one of lingua's languages."""
    return language.iso_code_639_1.name.lower()


def foreign(texts: Sequence[str], code: str) -> list[Foreign]:
    """Find the texts that are in another language than ``code``, of the 75 that lingua knows.

    A text is in another language if lingua's confidence is below ``UNLIKELY`` for its own language,
    and above it, and highest, for the other. Very short texts are not judged, and languages that
    lingua confuses (Bosnian, Croatian and Serbian; Indonesian and Malay; Danish and Norwegian) pass
    for each other. Only lingua's small models are loaded: they take seconds and 200 MB, the large
    ones a gigabyte.

    Args:
        texts: the texts, which may be of any length.
        code: ISO 639-1 code from ``code_of``.

    Returns:
        The least likely to be in ``code`` first.
    """
    judged = [place for place, text in enumerate(texts) if len(text.encode()) >= FEWEST_BYTES]
    if not judged:
        return []
    confidences = _small_detector().compute_language_confidence_values_in_parallel(
        [texts[place] for place in judged]
    )
    alike = next((group for group in _ALIKE if code in group), frozenset({code}))
    others = []
    for place, values in zip(judged, confidences, strict=True):
        confidence = {lingua_code(value.language): value.value for value in values}
        likeliest = max(confidence, key=confidence.__getitem__)
        in_code = confidence.get(code, 0.0)
        if likeliest not in alike and in_code < UNLIKELY < confidence[likeliest]:
            others.append((in_code, Foreign(place, likeliest)))
    return [text for _, text in sorted(others)]


@cache
def _small_detector() -> "LanguageDetector":
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


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
        code = lingua_code(language)
        known = [script for script, languages in shared.items() if language in languages]
        scripts[code] = frozenset(known or [str(langcodes.Language.get(code).maximize().script)])
    return scripts | {"zh": frozenset(("Hans", "Hant"))}
