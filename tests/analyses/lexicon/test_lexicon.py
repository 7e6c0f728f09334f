"""Languages of top tokens against plain loops from the paper, hand-computed and planted cases."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.cluster.hierarchy import fcluster

from neuroglot.analyses.lexicon.measures.lexicon import (
    association,
    coverage,
    covered_association,
    entropy,
    highest_entropy,
    language_distances,
    language_given_token,
    language_linkage,
    lowest_entropy,
    tfidf,
    top_language_share,
)
from neuroglot.errors import NeuroglotError

LANGUAGES = ["en", "tr", "ru", "sr"]


def counts(seed: int = 0, languages: int = 4, tokens: int = 30) -> xr.DataArray:
    """Random counts of unequal languages, with gaps between the ids."""
    generator = np.random.default_rng(seed)
    values = generator.poisson(generator.lognormal(0, 2, (languages, tokens)))
    values[:, values.sum(0) == 0] = 1
    return xr.DataArray(
        values.astype(np.int64),
        dims=("language", "token"),
        coords={
            "language": LANGUAGES[:languages] if languages <= 4 else np.arange(languages),
            "token": np.sort(generator.choice(4 * tokens, tokens, replace=False)),
        },
    )


def tops(seed: int = 1, neurons: int = 12, k: int = 6, tokens: int = 120) -> xr.DataArray:
    """Random top tokens; three in four of them are in no language."""
    generator = np.random.default_rng(seed)
    lists = [generator.choice(tokens, k, replace=False) for _ in range(2 * neurons)]
    return xr.DataArray(
        np.array(lists, np.int32).reshape(2, neurons, k),
        dims=("sign", "neuron", "rank"),
        coords={"sign": ["positive", "negative"]},
    )


def written(count: xr.DataArray, prior: str) -> dict[int, list[float]]:
    """P(l|t) of every token, term by term as section 5.1 has it."""
    table, found = count.values.tolist(), {}
    everything = sum(map(sum, table))
    for column, token in enumerate(count["token"].values.tolist()):
        p_t = sum(row[column] for row in table) / everything
        if p_t == 0:
            continue
        posterior = []
        for row in table:
            p_t_given_l = row[column] / sum(row)
            p_l = sum(row) / everything
            if prior == "corpus":
                posterior.append(p_t_given_l * p_l / p_t)
            else:
                posterior.append(p_t_given_l / (p_t * len(table)))
        if prior == "uniform":
            posterior = [p / sum(posterior) for p in posterior]
        found[token] = posterior
    return found


@pytest.mark.parametrize("prior", ["corpus", "uniform"])
def test_language_given_token_is_the_papers(prior):
    count = counts()
    found = language_given_token(count, prior)
    assert found.dims == ("language", "token")
    assert found["token"].values.tolist() == count["token"].values.tolist()
    for token, expected in written(count, prior).items():
        np.testing.assert_allclose(found.sel(token=token), expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum("language"), 1, rtol=1e-12)


def test_the_prior_by_hand():
    # English has a hundred times the text; "a" is one token in two of it, and of Turkish as well.
    count = xr.DataArray(
        [[100, 100, 0], [1, 0, 1]],
        dims=("language", "token"),
        coords={"language": ["en", "tr"], "token": [3, 5, 9]},
    )
    corpus, uniform = (language_given_token(count, prior) for prior in ("corpus", "uniform"))
    np.testing.assert_allclose(corpus.sel(language="en"), [100 / 101, 1, 0])
    np.testing.assert_allclose(uniform.sel(language="en"), [0.5, 1, 0])
    more = count * xr.DataArray([1, 7], dims="language")
    xr.testing.assert_allclose(language_given_token(more, "uniform"), uniform, rtol=1e-12)
    assert (language_given_token(more, "corpus") != corpus).any()


@pytest.mark.parametrize("prior", ["corpus", "uniform"])
def test_association_coverage_and_entropy_are_the_papers(prior):
    count, top = counts(), tops()
    found = association(top, language_given_token(count, prior))
    assert found.dims == ("sign", "neuron", "language")
    assert found["sign"].values.tolist() == ["positive", "negative"]
    assert found["language"].values.tolist() == LANGUAGES
    posterior = written(count, prior)
    bits, covered = entropy(found), coverage(top, count)
    assert bits.dims == covered.dims == ("sign", "neuron")
    unseen = 0
    for sign in range(2):
        for neuron in range(12):
            seen = [posterior[t] for t in top[sign, neuron].values.tolist() if t in posterior]
            assert covered[sign, neuron].item() == pytest.approx(len(seen) / 6)
            if not seen:
                assert found[sign, neuron].isnull().all()
                assert bits[sign, neuron].isnull()
                unseen += 1
                continue
            sums = [sum(values) for values in zip(*seen, strict=True)]
            expected = [value / sum(sums) for value in sums]
            np.testing.assert_allclose(found[sign, neuron], expected, rtol=1e-12)
            h = -sum(p * math.log2(p) for p in expected if p > 0)
            assert bits[sign, neuron].item() == pytest.approx(h, abs=1e-12)
    assert 0 < unseen < 24


def test_entropy_by_hand():
    profile = xr.DataArray(
        [[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.25, 0.25, 0], [math.nan] * 4],
        dims=("neuron", "language"),
    )
    assert entropy(profile).values[:3].tolist() == pytest.approx([0, 2, 1.5])
    assert math.copysign(1, entropy(profile[:, :1])[0].item()) == 1
    assert entropy(profile)[3].isnull()


def test_tfidf_is_the_papers():
    count, top = counts(), tops()
    found = tfidf(top, count)
    assert found.dims == ("sign", "neuron", "language")
    table, ids = count.values.tolist(), count["token"].values.tolist()
    for sign in range(2):
        for neuron in range(12):
            for row in range(4):
                expected = 0.0
                for token in top[sign, neuron].values.tolist():
                    if token not in ids:
                        continue
                    column = ids.index(token)
                    containing = sum(other[column] > 0 for other in table)
                    frequency = table[row][column] / sum(table[row])
                    expected += frequency * math.log(4 / containing)
                assert found[sign, neuron, row].item() == pytest.approx(expected, abs=1e-12)
    assert found.min() == 0
    assert found.notnull().all()


def test_tokens_of_no_language_say_nothing():
    """As where languages are taken out of counts: their tokens' columns stay, all zero."""
    count, top = counts(), tops()
    padded = count.reindex(token=np.arange(120), fill_value=0)
    given = language_given_token(padded, "uniform")
    xr.testing.assert_identical(given, language_given_token(count, "uniform"))
    xr.testing.assert_identical(coverage(top, padded), coverage(top, count))
    xr.testing.assert_identical(tfidf(top, padded), tfidf(top, count))


