"""Figures of answers with edited neurons, and of how they differ from those of a control.

A control is the same edit of other neurons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import Dataset

from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import FEWEST, number
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import ABREAST
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import counted, panels_of
from neuroglot.measures.answers import BASELINE
from neuroglot.measures.proportions import FEW
from neuroglot.tables import tidy, valued

P_VALUE = "log_probability_excess_p_value"
LEAST = 0.05
"""An axis of differences between accuracies reaches at least this far to either side of 0."""
LEVEL, EXCESS, EXACT, GUESS = "level", "excess", "exact", "chance"
OTHERS = {
    GUESS: Look("chance", "#777777", marker="|"),
    BASELINE: Look("model as it is", "#000000", marker="X"),
}
MATCH = Look("its exact matches", "#000000", marker="X", filled=False)
HOLLOW = {
    "random": Look("above: as many random neurons", "#777777", filled=False),
    "inactive": Look("above: as many other inactive neurons", "#777777", filled=False),
    "contribution": Look("below: minus neurons of like contribution", "#777777", filled=False),
}
"""Looks of hollow points by what is done to the control's neurons, and of comparisons below."""
AGAINST = {
    "activity": "as many others that are as active",
    "naive": "as many random ones",
}
"""Controls by name, with words for their neurons. In the lower row, filled points are differences
from the first of these controls that the dataset has."""
STAR = Look("p < 0.05, adjusted for all languages", "#777777", marker="*")
SIGNIFICANT = 0.05
SCORINGS = {"rank": "first token ranked", "string": "answers ranked", "exact": "exact match"}


@dataclass(frozen=True)
class Change:
    """One change to the neurons and its naive control, named as the dataset's variants.

    Attributes:
        variant: the change.
        control: the same with random neurons; "" if none is drawn.
        look: how it is drawn.
    """

    variant: str
    control: str
    look: Look


def of_accuracy(changes: Sequence[Change], subject: str) -> Drawing:
    """The figure of accuracies with some changes; ``subject`` says in a few words what changes."""
    told = partial(finding, name="accuracy", factor=100, unit="points")
    return Drawing(partial(accuracy, subject=subject), told, changes=changes)


def of_log_probability(changes: Sequence[Change], subject: str) -> Drawing:
    """The figure of the right answers' log probability, as ``of_accuracy``."""
    told = partial(finding, name="log_probability", factor=1, unit="nats")
    return Drawing(partial(log_probability, subject=subject), told, changes=changes)


def accuracy(ds: Dataset, changes: Sequence[Change], subject: str) -> Figure:
    """Draw accuracy by language with each change, and below, its difference from a control's.

    Tasks of fewer than ``FEW`` facts are drawn in numbers of facts, without intervals.

    Args:
        ds: ``accuracy(task, variant, language)`` and ``accuracy_excess(control, …)``, the
            difference between a variant and a control, both with ``_low`` and ``_high``;
            ``exact_accuracy`` and ``neurons`` of the same dimensions; ``facts(task, language)`` and
            ``chance``; coordinate ``scoring(task)``.
        changes: what is drawn.
        subject: words for the changes in the title.
    """
    tasks = panels_of(ds, "accuracy", "task", "no answers to judge")
    scoring, size = ds["scoring"].to_series(), ds["facts"].max("language").to_series()
    tasks = tasks.labelled(lambda task, label: f"{label}\n{SCORINGS[scoring[task]]}")
    exact = ds["exact_accuracy"].sel(variant=BASELINE).where(ds["scoring"] != "exact")
    ds = ds.reindex(variant=[*ds["variant"].values, EXACT, GUESS])
    ds["accuracy"].loc[{"variant": EXACT}] = exact
    ds["accuracy"].loc[{"variant": GUESS}] = ds["chance"]
    table = compared(ds, "accuracy", "accuracy_excess", changes)
    excess = table.loc[table["row"] == EXCESS, ["value", "low", "high"]]
    reach = 1.15 * float(np.nanmax([LEAST, *excess.abs().max()]))
    table["star"] = np.nan  # stars are for the log probability, which tells more
    unit = table["facts"].where(table["task"].map(size) < FEW, 1)
    table[["value", "low", "high"]] = table[["value", "low", "high"]].mul(unit, axis=0)
    figure, panels = grid(ds, table, changes, tasks, f"accuracy {subject}")
    for (row, task), ax in panels.items():
        most = size[task] if size[task] < FEW else 1
        ends = np.array([-0.04, 1.04] if row == LEVEL else [-reach, reach])
        what = "right answers" if row == LEVEL else "minus those of the control"
        if most == 1:
            sheets.as_shares([ax], "x", whole=False)
            ax.set_xlabel(f"{what}\n(share of facts)")
        else:
            ax.xaxis.set_major_locator(sheets.whole_numbers(4))
            ax.set_xlabel(f"{what}\n(of {most:.0f} facts)")
        ax.set_xlim(*most * ends)
    return figure


