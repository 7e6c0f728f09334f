"""Every figure of every analysis: drawn at its printed size, readable, and with the data's numbers.

A module ``analyses/{analysis}/figure_data.py`` gives each analysis' synthetic datasets:

- ``dataset(family, case)`` gives the merged dataset of a family of figures for a case of ``CASES``;
- ``shown(stem, ds)`` gives numbers that the figure must draw, as an array.
"""

import importlib
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from neuroglot.analyses import ANALYSES
from neuroglot.figures import sheets, style
from support import reading

# What differs from run to run. A "stack" is a name and its number of layers.
CASES: dict[str, dict[str, Any]] = {
    "three languages": {"languages": 3, "stacks": {"decoder": 6}},
    "encoder and decoder": {"languages": 4, "stacks": {"encoder": 3, "decoder": 5}},
    "twenty languages": {"languages": 20, "stacks": {"decoder": 18}},
    "one language, one layer": {"languages": 1, "stacks": {"decoder": 1}},
}
FULL = "three languages"  # every figure draws something
FIGURES = [
    (name, family.name, stem)
    for name, analysis in ANALYSES.items()
    for family in analysis.figures
    for stem in family.stems
]


def dataset(analysis: str, family: str, case: str) -> xr.Dataset:
    data: xr.Dataset = importlib.import_module(f"analyses.{analysis}.figure_data").dataset(
        family, **CASES[case]
    )
    return data


def drawing(analysis: str, family: str, stem: str) -> style.Drawing:
    module = importlib.import_module(f"{ANALYSES[analysis].package}.figures.{family}")
    found: style.Drawing = module.FIGURES[stem]
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("analysis", "family", "stem"), FIGURES)
def test_is_drawn_to_be_read(analysis: str, family: str, stem: str, case: str) -> None:
    ds = dataset(analysis, family, case)
    drawn = drawing(analysis, family, stem)
    before = dict(mpl.rcParams)
    figure = drawn.draw(ds)
    assert dict(mpl.rcParams) == before
    if is_empty(figure):
        assert case != FULL
        return
    with style.theme():
        assert figure.get_figwidth() in (sheets.COLUMN, sheets.WIDTH)
        assert figure.get_figheight() <= sheets.HEIGHT
        assert reading.smallest_text(figure) >= 7
        assert list(reading.unlabelled(figure)) == []
        assert reading.misplaced(figure) == []
    assert str(ds.attrs.get("model", "")) in figure.get_suptitle()
    shown = importlib.import_module(f"analyses.{analysis}.figure_data").shown(stem, ds)
    assert reading.missing(figure, shown).size == 0
    assert shown.size > 0 or case != FULL
    finding = drawn.finding(ds)
    assert finding.endswith(".")
    assert "nan" not in finding


@pytest.mark.parametrize(("analysis", "family", "stem"), FIGURES)
def test_says_so_where_there_is_nothing(analysis: str, family: str, stem: str) -> None:
    ds = dataset(analysis, family, FULL)
    none = {"f": np.nan, "i": 0, "b": False}  # no number, nothing counted, nothing found
    nothing = ds.assign(
        {
            name: xr.full_like(variable, none[variable.dtype.kind])
            for name, variable in ds.data_vars.items()
            if variable.dtype.kind in none
        }
    )
    drawn = drawing(analysis, family, stem)
    assert is_empty(drawn.draw(nothing))
    assert drawn.finding(nothing) == ""


def is_empty(figure: Figure) -> bool:
    """Whether the figure says that there is nothing to draw."""
    return any(word.startswith("nothing to draw") for word in reading.words(figure))
