"""Figures 4 and 6: how evenly the neurons of each layer fire, language by language."""

from functools import partial

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis


@style.styled
def flatness(ds: Dataset, site: str) -> Figure:
    """Mean activation flatness per prefix (equation 2) by layer, one column per corpus.

    The published sum over prefixes (equation 1) grows with the number of prefixes, which differs
    between languages. The step's table has this sum.

    Args:
        ds: ``flatness_mean(site, corpus, language, layer)`` in bits per neuron, with ``_low`` and
            ``_high``, and ``rows(corpus, language)``.
        site: ``act`` for figure 4, ``out`` for figure 6.
    """
    values = ds["flatness_mean"].sel(site=site)
    corpora = panels.held(values, "corpus")
    if not corpora:
        return style.empty(f"no activation flatness of {style.SITES[site]}")
    languages = style.Languages.of(ds)
    axis = LayerAxis.of(ds)
    handles = style.language_handles(languages, panels.held(values, "language"))
    figure, body = panels.sheet(
        len(corpora) * panels.PANEL_WIDTH, 1.3 * panels.PANEL_HEIGHT, handles
    )
    axes = body.subplots(1, len(corpora), squeeze=False, sharey=True)[0]
    for ax, corpus in zip(axes, corpora, strict=True):
        of_corpus = ds.sel(site=site, corpus=corpus)
        low, high = of_corpus["flatness_mean_low"], of_corpus["flatness_mean_high"]
        panels.language_bands(ax, axis, languages, low, high)
        panels.language_lines(ax, axis, languages, values.sel(corpus=corpus))
        ax.set_title(f"{corpus}\n{panels.prefixes(ds['rows'].sel(corpus=corpus))}")
    axes[0].set_ylabel("mean activation flatness\n(bits per neuron)")
    style.title(figure, ds, site, "activation flatness")
    return figure


FIGURES: dict[str, style.Draw] = {
    "figure_04_detector_flatness": partial(flatness, site="act"),
    "figure_06_combinator_flatness": partial(flatness, site="out"),
}