def log_probability(ds: Dataset, changes: Sequence[Change], subject: str) -> Figure:
    """Draw changes of the right answer's log probability, and below, differences from controls'.

    Args:
        ds: ``log_probability_difference(task, variant, language)``, from the model as it is, and
            ``log_probability_excess(control, …)``, from a control, both in nats with ``_low`` and
            ``_high``; ``log_probability_excess_p_value``, adjusted for all languages; ``neurons``
            of the same dimensions; ``facts(task, language)``.
        changes: what is drawn.
        subject: words for the changes in the title.
    """
    name = "log_probability_difference"
    tasks = panels_of(ds, name, "task", "no log probability of right answers")
    edited = ds.drop_sel(variant=BASELINE)  # whose change is zero by definition
    table = compared(edited, name, "log_probability_excess", changes)
    numbers = np.append(table[["value", "low", "high"]].to_numpy(), 0)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    room = 0.12 * max(high - low, 0.1)
    table["star"] *= high + 0.8 * room
    subject = f"log probability of the right answer {subject}"
    figure, panels = grid(ds, table, changes, tasks, subject)
    for (row, _), ax in panels.items():
        what = "change of ln p" if row == LEVEL else "minus that of the control"
        ax.set_xlabel(f"{what}\n(nats)")
        ax.set_xlim(low - room, high + room)
    return figure


def compared(ds: Dataset, level: str, excess: str, changes: Sequence[Change]) -> DataFrame:
    """Make the table of levels and of their differences from the controls.

    Args:
        ds: ``level(task, variant, language)`` and ``excess(control, …)``, with ``_low`` and
            ``_high``; ``log_probability_excess_p_value``; and ``facts(task, language)``.
        level: name of the variable in the upper row of panels.
        excess: name of the variable in the lower row.
        changes: variants with their controls; other edits are left out.

    Returns:
        ``task``, ``language``, ``value``, ``low``, ``high`` and ``facts``; ``row``, ``LEVEL`` or
        ``EXCESS``; ``change``, the variant or, for a control, the variant that it belongs to;
        ``hollow``, true for random controls, exact matches and, in the lower row, differences from
        neurons of like contribution; ``star``, 1 where a filled point's difference of log
        probabilities is significant, else NaN.
    """
    filled = [*(change.variant for change in changes), *OTHERS]
    hollow = {change.control: change.variant for change in changes} | {EXACT: BASELINE}
    differences = valued(ds, excess)
    drawn = differences["control"].isin([against(ds), "contribution"])
    parts = [valued(ds, level).assign(row=LEVEL), differences[drawn].assign(row=EXCESS)]
    table = pd.concat(parts, ignore_index=True).merge(tidy(ds[["facts"]]))
    table["change"] = table["variant"].map(dict(zip(filled, filled, strict=True)) | hollow)
    table["hollow"] = table["variant"].isin(hollow) | (table["control"] == "contribution")
    # A hollow point's interval would hide that of the change; one over few facts says little.
    table.loc[table["hollow"] | (table["facts"] < FEW), ["low", "high"]] = np.nan
    p = tidy(ds[[P_VALUE]])
    table = table.merge(p, how="left")  # above there is no control, and so no p
    star = (table[P_VALUE] < SIGNIFICANT) & ~table["hollow"]
    return table.assign(star=np.where(star, 1.0, np.nan)).dropna(subset="change")


