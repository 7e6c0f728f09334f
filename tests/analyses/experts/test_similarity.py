"""Similarity of languages against literal loops, cases by hand, simulated texts and invariances."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, pearsonr

from neuroglot.analyses.experts.measures import similarity as measure
from neuroglot.analyses.experts.measures.similarity import (
    METRICS,
    closeness,
    similarity,
)
from neuroglot.measures import halves as halved
from neuroglot.measures.bootstrap import centred_percentiles, fold_weights
from neuroglot.measures.halves import SPLITS, equal_tokens, random_halves

IDS = ["en", "fr", "hi", "zh"]


def labelled(active: np.ndarray, tokens: np.ndarray) -> tuple[xr.DataArray, xr.DataArray]:
    coords = {"language": IDS[: len(active)]}
    return (
        xr.DataArray(active, coords, ("language", "fold", "layer", "expert")),
        xr.DataArray(tokens, coords, ("language", "fold")),
    )


def counts(
    languages: int = 3, folds: int = 9, layers: int = 2, n: int = 6, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Equally many tokens of every language in each fold, and those that activate experts."""
    generator = np.random.default_rng(seed)
    tokens = np.tile(generator.integers(20, 60, folds), (languages, 1))
    share = generator.uniform(0, 0.2, (languages, 1, layers, n))
    active = generator.binomial(tokens[:, :, None, None], share, (languages, folds, layers, n))
    return labelled(active, tokens)


