"""Numbers with intervals beside those that chance gives."""

from matplotlib.axes import Axes
from xarray import Dataset

from neuroglot.figures import sheets
from neuroglot.figures.series import Look, Series

LOOKS = Series(
    "suffix",
    {
        "": Look("observed, with 95 % interval"),
        "_null": Look("by chance, with 95 % range", sheets.GUIDE, "--", filled=False),
    },
)
"""What is drawn, by the ending of a variable's name."""
APART = 0.26
"""Height between the number and that of chance."""


def draw(ax: Axes, ds: Dataset, name: str) -> None:
    """Draw numbers across, observed and by chance, with their ranges.

    Args:
        ax: axes to draw in; the number at position ``i`` of the variable is at height ``i``.
        ds: ``name`` of one dimension with ``_low`` and ``_high``, and the same of ``{name}_null``.
        name: the variable.
    """
    for place, (suffix, look) in enumerate(LOOKS.looks.items()):
        values, low, high = (ds[f"{name}{suffix}{end}"].values for end in ("", "_low", "_high"))
        heights = [level + APART * (place - 0.5) for level in range(values.size)]
        ax.hlines(heights, low, high, look.color, linewidth=1)
        ax.plot(values, heights, **look.point)
    ax.grid(axis="y", visible=False)
