"""Table 4 and measured speed of a model with only a language's high-frequency experts."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import DataArray, Dataset

from neuroglot.analyses.experts.measures.experts import relative_speed
from neuroglot.figures import points, series, sheets, style
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import counted
from neuroglot.tables import valued

FEWEST_WINDOWS = 30
"""Windows of text a language from which losses are compared."""
VARIANTS = Series(
    "variant",
    {
        "full": Look("full model", "black", marker="X"),
        "high_frequency": Look("high-frequency experts", "#4477AA", marker="D"),
        "random": Look("as many random experts", sheets.GUIDE, marker="o", filled=False),
        "expert_share": Look("experts kept", "#AA3377", marker="s"),
        "parameters_saved": Look("parameters saved", "#228833", marker="v"),
    },
)


@style.styled
def perplexity(ds: Dataset) -> Figure:
    """Loss by language and variant, what leaving out experts adds, and what it saves.

    The loss is the logarithm of perplexity to base 2, in bits per token.

    Args:
        ds: ``perplexity(language, variant, seed)``, NaN where a variant has fewer seeds;
            ``perplexity_low(language, variant)`` and ``perplexity_high``, NaN with only one window
            of text; ``expert_share(language)`` and ``parameters_saved(language)``;
            ``windows(language)`` and ``predicted_tokens(language)``.
    """
    loss = np.log2(ds[["perplexity", "perplexity_low", "perplexity_high"]])
    added = added_loss(ds).sel(variant=["high_frequency"]).to_dataset(name="added")
    panels = {
        "loss\n(bits per token)": valued(loss, "perplexity"),
        "added to the full model's\n(bits per token)": valued(added, "added"),
        "share": shares(ds, "expert_share", "parameters_saved"),
    }
    size = [
        counted(ds[name].values, name.split("_")[-1]) for name in ("windows", "predicted_tokens")
    ]
    note = f"held-out text: {', '.join(size)} a language; lines: 95 % intervals over windows"
    return by_language(ds, panels, "loss with some of the experts", note)


@style.styled
def speed(ds: Dataset) -> Figure:
    """Measured speed relative to the full model, and the share of FFN parameters saved.

    Tokens per second are divided by the full model's tokens per second in the same round.

    Args:
        ds: ``tokens_per_second(language, variant, seed, round)``, ``expert_share(language)`` and
            ``parameters_saved(language)``.
    """
    ratio, repeated = relative_speed(ds["tokens_per_second"]), ("seed", "round")
    ends = {"speed_low": ratio.min(repeated), "speed_high": ratio.max(repeated)}
    measured = Dataset({"speed": ratio.mean(repeated), **ends})
    panels = {
        "tokens per second,\nfull model = 1": valued(measured, "speed"),
        "share": shares(ds, "expert_share", "parameters_saved"),
    }
    note = f"mean and range of {ds.sizes['round']} rounds"
    return by_language(ds, panels, "measured speed with some of the experts", note)


def by_language(ds: Dataset, panels: dict[str, DataFrame], subject: str, note: str) -> Figure:
    """Draw languages down and a panel for each table; the last panel is of shares.

    Args:
        ds: the figure's dataset.
        panels: tables of ``language``, ``variant`` and ``value``, by label of the x axis.
        subject: what is drawn, for the title.
        note: for the title.
    """
    measured, shared = [*panels.values()][0], [*panels.values()][-1]
    languages = series.languages(ds).only(measured["language"])
    if not languages:
        return style.empty(f"no {subject}")
    every = pd.concat([table.assign(panel=label) for label, table in panels.items()])
    every = every[every["language"].isin([*languages])]
    variants = VARIANTS.only(every["variant"])
    facet = Facet("panel", {label: "" for label in panels})
    figure = points.by_level(every, languages, variants, " ", columns=facet, share_x=False)
    for ax, label in zip(figure.axes, panels, strict=True):
        ax.set_xlabel(label)
    sheets.as_shares(figure.axes[-1:], "x")
    sheets.legend(figure, sheets.point_handles(variants))
    sheets.title(figure, ds, subject, note)
    return figure


def shares(ds: Dataset, *names: str) -> DataFrame:
    """A table of ``language``, ``variant`` and ``value`` of some variables, with their names."""
    return valued(ds[[*names]].to_dataarray("variant").to_dataset(name="share"), "share")


def added_loss(ds: Dataset) -> DataArray:
    """Bits per token that variants lose more than the full model, ``[language, variant, seed]``."""
    loss = np.log2(ds["perplexity"])
    added: DataArray = loss - loss.sel(variant="full").isel(seed=0)
    return added


def loss_added(ds: Dataset) -> str:
    """Say what high-frequency experts alone, and random ones, add to the loss."""
    added = added_loss(ds)
    if not bool(added.notnull().any()):
        return ""
    if (windows := int(ds["windows"].min())) < FEWEST_WINDOWS:
        return (
            f"What leaving out experts costs cannot be told from {counted([windows], 'windows')}."
        )
    high, random = (span(added.sel(variant=one), ".2f") for one in ("high_frequency", "random"))
    return (
        f"With its high-frequency experts alone, the model loses {high} bits per token more on a "
        f"language; with as many random ones {random}."
    )


def speed_gained(ds: Dataset) -> str:
    """Say how fast models with high-frequency experts are, in the mean over rounds."""
    ratio = relative_speed(ds["tokens_per_second"]).sel(variant="high_frequency")
    if not bool(ratio.notnull().any()):
        return ""
    return (
        f"With high-frequency experts alone, the model reads {span(ratio.mean(('seed', 'round')))} "
        f"times as fast as in full, at {span(100 * ds['expert_share'], '.0f')} % of the experts."
    )


FIGURES: dict[str, style.Drawing] = {
    "table_04_perplexity": style.Drawing(perplexity, loss_added),
    "sliced_speed": style.Drawing(speed, speed_gained),
}
