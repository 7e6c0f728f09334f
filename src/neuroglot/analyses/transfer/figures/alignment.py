"""Alignment of each language's segments with the pivot's parallel segments, by state."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis


@style.styled
def mutual_knn(ds: Dataset) -> Figure:
    """Mean overlap of the segments' nearest neighbours with the pivot's, one panel per ``k``.

    Args:
        ds: ``mutual_knn(k, state, language)`` with ``mutual_knn_low`` and ``mutual_knn_high``;
            ``mutual_knn_chance(k)``; dimension ``segment``; ``attrs["pivot"]``.
    """
    values = ds["mutual_knn"]
    numbers = [int(k) for k in ds["k"].values]
    drawn = panels.held(values, "language")
    if not drawn or not numbers:
        return style.empty("no neighbours of segments")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    figure, body = panels.sheet(
        len(numbers) * panels.PANEL_WIDTH,
        panels.PANEL_HEIGHT,
        [
            *grids.language_handles(languages, drawn),
            Line2D([], [], label="chance", **looks.CHANCE),
        ],
    )
    axes = body.subplots(1, len(numbers), squeeze=False, sharey=True)[0]
    for ax, k in zip(axes, numbers, strict=True):
        panels.language_bands(
            ax, axis, languages, ds["mutual_knn_low"].sel(k=k), ds["mutual_knn_high"].sel(k=k)
        )
        panels.language_lines(ax, axis, languages, values.sel(k=k))
        ax.axhline(float(ds["mutual_knn_chance"].sel(k=k)), **looks.CHANCE)
        ax.set_title(f"k = {k}")
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel(f"mutual k-NN with {looks.pivot_name(ds)}\n(share of neighbours)")
    grids.title(figure, ds, looks.counted(ds, "nearest neighbours"))
    return figure


@style.styled
def parallel_similarity(ds: Dataset) -> Figure:
    """Cosine of parallel segments and of non-parallel segments with the pivot's, and difference.

    Args:
        ds: ``parallel(state, language)`` and ``non_parallel(state, language)``, each with
            ``_low`` and ``_high``; dimension ``segment``; ``attrs["pivot"]``.
    """
    drawn = panels.held(ds["parallel"], "language")
    if not drawn:
        return style.empty("no similarity of segments")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    figure, body = panels.sheet(
        3 * panels.PANEL_WIDTH, panels.PANEL_HEIGHT, grids.language_handles(languages, drawn)
    )
    *both, right = body.subplots(1, 3)
    for ax, (pair, label) in zip(both, looks.PAIRS.items(), strict=True):
        panels.language_bands(ax, axis, languages, ds[f"{pair}_low"], ds[f"{pair}_high"])
        panels.language_lines(ax, axis, languages, ds[pair])
        ax.set_title(label)
    both[1].sharey(both[0])
    both[0].autoscale_view()
    both[0].set_ylabel(f"mean cosine with {looks.pivot_name(ds)}")
    panels.language_lines(right, axis, languages, ds["parallel"] - ds["non_parallel"])
    right.axhline(0, color="#888888", linewidth=0.8, zorder=0)
    right.set_title("parallel minus non-parallel")
    right.set_ylabel("difference of mean cosines")
    grids.title(figure, ds, looks.counted(ds, "similarity of segments"))
    return figure


FIGURES: dict[str, style.Draw] = {
    "mutual_knn": mutual_knn,
    "parallel_similarity": parallel_similarity,
}
