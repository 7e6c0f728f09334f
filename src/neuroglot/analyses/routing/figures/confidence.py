"""How sure the router is of its choice, by language and layer."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.routing.figures.frequency import about
from neuroglot.figures import languages, sheets
from neuroglot.figures.findings import extremes
from neuroglot.figures.style import Drawing, require

LABELS = {
    "router_top": "largest probability",
    "router_margin": "last chosen expert's probability less the next one's",
}


def confidence(ds: Dataset, name: str) -> Figure:
    """The router's probabilities: the largest, or by how much the last chosen expert is ahead.

    Args:
        ds: ``name(language, layer)`` with ``_low`` and ``_high``; ``tokens(language)``; the
            dimension ``expert``; ``attrs["slots"]``.
        name: one of ``LABELS``.
    """
    require(ds[name], "no probabilities of the router")
    figure = languages.by_layer(ds, name, LABELS[name])
    bands = "; bands: 95 % intervals" if figure.legends else ""
    note = f"{about(ds)}; means over tokens{bands}"
    return sheets.title(figure, ds, "how sure the router is", note)


def finding(ds: Dataset, name: str) -> str:
    """Say where the router is least and most sure, in the mean over languages and over layers."""
    require(ds[name], "no probabilities of the router")
    told = [
        extremes(ds[name].mean(of), f"Mean over {of}s, the {LABELS[name]}", "")
        for of in ("layer", "language")
    ]
    return " ".join(told)


FIGURES = {
    "router_confidence": Drawing(confidence, finding, name="router_top"),
    "router_margin": Drawing(confidence, finding, name="router_margin"),
}