def test_the_order_of_languages_does_not_matter():
    count, top = counts(), tops()
    turned = count.isel(language=[2, 0, 3, 1])
    for measure in (
        lambda c: association(top, language_given_token(c, "corpus")),
        lambda c: association(top, language_given_token(c, "uniform")),
        lambda c: tfidf(top, c),
        lambda c: top_language_share(association(top, language_given_token(c, "uniform"))),
    ):
        xr.testing.assert_allclose(
            measure(turned).sel(language=LANGUAGES), measure(count), rtol=1e-12
        )


def test_share_of_the_most_associated_language():
    profile = xr.DataArray(
        [
            [[0.6, 0.4, 0.0], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]],
            [[0.9, 0.1, 0.0], [math.nan] * 3, [0.0, 0.1, 0.9]],
        ],
        dims=("sign", "neuron", "language"),
        coords={"language": ["en", "tr", "ru"]},
    )
    profile[0, 2, 1] = np.nextafter(0.4, 0)  # as another order of the same sum would have it
    share = top_language_share(profile)  # of five neurons, one of them half English, half Turkish
    assert share.values.tolist() == pytest.approx([2.5 / 5, 1.5 / 5, 1 / 5])
    both = xr.concat([profile, profile[..., [2, 1, 0]].assign_coords(language=share.language)], "p")
    assert top_language_share(both).dims == ("p", "language")
    np.testing.assert_allclose(top_language_share(both)[1], [1 / 5, 1.5 / 5, 2.5 / 5])


