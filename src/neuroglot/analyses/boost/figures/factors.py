"""Generated text in a language, and its loss, by the factor of the language's neurons."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import points, series, sheets
from neuroglot.figures.controls import DIFFERENCES, STARRED, significant, units_note
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted
from neuroglot.measures.proportions import FEW
from neuroglot.measures.significance import STAR
from neuroglot.tables import tidy, valued

PLAIN = Look("model as it is", "black", marker="|")
MULTIPLIED = Series(
    "variant",
    {
        "chosen": Look("its neurons multiplied", "#0072B2"),
        "active": Look("others that fire as often", "#0072B2", marker="^", filled=False),
        "partner": Look("partners of like contribution", "#0072B2", marker="s", filled=False),
        "random": Look("as many random ones", sheets.GUIDE, filled=False),
    },
)
LEVEL, EXCESS = "level", "excess"
CONTRASTED = {
    "activity": "that with others that fire as often",
    "contribution": "that with partners of like contribution",
}
TIMES = "times {:g}".format
LOSSES = Series(
    "mark",
    {
        "chosen": MULTIPLIED.looks["chosen"],
        "random": MULTIPLIED.looks["random"],
        **DIFFERENCES,
    },
)


def share_of_text(ds: Dataset) -> Figure:
    """Number of texts in each language, with intervals from 20 prompts on.

    Args:
        ds: ``share(prompted, variant, factor, language)`` with ``share_low`` and ``share_high``;
            ``attrs``: ``prompts``, ``new_tokens`` and ``pivot``; and as ``by_factor``.
    """
    prompts = ds.attrs["prompts"]
    names = ["share", "share_low", "share_high"][: 3 if prompts >= FEW else 1]
    label, note = f"texts in the language, of {prompts}", f"{prompts} prompts of each kind"
    rows = Series.of("prompted", ["own", "pivot"])
    figure = by_factor(ds, ds[names] * prompts, rows, label, note)
    for ax in figure.axes:
        ax.set_xlim(-0.05 * prompts, 1.05 * prompts)
        ax.xaxis.set_major_locator(sheets.whole_numbers(4))
    return figure


def perplexity_boosted(ds: Dataset) -> Figure:
    """Change of the loss of each language's held-out text; below, how it differs from controls'.

    Args:
        ds: ``change(variant, factor, language)`` and ``excess(control, factor, language)``, in nats
            per token, with ``_low`` and ``_high``; ``excess_p_value``; ``neurons(variant,
            language)``; ``predicted_tokens``, ``segments`` and ``fewest_segments(language)``;
            ``attrs["method"]``.
    """
    edited = ds.sel(factor=ds["factor"] != 1)
    label = "nats per token"
    require(edited["change"], f"no change in {label}")
    changes = valued(edited, "change").rename(columns={"variant": "mark"})
    differences = valued(edited, "excess").rename(columns={"control": "mark"})
    places = edited["excess_high"].where(edited["excess_p_value"] < STAR)
    if places.notnull().any():
        reach = 0.04 * float(places.max() - edited["excess_low"].min())
        star = (places + reach).to_dataset(name=points.STAR)
        differences = differences.merge(tidy(star.rename(control="mark")), how="left")
    rows = {LEVEL: changes, EXCESS: differences}
    table = pd.concat([part.assign(row=row) for row, part in rows.items()], ignore_index=True)
    table = table[table["mark"].isin([*LOSSES])]
    table["factor"] = table["factor"].map(TIMES)
    legend = Series("mark", {**LOSSES.looks, **STARRED.looks})
    figure = points.by_level(
        table,
        named_languages(ds, table),
        LOSSES,
        label,
        Series.of("row", {LEVEL: "change of loss", EXCESS: "minus a control's"}),
        Series.of("factor", table["factor"].unique()),
        share_x=False,
        margin=2.2,
        legend=legend,
    )
    sheets.guide(figure.axes, 0, "x")
    tokens = counted(ds["predicted_tokens"].values, "tokens a language")
    note = f"loss of held-out text: {tokens} in {units_note(ds)}; in brackets: neurons"
    return sheets.title(figure, ds, f"neurons of {ds.attrs['method']} multiplied", note)


def named_languages(ds: Dataset, table: pd.DataFrame) -> Series:
    """The languages of a table, with their numbers of neurons."""
    neurons = ds["neurons"].sel(variant="chosen").to_series()
    languages = series.languages(ds).only(table["language"])
    return languages.labelled(lambda language, label: f"{label} ({neurons[language]:,.0f})")


def by_factor(ds: Dataset, values: Dataset, rows: Series, label: str, note: str) -> Figure:
    """Draw a quantity of each language: a panel for each factor, and the model as it is.

    Args:
        ds: ``neurons(variant, language)``; ``attrs["method"]``.
        values: the quantity, ``(prompted, variant, factor, language)``, first.
        rows: the rows of panels, by ``prompted``.
        label: what the quantity is, with unit.
        note: numbers of items, for the title.
    """
    name = str(next(iter(values)))
    require(values[name], f"no {label}")
    table = valued(values, name)
    table = table[table["variant"].isin([*MULTIPLIED])]
    languages = named_languages(ds, table)
    plain = values[name].sel(factor=1, variant="chosen", language=[*languages])
    table = table[table["factor"] != 1]
    table["factor"] = table["factor"].map(TIMES)
    columns = Series.of("factor", table["factor"].unique())
    legend = Series("variant", {"plain": PLAIN, **MULTIPLIED.looks})
    figure = points.by_level(table, languages, MULTIPLIED, label, rows, columns, legend=legend)
    for row, ax in zip(np.repeat([*rows], len(columns)), figure.axes, strict=True):
        middle = np.arange(len(languages))
        ax.vlines(plain.sel(prompted=row), middle - 0.4, middle + 0.4, color=PLAIN.color, zorder=1)
    note = f"{note}; in brackets: neurons"
    return sheets.title(figure, ds, f"neurons of {ds.attrs['method']} multiplied", note)


def texts_written(ds: Dataset) -> str:
    """Say how many texts are in the language at the largest factor, in the mean of languages."""
    last, prompts = ds["share"].sel(prompted="own").isel(factor=-1), ds.attrs["prompts"]
    require(last, "no texts")
    if prompts < FEW:
        return f"Whether the model writes more of a language cannot be told from {prompts} prompts."
    chosen, active, random = (
        100 * float(last.sel(variant=name).mean()) for name in ("chosen", "active", "random")
    )
    return (
        f"With a language's neurons multiplied by {float(last['factor']):g}, {chosen:.0f} % of "
        f"the texts from its own prompts are in it; with others that fire as often "
        f"{active:.0f} %, with as many random neurons {random:.0f} %."
    )


def loss_changed(ds: Dataset) -> str:
    """Say what the largest factor adds to the loss, and in how many languages more than controls.

    A factor below 1 is not the largest, but the last one that is not 1.
    """
    last = ds.sel(factor=ds["factor"] != 1).isel(factor=-1)
    require(last["change"], "no losses")
    segments, fewest = int(ds["segments"].min()), int(ds["fewest_segments"].max())
    if segments < fewest:
        return (
            f"Changes of the loss cannot be told from {segments} segments: a star takes {fewest}."
        )
    added = span(last["change"].sel(variant="chosen"), "+.2f")
    counts = [
        f"in {significant(last, control=control)} from {what}"
        for control, what in CONTRASTED.items()
        if last["excess"].sel(control=control).notnull().any()
    ]
    return (
        f"A language's neurons multiplied by {float(last['factor']):g} change its loss by {added} "
        f"nats per token. This differs, p < 0.05 adjusted for all languages, {', '.join(counts)}."
    )


FIGURES = {
    "share_of_text": Drawing(share_of_text, texts_written),
    "perplexity_boosted": Drawing(perplexity_boosted, loss_changed),
}
