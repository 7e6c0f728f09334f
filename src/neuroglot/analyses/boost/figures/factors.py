"""Share of generated text in a language, and its perplexity, by factor of its neurons."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from xarray import DataArray, Dataset

from neuroglot.figures import grids, panels, style

COLUMNS = 5
WIDTH, HEIGHT = 1.9, 1.8  # inches of a language's panel
OFFSET = 0.09
PROMPTED: dict[str, dict[str, Any]] = {
    "own": {"color": "#0077BB", "marker": "o", "label": "prompts of the language"},
    "pivot": {"color": "#EE7733", "marker": "D", "label": "prompts of {pivot}"},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "boosted": {"linestyle": "-", "label": "the language's neurons"},
    "random": {"linestyle": "--", "markerfacecolor": "white", "label": "as many random neurons"},
}


@style.styled
def share_of_text(ds: Dataset) -> Figure:
    """Share of generated texts in each language by factor, one panel per language.

    Args:
        ds: ``share(prompted, variant, factor, language)`` with ``share_low`` and ``share_high``,
            ``neurons(language)``; ``attrs``: ``pivot``, ``prompts``, ``new_tokens`` and
            ``unidentified``, the languages without a share.
    """
    drawn = panels.held(ds["share"], "language")
    if not drawn:
        return style.empty("no text in a language that can be identified")
    names = style.Languages.of(ds).names
    columns = min(COLUMNS, len(drawn))
    size = max(4.0, 0.6 + WIDTH * columns), 0.5 + HEIGHT * -(-len(drawn) // columns)
    figure, body = panels.sheet(*size, share_handles(ds))
    axes = panels.wrapped(body, len(drawn), columns, sharex=True, sharey=True)
    for ax, language in zip(axes, drawn, strict=True):
        own = ds.sel(language=language)
        ax.set_title(f"{names[language]}\n{int(own['neurons']):,} neurons")
        for place, (prompted, variant) in enumerate((p, v) for p in PROMPTED for v in VARIANTS):
            line = own.sel(prompted=prompted, variant=variant)
            with_intervals(ax, line, OFFSET * (place - 1.5), PROMPTED[prompted] | VARIANTS[variant])
        name_factors(ax, ds)
    axes[0].set_ylim(-0.05, 1.05)
    axes[0].yaxis.set_major_formatter(grids.per_cent())
    body.supxlabel("activations multiplied by", fontsize="medium")
    body.supylabel("texts in the language", fontsize="medium")
    figure.suptitle(
        f"{ds.attrs['model']}: {ds.attrs['prompts']} texts of {ds.attrs['new_tokens']} tokens "
        f"with neurons multiplied ({ds.attrs['method']}){left_out(ds)}",
        wrap=True,
    )
    return figure


@style.styled
def perplexity_boosted(ds: Dataset) -> Figure:
    """Perplexity of each language's held-out text by factor, relative to the unedited model.

    Args:
        ds: ``perplexity(variant, factor, language)``, with factor 1.
    """
    ratio = ds["perplexity"] / ds["perplexity"].sel(factor=1)
    drawn = panels.held(ratio, "language")
    if not drawn:
        return style.empty("no perplexity on held-out text")
    languages = style.Languages.of(ds)
    size = panels.PANEL_WIDTH * len(VARIANTS), panels.PANEL_HEIGHT + 0.4
    figure, body = panels.sheet(*size, style.language_handles(languages, drawn))
    axes = body.subplots(1, len(VARIANTS), sharey=True)
    for ax, (variant, look) in zip(axes, VARIANTS.items(), strict=True):
        ax.axhline(1, color="#888888", linewidth=0.8, zorder=0)
        for language in drawn:
            values = ratio.sel(variant=variant, language=language).values
            ax.plot(range(len(values)), values, **languages.line(language))
        name_factors(ax, ds)
        ax.set_xlabel("activations multiplied by")
        ax.set_title(look["label"])
    scale_ratio(axes[0], ratio)
    axes[0].set_ylabel("perplexity over that\nof the model as it is")
    figure.suptitle(
        f"{ds.attrs['model']}: perplexity with neurons multiplied ({ds.attrs['method']})", wrap=True
    )
    return figure


def share_handles(ds: Dataset) -> list[Line2D]:
    """Legend entries of the prompts, and of the neurons that are multiplied."""
    pivot = style.language_names(ds).get(ds.attrs["pivot"], ds.attrs["pivot"])
    prompts = [look | {"label": look["label"].format(pivot=pivot)} for look in PROMPTED.values()]
    black = {"color": "black", "marker": "o"}
    return [
        *(Line2D([], [], **look) for look in prompts),
        *(Line2D([], [], **black | look) for look in VARIANTS.values()),
    ]


def with_intervals(ax: Axes, line: Dataset, offset: float, look: dict[str, Any]) -> None:
    """Draw ``share(factor)`` with its intervals, shifted by ``offset``."""
    places = np.arange(line.sizes["factor"]) + offset
    ax.vlines(places, line["share_low"], line["share_high"], color=look["color"], linewidth=0.9)
    ax.plot(places, line["share"].values, **look)


def name_factors(ax: Axes, ds: Dataset) -> None:
    """Place the factors in their order, at equal distances."""
    factors = ds["factor"].values
    ax.set_xticks(range(len(factors)), [f"{factor:g}" for factor in factors])
    ax.set_xlim(-0.4, len(factors) - 0.6)
    ax.grid(axis="x", visible=False)


def scale_ratio(ax: Axes, ratio: DataArray) -> None:
    """Make the y axis logarithmic, with plain ticks if the values differ by less than 100 times."""
    low, high = float(ratio.min()), float(ratio.max())
    ax.set_yscale("log")
    ax.set_ylim(low * 0.9, high * 1.1)
    if high / low < 100:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 3 else "all"))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def left_out(ds: Dataset) -> str:
    """Name the languages that the identifier does not know."""
    names = style.Languages.of(ds).names
    unknown = [names[one] for one in ds.attrs["unidentified"]]
    return f"; not identified: {', '.join(unknown)}" if unknown else ""


FIGURES: dict[str, style.Draw] = {
    "share_of_text": share_of_text,
    "perplexity_boosted": perplexity_boosted,
}
