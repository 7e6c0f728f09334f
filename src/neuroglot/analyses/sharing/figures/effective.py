"""Figures 10 and 27 to 29, tables 1 and 4: effective scores of each kind for the gold answer."""

from functools import partial

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import KINDS
from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import extremes
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import panels_of
from neuroglot.tables import valued

HIGHEST = "max_by_layer_of_languages"
LABEL = "score (pre-norm logits)"


def by_layer(ds: Dataset) -> Figure:
    """Highest effective score of each kind's neurons by layer, one row per task.

    Args:
        ds: ``max_by_layer_of_languages(task, layer, kind)`` with ``_low`` and ``_high``; scores of
            zero or less are not drawn.
    """
    columns = {HIGHEST: "mean of languages"}
    note = "bands: 97.5 % of resamples of facts reach above"
    return looks.kinds(ds, columns, "highest effective scores", log=HIGHEST, note=note, label=LABEL)


def by_language(ds: Dataset) -> Figure:
    """Highest effective score by language and kind, one panel per task.

    Args:
        ds: ``max(task, language, kind)`` over items, layers and neurons of the kind; scores of
            zero or less are not drawn.
    """
    scores = ds[["max"]].where(ds["max"] > 0)
    tasks = panels_of(scores, "max", "task", "no effective scores of neurons")
    table = valued(scores, "max")
    languages = series.languages(ds).only(table["language"])
    figure = points.by_level(table, languages, KINDS, LABEL, columns=tasks)
    for ax in figure.axes:
        ax.set_xscale("log")
    note = "over all items, layers and neurons"
    return sheets.title(figure, ds, "highest effective scores", note)


def finding(ds: Dataset, name: str) -> str:
    """Say where the scores of all-shared neurons are lowest and highest."""
    highest = "The highest effective score of an all-shared neuron"
    return extremes(
        ds[name].sel(kind="all_shared", drop=True), highest, "logits before the final norm"
    )


FIGURES = {
    "figures_10_27_29_effective": Drawing(by_layer, partial(finding, name=HIGHEST)),
    "tables_01_04_effective": Drawing(by_language, partial(finding, name="max")),
}
