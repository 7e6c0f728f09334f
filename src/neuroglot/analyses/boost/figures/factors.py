"""Generated text in a language, and its loss, by the factor of the language's neurons."""

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted
from neuroglot.measures.proportions import FEW
from neuroglot.tables import valued

FEWEST_TOKENS = 1000
"""Tokens from which losses are compared."""
PLAIN = Look("model as it is", "black", marker="X")
MULTIPLIED = Series(
    "variant",
    {
        "boosted": Look("its neurons multiplied", "#4477AA"),
        "random": Look("as many random ones", sheets.GUIDE, filled=False),
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
    """Change of the loss of each language's held-out text, in bits per token.

    Args:
        ds: ``perplexity(variant, factor, language)``, with factor 1;
            ``predicted_tokens(language)``; and as ``by_factor``.
    """
    note = f"{counted(ds['predicted_tokens'].values, 'tokens')} a language"
    values = change(ds).expand_dims(prompted=["own"]).to_dataset(name="change")
    rows = Series.of("prompted", {"own": ""})
    return by_factor(ds, values, rows, "change of loss (bits per token)", note)


def by_factor(ds: Dataset, values: Dataset, rows: Series, label: str, note: str) -> Figure:
    """Draw a quantity of each language: a panel for each factor, and the model as it is.

    Args:
        ds: ``neurons(language)``, the numbers of neurons; ``attrs["method"]``.
        values: the quantity, ``(prompted, variant, factor, language)``, first.
        rows: the rows of panels, by ``prompted``.
        label: what the quantity is, with unit.
        note: numbers of items, for the title.
    """
    name, neurons = str(next(iter(values))), ds["neurons"].to_series()
    require(values[name], f"no {label}")
    table = valued(values, name)
    languages = series.languages(ds).only(table["language"])
    languages = languages.labelled(lambda language, label: f"{label} ({neurons[language]:,.0f})")
    plain = values[name].sel(factor=1, variant="boosted", language=[*languages])
    table = table[table["factor"] != 1]
    table["factor"] = table["factor"].map("times {:g}".format)
    columns = Series.of("factor", table["factor"].unique())
    legend = Series("variant", {"plain": PLAIN, **MULTIPLIED.looks})
    figure = points.by_level(table, languages, MULTIPLIED, label, rows, columns, legend=legend)
    for row, ax in zip(np.repeat([*rows], len(columns)), figure.axes, strict=True):
        ax.plot(plain.sel(prompted=row), range(len(languages)), **PLAIN.point)
    note = f"{note}; in brackets: neurons"
    return sheets.title(figure, ds, f"neurons of {ds.attrs['method']} multiplied", note)


def change(ds: Dataset) -> DataArray:
    """What a factor adds to the loss in bits per token, ``[variant, factor, language]``."""
    loss = ds[["perplexity"]].map(np.log2)["perplexity"]
    return loss - loss.sel(factor=1)


def texts_written(ds: Dataset) -> str:
    """Say how many texts are in the language at the largest factor, in the mean of languages."""
    last, prompts = ds["share"].sel(prompted="own").isel(factor=-1), ds.attrs["prompts"]
    require(last, "no texts")
    if prompts < FEW:
        return f"Whether the model writes more of a language cannot be told from {prompts} prompts."
    boosted, random = (100 * float(last.sel(variant=name).mean()) for name in MULTIPLIED)
    return (
        f"With a language's neurons multiplied by {float(last['factor']):g}, {boosted:.0f} % of "
        f"the texts from its own prompts are in it; with as many random neurons {random:.0f} %."
    )


def loss_changed(ds: Dataset) -> str:
    """Say what the largest factor adds to the loss."""
    last, tokens = change(ds).isel(factor=-1), int(ds["predicted_tokens"].min())
    require(last, "no losses")
    if tokens < FEWEST_TOKENS:
        return f"Changes of the loss cannot be told from {tokens} tokens."
    boosted, random = (span(last.sel(variant=name), ".2f") for name in MULTIPLIED)
    return (
        f"A language's neurons multiplied by {float(last['factor']):g} add {boosted} bits per "
        f"token to its loss; as many random neurons {random}."
    )


FIGURES = {
    "share_of_text": Drawing(share_of_text, texts_written),
    "perplexity_boosted": Drawing(perplexity_boosted, loss_changed),
}
