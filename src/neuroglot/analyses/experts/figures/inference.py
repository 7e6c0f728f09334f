"""Table 4 and measured speed of a model with only a language's high-frequency experts."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.analyses.experts.measures.experts import relative_speed
from neuroglot.figures import points, series, sheets
from neuroglot.figures.controls import STARRED, units_note
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held
from neuroglot.measures.significance import STAR
from neuroglot.tables import valued

VARIANTS = Series(
    "variant",
    {
        "full": Look("full model", "black", marker="X"),
        "high_frequency": Look("high-frequency experts", "#4477AA", marker="D"),
        "other_language": Look("as many of another language", "#EE6677", marker="s", filled=False),
        "random": Look("as many random experts", sheets.GUIDE, filled=False),
    },
)
LABELS = {
    "perplexity": "loss\n(bits per token)",
    "added": "added to the full\nmodel's loss (bits)",
    "excess": "high-frequency minus\ncontrol (bits)",
    "speed": "tokens per second,\nfull model = 1",
    "expert_share": "experts\nkept",
    "parameters_saved": "parameters\nsaved",
}


def perplexity(ds: Dataset) -> Figure:
    """Loss by language and variant, what leaving out experts adds, and beside the controls.

    The loss is the logarithm of perplexity to base 2, in bits per token.

    Args:
        ds: ``perplexity(language, variant, seed)``, NaN where a variant has fewer seeds;
            ``perplexity_low(language, variant)`` and ``perplexity_high``, NaN with only one segment
            of text; ``excess(control, language)`` with ``_low``, ``_high`` and ``_p_value``;
            ``segments``, ``fewest_segments``, ``predicted_tokens`` and ``expert_share(language)``.
    """
    tokens = counted(ds["predicted_tokens"].values, "tokens a language")
    note = f"{tokens} in {units_note(ds)}"
    values = losses(ds)
    values["added"] = values["added"].where(values["variant"] == "high_frequency")
    subject = "loss on held-out text with some of the experts"
    return by_language(ds, values, ["expert_share"], subject, note)


def speed(ds: Dataset) -> Figure:
    """Measured speed, and the shares of experts kept and of all parameters saved.

    Args:
        ds: ``tokens_per_second(language, variant, seed, round)``, ``expert_share(language)`` and
            ``parameters_saved(language)``.
    """
    note = f"mean and range of {ds.sizes['round']} rounds"
    subject, shares = (
        "measured speed with some of the experts",
        ["expert_share", "parameters_saved"],
    )
    return by_language(ds, speeds(ds), shares, subject, note)


def by_language(ds: Dataset, values: Dataset, shares: list[str], subject: str, note: str) -> Figure:
    """Draw languages down; a panel for each variable of ``values``, and for the shares."""
    first = str(next(iter(values)))
    require(values[first], f"no {subject}")
    languages = series.languages(ds).only(held(values, first, "language"))
    of_kept = ds[shares].expand_dims(variant=["high_frequency"])
    values = values.assign(of_kept).sel(language=[*languages])
    labels = {name: label for name, label in LABELS.items() if name in values}
    table = pd.concat([valued(values, name).assign(panel=name) for name in labels])
    variants = VARIANTS.only(values["variant"].values)
    legend = None
    if "excess" in labels:
        legend = Series(variants.column, {**variants.looks, **STARRED.looks})
        star = valued(Dataset({"star": beyond(ds)}), "star").rename(columns={"value": points.STAR})
        table = table.merge(star.assign(panel="excess"), how="left")
    panels = Series.of("panel", dict.fromkeys(labels, ""))
    figure = points.by_level(
        table, languages, variants, "", columns=panels, share_x=False, legend=legend
    )
    for ax, label in zip(figure.axes, labels.values(), strict=True):
        ax.set_xlabel(label)
    sheets.as_shares(figure.axes[-len(shares) :], "x")
    for ax, panel in zip(figure.axes, labels, strict=True):
        if panel in ("added", "excess"):
            sheets.guide([ax], 0, "x")
    return sheets.title(figure, ds, subject, note)


def losses(ds: Dataset) -> Dataset:
    """Losses with their intervals, and what variants add to the full model's."""
    loss = ds[["perplexity", "perplexity_low", "perplexity_high"]].map(np.log2)
    full = loss["perplexity"].sel(variant="full").isel(seed=0, drop=True)
    bits = ds[["excess", "excess_low", "excess_high"]].rename(control="variant") / np.log(2)
    return loss.assign(added=loss["perplexity"] - full, **bits)


def speeds(ds: Dataset) -> Dataset:
    """Tokens per second divided by the full model's in the same round: mean, and range."""
    ratio, repeated = relative_speed(ds["tokens_per_second"]), ("seed", "round")
    ends = {"speed_low": ratio.min(repeated), "speed_high": ratio.max(repeated)}
    return Dataset({"speed": ratio.mean(repeated), **ends})


def beyond(ds: Dataset) -> DataArray:
    """Places of stars, in bits: below the intervals of differences that are significant."""
    low = ds["excess_low"].where(ds["excess_p_value"] < STAR) / np.log(2)
    places: DataArray = low - 0.1 * float(np.abs(ds["excess"]).max())
    return places.rename(control="variant")


def loss_added(ds: Dataset) -> str:
    """Say what high-frequency experts alone add to the loss, and where the controls lose more."""
    added, segments = losses(ds)["added"], int(ds["segments"].min())
    require(added, "no losses")
    fewest = int(ds["fewest_segments"].max())
    if segments < fewest:
        return (
            f"What leaving out experts costs cannot be told (segments of text: {segments}; a star "
            f"takes {fewest})."
        )
    high, other, random = (span(added.sel(variant=name), ".2f") for name in [*VARIANTS][1:])
    less = (ds["excess"] < 0) & (ds["excess_p_value"] < STAR)
    told = {
        control: f"{int(less.sel(control=control).sum())} of "
        f"{int(ds['excess'].sel(control=control).notnull().sum())}"
        for control in ds["control"].values
    }
    return (
        f"With a language's high-frequency experts alone, {high} bits per token are added to the "
        f"loss; with as many of another language {other}, and with as many random ones {random}. "
        f"The language's own lose less than another's in {told['other_language']} languages, and "
        f"than random ones in {told['random']} (p < {STAR:g}, adjusted for all languages)."
    )


def speed_gained(ds: Dataset) -> str:
    """Say how fast models with high-frequency experts are, in the mean over rounds."""
    speed = speeds(ds)["speed"].sel(variant="high_frequency")
    require(speed, "no speeds")
    kept = span(100 * ds["expert_share"], ".0f")
    return f"With {kept} % of the experts, text is read {span(speed)} times as fast as with all."


FIGURES = {
    "table_04_perplexity": Drawing(perplexity, loss_added),
    "sliced_speed": Drawing(speed, speed_gained),
}
