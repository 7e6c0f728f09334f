"""Numbers of experts beside those that chance gives."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from xarray import Dataset

from neuroglot.figures import sheets
from neuroglot.figures.series import Look, Series

LOOKS = Series(
    "",
    {
        "": Look("experts, with 95 % interval", "#4477AA"),
        "_null": Look("by chance, with 95 % range", sheets.GUIDE, "--", "o", filled=False),
    },
)


def handles() -> list[Line2D]:
    """Legend entries."""
    return [
        Line2D([], [], label=look.label, linestyle=look.linestyle, **sheets.point(look))
        for look in LOOKS.looks.values()
    ]


def draw(ax: Axes, ds: Dataset, name: str) -> None:
    """Draw numbers of experts across, observed and by chance, with their ranges.

    Args:
        ax: axes to draw in; the number at position ``i`` of the variable is at height ``i``.
        ds: ``name`` of one dimension with ``_low`` and ``_high``, and the same of ``{name}_null``.
        name: the variable.
    """
    for offset, (suffix, look) in zip((-0.13, 0.13), LOOKS.looks.items(), strict=True):
        values, low, high = (ds[f"{name}{suffix}{end}"].values for end in ("", "_low", "_high"))
        heights = [place + offset for place in range(values.size)]
        ax.hlines(heights, low, high, look.color, linewidth=1)
        ax.plot(values, heights, linestyle="none", **sheets.point(look))
    ax.set_ylim(values.size - 0.5, -0.5)
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
