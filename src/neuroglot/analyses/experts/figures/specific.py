"""Number of experts with high frequency in only one language, by layer and by chance."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.experts.figures import chance
from neuroglot.figures import lines, series, sheets, style
from neuroglot.figures.layers import LayerAxis, plain_numbers

FEWEST_FOLDS = 30
"""Folds of segments from which numbers of specific experts are compared with chance."""


@style.styled
def specific_experts(ds: Dataset) -> Figure:
    """Number of experts with high frequency in only one language, observed and by chance.

    Left: by language. Right: by layer, over all languages.

    Args:
        ds: ``specific(language)`` and ``specific_by_layer(layer)``, each with ``_low``, ``_high``,
            ``_null``, ``_null_low`` and ``_null_high``; ``attrs["high_frequency"]``;
            ``attrs["folds"]``, the number of folds of segments.
    """
    if not bool(ds["expert_frequency"].notnull().any()):
        return style.empty("no activation frequency of experts")
    languages, axis = series.languages(ds), LayerAxis.of(ds)
    figure = sheets.sheet(1.0 + max(2.0, 0.22 * len(languages)), 2)
    left, right = figure.subplots(1, 2)
    chance.draw(left, ds, "specific")
    left.set_yticks(range(len(languages)), [languages.label(language) for language in languages])
    left.set_xlabel("experts of all layers")
    for suffix, look in chance.LOOKS.looks.items():
        middle, low, high = (
            ds[f"specific_by_layer{suffix}{end}"].values.astype(float)
            for end in ("", "_low", "_high")
        )
        axis.fill(right, low, high, color=look.color, alpha=lines.BAND_ALPHA, linewidth=0)
        axis.plot(right, middle, color=look.color, linestyle=look.linestyle)
    axis.decorate(right)
    right.set_ylabel("experts of a layer, all languages")
    plain_numbers(right)
    sheets.legend(figure, chance.handles())
    subject = f"experts with a frequency of at least {ds.attrs['high_frequency']:g} in one language"
    sheets.title(figure, ds, f"{subject} only", f"intervals over {ds.attrs['folds']} folds")
    return figure


def finding(ds: Dataset) -> str:
    """Say which language has most specific experts, and how many languages more than by chance."""
    if not bool(ds["expert_frequency"].notnull().any()):
        return ""
    if (folds := ds.attrs["folds"]) < FEWEST_FOLDS:
        return f"Whether languages have experts of their own cannot be told from {folds} folds."
    most = ds.isel(language=int(ds["specific"].argmax()))
    above = int((ds["specific"] > ds["specific_null_high"]).sum())
    return (
        f"{series.languages(ds).label(most['language'].item())} has the most experts of its own: "
        f"{int(most['specific']):,}, by chance {float(most['specific_null']):.3g}. "
        f"{above} of {ds.sizes['language']} languages have more than the range of chance."
    )


FIGURES: dict[str, style.Drawing] = {"specific_experts": style.Drawing(specific_experts, finding)}
