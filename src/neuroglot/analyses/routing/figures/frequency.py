"""How often languages choose each expert of a layer, and over how many they are spread."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.experts.figures.frequency import by_mean
from neuroglot.analyses.routing.figures.divergence import compared_on
from neuroglot.figures import heat, languages, series, sheets
from neuroglot.figures.findings import extremes, number
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held


def chosen_experts(ds: Dataset) -> Figure:
    """One panel per language: layers across, the layer's experts down.

    In each layer, experts are sorted by their mean frequency over all languages, the most frequent
    on top. A cell is therefore the same expert in every panel.

    Args:
        ds: ``expert_frequency(language, layer, expert)``, a share of tokens; ``tokens(language)``;
            ``attrs["slots"]``, the experts of a token.
    """
    require(ds["expert_frequency"], "no frequency of experts")
    read = series.languages(ds).only(held(ds, "expert_frequency", "language"))
    axis, values = LayerAxis.of(ds), by_mean(ds["expert_frequency"].sel(language=[*read]))
    experts = Series.of("expert", values["expert"].values)
    scale = heat.Scale.of(values.values, "share of tokens routed to the expert")
    abreast = sheets.ABREAST // len(axis.stacks)
    panel = min(1.8, (sheets.HEIGHT - 1) / -(-len(read) // abreast) - heat.HEAD)
    figure = heat.by_layer(values, axis, experts, scale, read, abreast, panel / len(experts))
    figure.supylabel("experts of a layer, by mean frequency")
    return sheets.title(figure, ds, "how often experts are chosen", about(ds))


def about(ds: Dataset) -> str:
    """Say how many tokens are counted, and through how many experts each passes."""
    return (
        f"{', '.join(ds.attrs['corpora'])}: {counted(ds['tokens'].values, 'tokens')} a language; "
        f"{ds.attrs['slots']} of {ds.sizes['expert']} experts a token"
    )


def expert_entropy(ds: Dataset) -> Figure:
    """Entropy over a layer's experts of each language's tokens.

    Args:
        ds: ``expert_entropy(language, layer)`` with ``_low`` and ``_high``;
            ``compared_tokens(language)``; the dimension ``expert``; ``attrs["folds"]``.
    """
    require(ds["expert_entropy"], "no entropy over experts")
    figure = languages.by_layer(ds, "expert_entropy", "entropy over experts (bits)")
    bands = "; bands: 95 % intervals" if figure.legends else ""
    alike = f"{most(ds):.3g} bits if all {ds.sizes['expert']} were chosen alike"
    note = f"{compared_on(ds)}; {alike}{bands}"
    return sheets.title(figure, ds, "spread of languages over experts", note)


def most(ds: Dataset) -> float:
    """The entropy of experts that are all chosen alike, in bits."""
    return float(np.log2(ds.sizes["expert"]))


def frequencies(ds: Dataset) -> str:
    """Say how often experts are chosen, beside how often they would be if all were alike."""
    require(ds["expert_frequency"], "no frequency of experts")
    values = 100 * ds["expert_frequency"].values[ds["expert_frequency"].notnull().values]
    alike = 100 * ds.attrs["slots"] / ds.sizes["expert"]
    return (
        f"If all experts of a layer were chosen alike, each would get {alike:.3g} % of tokens. The "
        f"middle half of languages and experts has {np.quantile(values, 0.25):.3g} to "
        f"{np.quantile(values, 0.75):.3g} %, and the most chosen expert {values.max():.3g} %."
    )


def spread(ds: Dataset) -> str:
    """Say where the entropy is lowest and highest, beside the most that it could be."""
    require(ds["expert_entropy"], "no entropy over experts")
    told = extremes(ds["expert_entropy"], "The entropy over experts", "bits")
    return f"{told} It would be {number(most(ds))} bits if all experts were chosen alike."


FIGURES = {
    "chosen_experts": Drawing(chosen_experts, frequencies),
    "expert_entropy": Drawing(expert_entropy, spread),
}