def texts(
    tokens: np.ndarray, chances: np.ndarray, active: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Read tokens, each of which activates some experts, of some layers of one language.

    Args:
        tokens: number of tokens, [fold].
        chances: how likely each expert is, [layer, expert].
        active: experts that are active at a token.
        generator: makes the tokens.

    Returns:
        Whether a token activates an expert, bool [token, layer, expert], and the tokens' folds.
    """
    fold = np.repeat(np.arange(len(tokens)), tokens)
    keys = np.log(chances.ravel()) + generator.gumbel(size=(len(fold), chances.size))
    highest = np.argpartition(-keys, active, axis=1)[:, :active]
    chosen = np.zeros(keys.shape, bool)
    np.put_along_axis(chosen, highest, values=True, axis=1)
    return chosen.reshape(-1, *chances.shape), fold


def summed(chosen: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    return np.stack([chosen[fold == f].sum(axis=0) for f in range(folds)])


def literal(a: np.ndarray, b: np.ndarray, tokens: tuple[int, int]) -> list[float]:
    """The metrics of METRICS for counts [layer, expert] of two halves, in plain loops."""
    kl, js, squares, correlations = 0.0, [], 0.0, []
    for row_a, row_b in zip(a, b, strict=True):
        p, q = ([(x + 0.5) / (sum(row) + len(row) / 2) for x in row] for row in (row_a, row_b))
        kl += entropy(p, q)
        js.append(jensenshannon(p, q, base=2) ** 2)
        squares += sum(
            (x / tokens[0] - y / tokens[1]) ** 2 for x, y in zip(row_a, row_b, strict=True)
        )
        correlations.append(pearsonr(row_a, row_b).statistic)
    return [math.sqrt(squares), kl, float(np.mean(js)), float(np.mean(correlations))]


def test_two_experts_by_hand():
    a, b = np.array([[[3, 0]]], float), np.array([[[0, 1]]], float)
    p, q = (7 / 8, 1 / 8), (1 / 4, 3 / 4)  # (3 + ½) / 4, ½ / 4; ½ / 2, (1 + ½) / 2
    kl = p[0] * math.log(p[0] / q[0]) + p[1] * math.log(p[1] / q[1])
    assert measure.kl_divergence(a, b).item() == pytest.approx(kl)
    assert kl == pytest.approx(0.8722, abs=1e-4)
    m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    js = sum(x * math.log2(x / z) + y * math.log2(y / z) for x, y, z in zip(p, q, m, strict=True))
    assert measure.jensen_shannon(a, b).item() == pytest.approx(js / 2)
    assert js / 2 == pytest.approx(0.3113, abs=1e-4)
    assert measure.euclidean(a / 4, b / 4).item() == pytest.approx(math.sqrt(10) / 4)
    assert measure.pearson(a, b).item() == -1


def test_every_split_is_the_literal_one():
    active, tokens = counts()
    active[1, :, :, 2] = 0
    result, _, _ = similarity(active, tokens, replicates=20)
    assert result.dims == ("metric", "language_a", "language_b")
    assert result["metric"].values.tolist() == [*METRICS]
    assert result.attrs["units"].startswith("euclidean: Euclidean distance; kl_divergence: nats")
    halves = random_halves(9)
    assert halves.shape == (10, 2, 4), "of an odd number of folds one is left out"
    assert all(len({*np.ravel(split)}) == 8 for split in halves)
    for a in range(3):
        for b in range(3):
            both = []
            for one, other in [(s[0], s[1]) for s in halves] + [(s[1], s[0]) for s in halves]:
                sums = [active.values[i, own].sum(axis=0) for i, own in ((a, one), (b, other))]
                read = tokens.values[a, one].sum(), tokens.values[b, other].sum()
                both.append(literal(*sums, read))
            np.testing.assert_allclose(result[:, a, b], np.mean(both, axis=0), rtol=1e-9)


def test_intervals_are_the_literal_bootstrap_within_halves():
    active, tokens = counts(folds=8)
    result, low, high = similarity(active, tokens, replicates=50, seed=3)
    deviations = []
    for split, halves in enumerate(random_halves(8, 3)):
        weights = fold_weights(4, 10, 3 + split)
        whole = [of_half(active, tokens, own, np.ones(4)) for own in halves]
        for first, second in zip(weights[:5], weights[5:], strict=True):
            drawn = [
                of_half(active, tokens, own, times)
                for own, times in zip(halves, (first, second), strict=True)
            ]
            deviations.append(of_pairs(*drawn) - of_pairs(*whole))
    values = result.values + np.array(deviations)
    expected = centred_percentiles(values.reshape(50, -1).T, result.values.ravel(), 4)
    expected = expected.reshape(2, 4, 3, 3)
    for bound, literally in zip((low, high), expected, strict=True):
        literally[:3] = np.maximum(literally[:3], 0)
        literally[3] = np.clip(literally[3], -1, 1)
        np.testing.assert_allclose(bound, literally, rtol=1e-7, atol=1e-9)
    assert ((low <= result) & (result <= high)).all()


def of_half(
    active: xr.DataArray, tokens: xr.DataArray, half: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts and tokens of the folds of a half, each as many times as it is drawn."""
    drawn = np.repeat(half, times.astype(int))
    return active.values[:, drawn].sum(axis=1), tokens.values[:, drawn].sum(axis=1)


def of_pairs(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The metrics of all pairs, [metric, a, b], the mean of both directions."""
    n = len(first[1])
    both = [
        [[literal(x[0][a], y[0][b], (x[1][a], y[1][b])) for b in range(n)] for a in range(n)]
        for x, y in ((first, second), (second, first))
    ]
    return np.mean(both, axis=0).transpose(2, 0, 1)


def test_many_tokens_no_longer_make_a_language_of_its_own():
    """One distribution and eight times the tokens: KL with 1e-12 is large, the new at the floor."""
    generator = np.random.default_rng(2)
    chances = generator.gamma(0.5, 1, (6, 32)) + 1e-3
    tokens = np.array([np.full(16, 8), np.full(16, 64), np.full(16, 64)])
    chances_of = [chances, chances, generator.permuted(chances, axis=1)]
    active = np.stack(
        [
            summed(*texts(read, own, 19, generator), 16)
            for read, own in zip(tokens, chances_of, strict=True)
        ]
    )
    p = active.sum(axis=1) + 1e-12
    p /= p.sum(axis=-1, keepdims=True)
    old = entropy(p[:, None], p[None], axis=-1).sum(axis=-1)  # KL of a (row) from b
    assert old[1, 0] > 2 * old[0, 1], "the shorter text has zeros, which decide everything"
    result, _, _ = similarity(*equal_tokens(*labelled(active, tokens)), replicates=10)
    for metric in ("kl_divergence", "jensen_shannon", "euclidean"):
        values = result.sel(metric=metric).values
        floor = (values[0, 0] + values[1, 1]) / 2
        assert values[0, 1] == pytest.approx(floor, rel=0.15)
        assert values[1, 0] == pytest.approx(floor, rel=0.15)
        assert values[0, 2] > 2 * floor


def test_equal_tokens_are_as_if_tokens_were_drawn():
    """Hypergeometric numbers of single experts against tokens that are left out for real."""
    generator = np.random.default_rng(5)
    tokens, layers, n = np.array([[30, 20, 12], [10, 20, 4]]), 3, 16
    chances = generator.gamma(0.5, 1, (2, layers, n)) + 1e-2
    read = [texts(*of, 12, generator) for of in zip(tokens, chances, strict=True)]
    active = np.stack([summed(*of_language, 3) for of_language in read])
    equal, left = equal_tokens(*labelled(active, tokens))
    assert left.values.tolist() == [[10, 20, 4]] * 2
    np.testing.assert_array_equal(equal[1], active[1])
    np.testing.assert_array_equal(equal[0, 1], active[0, 1])
    assert (equal[0] <= np.minimum(active[0], left.values[0][:, None, None])).all()
    chosen, fold = read[0]
    really, drawn = [], []
    for seed in range(400):
        order = np.argsort(generator.random(len(fold)) + fold)
        place = np.arange(len(fold)) - np.repeat([0, 30, 50], tokens[0])
        kept = order[place < left.values[0][fold]]
        really.append(summed(chosen[kept], fold[kept], 3))
        drawn.append(equal_tokens(*labelled(active, tokens), seed=seed)[0].values[0])
    np.testing.assert_allclose(np.mean(drawn, axis=0), np.mean(really, axis=0), atol=0.3)
    np.testing.assert_allclose(np.var(drawn, axis=0), np.var(really, axis=0), atol=0.6)

    def divergences(made: list[np.ndarray]) -> np.ndarray:
        first = np.stack(made)[:, None, 0].astype(float)
        second = np.stack(made)[:, None, 2].astype(float)
        both = [measure.kl_divergence(first, second), measure.jensen_shannon(first, second)]
        return np.mean(both, axis=(1, 2, 3))

    np.testing.assert_allclose(divergences(drawn), divergences(really), rtol=0.03)


def test_draws_do_not_depend_on_the_order_of_languages():
    generator = np.random.default_rng(1)
    active, tokens = counts(4)
    tokens = tokens + generator.integers(0, 50, tokens.shape)
    order = [2, 0, 3, 1]
    equal = equal_tokens(active, tokens)
    turned = equal_tokens(active.isel(language=order), tokens.isel(language=order))
    for a, b in zip(turned, equal, strict=True):
        xr.testing.assert_identical(a.sel(language=IDS), b)
    swapped = equal_tokens(active.transpose("expert", "language", "layer", "fold"), tokens)
    xr.testing.assert_identical(swapped[0], equal[0])
    assert not equal[0].equals(equal_tokens(active, tokens, seed=1)[0])
    result, low, _ = similarity(*equal, replicates=20)
    of_turned, low_of_turned, _ = similarity(*turned, replicates=20)
    to = {"language_a": IDS, "language_b": IDS}
    xr.testing.assert_allclose(of_turned.sel(to), result, rtol=1e-12)
    xr.testing.assert_allclose(low_of_turned.sel(to), low, rtol=1e-9)


def test_folds_that_a_language_lacks_and_languages_without_text():
    active, tokens = counts(4)
    active[1, 5], tokens[1, 5] = 0, 0
    active[3], tokens[3] = 0, 0
    equal, left = equal_tokens(active, tokens)
    assert left.sizes["fold"] == equal.sizes["fold"] == 8
    assert (left[:3] > 0).all()
    assert (left[3] == 0).all()
    for values in similarity(equal, left, replicates=10):
        assert values.sel(language_a="zh").isnull().all()
        assert values.sel(language_b="zh").isnull().all()
        assert values[:, :3, :3].notnull().all()


@pytest.mark.parametrize("folds", [0, 1, 2, 3])
def test_few_folds_have_no_halves_or_no_intervals(folds):
    result, low, high = similarity(*counts(folds=folds), replicates=10)
    assert result.notnull().all() == (folds > 1)
    assert result.notnull().any() == (folds > 1)
    assert low.isnull().all()
    assert high.isnull().all()


def test_what_is_symmetric_and_what_is_not():
    result, low, high = similarity(*counts(), replicates=30)
    for metric in ("euclidean", "jensen_shannon", "pearson"):
        for values in (result, low, high):
            of_metric = values.sel(metric=metric).values
            np.testing.assert_allclose(of_metric, of_metric.T, rtol=1e-12)
    kl = result.sel(metric="kl_divergence").values
    assert np.abs(kl - kl.T).max() > 0.001
    assert (result.sel(metric="jensen_shannon") <= 1).all()
    assert (result.drop_sel(metric="pearson") > 0).all()


def test_the_ends_of_jensen_shannon():
    counts_of = np.array([[[1e9, 0], [0, 1e9]], [[0, 1e9], [1e9, 0]]])
    divergence = measure.jensen_shannon(counts_of, counts_of)
    np.testing.assert_allclose(divergence, [[0, 1], [1, 0]], atol=1e-7)
    assert (divergence <= 1).all()
    silent = np.zeros((1, 2, 2))
    assert measure.jensen_shannon(silent, silent).item() == 0
    assert measure.kl_divergence(silent, silent).item() == 0


def test_the_order_and_the_memory_do_not_matter(monkeypatch):
    active, tokens = counts()
    result = similarity(active, tokens, replicates=40)
    turned = similarity(active.isel(expert=[3, 1, 5, 0, 4, 2]), tokens, replicates=40)
    monkeypatch.setattr(halved, "CELLS", 1)
    in_blocks = similarity(active, tokens, replicates=40)
    for a, b, c in zip(result, turned, in_blocks, strict=True):
        xr.testing.assert_allclose(a, b, rtol=1e-9)
        xr.testing.assert_allclose(a, c, rtol=1e-12)


def test_pearson_leaves_level_layers_out():
    # 0.1 three times has a mean that differs from 0.1 in the last bit.
    a = [[0.1, 0.2, 0.3], [0.1, 0.1, 0.1], [0.3, 0.1, 0.2]]
    b = [[0.3, 0.1, 0.2], [0.1, 0.3, 0.2], [0.3, 0.1, 0.2]]
    both = np.array([a, b])
    expected = np.mean([pearsonr(a[i], b[i]).statistic for i in (0, 2)])
    assert measure.pearson(both, both)[0, 1] == pytest.approx(expected)


def test_intervals_cover_what_other_texts_give():
    """Folds that differ more than single tokens would; the truth is the mean over many texts."""
    generator = np.random.default_rng(8)
    folds, n, texts_drawn = 16, 12, 150
    base = generator.gamma(2, 1, (2, 1, 2, n))
    values = []
    for _ in range(texts_drawn):
        content = generator.gamma(8, 1 / 8, (1, folds, 2, n))
        share = np.minimum(0.04 * base * content, 0.9)
        tokens = np.full((2, folds), 60)
        active = generator.binomial(60, share)
        values.append([part.values for part in similarity(*labelled(active, tokens), 200)])
    result, low, high = np.array(values).swapaxes(0, 1)
    truth = result.mean(axis=0)
    covered = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert covered.mean() >= 0.93
    assert covered.min() >= 0.88


def test_closeness_is_more_for_more_similar_languages():
    result, _, _ = similarity(*counts(), replicates=10)
    turned = closeness(result)
    np.testing.assert_array_equal(turned.sel(metric="pearson"), result.sel(metric="pearson"))
    np.testing.assert_array_equal(turned[:3], -result[:3])
    assert SPLITS == 10
