"""Draws how well a model answers with edited neurons, and with as many random neurons edited."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from xarray import Dataset

from neuroglot.figures import dots, grids, panels, style

BASELINE: dict[str, Any] = {"color": "black", "marker": "X", "label": "model as it is"}
STAR: dict[str, Any] = {
    "color": "#444444",
    "marker": "*",
    "markersize": 7,
    "linestyle": "none",
    "label": "change and control differ\n(95 % of resamples)",
}
CHANCE: dict[str, Any] = {"color": "#888888", "marker": "|", "markersize": 11, "linestyle": "none"}
SCORINGS = {
    "rank": "first token among candidates",
    "exact": "exact match of the continuation",
    "string": "likeliest candidate string",
}
PANEL_WIDTH = 2.7


@dataclass(frozen=True)
class Change:
    """One change to the neurons and its random control, named as the dataset's variants."""

    variant: str
    control: str
    look: dict[str, Any]


@style.styled
def accuracy(ds: Dataset, changes: tuple[Change, ...], subject: str) -> Figure:
    """Accuracy of the unedited model, with changed neurons, and with random neurons changed.

    Args:
        ds: ``accuracy(task, variant, language)`` with ``accuracy_low`` and ``accuracy_high``;
            ``accuracy_excess_low`` and ``accuracy_excess_high``, which bound the difference
            between a variant and its control; ``neurons(task, variant, language)``,
            ``items(task, language)``, ``excluded(task, language)``, ``chance(task, language)``;
            coordinate ``scoring(task)``.
        changes: the changes, one per column.
        subject: words for the changes in the title.
    """
    tasks = panels.held(ds["accuracy"], "task")
    if not tasks:
        return style.empty("no answers to judge")
    chance = Line2D([], [], label="chance", **CHANCE)
    figure, axes = grid(ds, "accuracy", tasks, changes, [chance])
    for row, task in zip(axes, tasks, strict=True):
        of_task = ds.sel(task=task)
        drawn = panels.held(of_task["accuracy"], "language")
        for ax, change in zip(row, changes, strict=True):
            at_chance = of_task["chance"].sel(language=drawn).values
            ax.plot(at_chance, range(len(drawn)), zorder=1, **CHANCE)
            points(ax, of_task, "accuracy", drawn, change)
            stars(ax, of_task, "accuracy_excess", drawn, change)
            ax.xaxis.set_major_formatter(grids.per_cent())
            ax.set_xlabel(f"accuracy\n({SCORINGS[str(of_task['scoring'].item())]})")
        high = min(1.02, max(0.1, row[0].get_xlim()[1]))
        row[0].set_xlim(-0.03 * high, high)
    grids.title(figure, ds, f"accuracy {subject}")
    return figure


@style.styled
def log_probability(ds: Dataset, changes: tuple[Change, ...], subject: str) -> Figure:
    """Change of the right answer's log probability with changed neurons, and with the control.

    Args:
        ds: ``log_probability_difference(task, variant, language)`` from the unedited model, with
            ``…_low`` and ``…_high``; ``log_probability_excess_low`` and ``…_high``, which bound the
            difference between a variant and its control; ``neurons(task, variant, language)``,
            ``items(task, language)``, ``excluded(task, language)``.
        changes: the changes, one per column.
        subject: words for the changes in the title.
    """
    quantity = "log_probability_difference"
    tasks = panels.held(ds[quantity], "task")
    if not tasks:
        return style.empty("no log probability of right answers")
    figure, axes = grid(ds, quantity, tasks, changes, [])
    for row, task in zip(axes, tasks, strict=True):
        of_task = ds.sel(task=task)
        drawn = panels.held(of_task[quantity], "language")
        for ax, change in zip(row, changes, strict=True):
            ax.axvline(0, color="#888888", linewidth=0.8, zorder=0)
            points(ax, of_task, quantity, drawn, change)
            stars(ax, of_task, "log_probability_excess", drawn, change)
            ax.set_xlabel("change in ln probability\nof the right answer (nats)")
    grids.title(figure, ds, f"log probability of the right answer {subject}")
    return figure


