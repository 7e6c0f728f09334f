"""Number of experts with high frequency in only one language, by layer and by chance."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import chance, lines, series, sheets
from neuroglot.figures.findings import FEWEST
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.style import Drawing, require


def specific_experts(ds: Dataset) -> Figure:
    """Number of experts with high frequency in only one language, observed and by chance.

    Left: by language. Right: by layer, over all languages.

    Args:
        ds: ``specific(language)`` and ``specific_by_layer(layer)``, each with ``_low``, ``_high``,
            ``_null``, ``_null_low`` and ``_null_high``; ``attrs["folds"]``, the number of folds of
            segments; ``attrs["high_frequency"]``.
    """
    require(ds["expert_frequency"], "no activation frequency of experts")
    languages, axis = series.languages(ds).labels, LayerAxis.of(ds)
    figure = sheets.sheet(1 + max(2, 0.22 * len(languages)), 2)
    left, right = figure.subplots(1, 2)
    chance.draw(left, ds, "specific")
    left.set_xlabel("experts of all layers")
    left.set_yticks(range(len(languages)), languages)
    left.invert_yaxis()
    for suffix, look in chance.LOOKS.looks.items():
        name = f"specific_by_layer{suffix}"
        values, low, high = (ds[f"{name}{end}"].values for end in ("", "_low", "_high"))
        for layers in axis.stacks.values():
            x, band = axis.x[layers], {"color": look.color, "alpha": lines.BAND_ALPHA}
            right.fill_between(x, low[layers], high[layers], linewidth=0, **band)
            right.plot(x, values[layers], **look.line)
    axis.decorate(right)
    right.set_ylabel("experts of a layer, all languages")
    right.locator_params(axis="y", nbins=5, steps=(1, 2, 2.5, 5, 10))
    sheets.legend(figure, chance.LOOKS, lines=True)
    subject = f"experts with a frequency of at least {ds.attrs['high_frequency']:g} in one language"
    note = f"lines and bands: 95 % intervals over {ds.attrs['folds']} folds of segments"
    return sheets.title(figure, ds, f"{subject} only", note)


def finding(ds: Dataset) -> str:
    """Say how many languages have more specific experts than chance gives."""
    require(ds["expert_frequency"], "no activation frequency of experts")
    if (folds := ds.attrs["folds"]) < FEWEST:
        return f"Whether languages have experts of their own cannot be told from {folds} folds."
    above = int((ds["specific"] > ds["specific_null_high"]).sum())
    return (
        f"{above} of {ds.sizes['language']} languages have more experts of their own than the "
        f"range of chance: {int(ds['specific'].sum()):,} in all, by chance "
        f"{float(ds['specific_null'].sum()):.3g}."
    )


FIGURES = {"specific_experts": Drawing(specific_experts, finding)}