def families(seed: int = 0, neurons: int = 300) -> xr.DataArray:
    """Associations of six languages in three families, above a level that all share."""
    generator = np.random.default_rng(seed)
    family = generator.gamma(0.2, 1, (2, neurons, 3))
    values = np.repeat(family, 2, axis=2) + generator.gamma(0.2, 0.3, (2, neurons, 6)) + 0.5
    values[0, 5] = np.nan
    return xr.DataArray(
        values / values.sum(2, keepdims=True),
        dims=("sign", "neuron", "language"),
        coords={"language": ["a1", "a2", "b1", "b2", "c1", "c2"]},
    )


def test_linkage_finds_families():
    profile = families()
    merges = language_linkage(profile)
    assert merges.dims == ("merge", "column")
    assert merges.shape == (5, 4)
    cluster = fcluster(merges.values, 3, "maxclust").tolist()
    assert cluster[0::2] == cluster[1::2]
    assert len(set(cluster)) == 3
    turned = profile.isel(language=[4, 2, 0, 1, 3, 5])
    c, b, a, a2, b2, c2 = fcluster(language_linkage(turned).values, 3, "maxclust").tolist()
    assert (a, b, c) == (a2, b2, c2)


def test_linkage_by_hand():
    profile = xr.DataArray(
        [[[1.0, 2, 0], [2, 4, 0], [3, 6, 5]]], dims=("sign", "neuron", "language")
    )
    r = np.corrcoef([1, 2, 3], [0, 0, 5])[0, 1]
    found = language_linkage(profile).values
    assert sorted(found[0, :2].tolist()) == [0, 1]
    assert found[0, 2:].tolist() == [0, 2]
    np.testing.assert_allclose(np.sort(found[1, :2]), [2, 3])
    np.testing.assert_allclose(found[1, 2:], [1 - r, 3], atol=1e-9)


def test_languages_are_near_by_the_neurons_with_the_coverage_or_else_by_all():
    shares = families(neurons=20)
    seen = xr.DataArray(np.tile([0.2, 0.19], (1, 10)), dims=("sign", "neuron"))
    seen = xr.concat([seen, seen], "sign").isel(sign=range(shares.sizes["sign"]))
    found = covered_association(shares, seen, 0.2)
    assert found.isnull().all("language").equals(seen < 0.2)
    xr.testing.assert_identical(
        language_linkage(found), language_linkage(shares.isel(neuron=slice(None, None, 2)))
    )
    xr.testing.assert_identical(covered_association(shares, seen, 0.21), shares)


def test_linkage_does_not_depend_on_the_order_of_neurons():
    profile = families()
    profile[..., 5] = profile[..., 4]  # equal languages
    merges = language_linkage(profile)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(profile.sizes["neuron"])
        xr.testing.assert_identical(language_linkage(profile.isel(neuron=order)), merges)


def test_linkage_of_few_and_of_constant_languages():
    profile = families()
    assert language_linkage(profile[..., :1]).shape == (0, 4)
    profile[..., 5] = 0.125
    assert language_linkage(profile).values[-1, 2] <= 2
    with pytest.raises(NeuroglotError, match="no neuron is associated with a language"):
        language_linkage(profile * math.nan)


