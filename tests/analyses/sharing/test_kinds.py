"""Kinds of neurons: packed bits against sets written from the equations, by hand, and planted."""

from math import comb

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroglot.analyses.sharing.measures import kinds as sharing
from neuroglot.analyses.sharing.measures.kind_shares import (
    active_shares,
    dead_shares,
    kind_shares,
    overlap,
)
from neuroglot.analyses.sharing.measures.kinds import (
    KINDS,
    KindBits,
    convertible,
    count_bits,
    kind_counts,
    kinds,
    nested_kinds,
    pack,
    pack_above,
    unpack,
)
from neuroglot.analyses.sharing.measures.specificity import (
    repeated_specificity,
    specific_in_all,
    specific_items,
)
from neuroglot.errors import NeuroglotError

IDS = ["en", "de", "fr", "th", "zh", "sw"]


def drawn(shape: tuple[int, ...], seed: int = 0, share: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def packed(active: np.ndarray) -> dict[str, np.ndarray]:
    """Pack [language, item, layer, neuron] by language."""
    return dict(zip(IDS, map(pack, active), strict=False))


def of(active: np.ndarray) -> KindBits:
    return kinds(packed(active).values(), active.shape[-1])


def sets(active: np.ndarray) -> dict[str, set[int]]:
    """Equations 4 to 7 of one item and layer, [language, neuron], as sets of neurons."""
    languages, neurons = active.shape
    everything = set(range(neurons))
    on = [{n for n in everything if active[k, n]} for k in range(languages)]
    off = [everything - firing for firing in on]
    all_shared = everything.intersection(*on)
    non_activated = everything.intersection(*off)
    specific = set()
    for k in range(languages):
        others = everything.intersection(*(off[j] for j in range(languages) if j != k))
        specific |= on[k] & others
    if languages == 1:
        specific -= all_shared
    return {
        "all_shared": all_shared,
        "partial_shared": everything - all_shared - non_activated - specific,
        "specific": specific,
        "non_activated": non_activated,
    }


def masks(active: np.ndarray) -> dict[str, np.ndarray]:
    """The sets of every item and layer, bool [item, layer, neuron]."""
    found = {kind: np.zeros(active.shape[1:], bool) for kind in KINDS}
    for item, layer in np.ndindex(active.shape[1:3]):
        for kind, neurons in sets(active[:, item, layer]).items():
            found[kind][item, layer, list(neurons)] = True
    return found


SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 19))
BITS = SHAPES.flatmap(lambda shape: arrays(bool, shape))


def test_items_in_which_a_neuron_is_of_one_language_alone():
    active = drawn((4, 6, 2, 19))
    found = specific_items(packed(active), of(active).specific, 19)
    for k, language in enumerate(found["language"].values):
        for layer, neuron in np.ndindex(2, 19):
            alone = sum(
                active[k, item, layer, neuron] and active[:, item, layer, neuron].sum() == 1
                for item in range(6)
            )
            assert found.sel(language=language).values[layer, neuron] == alone


def test_only_tasks_asked_in_the_most_languages_tell_whose_a_neuron_is():
    tasks = []
    for seed, (languages, items) in enumerate([(3, 4), (2, 9), (3, 5)]):
        active = drawn((languages, items, 2, 19), seed)
        specific = specific_items(packed(active), of(active).specific, 19)
        tasks.append(xr.Dataset({"specific": specific, "items": items}))
    found = specific_in_all(tasks)
    expected = tasks[0]["specific"].values + tasks[2]["specific"].values
    np.testing.assert_array_equal(found["specific"], expected)
    assert found["specific"]["language"].values.tolist() == IDS[:3]
    assert found["specific_items"] == 9


def test_what_can_be_converted_is_of_the_kinds_and_inactive_in_the_language():
    active = drawn((4, 6, 2, 19))
    found, bits = of(active), packed(active)
    for k, language in enumerate(bits):
        for chosen in (["specific"], ["specific", "partial_shared"]):
            mask = convertible(found, bits[language], chosen)
            for item, layer in np.ndindex(6, 2):
                of_kinds = set[int]().union(*(sets(active[:, item, layer])[c] for c in chosen))
                expected = {n for n in of_kinds if not active[k, item, layer, n]}
                assert set(np.flatnonzero(mask[item, layer])) == expected


