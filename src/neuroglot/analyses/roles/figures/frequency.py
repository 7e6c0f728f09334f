"""Figures 2 and 3: how often the neurons of each layer are active, language by language."""

from matplotlib.figure import Figure
from xarray import Dataset, concat

from neuroglot.figures import languages, sheets, style
from neuroglot.figures.findings import extremes, span
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import corpora_of

ALWAYS = 0.999
"""Mean frequency from which all neurons are said to be active at all prefixes."""


@style.styled
def activation_frequency(ds: Dataset, site: str) -> Figure:
    """Mean and standard deviation over a layer's neurons, two panels per corpus, from 0 to 100 %.

    Args:
        ds: ``mean`` and ``std`` ``(site, corpus, language, layer)``, shares of prefixes, each with
            ``_low`` and ``_high``; ``rows(corpus, language)``; ``attrs["combinators_drawn"]``.
        site: ``act`` for figure 2; ``combinators`` for figure 3, as or before GELU.
    """
    site = drawn_site(ds, site)
    at_site = ds.sel(site=site, drop=True)
    corpora = corpora_of(at_site, "mean")
    if not corpora:
        return style.empty(f"no activation frequency of {style.SITES[site]}")
    parts, titles = [], {}
    for corpus, title in corpora.titles.items():
        for name, heading in {"mean": "mean", "std": "SD"}.items():
            own = {f"{name}{end}": f"frequency{end}" for end in ("", "_low", "_high")}
            parts.append(at_site[[*own]].sel(corpus=corpus, drop=True).rename(own))
            titles[f"{corpus} {name}"] = f"{heading}, {title}"
    joined = concat(parts, "panel").assign_coords(panel=[*titles]).assign_attrs(ds.attrs)
    unit = "activation frequency (share of prefixes)"
    figure = languages.by_layer(joined, "frequency", unit, Facet("panel", titles), whole=True)
    always = float(at_site["mean"].min()) > ALWAYS
    note = "Neurons are active at practically all prefixes." if always else ""
    sheets.title(figure, ds, f"{style.SITES[site]}, activation frequency", note)
    return figure


def drawn_site(ds: Dataset, site: str) -> str:
    """The site of the dataset: combinators are drawn with or without GELU, as configured."""
    return str(ds.attrs["combinators_drawn"]) if site == "combinators" else site


def finding(ds: Dataset, site: str) -> str:
    """Say where neurons are active least and most often."""
    at_site = ds.sel(site=drawn_site(ds, site), drop=True)
    if float(at_site["mean"].min()) > ALWAYS:
        return "In every layer and language, neurons are active at practically all prefixes."
    found = extremes(at_site["mean"], "The mean activation frequency", "", ".1%")
    return found and f"{found} Its SD over neurons is {span(at_site['std'], '.1%')}."


FIGURES = {
    f"figure_{stem}_activation_frequency": style.Drawing.of(
        activation_frequency, finding, site=site
    )
    for stem, site in (("02_detector", "act"), ("03_combinator", "combinators"))
}
