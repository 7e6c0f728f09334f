"""How close a language is to the pivot without its Type 1 neurons."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import dots, grids, panels, style
from neuroglot.figures.layers import LayerAxis

VARIANTS: dict[str, dict[str, Any]] = {
    "random": {"color": looks.RANDOM, "marker": "^", "label": "without as many random"},
    "baseline": {"color": "black", "marker": "X", "label": "model as it is"},
    "without_type1": {
        "color": looks.TYPES["type1"]["color"],
        "marker": "o",
        "label": "without Type 1",
    },
}
WITHOUT, RANDOM = "without_type1", "random"
COLUMNS = 4
PANEL = (2.5, 1.8)  # width and height in inches
DOTS_WIDTH = 2.7
ENDS = ("", "_low", "_high")
LESS = "without Type 1 minus without random"
POINT: dict[str, Any] = {"color": looks.TYPES["type1"]["color"]}
PAIR_LOOKS = (
    {"marker": "D", "label": looks.PAIRS["parallel"]},
    {"marker": "D", "label": looks.PAIRS["non_parallel"], **dots.HOLLOW},
)


@style.styled
def similarity(ds: Dataset) -> Figure:
    """Cosine with the pivot's parallel and other segments by state, one panel per language.

    Args:
        ds: ``similarity(variant, pair, state, language)``; the controls' range
            ``similarity_control_low(pair, state, language)`` and ``…_high``; ``attrs["pivot"]``.
    """
    if not style.present(ds["similarity"]):
        return style.empty("no similarity of segments")
    pairs = {pair: looks.PAIRS[pair] for pair in panels.held(ds["similarity"], "pair")}
    figure, body = by_language(ds, "similarity", "pair", pairs)
    body.supylabel(f"mean cosine with {looks.pivot_name(ds)}", fontsize="medium")
    grids.title(figure, ds, looks.counted(ds, "similarity of segments without Type 1 neurons"))
    return figure


@style.styled
def mutual_knn(ds: Dataset) -> Figure:
    """Overlap of nearest neighbours with the pivot's by state, one panel per language.

    Args:
        ds: ``mutual_knn(variant, k, state, language)``; the controls' range
            ``mutual_knn_control_low(k, state, language)`` and ``…_high``; ``attrs["pivot"]``.
    """
    if not style.present(ds["mutual_knn"]):
        return style.empty("no neighbours of segments")
    numbers = {int(k): f"k = {int(k)}" for k in panels.held(ds["mutual_knn"], "k")}
    figure, body = by_language(ds, "mutual_knn", "k", numbers)
    label = f"mutual k-NN with {looks.pivot_name(ds)}\n(share of neighbours)"
    body.supylabel(label, fontsize="medium")
    grids.title(figure, ds, looks.counted(ds, "neighbours of segments without Type 1 neurons"))
    return figure


def by_language(
    ds: Dataset, name: str, dimension: str, dashed: dict[Any, str]
) -> tuple[Figure, SubFigure]:
    """Three lines by state for each value of a dimension, one panel per language.

    Args:
        ds: ``name(variant, dimension, state, language)`` with ``name_control_low`` and
            ``name_control_high``.
        name: name of the variable.
        dimension: dimension whose values have different dashes.
        dashed: values of the dimension, with their legend labels.

    Returns:
        The figure and the part of it that holds the panels.
    """
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    drawn = panels.held(ds[name], "language")
    columns = min(COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    dashes = dict(zip(dashed, cycle(style.DASHES)))
    figure, body = panels.sheet(
        0.4 + columns * PANEL[0], 0.4 + max(1.4, rows) * PANEL[1], handles(dashed, dashes)
    )
    axes = panels.wrapped(body, len(drawn), columns, sharex=True, sharey=True)
    for ax, language in zip(axes, drawn, strict=True):
        own = ds.sel(language=language)
        for place, dash in dashes.items():
            lines(ax, axis, own.sel({dimension: place}), name, dash)
        ax.set_title(languages.names[language])
        axis.decorate(ax)
        ax.set_xlabel(ax.get_xlabel() if ax in axes[-columns:] else "")
    return figure, body


def handles(dashed: dict[Any, str], dashes: dict[Any, Any]) -> list[Artist]:
    """Legend entries of the variants, of the controls' range, and of the dashes."""
    return [
        *(Line2D([], [], **VARIANTS[one]) for one in ("baseline", WITHOUT, RANDOM)),
        Patch(color=looks.RANDOM, alpha=0.35, linewidth=0, label="range of random draws"),
        *(
            Line2D([], [], color="#555555", linestyle=dash, label=dashed[place])
            for place, dash in dashes.items()
        ),
    ]


def lines(ax: Axes, axis: LayerAxis, ds: Dataset, name: str, dash: Any) -> None:
    """Draw ``name(variant, state)`` as one line per variant, with a band for the controls."""
    low, high = (ds[f"{name}_control_{end}"].values.astype(float) for end in ("low", "high"))
    axis.fill(ax, low, high, color=looks.RANDOM, alpha=0.35, linewidth=0)
    for variant, look in VARIANTS.items():
        values = ds[name].sel(variant=variant).values.astype(float)
        axis.plot(ax, values, linestyle=dash, **look | {"markersize": 2.8, "linewidth": 1.1})


