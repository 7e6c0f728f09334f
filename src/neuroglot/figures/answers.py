"""Answers with edited neurons, and how they differ from those with random neurons edited."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import Dataset

from neuroglot.figures import points, series, sheets, style
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import ABREAST, Facet
from neuroglot.figures.texts import counted, tasks_of
from neuroglot.measures.answers import BASELINE
from neuroglot.tables import tidy, valued

FEW = 20
"""Items below which accuracies are counts without intervals, and nothing has a star."""
TELLING = 30
"""Items of a language below which the finding leaves it out."""
LEAST = 0.05
"""Least end of an axis of differences between accuracies."""
LEVEL, EXCESS, GUESS = "level", "excess", "chance"
AS_IT_IS = Look("model as it is", "#000000", marker="X")
WRITTEN = Look("exact match of it", "#000000", marker="X", filled=False)
CHANCE = Look("chance", "#777777", marker="|")
RANDOM = Look("as many random neurons", "#777777", filled=False)
STAR = Look("interval leaves out zero", "#777777", marker="*")
SCORINGS = {"rank": "first token ranked", "string": "answers ranked", "exact": "exact match"}


@dataclass(frozen=True)
class Change:
    """One change to the neurons and its random control, named as the dataset's variants."""

    variant: str
    control: str
    look: Look


@style.styled
def accuracy(ds: Dataset, changes: tuple[Change, ...], subject: str) -> Figure:
    """Accuracy by language with changes (above), and less that of their controls (below).

    Tasks of fewer than ``FEW`` items are drawn in numbers of items, without intervals.

    Args:
        ds: ``accuracy(task, variant, language)`` and ``accuracy_excess``, the difference between a
            variant and its control, both with ``_low`` and ``_high``; ``exact_accuracy`` and
            ``neurons`` of the same dimensions; ``items(task, language)`` and ``chance``; coordinate
            ``scoring(task)``.
        changes: what is drawn.
        subject: words for the changes in the title.
    """
    tasks = tasks_of(ds, "accuracy")
    if tasks is None:
        return style.empty("no answers to judge")
    scoring, size = ds["scoring"].to_series(), ds["items"].max("language").to_series()
    written = valued(ds, "exact_accuracy", variant=BASELINE).drop(
        columns="variant", errors="ignore"
    )
    marks = {
        BASELINE: written[written["task"].map(scoring) != "exact"],
        GUESS: valued(ds, "chance"),
    }
    marked = pd.concat([part.assign(change=name) for name, part in marks.items()])
    marked = marked.assign(row=LEVEL, hollow=True).merge(tidy(ds[["items"]]))
    table = compared(ds, "accuracy", "accuracy_excess", changes)
    table = pd.concat([table, marked], ignore_index=True)
    table.loc[table["items"] < FEW, ["low", "high"]] = np.nan
    excess = table.loc[table["row"] == EXCESS, ["value", "low", "high"]]
    end = 1.15 * float(np.nanmax([LEAST, *excess.abs().max()]))
    table["star"] *= 0.95 * end
    unit = table["items"].where(table["task"].map(size) < FEW, 1)
    numbers = ["value", "low", "high", "star"]
    table[numbers] = table[numbers].mul(unit, axis=0)
    titles = {one: f"{name}\n{SCORINGS[scoring[one]]}" for one, name in tasks.titles.items()}
    looks = {GUESS: CHANCE, BASELINE: AS_IT_IS} | with_neurons(ds, changes)
    figure, panels = grid(ds, table, looks, Facet("task", titles))
    for (row, task), ax in panels.items():
        counts = size[task] < FEW
        most = size[task] if counts else 1
        ends = (-0.04, 1.04) if row == LEVEL else (-end, end)
        ax.set_xlim(ends[0] * most, ends[1] * most)
        label(ax, row, "right answers", f"items of {most:.0f}" if counts else "share of items")
        if counts:
            ax.xaxis.set_major_locator(sheets.whole_numbers(4))
        else:
            sheets.as_shares([ax], "x", whole=False)
        if row == EXCESS:
            sheets.guide([ax], 0, "x")
    sheets.title(figure, ds, f"accuracy {subject}", "whiskers: 95 % intervals over items")
    return figure


@style.styled
def log_probability(ds: Dataset, changes: tuple[Change, ...], subject: str) -> Figure:
    """Change of the right answer's log probability (above), and less the controls' (below).

    Args:
        ds: ``log_probability_difference(task, variant, language)``, from the model as it is, and
            ``log_probability_excess``, from the variant's control, both in nats with ``_low`` and
            ``_high``; ``neurons`` of the same dimensions; ``items(task, language)``.
        changes: what is drawn.
        subject: words for the changes in the title.
    """
    tasks = tasks_of(ds, "log_probability_difference")
    if tasks is None:
        return style.empty("no log probability of right answers")
    table = compared(ds, "log_probability_difference", "log_probability_excess", changes)
    numbers = table[["value", "low", "high"]].to_numpy()
    low, high = min(0.0, np.nanmin(numbers)), max(0.0, np.nanmax(numbers))
    room = 0.12 * max(high - low, 0.1)
    table["star"] *= high + 0.8 * room
    table = table[table["change"] != BASELINE]  # zero by definition
    figure, panels = grid(ds, table, with_neurons(ds, changes), tasks)
    sheets.guide([*panels.values()], 0, "x")
    for (row, _), ax in panels.items():
        ax.set_xlim(low - room, high + room)
        label(ax, row, "change of ln p", "nats")
    subject = f"log probability of the right answer {subject}"
    sheets.title(figure, ds, subject, "whiskers: 95 % intervals over items")
    return figure


