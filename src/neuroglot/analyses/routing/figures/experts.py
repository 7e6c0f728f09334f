"""Experts of one language by layer, beside those that chance gives."""

import xarray as xr
from matplotlib.figure import Figure

from neuroglot.analyses.routing.figures.frequency import about
from neuroglot.figures import heat, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw

CHANCE = "chance"


def own_experts(ds: xr.Dataset) -> Figure:
    """Number of languages' own experts: languages down, layers across, chance below.

    Args:
        ds: ``experts(language, layer)``, ``chance_experts(layer)``; ``all_layers(language)`` and
            ``chance_all_layers`` with ``_low`` and ``_high``; ``tokens(language)``; the dimension
            ``expert``; ``attrs["slots"]``.
    """
    require_experts(ds)
    by_chance = ds["chance_experts"].expand_dims(language=[CHANCE])
    values = xr.concat([ds["experts"], by_chance], "language", coords="minimal")
    rows = Series("language", {**series.languages(ds).looks, CHANCE: Look("by chance")})
    rows = rows.labelled(lambda row, label: f"{label}: {total(ds, row)}")
    scale = heat.Scale.of(values.values, "experts of a layer", dark_is_low=False)
    figure = heat.by_layer(values, LayerAxis.of(ds), rows, scale)
    note = f"{about(ds)}; totals: 95 % intervals"
    return sheets.title(figure, ds, "experts of one language", note)


def require_experts(ds: xr.Dataset) -> None:
    """Raise ``NothingToDraw`` unless there are own experts, and languages to tell apart."""
    if ds.sizes["language"] < 2 or not ds["experts"].any():
        raise NothingToDraw("no experts that are a language's own, of two languages")


def total(ds: xr.Dataset, row: str) -> str:
    """Write a language's number of experts, or that by chance, with its interval."""
    name, of = ("chance_all_layers", ds) if row == CHANCE else ("all_layers", ds.sel(language=row))
    count, low, high = (float(of[name + end]) for end in ("", "_low", "_high"))
    return f"{count:.3g} ({low:.3g} to {high:.3g})"


def finding(ds: xr.Dataset) -> str:
    """Say how many experts belong to one language and to several, and how many chance gives."""
    require_experts(ds)
    by_number = ds["shared_by_languages"].values
    above = int((ds["all_layers_low"] > ds["chance_all_layers_high"]).sum())
    return (
        f"{by_number[0]:,} experts are one language's own and {by_number[1:].sum():,} belong to "
        f"several. A language has {float(ds['all_layers'].mean()):.3g} on average, and by chance "
        f"{total(ds, CHANCE)}; in {above} of {ds.sizes['language']} languages its interval is "
        "above the range of chance."
    )


FIGURES = {"own_experts": Drawing(own_experts, finding)}
