"""What only the figures of agreement do."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from analyses.agreement import figure_data
from neuroglot.analyses.agreement.figures import overlap
from neuroglot.analyses.named import ORDER
from support import reading


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return figure_data.dataset("overlap", 4, {"encoder": 2, "decoder": 4})


def test_filled_dots_are_significant(ds: xr.Dataset) -> None:
    (ax,) = reading.panels(overlap.FIGURES["agreement_by_language"].draw(ds))
    (dots,) = ax.collections
    drawn = dots.get_offsets()[dots.get_facecolors()[:, 3] > 0, 0].data
    above = np.triu_indices(len(ORDER), 1)
    significant = ds["p_value_holm"].values[above] < 0.05
    ratio = (ds["jaccard_all"] / ds["expected_all"]).values[above][significant]
    assert ratio.size
    np.testing.assert_allclose(np.sort(drawn), np.sort(ratio))


def test_pairs_that_meet_in_two_layers_have_a_row(ds: xr.Dataset) -> None:
    figure = overlap.agreement_by_layer(ds)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "LAPE and sharing" in rows
    assert "LAPE and type 2" in rows
    assert "type 1 and type 2" not in rows
    assert not any("lexicon" in row for row in rows)


def test_cells_without_a_shared_neuron_are_marked_and_others_are_not(ds: xr.Dataset) -> None:
    panels = overlap.agreement_by_layer(ds).axes[:2]
    marked = [tuple(text.get_position()) for ax in panels for text in ax.texts]
    means = [
        ds["jaccard"].sel({"method": a, "method_other": b}).mean("language").values
        for a, b in combinations(ORDER, 2)
    ]
    assert len(marked) == sum((mean == 0).sum() for mean in means if np.isfinite(mean).sum() > 1)
    assert marked


def test_the_order_of_dimensions_does_not_matter(ds: xr.Dataset) -> None:
    turned = ds.transpose(*reversed(list(ds.dims)))
    for drawing in overlap.FIGURES.values():
        assert drawing.finding(turned) == drawing.finding(ds)
        np.testing.assert_array_equal(
            reading.numbers(drawing.draw(turned)), reading.numbers(drawing.draw(ds))
        )
