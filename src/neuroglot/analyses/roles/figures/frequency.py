"""Figures 2 and 3: how often the neurons of each layer are active, language by language."""

from matplotlib.figure import Figure
from xarray import Dataset, concat

from neuroglot.figures import languages, sheets, texts
from neuroglot.figures.findings import extremes, span
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing

ALWAYS = 0.999
"""Mean frequency from which all neurons are said to be active at all prefixes."""


def activation_frequency(ds: Dataset, site: str) -> Figure:
    """Mean and standard deviation over a layer's neurons, two panels per corpus, from 0 to 100 %.

    Args:
        ds: ``mean`` and ``std`` ``(site, corpus, language, layer)``, shares of prefixes, each with
            ``_low`` and ``_high``; ``rows(corpus, language)``; ``attrs["combinators_drawn"]``.
        site: ``act`` for figure 2; ``combinators`` for figure 3, as or before GELU.
    """
    ds = at_site(ds, site)
    site, parts, titles = SITES[ds["site"].item()], [], {}
    corpora = texts.panels_of(ds, "mean", "corpus", f"no activation frequency of {site}")
    for corpus in corpora:
        for name, heading in {"mean": "mean", "std": "SD"}.items():
            renamed = {f"{name}{end}": f"frequency{end}" for end in ("", "_low", "_high")}
            parts.append(ds[[*renamed]].sel(corpus=corpus, drop=True).rename(renamed))
            titles[f"{corpus} {name}"] = f"{heading}, {corpora.label(corpus)}"
    joined = concat(parts, "panel").assign_coords(panel=[*titles]).assign_attrs(ds.attrs)
    unit, panels = "activation frequency (share of prefixes)", Series.of("panel", titles)
    figure = languages.by_layer(joined, "frequency", unit, panels, whole=True)
    note = "Neurons are active at practically all prefixes." if ds["mean"].min() > ALWAYS else ""
    return sheets.title(figure, ds, f"{site}, activation frequency", note)


def at_site(ds: Dataset, site: str) -> Dataset:
    """Select a site; combinators are drawn with or without GELU, as configured."""
    return ds.sel(site=ds.attrs["combinators_drawn"] if site == "combinators" else site)


def finding(ds: Dataset, site: str) -> str:
    """Say where neurons are active least and most often."""
    ds = at_site(ds, site).drop_vars("site")
    if ds["mean"].min() > ALWAYS:
        return "In every layer and language, neurons are active at practically all prefixes."
    told = extremes(ds["mean"], "The mean activation frequency", "", ".1%")
    return told and f"{told} Its SD over neurons is {span(ds['std'], '.1%')}."


FIGURES = {
    "figure_02_detector_activation_frequency": Drawing(activation_frequency, finding, site="act"),
    "figure_03_combinator_activation_frequency": Drawing(
        activation_frequency, finding, site="combinators"
    ),
}
