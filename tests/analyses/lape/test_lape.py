"""LAPE: language neurons against the released algorithm in torch, by hand, and planted ones."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroglot.analyses.lape.exports import write_exports
from neuroglot.analyses.lape.measures.lape import (
    activation_probability,
    activation_probability_entropy,
    as_lists,
    firing_site,
    highest_elsewhere,
    language_neurons,
    selection_standard,
    shared_by_languages,
)
from neuroglot.analyses.lape.steps.neurons import tables
from neuroglot.errors import NeuroglotError

IDS = ["en", "de", "fr", "th", "zh", "sw"]


def probabilities(values: np.ndarray) -> xr.DataArray:
    """Label [language, layer, neuron]."""
    return xr.DataArray(
        values,
        dims=("language", "layer", "neuron"),
        coords={
            "language": IDS[: values.shape[0]],
            "layer": np.arange(values.shape[1]),
            "stack": ("layer", ["decoder"] * values.shape[1]),
        },
    )


def drawn(seed: int = 0, shape: tuple[int, int, int] = (4, 3, 200)) -> xr.DataArray:
    values = np.random.default_rng(seed).beta(0.3, 3, shape).astype(np.float32)
    values[:, 0, 5] = 0  # a dead neuron
    return probabilities(values)


def released(values: np.ndarray, percentile: float, top_fraction: float) -> np.ndarray:
    """Select as the released code does, from [language, layer, neuron]; the layout is ours."""
    p = torch.from_numpy(values.astype(np.float64)).permute(1, 2, 0)  # layer x neuron x language
    shares = p / p.sum(-1, keepdim=True)
    shares[shares.isnan()] = 0
    logarithms = torch.where(shares > 0, shares.log(), torch.zeros_like(shares))
    entropy = -(shares * logarithms).sum(-1)
    everything = p.flatten()
    bar = everything.kthvalue(round(len(everything) * percentile)).values
    entropy[(p > bar).sum(-1) == 0] = torch.inf
    _, lowest = entropy.flatten().topk(
        round(entropy.numel() * top_fraction), largest=False, sorted=True
    )
    found = np.zeros(values.shape, bool)
    for index in lowest.tolist():
        layer, neuron = divmod(index, entropy.shape[1])
        for language in range(values.shape[0]):
            found[language, layer, neuron] = bool(p[layer, neuron, language] > bar)
    return found


@pytest.mark.parametrize("percentile", [0.5, 0.95])
@pytest.mark.parametrize("top_fraction", [0.01, 0.1])
def test_the_released_algorithm(percentile, top_fraction):
    for seed in range(5):
        p = drawn(seed)
        found = language_neurons(p, percentile, top_fraction)
        expected = released(p.to_numpy(), percentile, top_fraction)
        np.testing.assert_array_equal(found, expected)
        assert expected.any()


def test_probability_divides_by_each_languages_tokens():
    fired = probabilities(np.array([[[1, 4]], [[3, 0]]]))
    tokens = xr.DataArray([9, 6, 4], dims="language", coords={"language": ["fr", "de", "en"]})
    p = activation_probability(fired, tokens)
    assert p.values.tolist() == [[[0.25, 1]], [[0.5, 0]]]
    assert p.dtype == np.float32
    assert p.dims == fired.dims
    assert p.attrs["units"] == "share of tokens"


def test_languages_without_tokens_and_impossible_counts_are_refused():
    fired = probabilities(np.ones((2, 1, 3), int))
    for ids, counts in ((["en", "de"], [5, 0]), (["en"], [5])):
        tokens = xr.DataArray(counts, dims="language", coords={"language": ids})
        with pytest.raises(NeuroglotError, match="language 'de' has no recorded tokens"):
            activation_probability(fired, tokens)
    few = xr.DataArray([5, 1], dims="language", coords={"language": ["en", "de"]})
    with pytest.raises(NeuroglotError, match=r"must lie in \[0, 1\], found 0.4 to 2,"):
        activation_probability(2 * fired, few)
    with pytest.raises(NeuroglotError, match="1 of them NaN"):
        language_neurons(probabilities(np.array([[[0.5, np.nan]], [[0.1, 0.2]]])))


def test_entropy_by_hand():
    p = probabilities(np.array([[[0.4, 0.2, 0, 0.1]], [[0.4, 0, 0, 0.3]]]))
    entropy = activation_probability_entropy(p)
    expected = [np.log(2), 0, 0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))]
    np.testing.assert_allclose(entropy, [expected], rtol=1e-14)
    assert entropy.attrs["units"] == "nats"
    assert entropy.dims == ("layer", "neuron")
    assert entropy["stack"].values.tolist() == ["decoder"]
    assert not np.signbit(entropy.values).any()


def test_entropy_is_a_plain_sum():
    p = drawn().to_numpy().astype(np.float64)
    entropy = activation_probability_entropy(drawn())
    for layer, neuron in ((0, 0), (0, 5), (1, 7), (2, 199)):
        total = sum(p[:, layer, neuron])
        terms = [x / total * np.log(x / total) for x in p[:, layer, neuron] if x > 0]
        assert entropy[layer, neuron] == pytest.approx(-sum(terms), abs=1e-14)


def test_selection_by_hand():
    # 10 probabilities; rank round(10 * 0.6) = 6 is 0.3: above it stand 0.4, 0.5, 0.6 and 0.9.
    p = probabilities(
        np.array([[[0.9, 0.2, 0.4, 0.0, 0.5]], [[0.3, 0.0, 0.0, 0.1, 0.6]]], np.float64)
    )
    found = language_neurons(p, percentile=0.6, top_fraction=0.4)
    # Entropy: neuron 2 is 0; 1 and 3 are 0 too, but dropped; 0 is lower than 4.
    assert as_lists(found) == {"en": {0: [0, 2]}, "de": {0: []}}
    assert found.attrs["activation_bar"] == 0.3
    assert found.attrs["selected_neurons"] == 2
    assert shared_by_languages(found).values.tolist() == [0, 2, 0]
    three = language_neurons(p, percentile=0.6, top_fraction=0.6)
    assert as_lists(three) == {"en": {0: [0, 2, 4]}, "de": {0: [4]}}
    assert shared_by_languages(three).values.tolist() == [0, 2, 1]
    everything = language_neurons(p, percentile=0.6, top_fraction=1)
    assert (everything == three).all(), "dropped neurons fill the selection, for no language"
    assert shared_by_languages(everything).values.tolist() == [2, 2, 1]
    assert shared_by_languages(everything)["count"].values.tolist() == [0, 1, 2]


def test_planted_neurons_are_found():
    values = np.full((4, 2, 100), 0.3) + np.random.default_rng(1).uniform(0, 0.02, (4, 2, 100))
    values[:, 1, 8] = [0, 0.9, 0, 0]  # de alone
    values[:, 0, 3] = [0, 0, 0.8, 0.8]  # fr and th
    values[:, 0, 4] = [0, 0, 0.01, 0]  # fr alone, but hardly ever
    values[:, 0, 9] = 0  # never
    found = language_neurons(probabilities(values), 0.95, 0.01)
    assert as_lists(found) == {
        "en": {0: [], 1: []},
        "de": {0: [], 1: [8]},
        "fr": {0: [3], 1: []},
        "th": {0: [3], 1: []},
    }
    assert shared_by_languages(found).values.tolist() == [0, 1, 1, 0, 0]


def test_ties_go_to_the_lower_layer_and_index():
    values = np.zeros((2, 2, 4))
    values[0] = 0.5  # every neuron fires in en only
    values[0, 0, 0] = 0
    found = language_neurons(probabilities(values), 0.5, 0.5)
    assert as_lists(found) == {"en": {0: [1, 2, 3], 1: [0]}, "de": {0: [], 1: []}}


def test_many_ties_go_in_order():
    values = np.zeros((2, 3, 100))
    values[0] = 0.5
    values[1, :, ::2] = 0.5  # every other neuron fires in both languages
    found = language_neurons(probabilities(values), 0.25, 0.25)
    expected = {0: [*range(1, 100, 2)], 1: [*range(1, 50, 2)], 2: []}
    assert as_lists(found)["en"] == expected


def test_entropy_rounds_alike_in_any_order():
    p = drawn(shape=(6, 2, 500))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        shuffled = activation_probability_entropy(p.isel(language=order))
        xr.testing.assert_identical(shuffled, activation_probability_entropy(p))


def test_only_what_is_above_the_bar_counts():
    found = language_neurons(probabilities(np.full((3, 2, 10), 0.5)), 0.5, 0.2)
    assert not found.any()
    assert shared_by_languages(found).values.tolist() == [4, 0, 0, 0]
    assert not language_neurons(drawn(), percentile=1, top_fraction=1).any()


def test_one_language_has_nothing_to_be_compared_with():
    alone = drawn(shape=(1, 2, 10))
    assert (activation_probability_entropy(alone) == 0).all()
    with pytest.raises(NeuroglotError, match=r"there is only \['en'\]; add another"):
        language_neurons(alone)


@pytest.mark.parametrize("wrong", [{"percentile": 0}, {"percentile": 95}, {"top_fraction": -0.1}])
def test_settings_are_shares(wrong):
    with pytest.raises(NeuroglotError, match="expected a share above 0 and up to 1"):
        language_neurons(drawn(), **wrong)


SHAPES = st.tuples(st.integers(2, 5), st.integers(1, 3), st.integers(1, 12))
GRID = st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 0.7, 1])  # many ties


@settings(max_examples=30, deadline=None)
@given(SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=GRID)), st.randoms())
def test_order_and_precision_change_nothing(values, random):
    p = probabilities(values)
    found = language_neurons(p, 0.6, 0.3)
    order = list(p["language"].values)
    random.shuffle(order)
    other = language_neurons(p.sel(language=order).astype(np.float64), 0.6, 0.3)
    xr.testing.assert_identical(other.sel(language=p["language"]), found)
    xr.testing.assert_identical(
        language_neurons(p.transpose("neuron", "layer", "language"), 0.6, 0.3), found
    )
    wanted = round(0.3 * values[0].size)
    assert found.any("language").sum() <= wanted
    assert shared_by_languages(found).sum() == wanted
    assert not found.where(p == 0, False).any(), "a neuron that never fires is nobody's"
    entropy = activation_probability_entropy(p)
    assert ((entropy >= 0) & (entropy <= np.log(len(order)) + 1e-12)).all()
    kept, passed = found.any("language"), (p > found.attrs["activation_bar"]).any("language")
    if kept.any() and (passed & ~kept).any():
        assert entropy.where(kept).max() <= entropy.where(passed & ~kept).min()


def test_a_gated_models_neurons_fire_at_the_gate():
    assert [firing_site("auto", gated) for gated in (True, False)] == ["gate", "act"]
    assert [firing_site(wanted, True) for wanted in ("act", "gate")] == ["act", "gate"]


def test_highest_elsewhere_by_hand():
    p = probabilities(np.array([[[0.9, 0.3, 0]], [[0.1, 0.3, 0]], [[0.2, 0.1, 0]]]))
    found = highest_elsewhere(p)
    assert found.values.tolist() == [[[0.2, 0.3, 0]], [[0.9, 0.3, 0]], [[0.9, 0.3, 0]]]
    turned = highest_elsewhere(p.transpose("neuron", "layer", "language"))
    xr.testing.assert_identical(turned.transpose(*p.dims), found)
    p = drawn()
    for language in p["language"].values:
        others = p.drop_sel(language=language).max("language")
        xr.testing.assert_equal(highest_elsewhere(p).sel(language=language, drop=True), others)


def test_the_standard_is_that_of_the_last_one_selected():
    p = drawn()
    own, entropy = language_neurons(p, 0.9, 0.1), activation_probability_entropy(drawn())
    bar, highest = selection_standard(own, entropy)
    assert bar == own.attrs["activation_bar"]
    kept = own.any("language").values
    assert highest == entropy.values[kept].max() > entropy.values[kept].min()
    nobodys = language_neurons(p, percentile=1)
    assert selection_standard(nobodys, entropy)[1] == -np.inf


def test_the_table_names_every_neuron():
    p = drawn()
    own = language_neurons(p, 0.5, 0.5)
    assert (own.sum("language") > 1).any()
    data = xr.Dataset(
        {
            "language_neuron": own.transpose("neuron", "language", "layer"),
            "activation_probability": p,
            "activation_probability_entropy": activation_probability_entropy(p),
            **{
                f"{name}{end}": own.sum("neuron")
                for name in ("neurons", "chance_neurons")
                for end in ("", "_low", "_high")
            },
        }
    )
    table = tables(data)["language_neurons"]
    assert table.columns.tolist() == [
        "layer",
        "neuron",
        "language",
        "entropy",
        "probability",
        "probability_others",
    ]
    lines = table.to_dict("records")
    named = [(one["language"], one["layer"] - 1, one["neuron"]) for one in lines]
    lists = as_lists(own)
    assert sorted(named) == sorted(
        (language, layer, neuron)
        for language, layers in lists.items()
        for layer, neurons in layers.items()
        for neuron in neurons
    )
    assert named == sorted(named, key=lambda one: (*one[1:], IDS.index(one[0])))
    for one, (language, layer, neuron) in zip(lines, named, strict=True):
        by_language = {i: float(p.sel(language=i)[layer, neuron]) for i in p["language"].values}
        assert one["probability"] == by_language.pop(language)
        assert one["probability_others"] == max(by_language.values())
        assert one["entropy"] == data["activation_probability_entropy"].values[layer, neuron]
        assert one["probability"] > own.attrs["activation_bar"]


def test_a_lost_attribute_is_named():
    with pytest.raises(NeuroglotError, match="lacks the attribute selected_neurons"):
        shared_by_languages(language_neurons(drawn()).drop_attrs())


def test_exports_hold_the_same_neurons(tmp_path):
    found = language_neurons(drawn(), 0.9, 0.1)
    found[{"language": 2}] = False  # a language without any
    found = found.sel(language=["fr", "de", "th", "en"])  # not alphabetical
    write_exports(found, tmp_path / "new" / "neurons.json", tmp_path / "new" / "neurons.pt")
    lists = json.loads((tmp_path / "new" / "neurons.json").read_text("utf-8"))
    assert list(lists) == ["fr", "de", "th", "en"]
    tensors = torch.load(tmp_path / "new" / "neurons.pt", weights_only=True)
    assert len(tensors) == 4
    for language, layers in zip(lists, tensors, strict=True):
        assert list(lists[language]) == ["0", "1", "2"]
        for layer, neurons in enumerate(layers):
            assert neurons.dtype == torch.int64
            mine = found.sel(language=language).isel(layer=layer)
            assert neurons.tolist() == np.flatnonzero(mine).tolist()
            assert lists[language][str(layer)] == neurons.tolist()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"neurons.json", "neurons.pt"}
    before = (tmp_path / "new" / "neurons.pt").read_bytes()
    write_exports(found, tmp_path / "new" / "neurons.json", tmp_path / "new" / "neurons.pt")
    assert (tmp_path / "new" / "neurons.pt").read_bytes() == before


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    found = language_neurons(drawn(), 0.9, 0.1)
    write_exports(found, tmp_path / "n.json", tmp_path / "n.pt")
    before = (tmp_path / "n.pt").read_bytes()

    def fail(value, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_exports(~found, tmp_path / "n.json", tmp_path / "n.pt")
    assert (tmp_path / "n.pt").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