def against(ds: Dataset) -> str:
    """The control that filled points of the lower row are compared with."""
    return next(control for control in AGAINST if control in ds["control"].values)


def grid(
    ds: Dataset, table: DataFrame, changes: Sequence[Change], tasks: Series, subject: str
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Draw levels above differences, or only the differences where both do not fit on a page.

    Returns:
        The figure, and its panels by row and task.
    """
    languages = series.languages(ds).only(table["language"])
    margin = 2.0 if len(tasks) > 1 else 2.9  # the legend of a narrow figure is high
    too_high = margin + 2 * (points.HEAD + points.LINE * (len(languages) + 1)) > sheets.HEIGHT
    rows = [EXCESS] if too_high or len(tasks) > ABREAST else [LEVEL, EXCESS]
    table = table[table["row"].isin(rows)]
    looks = Series("change", {**OTHERS, **{change.variant: change.look for change in changes}})
    neurons = {
        change.variant: counted(ds["neurons"].sel(variant=change.variant).round().values, "neurons")
        for change in changes
    }
    drawn = looks.only(table["change"]).labelled(
        lambda variant, label: f"{label} ({neurons[variant]})" if variant in neurons else label
    )
    # The control's name begins with what is done to its neurons; below it is the compared one.
    above = table["variant"].str.partition("_")[0].where(table["row"] == LEVEL)
    hollow = above.fillna(table["control"]).where(table["hollow"])
    marks = {
        EXACT: (MATCH, (table["variant"] == EXACT).any()),
        **{name: (look, (hollow == name).any()) for name, look in HOLLOW.items()},
        "star": (STAR, table["star"].notna().any()),
    }
    shown = {name: look for name, (look, is_drawn) in marks.items() if is_drawn}
    figure = points.by_level(
        table,
        languages,
        drawn,
        label="",
        rows=Series.of("row", dict.fromkeys(rows, "")) if len(tasks) <= ABREAST else None,
        columns=tasks,
        mean=True,
        share_x=False,
        hollow="hollow",
        margin=margin,
        legend=Series("mark", {**drawn.looks, **shown}),
    )
    sheets.title(figure, ds, subject, f"whiskers: 95 % intervals over {FEW} facts or more")
    panels = dict(zip(product(rows, tasks), figure.axes, strict=True))
    sheets.guide([ax for (row, _), ax in panels.items() if row == EXCESS], 0, "x")
    for ax in figure.axes:
        ax.xaxis.label.set_visible(True)
    return figure, panels


def finding(ds: Dataset, changes: Sequence[Change], name: str, factor: float, unit: str) -> str:
    """Tell each change's median difference from its control, over languages and tasks."""
    table = valued(ds, f"{name}_excess").merge(tidy(ds[["facts", P_VALUE]]))
    table = table[table["control"] == against(ds)]
    if table.empty:
        return ""
    told = table[(table["facts"] >= FEWEST) & table["variant"].isin([c.variant for c in changes])]
    if told.empty:
        return f"What the changes do cannot be told from fewer than {FEWEST} facts."
    parts = []
    for change in changes:
        of_change = told[told["variant"] == change.variant]
        median = number(factor * of_change["value"].median(), ".2f")
        significant = (of_change[P_VALUE] < SIGNIFICANT).sum()
        parts.append(f"{median} {change.look.label} ({significant} of {len(of_change)})")
    return (
        f"{name.replace('_', ' ').capitalize()} minus that with {AGAINST[against(ds)]}, in {unit}, "
        "median over tasks and languages (and in how many ln p differs, p < 0.05 adjusted for all "
        "languages of a task): "
        f"{', '.join(parts)}."
    )
