"""Number of each language's transfer neurons by layer."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import languages, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.style import Drawing, NothingToDraw


def counted(ds: Dataset) -> Dataset:
    """``value(type, language, layer)``: neurons in the lists; NaN where no type's are sought.

    Args:
        ds: ``neurons(type, language, layer)``; ``score(type, language, layer, neuron)``, NaN in
            the layers without a search for the type.
    """
    sought = ds["score"].notnull().any(["language", "neuron"])
    counts = ds[["neurons"]].where(sought).dropna("type", how="all").rename(neurons="value")
    if not counts["value"].size:
        raise NothingToDraw("no transfer neurons")
    return counts


def by_layer(ds: Dataset) -> Figure:
    """Transfer neurons of either type in each layer by language.

    Args:
        ds: see ``counted``; ``list_length(type)``.
    """
    counts, axis = counted(ds), LayerAxis.of(ds)
    either = counts.sum("type", min_count=1, keep_attrs=True)
    figure = languages.by_layer(either, "value", "neurons of a list")
    last = int(counts["value"].sel(type="type1").notnull().any("language").sum()) - 1
    note = looks.note(ds, f"Type 1 up to {axis.name(last)}")
    lengths = ds["list_length"].to_series()
    parts = [f"{lengths[name]:,} {looks.TYPES.label(name)}" for name in looks.TYPES]
    subject = f"where the {' and '.join(parts)} neurons are"
    return sheets.title(figure, ds, subject, note)


def finding(ds: Dataset) -> str:
    """Say which layer has most neurons of each type."""
    counts, axis, types = counted(ds), LayerAxis.of(ds), looks.TYPES
    present = [name for name in types if name in counts["type"]]
    peaks = [looks.peak(counts.sel(type=name), axis, types.label(name)) for name in present]
    common = span(ds["halves_jaccard"].sel(type=present), ".0%")
    chance = ds["halves_jaccard_chance"].max().item()
    halves = f"Lists chosen on two halves of the segments have {common} of their neurons in common"
    return " ".join([*peaks, f"{halves} (of either; random lists: at most {chance:.1%})."])


FIGURES = {"neurons_by_layer": Drawing(by_layer, finding)}
