"""Change of every language's perplexity when one language's neurons are deactivated."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.findings import number
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw
from neuroglot.figures.texts import counted, held

MOST = 2.0
"""Ends of the colours, in nats per token; points are drawn beyond."""
LEAST_TOKENS = 1_000
"""Predicted tokens of a language below which nothing is told: about 30 windows."""
TITLES = {"lape": "without LAPE neurons", "random": "without as many random neurons"}
OWN, OTHERS = "lape", "others"
MARKS = Series(
    "chosen",
    {
        OWN: Look("own text without LAPE neurons", "#0072B2"),
        OTHERS: Look("others' texts without them, mean", "#D55E00", marker="D"),
        "random": Look("own text without random neurons", "#777777", filled=False),
    },
)


def perplexity_without(ds: xr.Dataset) -> Figure:
    """Change of log perplexity: rows by deactivated language, columns by language read.

    Matrices of LAPE's neurons and of the random control; beside them each language's own text.

    Args:
        ds: ``change(chosen, deactivated, language)`` in nats per token, with ``_low`` and
            ``_high``; ``deactivated_neurons(deactivated)``, ``predicted_tokens(language)``.
    """
    drawn, off = compared(ds), held(ds, "change", "deactivated")
    ds = ds.sel(language=held(ds, "change", "language"), deactivated=off)
    ds = ds.transpose(..., "deactivated", "language")
    neurons = ds["deactivated_neurons"].to_series()
    rows = series.languages(ds, "deactivated").labelled(
        lambda i, name: f"{name}: {neurons[i]:,.0f}"
    )
    columns = series.languages(ds).labels
    figure = sheets.sheet(2.9 + 0.18 * len(off), 2)
    *matrices, points = figure.subplots(1, 1 + len(TITLES), sharey=True)
    end = min(MOST, float(np.abs(ds["change"]).max()))
    label = "change of ln perplexity (nats per token)"
    scale = heat.Scale.of(ds["change"].values, label, signed=True, limits=(-end, end))
    for ax, (chosen, title) in zip(matrices, TITLES.items(), strict=True):
        heat.matrix(ax, ds["change"].sel(chosen=chosen).values, rows.labels, columns, scale)
        ax.set(title=title, xlabel="language read")
        for row, column in np.argwhere((ds["deactivated"] == ds["language"]).values):
            ax.add_patch(Rectangle((column, row), 1, 1, fill=False, linewidth=0.8))
    matrices[0].set_ylabel("neurons of")
    scale.bar(figure, matrices, location="bottom", aspect=40)
    for place, (mark, look) in enumerate(MARKS.looks.items()):
        of_mark = drawn.sel(chosen=mark, deactivated=off)
        middle = np.arange(len(off)) + 0.25 * (1 + place)
        points.hlines(middle, of_mark["change_low"], of_mark["change_high"], color=look.color)
        points.plot(of_mark["change"], middle, **look.point)
    sheets.guide([points], 0, "x")
    points.tick_params(axis="y", length=0)
    points.set(title="change of own and others", xlabel="nats per token")
    sheets.legend(figure, MARKS)
    tokens = counted(ds["predicted_tokens"].values, "predicted tokens a language")
    several = (ds["change_high"] > ds["change_low"]).any()
    whiskers = "95 % intervals over windows" if several else "too few windows for intervals"
    whiskers = f"whiskers: {whiskers}" if several else whiskers
    note = f"held-out text, {tokens}; {whiskers}"
    return sheets.title(figure, ds, "perplexity without a language's neurons", note)


def compared(ds: xr.Dataset) -> xr.Dataset:
    """Changes of each language's own text, and of others' on average, by ``MARKS``.

    Gives ``change(chosen, deactivated)`` with ``_low`` and ``_high``, which others' mean lacks.
    """
    if len(held(ds, "change", "language")) < 2:
        raise NothingToDraw("no perplexity of two languages with neurons deactivated")
    same = ds["deactivated"] == ds["language"]
    changes = ds[["change", "change_low", "change_high"]]
    drawn = changes.where(same).mean("language").reindex(chosen=[*MARKS])
    others = changes["change"].sel(chosen=OWN).where(~same).mean("language")
    drawn["change"].loc[{"chosen": OTHERS}] = others
    return drawn


def finding(ds: xr.Dataset) -> str:
    """Say how own and others' perplexity changes without LAPE's and without random neurons."""
    drawn, tokens = compared(ds), int(ds["predicted_tokens"].min())
    if tokens < LEAST_TOKENS:
        return f"With {tokens:,} predicted tokens of a language, effects cannot be told."
    means = drawn["change"].mean("deactivated").to_series().map(lambda mean: number(mean, "+.2f"))
    apart = drawn["change_low"].sel(chosen=OWN) > drawn["change_high"].sel(chosen="random")
    return (
        f"Without its own LAPE neurons, a language's text changes by {means[OWN]} nats per token, "
        f"other texts by {means[OTHERS]}; without random neurons, by {means['random']}. "
        f"The intervals of LAPE lie above those of random neurons in {int(apart.sum())} of "
        f"{apart.size} languages."
    )


FIGURES = {"perplexity_without": Drawing(perplexity_without, finding)}
