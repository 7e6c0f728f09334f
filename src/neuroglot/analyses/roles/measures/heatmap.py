"""Scaled activations of all rows of a few layers, for heatmaps (roles, figures 5, 7 and 8)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from neuroglot.measures.axes import (
    coordinates_of,
    layer_widths,
    prefix_rows,
    segment_labels,
    width_dimension,
)

PADDING = -1


def layers_at(shares: Iterable[float], depth: int) -> list[int]:
    """Find the layers nearest to shares of the depth: 0 is the first layer, 1 the last."""
    return sorted({round(share * (depth - 1)) for share in shares})


def scaled_rows(
    rows: Mapping[str, xr.DataArray], layers: Sequence[int], site: Literal["act", "out"]
) -> xr.Dataset:
    """Scale each row of the chosen layers to [0, 1]; pad all languages to equally many rows.

    Args:
        rows: language id -> recorded rows [layer, row, width] with an integer ``segment(row)``.
        layers: which values of the coordinate ``layer`` to draw, in this order.
        site: names the variable.

    Returns:
        ``scaled_{site}(language, layer, row, neuron)`` (or hidden), float32 (equation 3), with
        rows ordered by segment. Padding is NaN: rows at the end of a language with fewer rows, and
        neurons at the end of a narrower layer. ``segment(language, row)`` is -1 in padding rows.

    Raises:
        NeuroglotError: there are no languages, or a layer is not among those recorded.
    """
    if not rows:
        raise NeuroglotError("no languages to draw: name at least one")
    chosen = {language: _chosen(language, rows[language], layers) for language in rows}
    first = next(iter(chosen.values()))
    width = width_dimension(first)
    longest = max(prefixes.sizes["row"] for prefixes in chosen.values())
    scaled = np.full((len(rows), len(layers), longest, first.sizes[width]), np.nan, np.float32)
    segments = np.full((len(rows), longest), PADDING, dtype=np.int64)
    for index, prefixes in enumerate(chosen.values()):
        count = prefixes.sizes["row"]
        for layer, neurons in enumerate(layer_widths(prefixes)):
            values = prefixes[layer, :, :neurons].to_numpy()
            scaled[index, layer, :count, :neurons] = kernels.scale(values)
        segments[index, :count] = prefixes["segment"]
    dims, units = ("language", "layer", "row", width), "activation scaled to [0, 1] per row"
    source = "figures 5, 7 and 8"
    index_of = {"units": "index of segment", "source": source}
    return xr.Dataset(
        {
            f"scaled_{site}": (dims, scaled, {"units": units, "source": f"{source}, equation 3"}),
            "segment": (("language", "row"), segments, index_of),
        },
        coords={"language": list(rows), **coordinates_of(first, "layer")},
    )


def _chosen(language: str, rows: xr.DataArray, layers: Sequence[int]) -> xr.DataArray:
    missing = sorted(set(layers) - set(rows["layer"].to_numpy().tolist()))
    if missing:
        raise NeuroglotError(
            f"{language}: layers {missing} are not among the recorded "
            f"{rows['layer'].to_numpy().tolist()}"
        )
    chosen = prefix_rows(rows.sel(layer=list(layers)))
    return chosen.isel(row=np.argsort(segment_labels(chosen).to_numpy(), kind="stable"))
