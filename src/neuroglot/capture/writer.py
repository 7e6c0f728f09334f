"""A thread that gathers a block's raw rows and sums by segment, and writes them to Zarr."""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.store import SITES, StoreDtype

if TYPE_CHECKING:
    import torch
    import zarr

EXPONENT = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000}
NAN = {"float16": 0x7E00, "bfloat16": 0x7FC0, "float32": 0x7FC00000}
UNSIGNED = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32}


@dataclass(frozen=True)
class RowBatch:
    """The raw rows of one batch, and its sums by segment.

    Attributes:
        values: by recording, site and layer raw rows ``[row, width]`` in the precision of the
            store; by recording, statistic and layer sums ``[segment, ...]``.
        places: the indices in the block of the rows or segments, by recording.
        ready: waits until the copies from the device have arrived.
    """

    values: "dict[tuple[str, str, int], torch.Tensor]"
    places: dict[str, NDArray[np.int64]]
    ready: Callable[[], None]


@dataclass(frozen=True)
class Shard:
    """The end of a block, all of whose rows and sums have been put.

    Attributes:
        spans: by recording, the block's rows among all rows, or its segments among all segments.
    """

    spans: Mapping[str, slice]


Save = Callable[[], None]


class Writer:
    """Handles row batches, ends of blocks and savings of progress, in order.

    At most two of them wait in memory. Errors of the thread are raised by the next ``put`` or at
    the end of the ``with`` block.
    """

    def __init__(
        self,
        arrays: "dict[tuple[str, str], zarr.Array[Any]]",
        longest: Mapping[str, int],
        name: Path,
    ) -> None:
        """Prepare the buffers and the thread.

        Args:
            arrays: by recording, arrays of sites from ``store.create_rows``, and of statistics from
                ``store.create_sums``.
            longest: number of rows or segments of the largest block, by recording.
            name: the store, for error messages.
        """
        self._arrays = arrays
        self._name = name
        self._queue: queue.Queue[RowBatch | Shard | Save | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        self._saved = threading.Event()  # set unless a saving of progress is waiting
        self._saved.set()
        self._dtypes = {  # of raw rows
            key: cast(StoreDtype, array.attrs["dtype"])
            for key, array in arrays.items()
            if key[1] in SITES
        }
        self._buffers = {}
        for key, array in arrays.items():
            shape = (array.shape[0], longest[key[0]], *array.shape[2:])
            if dtype := self._dtypes.get(key):
                # NaN stays beyond the width of narrower layers.
                self._buffers[key] = np.full(shape, NAN[dtype], UNSIGNED[dtype])
            else:
                self._buffers[key] = np.zeros(shape, array.dtype)
        self._thread = threading.Thread(target=self._run, name="row writer", daemon=True)

    def __enter__(self) -> "Writer":
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
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: RowBatch | Shard | Save) -> None:
        """Queue an item; wait while two are queued. A saving also waits for the saving before it.

        So a killed run loses only the rows being written and the rows being computed.
        """
        if not isinstance(item, RowBatch | Shard):
            self._saved.wait()
            self._saved.clear()
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self._error is None:
                    if isinstance(item, RowBatch):
                        self._place(item)
                    elif isinstance(item, Shard):
                        self._write(item)
                    else:
                        item()
            except BaseException as error:  # raised again in the recording thread
                self._error = error
            finally:
                if not isinstance(item, RowBatch | Shard):
                    self._saved.set()

    def _place(self, batch: RowBatch) -> None:
        batch.ready()
        for (name, site, layer), values in batch.values.items():
            buffer, dtype = self._buffers[name, site][layer], self._dtypes.get((name, site))
            if dtype is None:
                sums = values.numpy()
                buffer[batch.places[name], *map(slice, sums.shape[1:])] = sums
                continue
            bits = as_bits(values)
            if not finite(bits, dtype):
                raise NeuroglotError(
                    f"{self._name}: {site} of layer {layer + 1} holds NaN, infinity or values too "
                    f"large for {dtype}; set capture.store_dtype to bfloat16 or float32, and "
                    "if it happens again capture.dtype to float32"
                )
            buffer[batch.places[name], : bits.shape[1]] = bits

    def _write(self, shard: Shard) -> None:
        for (name, site), array in self._arrays.items():
            span, dtype = shard.spans[name], self._dtypes.get((name, site))
            if size := span.stop - span.start:
                values = self._buffers[name, site][:, :size]
                array[:, span] = (widened(values) if dtype == "bfloat16" else values).view(
                    array.dtype
                )
                if dtype is None:
                    values[:] = 0  # segments without rows put nothing


def widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Turn bits of bfloat16 values into float32, whose lower 16 bits are zero."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_bits(values: "torch.Tensor") -> NDArray[Any]:
    """View a CPU tensor's bits as unsigned integers; numpy has no bfloat16."""
    import torch

    if values.element_size() == 2:
        return values.view(torch.int16).numpy().view(np.uint16)
    return values.view(torch.int32).numpy().view(np.uint32)


def finite(bits: NDArray[Any], dtype: StoreDtype) -> bool:
    """Whether no value is infinite or NaN, whose exponent bits are all set."""
    mask = UNSIGNED[dtype](EXPONENT[dtype])
    return not bool(((bits & mask) == mask).any())
