"""Looks of the two types of transfer neurons and their random controls in every figure."""

from typing import Any

from xarray import Dataset

from neuroglot.figures import dots, style

# Any two colours are 20 CIELAB units apart under protanopia, deuteranopia and tritanopia.
TYPES: dict[str, dict[str, Any]] = {
    "type1": {"label": "Type 1", "color": "#0077BB", "marker": "o"},
    "type2": {"label": "Type 2", "color": "#EE7733", "marker": "s"},
}
RANDOM = "#888888"
PAIRS = {"parallel": "parallel segments", "non_parallel": "non-parallel segments"}
CHANCE: dict[str, Any] = {"color": "#555555", "linestyle": (0, (4, 2)), "linewidth": 1.0}


def control(kind: str) -> dict[str, Any]:
    """Look of a type's random control: the type's points, but hollow."""
    return TYPES[kind] | dots.HOLLOW | {"label": f"as many random as {TYPES[kind]['label']}"}


def pivot_name(ds: Dataset) -> str:
    """Name of the pivot language."""
    pivot = str(ds.attrs["pivot"])
    return style.language_names(ds).get(pivot, pivot)


def counted(ds: Dataset, subject: str) -> str:
    """Add the number of parallel segments, from the dimension or the attribute, to ``subject``."""
    segments = ds.sizes["segment"] if "segment" in ds.dims else int(ds.attrs["segments"])
    return f"{subject}, {segments:,} parallel segments"
