"""Creates the Zarr arrays of recordings: raw rows by site, and sums by segment."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import BY_FOLD, BY_SEGMENT
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import FFN
from neuroglot.store import SITES, create_rows, create_sums, quiet
from neuroglot.tokens import Tokens


def open_arrays(
    networks: Sequence[FFN],
    tokens: Tokens,
    recordings: Mapping[str, Recording],
    store: Path,
    size: int,
    resumed: bool,
) -> dict[tuple[str, str], Any]:
    """Open or create the arrays that blocks write.

    Args:
        networks: the model's FFNs.
        tokens: the text.
        recordings: by name.
        store: each recording's arrays are in the folder of its name.
        size: number of rows in a shard.
        resumed: whether the arrays are there, from an interrupted call.

    Returns:
        Raw rows by recording and site, and of a parallel text sums by recording and statistic.

    Raises:
        NeuroglotError: nothing to record.
    """
    arrays = {}
    for name, recording in recordings.items():
        rows = recording.rows(tokens)
        any_rows = tokens.ends_prefix.any() if recording.over == "prefixes" else len(rows)
        if not any_rows:
            raise NeuroglotError(f"{store}: no segment has a prefix of two subwords to record")
        for array, create in _creators(networks, tokens, recording, size).items():
            with quiet():
                arrays[name, array] = (
                    zarr.open_array(store / name / array, mode="r+")
                    if resumed
                    else create(store / name, array)
                )
    return arrays


def planes(networks: Sequence[FFN], site: str) -> tuple[int, int]:
    """Count a site's planes, see ``plane_numbers``, and give the width of the widest one."""
    return len(plane_numbers(networks, site)), max(_width(ffn, site) for ffn in networks)


def plane_numbers(networks: Sequence[FFN], site: str) -> dict[tuple[str, int], int]:
    """Number the planes of a site, by stack and layer.

    A plane is a layer of a stack; of sites of experts a layer with routed experts; or, for
    ``state`` and ``mean``, one of a stack's states, of which it has one more than layers.
    """
    there: list[tuple[str, int]] = []
    for ffn in networks:
        if SITES[site].width == "expert" and ffn.experts is None:
            continue
        if SITES[site].planes == "depth" and ffn.layer == 0:
            there.append((ffn.stack, 0))
        there.append((ffn.stack, ffn.layer + (SITES[site].planes == "depth")))
    return {place: number for number, place in enumerate(there)}


def by_segment(statistic: str) -> str:
    """The name under which a statistic ``…_by_fold`` of a parallel text is written."""
    return statistic.removesuffix(BY_FOLD) + BY_SEGMENT


def _width(ffn: FFN, site: str) -> int:
    width = SITES[site].width
    if width == "expert":
        return ffn.experts.count if ffn.experts else 0
    return ffn.neurons if width == "neuron" else ffn.hidden


def _creators(
    networks: Sequence[FFN], tokens: Tokens, recording: Recording, size: int
) -> dict[str, Callable[[Path, str], Any]]:
    """Functions that create the arrays of a recording in a folder, by array."""
    creators: dict[str, Callable[[Path, str], Any]] = {}
    rows, longest = len(recording.rows(tokens)), int(np.bincount(tokens.segment).max())
    for site in recording.sites if rows else ():
        layers, width = planes(networks, site)
        creators[site] = partial(
            create_rows,
            shape=(layers, rows, width),
            rows_per_shard=size,
            dtype=recording.store_dtype,
            over=recording.over,
            keep_bits=recording.keep_bits,
        )
    for statistic, (layers, width_name, sums) in _by_fold(networks, recording).items():
        if tokens.drawn:
            counts = np.min_scalar_type(longest)
            creators[by_segment(statistic)] = partial(
                create_sums,
                shape=(layers, len(tokens.segment_ids), *sums.shape[1:]),
                width=width_name,
                dtype=counts if sums.dtype.kind == "i" else sums.dtype,
            )
    return creators


def _by_fold(
    networks: Sequence[FFN], recording: Recording
) -> dict[str, tuple[int, str, NDArray[Any]]]:
    """Ask a recording's collectors for their sums by fold, of one fold without rows.

    Returns:
        By statistic, the number of layers, the name of its width and the sums ``[fold, width]`` in
        the widest layer; ``[fold]`` for a statistic with one number a layer.
    """
    none = torch.zeros(1, 0)
    kept_sums: dict[str, tuple[int, str, Tensor]] = {}
    for collector in recording.collectors:
        layers, width = planes(networks, collector.site)
        for statistic, sums in collector.chunk(torch.zeros(0, width), none).items():
            kept_sums[statistic] = layers, SITES[collector.site].width, sums
    for comparer in recording.cross_layer:
        widths = [_width(ffn, comparer.site) for ffn in networks]
        kept = [comparer.layer(i, torch.zeros(0, width)) for i, width in enumerate(widths)]
        for statistic, by_layer in comparer.rows(torch.stack(kept, dim=1), none).items():
            kept_sums[statistic] = len(networks), "kept", by_layer[0]
    return {
        statistic: (layers, width, sums.numpy())
        for statistic, (layers, width, sums) in kept_sums.items()
        if statistic.endswith(BY_FOLD)
    }
