"""Lines have gaps and bands, points have ranges: each where the table says."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroglot.figures import lines, points, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import arranged

LANGUAGES = Series("language", {"en": Look("English", "#332288"), "de": Look("German", "#CC6677")})
PANELS = Series.of("corpus", {"a": "A", "b": "B"})


@pytest.fixture
def table() -> pd.DataFrame:
    """Values of two languages, three layers and two corpora; German lacks layer 2 in b."""
    index = pd.MultiIndex.from_product(
        [["en", "de"], [1, 2, 3], ["a", "b"]], names=["language", "layer", "corpus"]
    )
    value = np.random.default_rng(0).uniform(1, 2, len(index))
    made = pd.DataFrame({"value": value, "low": value - 0.1, "high": value + 0.3}, index)
    made.loc[("de", 2, "b")] = np.nan
    return made.reset_index()


def test_bands_reach_from_low_to_high(table: pd.DataFrame) -> None:
    coords = {"stack": ("layer", ["decoder"] * 3), "stack_layer": ("layer", [0, 1, 2])}
    axis = LayerAxis.of(xr.Dataset(coords={"layer": [0, 1, 2], **coords}))
    with style.theme():
        figure = lines.by_layer(table, axis, LANGUAGES, "value", columns=PANELS)
    for ax, corpus in zip(figure.axes, PANELS, strict=True):
        drawn = {tuple(np.round(xy, 6)) for patch in ax.patches for xy in patch.get_path().vertices}
        of_corpus = table[(table["corpus"] == corpus) & table["value"].notna()]
        for end in ("low", "high"):
            ends = zip(of_corpus["layer"], of_corpus[end].round(6), strict=True)
            assert drawn >= {(float(layer), value) for layer, value in ends}
        for line, language in zip(ax.lines, LANGUAGES, strict=True):
            expected = table[(table["corpus"] == corpus) & (table["language"] == language)]
            np.testing.assert_allclose(line.get_ydata(), expected["value"])  # NaN is a gap


def test_ranges_reach_from_low_to_high(table: pd.DataFrame) -> None:
    last = table[table["layer"] == 3].assign(variant="edited")
    edited = Series("variant", {"edited": Look("edited", "black")})
    with style.theme():
        figure = points.by_level(last, LANGUAGES, edited, "value", columns=PANELS, mean=True)
    for ax, corpus in zip(figure.axes, PANELS, strict=True):
        drawn = {
            tuple(np.sort(path.vertices[:, 0]).round(6))
            for ranges in ax.collections
            for path in ranges.get_paths()
            if path.vertices.shape == (2, 2)
        }
        ends = last[last["corpus"] == corpus][["low", "high"]].round(6)
        assert drawn >= {tuple(pair) for pair in ends.to_numpy()}


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(0, 0, (1, 1, None)), (0, 4, (1, 4, None)), (0, 9, (3, 9, 4)), (3, 6, (3, 6, None))],
)
def test_many_columns_wrap(rows: int, columns: int, expected: tuple[int, int, int | None]) -> None:
    facets = [
        Series.of(name, map(str, range(count))) if count else None
        for name, count in (("row", rows), ("column", columns))
    ]
    assert arranged(*facets) == expected
