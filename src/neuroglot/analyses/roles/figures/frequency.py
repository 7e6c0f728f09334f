"""Figures 2 and 3: how often the neurons of each layer are active, language by language."""

from functools import partial

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis

STATISTICS = {
    "mean": "mean activation frequency\n(share of prefixes)",
    "std": "standard deviation over\nneurons (share of prefixes)",
}


@style.styled
def activation_frequency(ds: Dataset, site: str) -> Figure:
    """Mean (top) and standard deviation (bottom) over a layer's neurons, one column per corpus.

    Args:
        ds: ``mean`` and ``std`` ``(site, corpus, language, layer)``, each with ``_low`` and
            ``_high``; ``rows(corpus, language)``.
        site: ``act`` for figure 2; ``out_gelu`` for figure 3, as published.
    """
    at_site = ds.sel(site=site)
    corpora = panels.held(at_site["mean"], "corpus")
    if not corpora:
        return style.empty(f"no activation frequency of {style.SITES[site]}")
    languages = style.Languages.of(ds)
    axis = LayerAxis.of(ds)
    handles = style.language_handles(languages, panels.held(at_site["mean"], "language"))
    figure, body = panels.sheet(len(corpora) * panels.PANEL_WIDTH, 2 * panels.PANEL_HEIGHT, handles)
    axes = body.subplots(2, len(corpora), squeeze=False, sharey="row")
    for column, corpus in enumerate(corpora):
        for row, (statistic, label) in enumerate(STATISTICS.items()):
            of_corpus = at_site.sel(corpus=corpus)
            low, high = of_corpus[f"{statistic}_low"], of_corpus[f"{statistic}_high"]
            panels.language_bands(axes[row, column], axis, languages, low, high)
            values = of_corpus[statistic]
            panels.language_lines(axes[row, column], axis, languages, values)
            axes[row, 0].set_ylabel(label)
        count = panels.prefixes(ds["rows"].sel(corpus=corpus))
        axes[0, column].set_title(f"{corpus}\n{count}")
    style.title(figure, ds, site, "activation frequency")
    return figure


def combinator_frequency(ds: Dataset) -> Figure:
    """Draw figure 3: the combinators' values after GELU or as they are, as the settings say."""
    return activation_frequency(ds, site=ds.attrs["combinators_drawn"])


FIGURES: dict[str, style.Draw] = {
    "figure_02_detector_activation_frequency": partial(activation_frequency, site="act"),
    "figure_03_combinator_activation_frequency": combinator_frequency,
}