@settings(max_examples=60, deadline=None)
@given(BITS, st.randoms())
def test_the_equations_in_any_order_of_languages(active, random):
    found = of(active)
    expected = masks(active)
    for kind in KINDS:
        np.testing.assert_array_equal(found.mask(kind), expected[kind])
        np.testing.assert_array_equal(found.bits(kind), pack(expected[kind]))
    order = random.sample(range(len(active)), len(active))
    shuffled = of(active[order])
    assert all((shuffled.bits(kind) == found.bits(kind)).all() for kind in KINDS)
    counts = kind_counts(found)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, np.stack([expected[k].sum(-1) for k in KINDS], -1))
    assert (counts.sum(axis=-1) == active.shape[-1]).all(), "every neuron is of one kind"


@settings(max_examples=30, deadline=None)
@given(BITS)
def test_reductions_are_plain_means(active):
    found, expected = of(active), masks(active)
    layers = active.shape[2]
    by_item, same = kind_shares(found), overlap(found)
    share = by_item.mean("item")
    for layer in range(layers):
        for kind in KINDS:
            own = expected[kind][:, layer]
            assert share.sel(kind=kind)[layer] == pytest.approx(own.mean(), abs=1e-15)
            assert same.sel(kind=kind)[layer] == own.all(axis=0).mean()
    assert (same <= share + 1e-15).all()
    np.testing.assert_allclose(share.sum("kind"), 1, rtol=1e-14)
    activity = active_shares(packed(active), active.shape[-1])
    assert activity.dims == ("language", "item", "layer")
    assert by_item.dims == ("item", "layer", "kind")
    for kind in KINDS:
        np.testing.assert_array_equal(by_item.sel(kind=kind), expected[kind].mean(-1))
    np.testing.assert_array_equal(activity, active.mean(-1))
    assert activity["language"].values.tolist() == IDS[: len(active)]


def test_by_hand():
    # Ten neurons, so that the second byte is mostly padding; languages en, de and fr.
    active = np.array(
        [
            [1, 1, 1, 0, 0, 0, 0, 1, 0, 0],
            [1, 1, 0, 1, 0, 0, 0, 1, 1, 0],
            [1, 0, 0, 1, 0, 1, 0, 1, 0, 0],
        ],
        bool,
    )[:, None, None]
    found = of(active)
    where = {kind: np.flatnonzero(found.mask(kind)).tolist() for kind in KINDS}
    assert where == {
        "all_shared": [0, 7],
        "partial_shared": [1, 3],
        "specific": [2, 5, 8],
        "non_activated": [4, 6, 9],
    }
    assert found.all_shared.tolist() == [[[0b10000001, 0]]]
    assert found.non_activated.tolist() == [[[0b01010000, 0b10]]]
    share = kind_shares(found)
    assert share.values.tolist() == [[[0.2, 0.2, 0.3, 0.3]]]
    assert share.dims == ("item", "layer", "kind")
    assert share["kind"].values.tolist() == list(KINDS)
    assert share.attrs["units"] == "share of neurons"


def test_planted_neurons_are_found():
    active = drawn((5, 40, 2, 100))
    active[:, :, 1, 3] = True
    active[:, :, 1, 4] = False
    active[:, :, 1, 5] = np.arange(5)[:, None] == 2  # fr's own in every item
    active[:, :, 1, 6] = np.arange(5)[:, None] > 2
    found = overlap(of(active))
    assert found.dims == ("layer", "kind")
    assert found[0].values.tolist() == [0, 0, 0, 0], "nothing random repeats in 40 items"
    assert found[1].values.tolist() == [0.01] * 4


def test_one_language_shares_with_itself():
    found = of(drawn((1, 2, 3, 20)))
    assert (found.all_shared == pack(drawn((1, 2, 3, 20))[0])).all()
    assert not found.specific.any()
    assert not found.partial_shared.any()


def test_two_languages_share_all_or_nothing_of_what_several_do():
    assert not of(drawn((2, 3, 2, 50))).partial_shared.any()


def test_silent_and_always_active_neurons():
    silent = of(np.zeros((3, 2, 1, 11), bool))
    assert kind_shares(silent).values.tolist() == [[[0, 0, 0, 1]]] * 2
    loud = of(np.ones((3, 2, 1, 11), bool))
    assert kind_shares(loud).values.tolist() == [[[1, 0, 0, 0]]] * 2


