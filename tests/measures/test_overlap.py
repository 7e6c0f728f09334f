"""The overlap of languages' tokens, by hand and by its invariances."""

import numpy as np
import pytest

from neuroglot.errors import NeuroglotError
from neuroglot.measures.overlap import token_overlap


def test_overlap_by_hand():
    counts = {
        "en": np.array([2, 2, 0, 0, 0]),
        "de": np.array([1, 0, 3, 0, 0]),
        "th": np.array([0, 0, 0, 7, 0]),
    }
    overlap = token_overlap(counts)
    assert overlap.dims == ("language", "language_other")
    assert overlap["language"].values.tolist() == ["en", "de", "th"]
    np.testing.assert_allclose(overlap, [[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]])


def test_overlap_is_of_shares_whatever_the_order_and_the_unused_tokens():
    generator = np.random.default_rng(0)
    counts = {name: generator.poisson(0.7, 50) for name in ("a", "b", "c")}
    overlap = token_overlap(counts)
    np.testing.assert_allclose(overlap, overlap.T)
    assert 0 < overlap.sel(language="a", language_other="b").item() < 1
    more = {name: 3 * np.append(of, 0) for name, of in reversed(counts.items())}
    np.testing.assert_allclose(
        token_overlap(more).sel(language=[*"abc"], language_other=[*"abc"]), overlap
    )


def test_a_language_without_tokens_overlaps_with_none():
    overlap = token_overlap({"en": np.array([1, 2]), "de": np.array([0, 0])})
    assert overlap.sel(language="en", language_other="en").item() == 1
    assert overlap.sel(language="de").isnull().all()
    assert overlap.sel(language_other="de").isnull().all()
    assert token_overlap({"de": np.zeros(3, int)}).isnull().all()


def test_tokens_of_two_tokenizers_are_not_compared():
    with pytest.raises(NeuroglotError, match=r"different sizes, \{'en': 2, 'de': 3\}"):
        token_overlap({"en": np.zeros(2, int), "de": np.zeros(3, int)})
