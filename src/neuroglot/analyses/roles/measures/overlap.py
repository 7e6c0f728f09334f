"""Overlap of two sets of text: the sentences that both hold (roles, figure 16)."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import numpy as np
import xarray as xr

Text = TypeVar("Text")


def distinct_sentences(sentences: Iterable[str]) -> frozenset[str]:
    """Collect distinct sentences; Unicode composition (NFC) and white space are normalised."""
    return frozenset(" ".join(unicodedata.normalize("NFC", text).split()) for text in sentences)


def sentence_overlap(a: AbstractSet[str], b: AbstractSet[str]) -> float:
    """Share of a's distinct sentences that are also in b; NaN where a is empty (roles, figure 16).

    The share is not symmetric. Both sets come from ``distinct_sentences``.
    """
    return len(a & b) / len(a) if a else float("nan")


def overlap_of_sets(
    texts: Mapping[tuple[str, str], Text],
    overlap: Callable[[Text, Text], float],
    languages: Sequence[str],
    corpora: Sequence[str],
) -> xr.DataArray:
    """Compare each language's texts in every two corpora (roles, figure 16).

    Args:
        texts: arguments of ``overlap``, by corpus and language.
        overlap: function of two texts, such as ``sentence_overlap``.
        languages: ids, in the order of the result.
        corpora: ids, in the order of the result.

    Returns:
        [language, corpus_a, corpus_b]; NaN where a corpus lacks the language.
    """
    values = np.full((len(languages), len(corpora), len(corpora)), np.nan)
    for i, language in enumerate(languages):
        for j, a in enumerate(corpora):
            for k, b in enumerate(corpora):
                if (a, language) in texts and (b, language) in texts:
                    values[i, j, k] = overlap(texts[a, language], texts[b, language])
    return xr.DataArray(
        values,
        coords={"language": list(languages), "corpus_a": list(corpora), "corpus_b": list(corpora)},
        dims=("language", "corpus_a", "corpus_b"),
        attrs={"units": "share", "source": "figure 16"},
    )