def test_padding_never_counts():
    clean = packed(drawn((4, 3, 2, 13)))
    dirty = {language: bits.copy() for language, bits in clean.items()}
    # One padding bit is set in all languages, one in two of them and one in a single language.
    for bits, padding in zip(dirty.values(), (0b11100000, 0b01100000, 1 << 5, 1 << 5), strict=True):
        bits[..., -1] |= padding
    expected, found = kinds(clean.values(), 13), kinds(dirty.values(), 13)
    assert all((found.bits(kind) == expected.bits(kind)).all() for kind in KINDS)
    assert not any((found.bits(kind)[..., -1] & 0b11100000).any() for kind in KINDS)
    xr.testing.assert_identical(active_shares(dirty, 13), active_shares(clean, 13))
    unused = expected.non_activated | np.array([0, 0b11100000], np.uint8)
    padded, bare = (dead_shares(bits, clean, 13) for bits in (unused, expected.non_activated))
    xr.testing.assert_identical(padded, bare)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(monkeypatch, block):
    active = drawn((4, 5, 3, 70))
    expected, counts = of(active), kind_counts(of(active))
    monkeypatch.setattr(sharing, "BLOCK", block)
    found = of(active)
    assert all((found.bits(kind) == expected.bits(kind)).all() for kind in KINDS)
    assert (kind_counts(found) == counts).all()


@pytest.mark.parametrize("neurons", [5, 8, 64, 100, 128])
def test_bits_are_counted_in_bytes_and_words(neurons):
    active = drawn((3, 4, neurons))
    assert (count_bits(pack(active)) == active.sum(axis=-1)).all()
    every_other = pack(drawn((6, 4, neurons)))[::2]
    assert (count_bits(every_other) == unpack(every_other, neurons).sum(axis=-1)).all()


def test_packing_is_undone():
    active = drawn((2, 3, 21))
    assert pack(active).shape == (2, 3, 3)
    assert (unpack(pack(active), 21) == active).all()
    assert unpack(pack(active), 21).dtype == bool


def test_languages_are_read_once_and_left_as_they_were():
    active = drawn((3, 4, 2, 30))
    bits = packed(active)
    for each in bits.values():
        each.flags.writeable = False
    found = kinds((bits[language] for language in bits), 30)
    assert all((found.bits(kind) == of(active).bits(kind)).all() for kind in KINDS)


def test_nested_subsets_are_kinds_of_the_first_languages():
    active = drawn((6, 4, 2, 30), share=0.7)
    found = dict(nested_kinds(iter(packed(active).values()), 30, [5, 1, 3, 3]))
    assert list(found) == [1, 3, 5]
    for count, nested in found.items():
        expected = of(active[:count])
        assert all((nested.bits(kind) == expected.bits(kind)).all() for kind in KINDS)
    assert found[5].all_shared.sum() < found[1].all_shared.sum()


def test_nested_subsets_read_no_more_than_they_need():
    languages = iter(packed(drawn((6, 1, 1, 8))).values())
    list(nested_kinds(languages, 8, [2, 4]))
    assert len(list(languages)) == 2
    assert list(nested_kinds(languages, 8, [])) == []


def test_dead_is_a_plain_share():
    last, ever = drawn((3, 6, 2, 37), share=0.4), drawn((3, 6, 2, 37), seed=1, share=0.6)
    last[0, 2, 1] = True  # an item without non-activated neurons in layer 1
    ever |= last
    found = dead_shares(of(last).non_activated, packed(ever), 37)
    assert found.dims == ("language", "item", "layer")
    assert np.isnan(found[:, 2, 1]).all()
    non_activated = ~last.any(axis=0)
    for k, layer in np.ndindex(3, 2):
        shares = [
            (non_activated[item, layer] & ~ever[k, item, layer]).sum() / total
            for item in range(6)
            if (total := non_activated[item, layer].sum())
        ]
        assert len(shares) == (5 if layer else 6)
        own = found.sel(language=IDS[k])[:, layer].dropna("item")
        np.testing.assert_allclose(own, shares, rtol=1e-14)


def test_dead_at_its_ends():
    last = np.zeros((2, 3, 2, 9), bool)
    last[:, :, 1] = True
    ever = last.copy()
    ever[1] = True
    found = dead_shares(of(last).non_activated, packed(ever), 9)
    np.testing.assert_array_equal(found, [[[1, np.nan]] * 3, [[0, np.nan]] * 3])
    assert found.attrs["units"] == "share of non-activated neurons"