def grid(
    ds: Dataset,
    quantity: str,
    tasks: list[str],
    changes: tuple[Change, ...],
    handles: list[Line2D],
) -> tuple[Figure, grids.Panels]:
    """Make a figure with one row per task, one column per change, and one line per language.

    Args:
        ds: dataset of the figures.
        quantity: variable to draw; rows list the languages that have it.
        tasks: tasks of the rows.
        changes: changes of the columns; a panel's title has the number of changed neurons.
        handles: legend entries apart from the points' entries.

    Returns:
        The figure and its axes, row by row.
    """
    names = style.Languages.of(ds).names
    languages = [panels.held(ds[quantity].sel(task=task), "language") for task in tasks]
    heights = [dots.height(len(drawn)) for drawn in languages]
    size = (1.7 + PANEL_WIDTH * len(changes), sum(heights))
    figure, body = panels.sheet(*size, [*point_handles(changes), *handles])
    axes: grids.Panels = body.subplots(
        len(tasks),
        len(changes),
        squeeze=False,
        sharex="row",
        sharey="row",
        height_ratios=heights,
    ).tolist()
    for row, task, drawn in zip(axes, tasks, languages, strict=True):
        of_task = ds.sel(task=task)
        dots.name_rows(row, [f"{names[one]} ({judged(of_task, one)})" for one in drawn])
        row[0].set_ylabel(grids.row_label(task))
        for ax, change in zip(row, changes, strict=True):
            ax.set_title(f"{change.look['label']}\n{changed(of_task, change)}")
    return figure, axes


def point_handles(changes: tuple[Change, ...]) -> list[Line2D]:
    """Legend entries of the unedited model, the changes, and their controls."""
    hollow = {"color": "black", "marker": "o", **dots.HOLLOW}
    return [
        Line2D([], [], linestyle="none", **BASELINE),
        *(Line2D([], [], linestyle="none", **change.look) for change in changes),
        Line2D([], [], linestyle="none", label="hollow: as many random", **hollow),
        Line2D([], [], **STAR),
    ]


def judged(ds: Dataset, language: str) -> str:
    """Number of judged items in a language, and of all items if some were not judged."""
    items, excluded = (int(ds[name].sel(language=language)) for name in ("items", "excluded"))
    return f"{items:,}" if not excluded else f"{items:,} of {items + excluded:,}"


def changed(ds: Dataset, change: Change) -> str:
    """Number of neurons that a change edits in an item, as a range over languages."""
    counts = ds["neurons"].sel(variant=change.variant)
    if not style.present(counts):
        return ""
    low, high = round(float(counts.min())), round(float(counts.max()))
    return f"{low:,} neurons" if low == high else f"{low:,} to {high:,} neurons"


def points(ax: Axes, ds: Dataset, quantity: str, languages: list[str], change: Change) -> None:
    """Draw the unedited model, the change, and its control, with intervals, by language.

    The mean is over the languages that have all three.

    Args:
        ax: axes with language ``i`` at height ``i``, and the mean below the last language.
        ds: ``quantity(variant, language)`` with ``quantity_low`` and ``quantity_high``.
        quantity: name of the variable.
        languages: languages to draw.
        change: change to draw.
    """
    drawn = {
        "baseline": BASELINE,
        change.variant: change.look,
        change.control: change.look | dots.HOLLOW,
    }
    means, lows, highs = (
        ds[quantity + part]
        .sel(variant=[*drawn], language=languages)
        .transpose("variant", "language")
        .values
        for part in ("", "_low", "_high")
    )
    dots.points(ax, list(drawn.values()), means, lows, highs)


def stars(ax: Axes, ds: Dataset, excess: str, languages: list[str], change: Change) -> None:
    """Mark languages in which the change differs significantly from its control.

    Args:
        ax: axes of ``points``; the marks are at the right.
        ds: ``excess_low(variant, language)`` and ``excess_high``.
        excess: name of the variable.
        languages: the drawn languages.
        change: the drawn change.
    """
    low, high = (
        ds[excess + end].sel(variant=change.variant, language=languages).values
        for end in ("_low", "_high")
    )
    apart = np.flatnonzero((low > 0) | (high < 0))
    if apart.size:
        at_right = ax.get_yaxis_transform()
        ax.plot(np.ones(apart.size), apart, transform=at_right, clip_on=False, zorder=3, **STAR)
