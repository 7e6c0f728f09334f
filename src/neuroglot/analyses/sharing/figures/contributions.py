"""Figures 8, 9 and 23 to 26: contribution of each kind of neurons to the FFN's output."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis, plain_numbers

MOST = "all_shared"


@style.styled
def top(ds: Dataset) -> Figure:
    """Share of each kind among the top contributors (equation 3), one row per task.

    Left: share of each kind among all neurons, for comparison. Middle: share of each kind among
    the top contributors, as mean and range over languages. Right: share of all-shared neurons
    among the top contributors, by language.

    Args:
        ds: ``top_share(task, language, layer, kind)`` and ``kind_share(task, layer, kind)``, each
            with ``…_low`` and ``…_high``; ``top_share_of_languages_low(task, layer, kind)`` and
            ``…_high``; ``items(task)``; ``attrs["top_fraction"]``.
    """
    share = ds["top_share"]
    tasks = panels.held(share, "task")
    if not tasks:
        return style.empty("no contributions of neurons")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds)
    of_most = share.sel(kind=MOST, drop=True)
    fraction = f"top {100 * ds.attrs['top_fraction']:g} % by contribution"
    figure, axes = grids.rows(
        looks.counted(ds, tasks),
        (
            "all neurons",
            f"{fraction},\nmean and range of languages",
            f"{fraction},\n{looks.KINDS[MOST]['label']} by language",
        ),
        [
            *looks.kind_handles(),
            *grids.language_handles(languages, panels.held(of_most, "language")),
        ],
        sharey=True,
    )
    for (left, middle, right), task in zip(axes, tasks, strict=True):
        of_task = ds.sel(task=task)
        looks.kind_bands(left, axis, of_task["kind_share_low"], of_task["kind_share_high"])
        looks.kind_lines(left, axis, of_task["kind_share"])
        looks.kind_ranges(middle, axis, of_task, "top_share")
        bounds = of_task[["top_share_low", "top_share_high"]].sel(kind=MOST, drop=True)
        panels.language_bands(right, axis, languages, *bounds.values())
        panels.language_lines(right, axis, languages, of_most.sel(task=task))
    looks.as_shares(grids.flat(axes))
    grids.finish(axes)
    grids.title(figure, ds, "kinds of the neurons that contribute most")
    return figure


@style.styled
def mean_and_sum(ds: Dataset) -> Figure:
    """Mean (left) and sum (right) of the contributions of each kind's neurons, one row per task.

    Args:
        ds: ``mean(task, language, layer, kind)`` and ``sum(…)``; bounds of their means over
            languages, ``mean_of_languages_low(task, layer, kind)``, ``…_high``, and the same for
            ``sum``; ``items(task)``.
    """
    tasks = panels.held(ds["sum"], "task")
    if not tasks:
        return style.empty("no contributions of neurons")
    axis = LayerAxis.of(ds)
    figure, axes = grids.rows(
        looks.counted(ds, tasks),
        ("mean contribution of a neuron", "sum of the kind's contributions"),
        looks.kind_handles(),
        sharey="col",
    )
    logarithmic = looks.far_apart(ds["mean"])
    for (left, right), task in zip(axes, tasks, strict=True):
        of_task = ds.sel(task=task)
        looks.kind_ranges(left, axis, of_task, "mean", positive=logarithmic)
        looks.kind_ranges(right, axis, of_task, "sum")
    looks.as_shares([right for _, right in axes])
    for left, _ in axes:
        if logarithmic:
            left.set_yscale("log")
        else:
            plain_numbers(left)
            left.set_ylim(bottom=0)
    grids.finish(axes)
    grids.title(figure, ds, "contribution to the FFN's output, mean and range of languages")
    return figure


FIGURES: dict[str, style.Draw] = {
    "figures_08_23_26_top": top,
    "figure_09_contribution": mean_and_sum,
}