def test_thresholds():
    act = np.array([[[-1, 0, 0.1, 0.2, 0.5, 3]]], np.float32)
    bits = pack_above(act, [0, 0.1, 0.45])
    assert bits.shape == (3, 1, 1, 1)
    above = unpack(bits, 6)[:, 0, 0].astype(int).tolist()
    assert above == [[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    half = pack_above(np.array([0.1], np.float16), [0.09998])  # the threshold rounds to it
    assert half.tolist() == [[0]]
    with pytest.raises(NeuroglotError, match="an activation is NaN"):
        pack_above(np.array([0.0, np.nan]), [0])


def test_higher_thresholds_activate_fewer():
    act = np.random.default_rng(0).normal(size=(4, 5, 3, 200)).astype(np.float32)
    by_language = np.stack([pack_above(one, [0, 0.2, 0.5]) for one in act])
    shares = [kind_shares(kinds(by_language[:, t], 200)).mean("item") for t in range(3)]
    none = [share.sel(kind="non_activated").values for share in shares]
    assert (none[0] < none[1]).all()
    assert (none[1] < none[2]).all()


def test_a_layer_of_the_kinds():
    active = drawn((3, 4, 2, 20))
    layer = of(active)[:, 1]
    assert layer.specific.shape == (4, 3)
    assert (layer.mask("specific") == masks(active)["specific"][:, 1]).all()
    assert (of(active)[2].mask("specific") == masks(active)["specific"][2]).all()


def dealt(generator: np.random.Generator, items: int = 9, neurons: int = 60) -> np.ndarray:
    """Languages of specific neurons [item, neuron], -1 where one is not specific."""
    often = generator.random(neurons)
    specific = generator.random((items, neurons)) < often
    languages = generator.choice(3, (items, neurons), p=[0.6, 0.3, 0.1])
    return np.where(specific, languages, -1)


def counted(languages: np.ndarray) -> xr.DataArray:
    """Specific items (language, layer, neuron) of one layer's ``dealt`` languages."""
    counts = np.stack([(languages == k).sum(0) for k in range(3)])[:, None]
    return xr.DataArray(counts, dims=("language", "layer", "neuron"))


def test_chance_is_what_permuted_languages_give():
    generator = np.random.default_rng(0)
    languages = dealt(generator)
    found = repeated_specificity(counted(languages), 9).isel(layer=0)
    specific = languages >= 0
    repeating, same = [], []
    for _ in range(400):
        permuted = languages.copy()
        permuted[specific] = generator.permutation(languages[specific])
        own = repeated_specificity(counted(permuted), 9).isel(layer=0)
        assert float(own["repeating_null"]) == pytest.approx(float(found["repeating_null"]))
        repeating.append(float(own["repeating"]))
        same.append(float(own["same_language"]))
    assert np.mean(repeating) == pytest.approx(float(found["repeating_null"]), rel=0.05)
    assert np.mean(same) == pytest.approx(float(found["same_language_null"]), rel=0.02)
    assert np.mean(np.array(repeating) <= float(found["repeating_null_high"])) >= 0.95


def test_planted_specificity_repeats():
    languages = dealt(np.random.default_rng(1))
    languages[:, :5] = 2  # the rarest language's own in all nine items
    languages[:5, 5:8], languages[5:, 5:8] = 0, -1  # in five of nine
    languages[:4, 8], languages[4:, 8] = 0, 1  # in four and five
    languages[:4, 9:], languages[4:, 9:] = 0, -1
    found = repeated_specificity(counted(languages), 9).isel(layer=0)
    assert found["repeating"] == 9
    pairs = 5 * 9 * 8 + 3 * 5 * 4 + 9 * 8 + 51 * 4 * 3
    alike = pairs - 2 * 4 * 5
    assert float(found["same_language"]) == pytest.approx(alike / pairs, rel=1e-14)


def test_languages_with_neurons_of_their_own_repeat_more_than_chance():
    own = np.tile(np.repeat([0, 1, 2], 5), (9, 1))  # in each item
    found = repeated_specificity(counted(own), 9).isel(layer=0)
    majority = sum(comb(9, k) * 2 ** (9 - k) for k in range(5, 10)) / 3**9
    assert found["repeating"] == 15
    assert float(found["repeating_null"]) == pytest.approx(15 * 3 * majority, rel=1e-12)
    assert found["repeating_null"] < found["repeating_null_high"] < 15
    assert found["same_language"] == 1
    assert float(found["same_language_null"]) == pytest.approx(1 / 3, rel=1e-14)


def test_nothing_specific_repeats_nothing():
    nothing = xr.DataArray(np.zeros((3, 2, 7), int), dims=("language", "layer", "neuron"))
    nothing[1, 1, 3] = 1
    found = repeated_specificity(nothing, 4)
    assert found["repeating"].values.tolist() == [0, 0]
    assert found["repeating_null"].values.tolist() == [0, 0]
    assert np.isnan(found["same_language"]).all()
    np.testing.assert_array_equal(found["same_language_null"], [np.nan, 1])
    assert all(found[name].attrs["units"] for name in found)
