"""A thread that puts raw rows and sums by segment into their places in Zarr arrays."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.shards import Shards
from neuroglot.errors import NeuroglotError
from neuroglot.store import MANTISSA, SITES, StoreDtype

if TYPE_CHECKING:
    import torch
    import zarr

EXPONENT = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000}
NAN = {"float16": 0x7E00, "bfloat16": 0x7FC0, "float32": 0x7FC00000}
UNSIGNED = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32}
SIGNED = {"float16": np.int16, "bfloat16": np.int16, "float32": np.int32}
WAITING = 4  # most items in the queue


@dataclass(frozen=True)
class Rows:
    """Raw rows of one layer and batch, and its sums by segment.

    Attributes:
        values: by recording, site and layer raw rows ``[row, width]`` in the precision of the
            store; by recording, statistic and layer sums ``[segment, ...]``.
        places: the indices of the rows among all rows, or of the segments among all segments, by
            recording.
        spans: what the block writes, see ``blocks.Block``.
        ready: waits until the copies from the device have arrived.
    """

    values: "dict[tuple[str, str, int], torch.Tensor]"
    places: Mapping[str, NDArray[np.int64]]
    spans: Mapping[str, slice]
    ready: Callable[[], None]


@dataclass(frozen=True)
class Done:
    """The end of a block, all of whose rows and sums have been put.

    Attributes:
        spans: what the block writes, see ``blocks.Block``.
    """

    spans: Mapping[str, slice]


Save = Callable[[], None]


class Writer:
    """Handles rows, ends of blocks and savings of progress, in order.

    Few of them wait in memory. Rows that are not compressed go straight to their files. Compressed
    ones and sums are gathered in memory and written at the end of a block. Errors of the thread are
    raised by the next ``put`` or at the end of the ``with`` block.
    """

    def __init__(
        self,
        arrays: "dict[tuple[str, str], zarr.Array[Any]]",
        longest: Mapping[str, int],
        store: Path,
    ) -> None:
        """Prepare the buffers and the thread.

        Args:
            arrays: by recording, arrays of sites from ``store.create_rows``, and of statistics from
                ``store.create_sums``.
            longest: number of rows or segments of the largest block, by recording.
            store: the arrays' folder.
        """
        self._arrays, self._store = arrays, store
        self._queue: queue.Queue[Rows | Done | Save | None] = queue.Queue(maxsize=WAITING)
        self._error: BaseException | None = None
        self._saved = threading.Event()  # set unless a saving of progress is waiting
        self._saved.set()
        self._dtypes = {  # of raw rows
            key: cast(StoreDtype, array.attrs["dtype"])
            for key, array in arrays.items()
            if key[1] in SITES
        }
        self._kept_bits = {
            key: cast("int | None", array.attrs.get("keep_bits")) for key, array in arrays.items()
        }
        self._shards: dict[tuple[str, str], Shards] = {}
        self._buffers: dict[tuple[str, str], NDArray[Any]] = {}
        for key, array in arrays.items():
            shape = (array.shape[0], longest[key[0]], *array.shape[2:])
            dtype = self._dtypes.get(key)
            if dtype is None:
                self._buffers[key] = np.zeros(shape, array.dtype)
            elif dtype == "bfloat16" or self._kept_bits[key]:
                # NaN stays beyond the width of narrower layers.
                self._buffers[key] = np.full(shape, NAN[dtype], UNSIGNED[dtype])
            else:
                self._shards[key] = Shards(array, store.joinpath(*key))
        self._files = ExitStack()
        self._thread = threading.Thread(target=self._run, name="row writer", daemon=True)

    def __enter__(self) -> "Writer":
        for shards in self._shards.values():
            self._files.enter_context(shards)
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        self._files.close()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: Rows | Done | Save) -> None:
        """Queue an item; wait while the queue is full. A saving also waits for the one before it.

        So a killed run loses only the rows being written and the rows being computed.
        """
        if not isinstance(item, Rows | Done):
            self._saved.wait()
            self._saved.clear()
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self._error is None:
                    if isinstance(item, Rows):
                        self._place(item)
                    elif isinstance(item, Done):
                        self._finish(item.spans)
                    else:
                        item()
            except BaseException as error:  # raised again in the recording thread
                self._error = error
            finally:
                if not isinstance(item, Rows | Done):
                    self._saved.set()

    def _place(self, rows: Rows) -> None:
        rows.ready()
        for (name, site, layer), values in rows.values.items():
            key, places = (name, site), rows.places[name]
            dtype = self._dtypes.get(key)
            placed = values.numpy() if dtype is None else as_bits(values)
            if dtype is not None and not finite(placed, dtype, self._kept_bits[key]):
                raise NeuroglotError(
                    f"{self._store}: {site} of layer {layer + 1} holds NaN, infinity or values too "
                    f"large for {dtype}; set capture.store_dtype to bfloat16 or float32, and "
                    "if it happens again capture.dtype to float32"
                )
            if key in self._buffers:
                within = places - rows.spans[name].start
                self._buffers[key][layer, within, *map(slice, placed.shape[1:])] = placed
            elif dtype is not None:
                width = self._arrays[key].shape[2]
                self._shards[key].put(layer, places, _widened_to(width, placed, NAN[dtype]))

    def _finish(self, spans: Mapping[str, slice]) -> None:
        for (name, site), array in self._arrays.items():
            span, dtype = spans[name], self._dtypes.get((name, site))
            size = span.stop - span.start
            if size and (name, site) in self._shards:
                self._shards[name, site].finish(span.start, span.stop)
            elif size:
                assert array.shards is not None
                values = self._buffers[name, site][:, :size]
                for part in _by_shard(span, array.shards[1]):
                    of_part = values[:, part.start - span.start : part.stop - span.start]
                    array[:, part] = of_part if dtype is None else as_values(of_part, dtype)
                if dtype is None:
                    values[:] = 0  # segments without rows put nothing


def _by_shard(span: slice, rows: int) -> Iterator[slice]:
    """Cut a span at the borders of shards of so many rows: zarr holds all that it is given."""
    cuts = range(span.start - span.start % rows + rows, span.stop, rows)
    for start, stop in pairwise([span.start, *cuts, span.stop]):
        yield slice(start, stop)


def as_values(bits: NDArray[Any], dtype: StoreDtype) -> NDArray[Any]:
    """Turn bits into the values that the store holds: bfloat16 ones become float32."""
    return widened(bits) if dtype == "bfloat16" else bits.view(dtype)


def widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Turn bits of bfloat16 values into float32, whose lower 16 bits are zero."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_bits(values: "torch.Tensor") -> NDArray[Any]:
    """View a CPU tensor's bits as unsigned integers; numpy has no bfloat16."""
    import torch

    if values.element_size() == 2:
        return values.view(torch.int16).numpy().view(np.uint16)
    return values.view(torch.int32).numpy().view(np.uint32)


def finite(bits: NDArray[Any], dtype: StoreDtype, keep_bits: int | None = None) -> bool:
    """Whether no value is infinite or NaN, whose exponent bits are all set.

    Among the positive values these have the largest bits, and so they have among the negative ones,
    whose bits are above those of all positive values. Two maxima take no memory and a sixth of
    the time of a mask. With ``keep_bits``, fewer than ``dtype`` has, values that would be rounded
    up to infinity are not finite either: those from half a step below it.
    """
    positive, negative = bits.view(SIGNED[dtype]), bits
    least, sign = EXPONENT[dtype], 1 << (8 * bits.itemsize - 1)
    if keep_bits is not None:
        least -= 1 << (MANTISSA[dtype] - keep_bits - 1)
    return not bits.size or (int(positive.max()) < least and int(negative.max()) < least | sign)


def _widened_to(width: int, rows: NDArray[Any], filled: int) -> NDArray[Any]:
    """Fill up the rows of a narrower layer to ``width``."""
    if rows.shape[1] == width:
        return rows
    whole = np.full((len(rows), width), filled, rows.dtype)
    whole[:, : rows.shape[1]] = rows
    return whole
