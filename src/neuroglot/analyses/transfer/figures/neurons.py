"""Number of each language's transfer neurons by layer."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import languages, sheets, style
from neuroglot.figures.layers import LayerAxis


def counted(ds: Dataset) -> Dataset:
    """``value(type, language, layer)``: neurons of the lists; NaN where no type's are sought.

    Args:
        ds: ``neurons(type, language, layer)``; ``score(type, language, layer, neuron)``, NaN in
            the layers without a search for the type.
    """
    sought = ds["score"].notnull().any(["language", "neuron"])
    return ds[["neurons"]].where(sought).dropna("type", how="all").rename(neurons="value")


@style.styled
def by_layer(ds: Dataset) -> Figure:
    """Transfer neurons of either type in each layer by language.

    Args:
        ds: see ``counted``; ``attrs["top_n"]``.
    """
    counts = counted(ds)
    if not counts["value"].size:
        return style.empty("no transfer neurons")
    axis, either = LayerAxis.of(ds), counts.sum("type", min_count=1, keep_attrs=True)
    figure = languages.by_layer(either, "value", "neurons of a list")
    last = int(counts["value"].sel(type="type1").notnull().any("language").sum()) - 1
    note = looks.note(ds, f"Type 1 up to {axis.name(last)}")
    sheets.title(figure, ds, f"where each type's {ds.attrs['top_n']:,} neurons are", note)
    return figure


def finding(ds: Dataset) -> str:
    """Say which layer has most neurons of each type."""
    counts, axis = counted(ds), LayerAxis.of(ds)
    types = counts["type"].values.tolist()
    return " ".join(looks.peak(counts.sel(type=one), axis, looks.TYPES.label(one)) for one in types)


FIGURES: dict[str, style.Drawing] = {"neurons_by_layer": style.Drawing(by_layer, finding)}
