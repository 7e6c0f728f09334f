"""Share of the transfer neurons' variance that a language, or its family, explains."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import dots, grids, panels, style

GROUPINGS = {"language": "in the language\nor not", "family": "in the language's\nfamily or not"}
PANEL_WIDTH = 2.7  # inches


@style.styled
def correlation_ratio(ds: Dataset) -> Figure:
    """Mean correlation ratio of each list's first neurons and of as many random neurons.

    Args:
        ds: ``mean_ratio(type, grouping, language, top)``, for the types and their controls
            ``random_…``; the controls' range ``mean_ratio_control_low`` and
            ``mean_ratio_control_high``.
    """
    values = ds["mean_ratio"]
    drawn = panels.held(values, "language")
    groupings = panels.held(values, "grouping")
    tops = [int(top) for top in panels.held(values, "top")]
    if not drawn:
        return style.empty("no correlation ratios")
    names = style.Languages.of(ds).names
    series: dict[str, dict[str, Any]] = {}
    for kind in looks.TYPES:
        series |= {kind: looks.TYPES[kind], f"random_{kind}": looks.control(kind)}
    handles = [Line2D([], [], linestyle="none", **look) for look in series.values()]
    height = dots.height(len(drawn))
    figure, body = panels.sheet(1.7 + PANEL_WIDTH * len(tops), len(groupings) * height, handles)
    axes: grids.Panels = body.subplots(
        len(groupings), len(tops), squeeze=False, sharex=True, sharey=True
    ).tolist()
    for row, grouping in zip(axes, groupings, strict=True):
        dots.name_rows(row, [names[one] for one in drawn])
        row[0].set_ylabel(GROUPINGS[grouping])
        for ax, top in zip(row, tops, strict=True):
            place = {"grouping": grouping, "top": top, "type": [*series], "language": drawn}
            parts = (
                ds[f"mean_ratio{part}"].sel(place).transpose("type", "language").values
                for part in ("", "_control_low", "_control_high")
            )
            dots.points(ax, list(series.values()), *parts)
            ax.set_title(f"top {top:,} of each list")
            ax.set_xlabel("mean correlation ratio η²")
            ax.tick_params(labelbottom=True)
    axes[0][0].set_xlim(left=0)
    grids.title(figure, ds, "what languages and families explain of transfer neurons' activations")
    return figure


FIGURES: dict[str, style.Draw] = {"correlation_ratio": correlation_ratio}