def compared(ds: Dataset, level: str, excess: str, changes: tuple[Change, ...]) -> DataFrame:
    """Make the table of levels and of their differences from the controls.

    Args:
        ds: ``level(task, variant, language)`` and ``excess``, with ``_low`` and ``_high``, and
            ``items(task, language)``.
        level: name of the variable in the upper row of panels.
        excess: name of the variable in the lower row.
        changes: variants with their controls; others are left out.

    Returns:
        ``task``, ``language``, ``value``, ``low``, ``high`` and ``items``; ``row``; ``change``, the
        variant, also of its control; ``hollow``, whether of the control; ``star``, 1 where the
        interval of a difference leaves out zero and items are not few, or else NaN.
    """
    edited = {change.variant: change.variant for change in changes}
    drawn = edited | {change.control: change.variant for change in changes}
    parts = {LEVEL: valued(ds, level), EXCESS: valued(ds, excess)}
    table = pd.concat([part.assign(row=row) for row, part in parts.items()], ignore_index=True)
    table["change"] = table["variant"].map({BASELINE: BASELINE} | drawn)
    table["hollow"] = ~table["variant"].isin([BASELINE, *edited])
    table = table.dropna(subset="change").drop(columns="variant").merge(tidy(ds[["items"]]))
    table.loc[table["hollow"], ["low", "high"]] = np.nan  # lest it hide the change's interval
    apart = ((table["low"] > 0) | (table["high"] < 0)) & (table["items"] >= FEW)
    return table.assign(star=np.where(apart & (table["row"] == EXCESS), 1.0, np.nan))


def grid(
    ds: Dataset, table: DataFrame, looks: dict[str, Look], tasks: Facet
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Draw levels above differences, or only these where both do not fit on a page.

    Args:
        ds: has ``language``.
        table: as from ``compared``.
        looks: what is drawn in a language, by ``change``.
        tasks: columns of panels.

    Returns:
        The figure, and its panels by row and task.
    """
    languages = series.languages(ds).only(table["language"])
    rows = {LEVEL: "", EXCESS: ""}
    margin = 2.0 if len(tasks) > 1 else 2.9  # the legend of a narrow figure is high
    height = margin + 2 * (points.HEAD + points.LINE * (len(languages) + 1))
    wrapped = len(tasks) > ABREAST
    if wrapped or height > sheets.HEIGHT:
        rows.pop(LEVEL)
    table = table[table["row"].isin(rows)]
    drawn = Series("change", looks).only(table["change"])
    facet = None if wrapped else Facet("row", rows)
    figure = points.by_level(
        table,
        languages,
        drawn,
        label="",
        rows=facet,
        columns=tasks,
        mean=True,
        share_x=False,
        hollow="hollow",
        margin=margin,
    )
    exact = drawn.looks.get(BASELINE) and table["change"].eq(BASELINE) & table["hollow"]
    marks = [WRITTEN] * bool(np.any(exact)) + [RANDOM] * (LEVEL in rows)
    marks += [STAR] * bool(table["star"].notna().any())
    named = {look.label: look for look in [*drawn.looks.values(), *marks]}
    sheets.legend(figure, sheets.point_handles(Series("mark", named)))
    return figure, dict(zip(product(rows, tasks.titles), figure.axes, strict=True))


def label(ax: Axes, row: str, quantity: str, unit: str) -> None:
    """Label the x axis of a panel."""
    what = quantity if row == LEVEL else "less that of random"
    ax.set_xlabel(f"{what}\n({unit})")


def with_neurons(ds: Dataset, changes: tuple[Change, ...]) -> dict[str, Look]:
    """The changes' looks by variant; labels have the number of changed neurons in an item."""
    looks = {}
    for change in changes:
        neurons = counted(np.round(ds["neurons"].sel(variant=change.variant).values), "neurons")
        looks[change.variant] = replace(change.look, label=f"{change.look.label} ({neurons})")
    return looks


def finding_of_accuracy(ds: Dataset, changes: tuple[Change, ...]) -> str:
    """Say how far changes move accuracy beyond their controls."""
    return finding(ds, "accuracy", "accuracy", changes, 100, "points")


def finding_of_log_probability(ds: Dataset, changes: tuple[Change, ...]) -> str:
    """Say how far changes move the right answer's log probability beyond their controls."""
    name = "log_probability"
    return finding(ds, f"{name}_difference", name, changes, 1, "nats")


def finding(
    ds: Dataset, level: str, name: str, changes: tuple[Change, ...], factor: float, unit: str
) -> str:
    """Tell each change's median difference from its control, over languages of all tasks."""
    table = compared(ds, level, f"{name}_excess", changes)
    table = table[table["row"] == EXCESS]
    if table.empty:
        return ""
    table = table[table["items"] >= TELLING]
    if table.empty:
        return f"What the changes do cannot be told at this size, of under {TELLING} items."
    parts = []
    for change in changes:
        own = table[table["change"] == change.variant]
        if not own.empty:
            median = f"{factor * own['value'].median():.2f} {unit}".replace("-", "−")
            stars = f"{own['star'].notna().sum()} of {len(own)}"
            parts.append(f"{change.look.label} {median} ({stars})")
    what = name.replace("_", " ").capitalize()
    return (
        f"{what} less that with as many random neurons, the median over tasks and languages (and "
        f"in how many of them the interval leaves out zero): {'; '.join(parts)}."
    )