def test_lowest_and_highest_entropy():
    bits = xr.DataArray(
        [[2.0, 1.0, 1.0 - 1e-15, 0.0, math.nan, 3.0], [3.0, 3.0, 0.5, math.nan, math.nan, 4.0]],
        dims=("sign", "neuron"),
        coords={"sign": ["positive", "negative"]},
    )
    share = xr.DataArray(
        [[1.0, 0.5, 1.0, 0.01, 0.0, 0.6], [1.0, 1.0, 0.5, 0.0, 0.0, 0.1]], dims=("sign", "neuron")
    )
    lowest = lowest_entropy(bits, share, 0.5, n=4)
    assert lowest.dims == ("sign", "place")
    assert lowest.dtype == np.int32
    assert lowest.values.tolist() == [[1, 2, 0, 5], [2, 0, 1, -1]]
    assert lowest_entropy(bits, share, 0.5, n=8).sel(sign="positive").values.tolist() == [
        1, 2, 0, 5, -1, -1, -1, -1,
    ]  # fmt: skip
    assert lowest_entropy(bits, share, 0.0, n=1).values.tolist() == [[3], [2]]
    highest = highest_entropy(bits, share, 0.5)
    assert highest.dims == ("sign",)
    assert highest.values.tolist() == [5, 0]
    assert highest_entropy(bits, share, 1.1).values.tolist() == [-1, -1]


def test_minimum_coverage_counts_lists_of_exactly_that_share():
    """0.07 of 100 tokens is 7 tokens, though the mean of seven ones in a hundred is below 0.07."""
    top = xr.DataArray(np.arange(100)[None, None], dims=("sign", "neuron", "rank"))
    count = xr.DataArray(
        np.ones((1, 7), np.int64),
        dims=("language", "token"),
        coords={"language": ["en"], "token": np.arange(7)},
    )
    bits = xr.DataArray([[0.0]], dims=("sign", "neuron"))
    share = coverage(top, count)
    for minimum, expected in ((0.07, 0), (share.item() + 1e-15, 0), (0.08, -1)):
        assert lowest_entropy(bits, share, minimum, 1).values.tolist() == [[expected]]


def test_a_language_without_tokens_is_named():
    count = counts()
    count[2] = 0
    for measure in (
        lambda: language_given_token(count, "uniform"),
        lambda: tfidf(tops(), count),
        lambda: coverage(tops(), count),
    ):
        with pytest.raises(NeuroglotError, match="no token of language 'ru' was counted"):
            measure()


def test_bad_counts_and_priors():
    with pytest.raises(NeuroglotError, match="unknown prior 'unifrom'; did you mean 'uniform'"):
        language_given_token(counts(), "unifrom")
    with pytest.raises(NeuroglotError, match="must ascend"):
        language_given_token(counts()[:, ::-1], "uniform")
    with pytest.raises(NeuroglotError, match=r"expected counts \[language, token\]"):
        language_given_token(counts().drop_vars("token"), "uniform")


def test_a_large_model_and_many_languages():
    generator = np.random.default_rng(0)
    count = xr.DataArray(
        generator.integers(0, 9, (108, 30_000)),
        dims=("language", "token"),
        coords={"language": np.arange(108), "token": np.arange(30_000) * 2},
    )
    top = xr.DataArray(
        generator.integers(0, 60_000, (2, 11_008, 100), dtype=np.int32),
        dims=("sign", "neuron", "rank"),
    )
    given = language_given_token(count, "uniform")
    found = association(top, given)
    token = top[1, 7].values
    expected = given.values[:, token[token % 2 == 0] // 2].sum(1)
    np.testing.assert_allclose(found[1, 7], expected / expected.sum(), rtol=1e-12)


def test_weighted_distances_are_those_of_repeated_columns() -> None:
    generator = np.random.default_rng(0)
    profiles, weights = generator.random((4, 30)), generator.integers(4, size=30)
    repeated = np.repeat(profiles, weights, axis=1)
    distances = language_distances(profiles, weights)
    np.testing.assert_allclose(
        distances, 1 - np.corrcoef(repeated)[np.triu_indices(4, 1)], atol=1e-8
    )
    assert np.abs(distances - language_distances(profiles)).max() > 0.01
