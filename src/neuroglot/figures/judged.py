"""What taking a language's units away does to held-out text, beside others' and controls."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.controls import STARRED, significant, units_note
from neuroglot.figures.findings import number
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import NothingToDraw
from neuroglot.figures.texts import counted, held
from neuroglot.measures.significance import STAR

MOST = 2.0
"""Ends of the colours, in nats per token; points are drawn beyond."""
AT_EDGE, ROOM = 0.96, 0.08
"""Place of stars, and the room that is made for them, as shares of a panel's width."""
APART = 0.25
"""Height between two points of a language; a language has a height of 1."""


@dataclass(frozen=True)
class Words:
    """What a figure says of the units that are taken away.

    Attributes:
        units: the units: "neurons" or "experts".
        own: those of a language, such as "LAPE neurons".
        others: the other units that are as active, such as "others that fire as often".
        differences: looks of the differences from each matched control; see ``figures.controls``.
    """

    units: str
    own: str
    others: str
    differences: Mapping[str, Look]

    @property
    def changes(self) -> Series:
        """Whose texts change, without what."""
        return Series(
            "change",
            {
                "chosen": Look(f"change: own text without {self.own}", "#0072B2"),
                "others": Look("change: others' texts without them, mean", "#D55E00", marker="D"),
                "random": Look(
                    "change: own text without as many random ones", sheets.GUIDE, filled=False
                ),
            },
        )

    @property
    def contrasts(self) -> Series:
        """What is subtracted from the change of own text."""
        others = Look("minus others' texts", "#D55E00", marker="D")
        return Series("contrast", {"others": others, **self.differences})


def perplexity_without(ds: xr.Dataset, words: Words) -> Figure:
    """Change of log perplexity: rows by the language whose units are away, columns by that read.

    Beside the matrix, the change of each language's own text, and how much more this is than that
    of others' texts, and than that of its own text without other units that are like them.

    Args:
        ds: ``change(deactivated, language)``, ``own_change(variant, language)`` and
            ``excess(contrast, language)``, in nats per token, the last two with ``_low`` and
            ``_high``; ``others_change`` and ``excess_p_value``; ``neurons(variant, language)`` or
            ``experts``; ``predicted_tokens``, ``segments`` and ``fewest_segments(language)``.
        words: what the units are.
    """
    read = held(ds, "change", "language")
    if len(read) < 2:
        raise NothingToDraw(f"no perplexity of two languages without {words.units}")
    off = held(ds, "change", "deactivated")
    ds = ds.sel(deactivated=off).transpose(..., "deactivated", "language")
    changes, of_off = ds["change"].sel(language=read), ds.sel(language=off)
    count = ds[words.units].sel(variant="chosen").to_series()
    rows = series.languages(ds, "deactivated").labelled(lambda i, name: f"{name}: {count[i]:,.0f}")
    figure = sheets.sheet(2.6 + 0.24 * len(off), 2)
    matrix, of_own, compared = figure.subplots(1, 3, sharey=True)
    end = min(MOST, float(np.abs(changes).max()))
    label = "change of ln perplexity (nats per token)"
    scale = heat.Scale.of(changes.values, label, signed=True, limits=(-end, end))
    columns = series.languages(ds).only(read).labels
    heat.matrix(matrix, changes.values, rows.labels, columns, scale)
    for row, column in np.argwhere((changes["deactivated"] == changes["language"]).values):
        matrix.add_patch(Rectangle((column, row), 1, 1, fill=False, linewidth=0.8))
    matrix.set(title=f"without {words.own}", xlabel="language read", ylabel=f"{words.units} of")
    scale.bar(figure, [matrix], location="bottom", aspect=25)
    by_change = {
        name: [of_off["others_change"]] if name == "others" else ends(of_off, variant=name)
        for name in words.changes
    }
    for place, (name, look) in enumerate(words.changes.looks.items()):
        points(of_own, by_change[name], place, look)
    for place, (name, look) in enumerate(words.contrasts.looks.items()):
        middle = points(compared, ends(of_off, contrast=name), place, look)
        starred = middle[(of_off["excess_p_value"].sel(contrast=name) < STAR).values]
        at_edge = {"color": look.color, "transform": compared.get_yaxis_transform()}
        compared.plot([AT_EDGE] * len(starred), starred, "*", **at_edge)
    compared.set_xlim(right=compared.get_xlim()[1] + ROOM * np.ptp(compared.get_xlim()))
    of_own.set(title="change", xlabel="nats per token")
    compared.set(title="change of own text, compared", xlabel="nats per token")
    sheets.guide([of_own, compared], 0, "x")
    for ax in (of_own, compared):
        ax.tick_params(axis="y", length=0)
    sheets.legend(figure, words.changes, words.contrasts, STARRED)
    tokens = counted(ds["predicted_tokens"].values, "tokens a language")
    note = f"held-out text: {tokens} in {units_note(ds)}"
    return sheets.title(figure, ds, f"perplexity without a language's {words.units}", note)


def ends(ds: xr.Dataset, **chosen: str) -> list[xr.DataArray]:
    """A variant's ``own_change``, or a contrast's ``excess``, with its interval's ends."""
    name = "own_change" if "variant" in chosen else "excess"
    return [ds[name + end].sel(chosen) for end in ("", "_low", "_high")]


def points(ax: Axes, values: list[xr.DataArray], place: int, look: Look) -> NDArray[np.float64]:
    """Draw a point, and if there is one its interval, for each language; return the heights."""
    middle = np.arange(len(values[0]), dtype=np.float64) + APART * (1 + place)
    if len(values) > 1:
        ax.hlines(middle, values[1], values[2], color=look.color, linewidth=0.9)
    ax.plot(values[0], middle, **look.point)
    return middle


def finding(ds: xr.Dataset, words: Words) -> str:
    """Say how own and others' text changes, and in how many languages own text changes more.

    Args:
        ds: see ``perplexity_without``.
        words: what the units are.
    """
    if len(held(ds, "change", "language")) < 2:
        return ""
    segments, fewest = int(ds["segments"].min()), int(ds["fewest_segments"].max())
    if segments < fewest:
        return (
            f"With {segments} segments of held-out text, effects cannot be told: a star takes "
            f"{fewest}."
        )
    of_own, of_others = (
        number(values.mean(), "+.2f")
        for values in (ds["own_change"].sel(variant="chosen"), ds["others_change"])
    )
    than = {
        "others": "that of the other languages' texts",
        "activity": f"without {words.others}",
        "contribution": "without partners that contribute as much",
    }
    counts = (
        f"in {significant(ds, above=True, contrast=name)} than {what}"
        for name, what in than.items()
        if ds["excess"].sel(contrast=name).notnull().any()
    )
    return (
        f"Without its {words.own}, a language's text changes by {of_own} nats per token, mean "
        f"over languages; other texts by {of_others}. Own text rises more, p < 0.05 adjusted for "
        f"all languages, {', '.join(counts)}."
    )
