"""How far two languages are written with the same tokens."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError


def token_overlap(counts: Mapping[str, NDArray[np.integer]]) -> xr.DataArray:
    """Measure the overlap of languages' token distributions: Σ_t min(p_a(t), p_b(t)).

    p(t) is a token's share of all tokens of a language's text. The overlap is 1 if both languages
    use the same tokens equally often, and 0 if they have no token in common; it is 1 minus the
    total variation distance. It is taken of the texts as they are: two texts of one language do not
    overlap fully either, and the less, the shorter they are.

    Args:
        counts: how often each token id occurs in a language's text, [vocabulary], by language.

    Returns:
        float64 in [0, 1], [language, language_other], symmetric, in the order of ``counts``; 1 on
        the diagonal. NaN where a language has no tokens.

    Raises:
        NeuroglotError: the languages' vocabularies differ in size, so their tokens are of different
            tokenizers.
    """
    sizes = {language: len(of_language) for language, of_language in counts.items()}
    if len(set(sizes.values())) > 1:
        raise NeuroglotError(
            f"token overlap: the languages' vocabularies have different sizes, {sizes}; count them "
            "with one tokenizer"
        )
    stacked = np.array([*counts.values()], dtype=np.float64).reshape(len(counts), -1)
    used = stacked[:, stacked.any(axis=0)]
    total = used.sum(axis=1, keepdims=True)
    share = used / np.where(total > 0, total, 1)
    overlap = np.array([np.minimum(of_language, share).sum(axis=1) for of_language in share])
    there = (total > 0).ravel()
    languages = list(counts)
    return xr.DataArray(
        np.where(there[:, None] & there, overlap, np.nan),
        {"language": languages, "language_other": languages},
        ("language", "language_other"),
        "token_overlap",
        {"units": "share of tokens"},
    )
