"""Figures 8, 9 and 23 to 26: contribution of each kind of neurons to the FFN's output."""

from functools import partial

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures.style import Drawing


def top(ds: Dataset) -> Figure:
    """Share of each kind among all neurons (left) and top contributors (right), by task.

    Args:
        ds: ``kind_share(task, layer, kind)`` and, mean over languages of what equation 3 says,
            ``top_share_of_languages``, both with ``_low`` and ``_high``; ``items(task)``,
            ``facts(task)``; ``attrs["top_fraction"]``.
    """
    fraction = f"top {100 * ds.attrs['top_fraction']:g} % by contribution, mean of languages"
    columns = {"kind_share": "all neurons", "top_share_of_languages": fraction}
    subject = "kinds of the neurons that contribute most"
    return looks.kinds(looks.trusted(ds), columns, subject, label="share of neurons")


def mean_and_sum(ds: Dataset) -> Figure:
    """Mean (left) and sum (right) of the contributions of each kind's neurons, one row per task.

    Args:
        ds: ``mean_of_languages(task, layer, kind)`` and ``sum_of_languages``, both with ``_low``
            and ``_high``; ``items(task)``, ``facts(task)``.
    """
    columns = {
        "mean_of_languages": "mean contribution of a neuron",
        "sum_of_languages": "sum of the kind's contributions",
    }
    subject, label = "contribution to the FFN's output, mean of languages", "share of the output"
    log = "mean_of_languages"
    return looks.kinds(looks.trusted(ds), columns, subject, log=log, label=label, share_y="col")


FIGURES = {
    "figures_08_23_26_top": Drawing(
        top,
        partial(looks.told, name="top_share_of_languages", words="Shares of the top contributors"),
    ),
    "figure_09_contribution": Drawing(
        mean_and_sum,
        partial(looks.told, name="sum_of_languages", words="Shares of all contributions"),
    ),
}
