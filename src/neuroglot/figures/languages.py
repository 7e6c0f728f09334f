"""Quantities by language and layer: lines for few languages, a heat map for many."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import heat, lines, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.tables import valued


def by_layer(
    ds: Dataset,
    name: str,
    label: str,
    panels: Series | None = None,
    whole: bool = False,
    signed: bool = False,
    word: str = "layer",
    axis: LayerAxis | None = None,
) -> Figure:
    """Draw a quantity of each language by layer or state.

    Up to four languages are lines with their intervals; more are rows of a heat map, whose
    intervals are in the table.

    Args:
        ds: ``name(language, layer, …)`` with ``{name}_low`` and ``{name}_high``.
        name: name of the variable.
        label: what it is, with unit.
        panels: dimension of ``ds`` whose levels are panels of their own.
        whole: the quantity is a share, drawn from 0 to 100 %.
        signed: the quantity is a difference, with zero in the middle of the colours.
        word: ``layer`` or ``state``.
        axis: the x axis, if it is another than that of ``word``.
    """
    axis, table = axis or LayerAxis.of(ds, word), valued(ds, name)
    languages = series.languages(ds).only(table["language"])
    if len(languages) > lines.MOST_COLOURED:
        limits = (0.0, 1.0) if whole else None
        scale = heat.Scale.of(ds[name].values, label, signed=signed, limits=limits)
        return heat.by_layer(ds[name], axis, languages, scale, panels)
    figure = lines.by_layer(table, axis, languages, label, columns=panels)
    if whole:
        sheets.as_shares(figure.axes)
    if signed:
        sheets.guide(figure.axes, 0)
    return figure
