"""Table 4 and measured speed of a model with only a language's high-frequency experts."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.experts.measures.experts import relative_speed
from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import FEWEST, span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held
from neuroglot.tables import valued

VARIANTS = Series(
    "variant",
    {
        "full": Look("full model", "black", marker="X"),
        "high_frequency": Look("high-frequency experts", "#4477AA", marker="D"),
        "random": Look("as many random experts", sheets.GUIDE, filled=False),
    },
)
LABELS = {
    "perplexity": "loss\n(bits per token)",
    "added": "added to the full\nmodel's loss (bits)",
    "speed": "tokens per second,\nfull model = 1",
    "expert_share": "experts\nkept",
    "parameters_saved": "parameters\nsaved",
}


def perplexity(ds: Dataset) -> Figure:
    """Loss by language and variant, what leaving out experts adds, and what it saves.

    The loss is the logarithm of perplexity to base 2, in bits per token.

    Args:
        ds: ``perplexity(language, variant, seed)``, NaN where a variant has fewer seeds;
            ``perplexity_low(language, variant)`` and ``perplexity_high``, NaN with only one segment
            of text; ``segments(language)`` and ``predicted_tokens(language)``; and as ``speed``.
    """
    segments, tokens = counted(ds["segments"].values, "segment(s)"), ds["predicted_tokens"].values
    note = f"{segments} and {counted(tokens, 'tokens')} a language; lines: 95 % intervals"
    values = losses(ds)
    values["added"] = values["added"].where(values["variant"] == "high_frequency")
    return by_language(ds, values, "loss on held-out text with some of the experts", note)


def speed(ds: Dataset) -> Figure:
    """Measured speed, and the shares of experts kept and of all parameters saved.

    Args:
        ds: ``tokens_per_second(language, variant, seed, round)``, ``expert_share(language)`` and
            ``parameters_saved(language)``.
    """
    note = f"mean and range of {ds.sizes['round']} rounds"
    return by_language(ds, speeds(ds), "measured speed with some of the experts", note)


def by_language(ds: Dataset, values: Dataset, subject: str, note: str) -> Figure:
    """Draw languages down; a panel for each variable of ``values``, and for the two shares."""
    first = str(next(iter(values)))
    require(values[first], f"no {subject}")
    languages = series.languages(ds).only(held(values, first, "language"))
    shares = ds[["expert_share", "parameters_saved"]].expand_dims(variant=["high_frequency"])
    values = values.assign(shares).sel(language=[*languages])
    labels = {name: label for name, label in LABELS.items() if name in values}
    table = pd.concat([valued(values, name).assign(panel=name) for name in labels])
    variants = VARIANTS.only(values["variant"].values)
    panels = Series.of("panel", dict.fromkeys(labels, ""))
    figure = points.by_level(table, languages, variants, "", columns=panels, share_x=False)
    for ax, label in zip(figure.axes, labels.values(), strict=True):
        ax.set_xlabel(label)
    sheets.as_shares(figure.axes[-2:], "x")
    return sheets.title(figure, ds, subject, note)


def losses(ds: Dataset) -> Dataset:
    """Losses with their intervals, and what variants add to the full model's."""
    loss = ds[["perplexity", "perplexity_low", "perplexity_high"]].map(np.log2)
    full = loss["perplexity"].sel(variant="full").isel(seed=0, drop=True)
    return loss.assign(added=loss["perplexity"] - full)


def speeds(ds: Dataset) -> Dataset:
    """Tokens per second divided by the full model's in the same round: mean, and range."""
    ratio, repeated = relative_speed(ds["tokens_per_second"]), ("seed", "round")
    ends = {"speed_low": ratio.min(repeated), "speed_high": ratio.max(repeated)}
    return Dataset({"speed": ratio.mean(repeated), **ends})


def loss_added(ds: Dataset) -> str:
    """Say what high-frequency experts alone, and random ones, add to the loss."""
    added, segments = losses(ds)["added"], int(ds["segments"].min())
    require(added, "no losses")
    if segments < FEWEST:
        return f"What leaving out experts costs cannot be told (segments of text: {segments})."
    high, random = (span(added.sel(variant=name), ".2f") for name in [*VARIANTS][1:])
    return (
        f"With a language's high-frequency experts alone, {high} bits per token are added to the "
        f"loss; with as many random ones {random}."
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