@style.styled
def effect(ds: Dataset) -> Figure:
    """Effect of Type 1 neurons and of controls in the state of each language's best alignment.

    Left: change of the similarity of parallel segments without Type 1 neurons, and without random
    neurons. Middle: the first change minus the second, for parallel and for other segments. Right:
    the overlap of neighbours without Type 1 neurons, minus that without random neurons.

    Args:
        ds: ``similarity(variant, pair, state, language)``; ``effect`` of the same dimensions and
            ``excess(pair, state, language)``, each with ``_low`` and ``_high``;
            ``mutual_knn(variant, k, state, language)``, ``mutual_knn_control_low`` and
            ``mutual_knn_control_high(k, state, language)``; ``attrs["pivot"]``.
    """
    drawn = panels.held(ds["excess"], "language")
    if not drawn:
        return style.empty("no effect of Type 1 neurons")
    names, axis = style.Languages.of(ds).names, LayerAxis.of(ds, "state")
    own = ds.sel(language=drawn)
    states = most_aligned(own)
    columns = effects(own.isel(state=states))
    figure, body = panels.sheet(
        1.9 + len(columns) * DOTS_WIDTH,
        dots.height(len(drawn)),
        [handle for place, column in columns.items() for handle in column.handles(place)],
    )
    axes = body.subplots(1, len(columns), sharey=True)
    labels = [
        f"{names[language]} ({axis.name(int(state))})"
        for language, state in zip(drawn, states.values, strict=True)
    ]
    dots.name_rows(axes, labels)
    for ax, column in zip(axes, columns.values(), strict=True):
        dots.points(ax, column.looks, *column.values)
        ax.set_title(column.title)
        ax.set_xlabel(column.label)
        ax.axvline(0, color="#888888", linewidth=0.8, zorder=0)
    subject = f"what Type 1 neurons do to closeness with {looks.pivot_name(ds)}"
    grids.title(figure, ds, looks.counted(ds, subject))
    return figure


def most_aligned(ds: Dataset) -> DataArray:
    """Find the state with the largest similarity of parallel segments minus that of other segments.

    Gives the index along ``state`` by language, for the unedited model. Embeddings are left out,
    because no neuron changes them.

    Args:
        ds: ``similarity(variant, pair, state, language)``, ``stack_state(state)``.
    """
    as_it_is = ds["similarity"].sel(variant="baseline", drop=True)
    apart = as_it_is.sel(pair="parallel", drop=True) - as_it_is.sel(pair="non_parallel", drop=True)
    return apart.where(ds["stack_state"] > 0).fillna(-np.inf).argmax("state")


@dataclass(frozen=True)
class Column:
    """One panel of points: its title, axis label, and the looks and values of its series.

    Attributes:
        values: means, and lower and upper ends of their intervals, each ``[series, language]``.
    """

    title: str
    label: str
    looks: list[dict[str, Any]]
    values: list[NDArray[np.float64]]

    def handles(self, place: str) -> list[Line2D]:
        """Legend entries of the series, under the heading ``place``, the panel's position."""
        return [
            grids.heading(place),
            *(Line2D([], [], linestyle="none", **look) for look in self.looks),
        ]


def effects(ds: Dataset) -> dict[str, Column]:
    """The panels of ``effect`` by position; ``ds`` has one state per language."""
    changes = ds.sel(pair="parallel", variant=[WITHOUT, RANDOM])
    beyond = ds.sel(pair=[*looks.PAIRS])
    neighbours = ds["mutual_knn"].sel(variant=WITHOUT, drop=True)
    of_random = (
        ds["mutual_knn"].sel(variant=RANDOM, drop=True),
        ds["mutual_knn_control_high"],
        ds["mutual_knn_control_low"],
    )
    return {
        "left": Column(
            "change from the model as it is",
            "change of mean cosine\nof parallel segments",
            [VARIANTS[WITHOUT], VARIANTS[RANDOM]],
            [arranged(changes[f"effect{end}"], "variant") for end in ENDS],
        ),
        "middle": Column(
            LESS,
            "difference of mean cosines",
            [POINT | look for look in PAIR_LOOKS],
            [arranged(beyond[f"excess{end}"], "pair") for end in ENDS],
        ),
        "right": Column(
            LESS,
            "difference of mutual k-NN\n(share of neighbours)",
            [
                POINT | {"marker": marker, "label": f"k = {int(k)}"}
                for k, marker in zip(ds["k"].values, cycle(style.MARKERS[1:]))
            ],
            [arranged(neighbours - one, "k") for one in of_random],
        ),
    }


def arranged(values: DataArray, series: str) -> NDArray[np.float64]:
    """Give ``values`` as an array ``[series, language]``."""
    return np.asarray(values.transpose(series, "language").values, dtype=np.float64)


FIGURES: dict[str, style.Draw] = {
    "similarity_without_type1": similarity,
    "mutual_knn_without_type1": mutual_knn,
    "effect_of_type1": effect,
}
