"""Number of each language's transfer neurons by layer."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import languages, sheets
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
    """Transfer neurons of either type in each layer by language, ``attrs["top_n"]`` of each."""
    counts, axis = counted(ds), LayerAxis.of(ds)
    either = counts.sum("type", min_count=1, keep_attrs=True)
    figure = languages.by_layer(either, "value", "neurons of a list")
    last = int(counts["value"].sel(type="type1").notnull().any("language").sum()) - 1
    note = looks.note(ds, f"Type 1 up to {axis.name(last)}")
    subject = f"where each type's {ds.attrs['top_n']:,} neurons are"
    return sheets.title(figure, ds, subject, note)


def finding(ds: Dataset) -> str:
    """Say which layer has most neurons of each type."""
    counts, axis, types = counted(ds), LayerAxis.of(ds), looks.TYPES
    present = [name for name in types if name in counts["type"]]
    return " ".join(looks.peak(counts.sel(type=name), axis, types.label(name)) for name in present)


FIGURES = {"neurons_by_layer": Drawing(by_layer, finding)}
