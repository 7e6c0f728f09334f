"""Generated text in a language, and its loss, by the factor of the language's neurons."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import points, series, sheets, style
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import counted
from neuroglot.measures.proportions import FEW
from neuroglot.tables import valued

FEWEST_TOKENS = 1000
"""Tokens from which losses are compared."""
PLAIN = Series("variant", {"plain": Look("model as it is", "black", marker="X")})
MULTIPLIED = {
    "boosted": Look("its neurons multiplied", "#4477AA"),
    "random": Look("as many random ones", sheets.GUIDE, filled=False),
}


@style.styled
def share_of_text(ds: Dataset) -> Figure:
    """Number of texts in each language, with intervals from 20 prompts on.

    Args:
        ds: ``share(prompted, variant, factor, language)`` with ``share_low`` and ``share_high``;
            ``attrs``: ``prompts``, ``new_tokens`` and ``pivot``; and as ``by_factor``.
    """
    prompts, rows = ds.attrs["prompts"], {"own": "own", "pivot": "pivot"}
    names = ["share", "share_low", "share_high"][: 3 if prompts >= FEW else 1]
    note = f"{prompts} prompts of each kind"
    label = f"texts in the language, of {prompts}"
    figure = by_factor(ds, ds[names] * prompts, rows, label, note)
    for ax in figure.axes:
        ax.set_xlim(-0.05 * prompts, 1.05 * prompts)
        ax.xaxis.set_major_locator(sheets.whole_numbers(4))
    return figure


@style.styled
def perplexity_boosted(ds: Dataset) -> Figure:
    """Change of the loss of each language's held-out text, in bits per token.

    Args:
        ds: ``perplexity(variant, factor, language)``, with factor 1;
            ``predicted_tokens(language)``; and as ``by_factor``.
    """
    note = f"{counted(ds['predicted_tokens'].values, 'tokens')} a language"
    values = change(ds).expand_dims(prompted=["own"]).to_dataset(name="change")
    return by_factor(ds, values, {"own": ""}, "change of loss (bits per token)", note)


def by_factor(ds: Dataset, values: Dataset, rows: dict[str, str], label: str, note: str) -> Figure:
    """Draw a quantity of each language: a panel for each factor, and the model as it is.

    Args:
        ds: ``neurons(language)``, the numbers of neurons; ``attrs["method"]``.
        values: the quantity, ``(prompted, variant, factor, language)``, first.
        rows: titles of the rows of panels, by ``prompted``.
        label: what the quantity is, with unit.
        note: numbers of items, for the title.
    """
    name = str(next(iter(values)))
    languages = series.languages(ds).only(valued(values, name)["language"])
    if not languages:
        return style.empty(f"no {label}")
    neurons = ds["neurons"].to_series()
    named = {
        one: replace(look, label=f"{look.label} ({neurons[one]:,.0f})")
        for one, look in languages.looks.items()
    }
    plain = values[name].sel(factor=1, variant="boosted", language=[*named])
    table = valued(values.sel(factor=values["factor"] != 1), name)
    table["factor"] = table["factor"].map("times {:g}".format)
    columns = Facet("factor", {factor: factor for factor in table["factor"]})
    levels, variants = Series("language", named), Series("variant", MULTIPLIED)
    figure = points.by_level(table, levels, variants, label, Facet("prompted", rows), columns)
    for row, ax in zip(np.repeat([*rows], len(columns)), figure.axes, strict=True):
        marks = sheets.point(PLAIN.looks["plain"])
        ax.plot(plain.sel(prompted=row), range(len(named)), linestyle="none", **marks)
    sheets.legend(figure, sheets.point_handles(PLAIN) + sheets.point_handles(variants))
    note = f"{note}; in brackets: neurons"
    sheets.title(figure, ds, f"neurons of {ds.attrs['method']} multiplied", note)
    return figure


def change(ds: Dataset) -> DataArray:
    """What a factor adds to the loss in bits per token, ``[variant, factor, language]``."""
    loss = ds[["perplexity"]].map(np.log2)["perplexity"]
    return loss - loss.sel(factor=1)


def texts_written(ds: Dataset) -> str:
    """Say how many texts are in the language at the largest factor, in the mean of languages."""
    last = ds["share"].sel(prompted="own").isel(factor=-1)
    if not bool(last.notnull().any()):
        return ""
    if (prompts := ds.attrs["prompts"]) < FEW:
        return f"Whether the model writes more of a language cannot be told from {prompts} prompts."
    boosted, random = (100 * float(last.sel(variant=name).mean()) for name in MULTIPLIED)
    return (
        f"With a language's neurons multiplied by {float(last['factor']):g}, {boosted:.0f} % of "
        f"the texts from its own prompts are in it; with as many random neurons {random:.0f} %."
    )


def loss_changed(ds: Dataset) -> str:
    """Say what the largest factor adds to the loss."""
    last, tokens = change(ds).isel(factor=-1), int(ds["predicted_tokens"].min())
    if not bool(last.notnull().any()):
        return ""
    if tokens < FEWEST_TOKENS:
        return f"Changes of the loss cannot be told from {tokens} tokens."
    boosted, random = (span(last.sel(variant=name), ".2f") for name in MULTIPLIED)
    return (
        f"A language's neurons multiplied by {float(last['factor']):g} add {boosted} bits per "
        f"token to its loss; as many random neurons {random}."
    )


FIGURES = {
    "share_of_text": style.Drawing(share_of_text, texts_written),
    "perplexity_boosted": style.Drawing(perplexity_boosted, loss_changed),
}
