"""What is particular to the lexicon figures: the rest of the languages, tokens, and the tree."""

import itertools

import numpy as np
import pytest
import xarray as xr

from analyses.lexicon.figure_data import dataset
from neuroglot.analyses.lexicon.figures import coverage, languages, neurons
from neuroglot.analyses.lexicon.measures.support import clade_support, clades
from neuroglot.figures import families, fonts
from neuroglot.languages import find_language
from support import reading
from support.languages import known_languages

LOWEST = neurons.FIGURES["figure_08_lowest_entropy_positive"]
TREE = languages.FIGURES["language_tree"]
# Bengali and Hindi, then English and German.
FOUR = np.array([[1, 3, 0.2, 2], [0, 2, 0.5, 2], [4, 5, 0.9, 4]], dtype=float)


def test_shares_of_a_neuron_add_up_to_one() -> None:
    [first, second, *_] = neurons.choose(dataset(languages=20), "positive")
    names, values = neurons.largest(first)
    assert names == ["German, Germanic", "19 other languages"]
    np.testing.assert_allclose(values, [[1, 0], [1, 0]])
    names, values = neurons.largest(second)
    assert len(names) == 6
    np.testing.assert_allclose(values.sum(1), 1)


def test_neurons_that_are_missing_get_no_row() -> None:
    ds = dataset().copy(deep=True)
    ds["drawn"][0, 2:] = -1
    assert int(neurons.choose(ds, "positive")[0]["neuron"]) == 0
    assert len(neurons.choose(ds, "positive")) == 2
    assert len(neurons.choose(ds, "negative")) == 4
    assert [str(one["sign"].values) for one in neurons.choose(ds, "")] == ["positive", "negative"]


def test_a_neuron_is_described_with_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "shown", lambda text: "[Any]" if text == "हिन्दी" else text)
    ds = dataset().copy(deep=True)
    ds["top_text"][:] = [*"$ab", "हिन्दी", "हिन्दी"] * 4
    [first, *_] = [word for word in reading.words(LOWEST.draw(ds)) if word.startswith("neuron 0")]
    assert first.replace(fonts.LEFT_TO_RIGHT, "").startswith(
        "neuron 0, highest weights: entropy 0.00 (0.00–0.00) of 3.32 bits\n"
        "50% (45%–55%) of its top tokens are in the text:\n"
        "$  a  b  [Any] ×2  $  a"
    )


@pytest.mark.parametrize(("seen", "told"), [(0.29, False), (0.3, True)])
def test_too_few_tokens_tell_no_language(seen: float, told: bool) -> None:
    ds = dataset()
    found = LOWEST.finding(ds.assign(coverage=0 * ds["coverage"] + seen))
    assert ("German" in found) == told


def test_bins_hold_as_many_shares_each() -> None:
    for tokens in (1, 7, 39, 40, 100):
        figure = coverage.FIGURES["entropy_and_coverage"].draw(dataset(rank=tokens))
        mesh = figure.axes[2].collections[0]
        edges = mesh.get_coordinates()[0, :, 0]
        counts = np.histogram(np.arange(tokens + 1) / tokens, edges)[0]
        assert len({*counts[:-1]}) <= 1
        assert counts.sum() == tokens + 1


def test_leaves_stand_in_the_order_of_the_tree() -> None:
    ds = dataset(languages=("en", "hi", "de", "bn"), neurons=6)
    ds = ds.assign(linkage=(("merge", "column"), FOUR, {"units": "1 − r"}))
    [ax] = TREE.draw(ds).axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["Hindi [Deva]", "Bengali [Beng]", "English", "German"]
    colours = [line.get_color() for line in ax.lines]
    looks = families.series().looks
    assert colours == [looks[name].color for name in ["Indic"] * 2 + ["Germanic"] * 2]


@pytest.mark.parametrize(("count", "columns"), [(54, 1), (55, 2), (108, 2), (109, 3)])
def test_columns_of_the_tree_continue_one_another(count: int, columns: int) -> None:
    figure = TREE.draw(dataset(languages=count, neurons=6))
    assert len(figure.axes) == columns
    labels = [one.get_text() for ax in figure.axes for one in ax.get_yticklabels()]
    assert len(labels) == count
    assert not any(label.count("Cyrl") > 1 or "[Latn]" in label for label in labels)
    if count == 108:
        assert reading.misplaced(figure) == []


def test_families_are_told_from_scripts() -> None:
    tags = known_languages()[::9]
    ds = dataset(languages=tuple(tags), neurons=6)
    finding = TREE.finding(ds)
    assert "of one family in two scripts (" in finding
    pairs = [
        (one.family == other.family, one.script == other.script)
        for one, other in itertools.combinations(map(find_language, tags), 2)
    ]
    assert f"in two scripts ({pairs.count((True, False)):,} pairs)" in finding
    assert f"in one script ({pairs.count((False, True)):,} pairs)" in finding


def test_every_group_of_families_has_languages_of_the_table() -> None:
    table = [find_language(tag) for tag in known_languages()]
    ds = xr.Dataset(
        coords={
            key: ("language", [getattr(one, key) for one in table]) for key in ("family", "genus")
        }
    )
    groups = families.groups(ds)
    assert {*groups} == {*families.series()}
    looks = families.series().looks.values()
    assert len({(look.color, look.marker) for look in looks}) == len(looks)
    of = dict(zip((one.id for one in table), groups, strict=True))
    assert (of["hi"], of["ga"], of["tr"], of["eu"]) == (
        "Indic",
        families.OTHER,
        "Altaic",
        families.OTHER,
    )


def test_support_of_a_cluster_is_how_often_it_comes_back() -> None:
    assert [sorted(clade) for clade in clades(FOUR)] == [[1, 3], [0, 2], [0, 1, 2, 3]]
    rng = np.random.default_rng(0)
    pairs = rng.random((2, 200, 2)).repeat(2, axis=2)  # languages 0 and 1, and 2 and 3, are alike
    alike = xr.DataArray(
        np.append(pairs + 0.01 * rng.random((2, 200, 4)), np.full((2, 5, 4), np.nan), axis=1),
        dims=("sign", "neuron", "language"),
    )
    tree = np.array([[0, 1, 0.1, 2], [2, 3, 0.1, 2], [4, 5, 1, 4]], dtype=float)
    np.testing.assert_array_equal(clade_support(tree, alike, 20), [1, 1, 1])
    np.testing.assert_array_equal(clade_support(FOUR, alike, 20), [0, 0, 1])
    noise = xr.DataArray(rng.random((2, 50, 4)), dims=("sign", "neuron", "language"))
    support = clade_support(FOUR, noise, 50)
    assert 0 < support[0] < 1
    np.testing.assert_array_equal(support, clade_support(FOUR, noise, 50))
