"""Table 4 and measured speed of a model with only a language's high-frequency experts."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    LogFormatterMathtext,
    LogLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.experts.measures.experts import relative_speed
from neuroglot.figures import panels, style

LARGEST_LINEAR_RATIO = 10.0
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"color": "black", "marker": "o", "label": "full model"},
    "high_frequency": {"color": "#0077BB", "marker": "D", "label": "high-frequency experts"},
    "random": {"color": "#EE7733", "marker": "x", "label": "as many random experts"},
}
SHARES: dict[str, dict[str, Any]] = {
    "expert_share": {"color": "#555555", "marker": "s", "label": "experts kept"},
    "ffn_parameters_saved": {"color": "#555555", "marker": "^", "label": "FFN parameters saved"},
    "parameters_saved": {"color": "#555555", "marker": "v", "label": "all parameters saved"},
}

Values = NDArray[np.float64]


@style.styled
def perplexity(ds: Dataset) -> Figure:
    """Perplexity by language and variant, and the shares of experts and parameters.

    Args:
        ds: ``perplexity(language, variant, seed)``, NaN where a variant has fewer seeds;
            ``perplexity_low(language, variant)`` and ``perplexity_high``, NaN with only one window
            of text; ``expert_share(language)``, ``ffn_parameters_saved(language)`` and
            ``parameters_saved(language)``.
    """
    values = ds["perplexity"].transpose("language", "variant", "seed")
    drawn = panels.held(values, "language")
    if not drawn:
        return style.empty("no perplexity on held-out text")
    figure, left, right = two_panels(ds, drawn, [*VARIANTS], [*SHARES])
    for variant in VARIANTS:
        bounds(left, ds.sel(variant=variant, language=drawn), variant)
        spread(left, values.sel(variant=variant, language=drawn).values.astype(float), variant)
    ratio = float(values.max() / values.min())
    if ratio > LARGEST_LINEAR_RATIO:
        left.set_xscale("log")
        wide = ratio >= 100
        left.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=8))
        left.xaxis.set_major_formatter(
            LogFormatterMathtext() if wide else StrMethodFormatter("{x:g}")
        )
        left.xaxis.set_minor_formatter(NullFormatter())
    left.set_xlabel("perplexity on held-out text")
    shares(right, ds.sel(language=drawn), [*SHARES])
    right.set_xlabel("share")
    figure.suptitle(f"{ds.attrs['model']}: perplexity with some of the experts", wrap=True)
    return figure


@style.styled
def speed(ds: Dataset) -> Figure:
    """Measured speed relative to the full model, and the share of FFN parameters saved.

    Tokens per second are divided by the full model's tokens per second in the same round.

    Args:
        ds: ``tokens_per_second(language, variant, seed, round)``,
            ``ffn_parameters_saved(language)``.
    """
    ratio = relative_speed(ds["tokens_per_second"])
    drawn = panels.held(ratio, "language")
    if not drawn:
        return style.empty("no measured speed")
    saved = ["ffn_parameters_saved"]
    figure, left, right = two_panels(ds, drawn, [*VARIANTS][1:], saved)
    left.axvline(1, color="black", linewidth=0.8)
    for variant in [*VARIANTS][1:]:
        measured = ratio.sel(variant=variant, language=drawn).values.astype(float)
        spread(left, measured.reshape(len(drawn), -1), variant, mean=True)
    left.set_xlabel("tokens per second, full model = 1\n(mean and range over rounds)")
    shares(right, ds.sel(language=drawn), saved)
    right.set_xlabel("share of FFN\nparameters saved")
    figure.suptitle(f"{ds.attrs['model']}: measured speed with some of the experts", wrap=True)
    return figure


def two_panels(
    ds: Dataset, drawn: list[str], variants: list[str], saved: list[str]
) -> tuple[Figure, Axes, Axes]:
    """Make a wide and a narrow panel with one line per language, and their common legend."""
    names = style.Languages.of(ds).names
    looks = [*(VARIANTS[one] for one in variants), *(SHARES[one] for one in saved)]
    handles = [Line2D([], [], linestyle="none", **look) for look in looks]
    figure, body = panels.sheet(6.2, 0.7 + max(1.6, 0.24 * len(drawn)), handles)
    left, right = body.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    left.set_yticks(range(len(drawn)), [names[one] for one in drawn])
    left.set_ylim(len(drawn) - 0.4, -0.6)
    left.set_ylabel("language")
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(PercentFormatter(1, 0))
    return figure, left, right


def spread(ax: Axes, values: Values, variant: str, mean: bool = False) -> None:
    """Draw ``values[language, repetition]``, or their means, and a line over their range."""
    look = {key: VARIANTS[variant][key] for key in ("color", "marker")}
    place = place_of(variant)
    for row, repeated in enumerate(values):
        present = repeated[np.isfinite(repeated)]
        if not present.size:
            continue
        points = present.mean(keepdims=True) if mean else present
        ax.plot(
            present[[present.argmin(), present.argmax()]], [row + place] * 2, color=look["color"]
        )
        ax.plot(points, [row + place] * points.size, linestyle="none", **look)


def bounds(ax: Axes, ds: Dataset, variant: str) -> None:
    """Draw ``perplexity_low(language)`` to ``perplexity_high`` as a pale bar."""
    heights = np.arange(ds.sizes["language"]) + place_of(variant)
    ends = ds["perplexity_low"].values, ds["perplexity_high"].values
    look = {"color": VARIANTS[variant]["color"], "alpha": 0.25, "linewidth": 4}
    ax.hlines(heights, *ends, **look)


def place_of(variant: str) -> float:
    """Vertical offset of a variant within a language's line."""
    return 0.16 * ([*VARIANTS].index(variant) - 1)


def shares(ax: Axes, ds: Dataset, drawn: list[str]) -> None:
    """Draw the shares in ``drawn``, one point per language."""
    for name in drawn:
        look = {key: SHARES[name][key] for key in ("color", "marker")}
        ax.plot(ds[name].values, range(ds.sizes["language"]), linestyle="none", **look)


FIGURES: dict[str, style.Draw] = {
    "table_04_perplexity": perplexity,
    "sliced_speed": speed,
}
