"""What only the figures of lape do."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Rectangle

from analyses.lape import figure_data
from neuroglot.analyses.lape.figures import neurons, perplexity
from support import reading

DRAWN = perplexity.FIGURES["perplexity_without"]


def test_shared_neurons_by_hand() -> None:
    belongs = np.zeros((3, 2, 3), dtype=bool)
    belongs[0, 0] = [True, True, False]
    belongs[1, 0] = [False, True, False]
    belongs[1, 1] = [False, False, True]
    array = xr.DataArray(belongs, dims=("language", "layer", "neuron"))
    assert neurons.shared(array).tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    turned = array.transpose("neuron", "language", "layer")
    np.testing.assert_array_equal(neurons.shared(turned), neurons.shared(array))


def test_languages_with_many_neurons_in_common_are_neighbours() -> None:
    figure = neurons.several_languages(figure_data.neurons(8, {"decoder": 6}))
    matrix = reading.panels(figure)[-1]
    names = [label.get_text() for label in matrix.get_xticklabels()]
    romance = sorted(names.index(name) for name in ("French", "Spanish", "Portuguese"))
    assert romance[2] - romance[0] == 2


def test_neurons_that_no_language_has_are_counted_as_such() -> None:
    ds = figure_data.neurons(3, {"decoder": 2})
    ds["shared_by_languages"][0] = 1234
    bars = reading.panels(neurons.several_languages(ds))[0]
    assert bars.texts[0].get_text() == "1,234"
    assert bars.get_ylim()[1] < 0


@pytest.mark.parametrize(("largest", "end"), [(0.5, 0.5), (7.0, 2.0)])
def test_colours_end_at_two_nats_and_points_do_not(largest: float, end: float) -> None:
    ds = figure_data.perplexity(4)
    ds["change"] = ds["change"].clip(-0.1, 0.1)
    ds["change"][1, 1] = ds["own_change"][0, 1] = largest
    figure = DRAWN.draw(ds)
    matrix, own, _ = reading.panels(figure)
    mesh = matrix.collections[0]
    assert mesh.get_clim() == (-end, end)
    assert own.get_xlim()[1] > largest


def test_rows_are_deactivated_and_columns_are_read() -> None:
    ds = figure_data.perplexity(4).isel(deactivated=[2, 1])
    ds["change"].loc[{"language": "fr", "deactivated": "de"}] = 1.5
    ds["change"].loc[{"language": "es"}] = np.nan
    ax = reading.panels(DRAWN.draw(ds))[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["English", "German", "French"]
    cells = np.reshape(np.asarray(ax.collections[0].get_array(), float), (2, 3))
    assert cells[1, 2] == 1.5
    frames = {patch.get_xy() for patch in ax.patches if isinstance(patch, Rectangle)}
    assert frames == {(2, 0), (1, 1)}


def stars(ds: xr.Dataset) -> int:
    """Number of stars in the figure."""
    lines = [line for ax in reading.panels(DRAWN.draw(ds)) for line in ax.lines]
    drawn = [np.isfinite(np.asarray(line.get_xdata(), float)).sum() for line in lines]
    return int(sum(n for n, line in zip(drawn, lines, strict=True) if line.get_marker() == "*"))


def test_a_star_is_an_adjusted_p_below_five_per_cent_and_nothing_else() -> None:
    ds = figure_data.perplexity(4)
    drawn = ds["excess_p_value"].sel(contrast=["others", "activity", "contribution"])
    drawn = drawn.where(ds["excess"].notnull())
    assert stars(ds) == int((drawn < 0.05).sum()) > 0
    ds["excess_p_value"][:] = 0.05
    assert stars(ds) == 0


def test_too_few_segments_have_no_stars_and_the_figure_says_so() -> None:
    ds = figure_data.perplexity(3)
    ds["segments"][1] = 5
    words = reading.words(DRAWN.draw(ds))
    assert any("too few for intervals and stars (from 6)" in word for word in words)
    told = DRAWN.finding(ds)
    assert told == "With 5 segments of held-out text, effects cannot be told: a star takes 6."


def test_the_finding_counts_languages_with_like_neurons_only() -> None:
    ds = figure_data.perplexity(4)
    ds["excess_p_value"][:] = 0.3
    ds["excess_p_value"].loc[{"contrast": "contribution", "language": "en"}] = 0.01
    ds["excess"].loc[{"contrast": "contribution", "language": "en"}] = 0.2
    told = DRAWN.finding(ds)
    assert "in 1 of 3 than without partners that contribute as much" in told
    assert "in 0 of 4 than without others that fire as often" in told
