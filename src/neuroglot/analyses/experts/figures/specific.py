"""Number of experts with high frequency in only one language, by layer and by chance."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import chance, lines, series, sheets, style
from neuroglot.figures.layers import LayerAxis, plain_numbers

FEWEST_FOLDS = 30
"""Folds of segments from which numbers of experts are compared with chance."""


@style.styled
def specific_experts(ds: Dataset) -> Figure:
    """Number of experts with high frequency in only one language, observed and by chance.

    Left: by language. Right: by layer, over all languages.

    Args:
        ds: ``specific(language)`` and ``specific_by_layer(layer)``, each with ``_low``, ``_high``,
            ``_null``, ``_null_low`` and ``_null_high``; ``attrs["folds"]``, the number of folds of
            segments; ``attrs["high_frequency"]``.
    """
    if not bool(ds["expert_frequency"].notnull().any()):
        return style.empty("no activation frequency of experts")
    languages, axis = series.languages(ds).values("label"), LayerAxis.of(ds)
    figure = sheets.sheet(1 + max(2, 0.22 * len(languages)), 2)
    left, right = figure.subplots(1, 2)
    chance.draw(left, ds, "specific")
    left.set_xlabel("experts of all layers")
    left.set_yticks(range(len(languages)), languages.values())
    left.invert_yaxis()
    for suffix, look in chance.LOOKS.items():
        ends = (ds[f"specific_by_layer{suffix}{end}"].values for end in ("_low", "_high"))
        axis.fill(right, *ends, color=look.color, alpha=lines.BAND_ALPHA, linewidth=0)
        values = ds[f"specific_by_layer{suffix}"].values
        axis.plot(right, values, color=look.color, linestyle=look.linestyle)
    axis.decorate(right)
    right.set_ylabel("experts of a layer, all languages")
    plain_numbers(right)
    chance.legend(figure)
    subject = f"experts with a frequency of at least {ds.attrs['high_frequency']:g} in one language"
    note = f"lines and bands: 95 % intervals over {ds.attrs['folds']} folds of segments"
    sheets.title(figure, ds, f"{subject} only", note)
    return figure


def finding(ds: Dataset) -> str:
    """Say how many languages have more specific experts than chance gives."""
    if not bool(ds["expert_frequency"].notnull().any()):
        return ""
    if (folds := ds.attrs["folds"]) < FEWEST_FOLDS:
        return f"Whether languages have experts of their own cannot be told from {folds} folds."
    above = int((ds["specific"] > ds["specific_null_high"]).sum())
    return (
        f"{above} of {ds.sizes['language']} languages have more experts of their own than the "
        f"range of chance: {int(ds['specific'].sum()):,} in all, by chance "
        f"{float(ds['specific_null'].sum()):.3g}."
    )


FIGURES = {"specific_experts": style.Drawing(specific_experts, finding)}
