"""A thread that puts batches of raw rows in their places and writes whole shards to Zarr."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.store import StoreDtype

if TYPE_CHECKING:
    import torch
    import zarr

EXPONENT = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000}
UNSIGNED = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32}


@dataclass(frozen=True)
class RowBatch:
    """Raw rows of one batch.

    Attributes:
        values: ``[row, width]`` by site and layer, in the precision to store.
        places: ``[row]``, their indices in the shard.
        ready: waits until the copies from the device have arrived.
    """

    values: "dict[tuple[str, int], torch.Tensor]"
    places: NDArray[np.int64]
    ready: Callable[[], None]


@dataclass(frozen=True)
class Shard:
    """The end of a shard: rows ``start`` to ``stop`` are whole; ``record`` then marks it done."""

    start: int
    stop: int
    record: Callable[[], None]


class Writer:
    """Takes row batches and shard ends in order; at most two batches wait in memory.

    Errors of the thread are raised by the next ``put`` or at the end of the ``with`` block.
    """

    def __init__(
        self,
        arrays: "dict[str, zarr.Array[Any]]",
        rows_per_shard: int,
        dtype: StoreDtype,
        name: Path,
    ) -> None:
        self._arrays = arrays
        self._dtype = dtype
        self._name = name
        self._queue: queue.Queue[RowBatch | Shard | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        self._recorded = threading.Event()  # set while no whole shard waits to be written
        self._recorded.set()
        self._buffers = {
            site: np.zeros(
                (array.shape[0], min(rows_per_shard, array.shape[1]), array.shape[2]),
                UNSIGNED[dtype],
            )
            for site, array in arrays.items()
        }
        self._thread = threading.Thread(target=self._run, name="row writer", daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: RowBatch | Shard) -> None:
        """Hand over work; waits while the writer is two items or a whole shard behind.

        So a kill costs no more than the shard that is written and the one that is computed.
        """
        if isinstance(item, Shard):
            self._recorded.wait()
            self._recorded.clear()
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self._error is None:
                    if isinstance(item, RowBatch):
                        self._place(item)
                    else:
                        self._write(item)
            except BaseException as error:  # handed to the thread that records
                self._error = error
            finally:
                if isinstance(item, Shard):
                    self._recorded.set()

    def _place(self, batch: RowBatch) -> None:
        batch.ready()
        for (site, layer), values in batch.values.items():
            bits = as_bits(values)
            if not finite(bits, self._dtype):
                raise NeuroglotError(
                    f"{self._name}: {site} of layer {layer + 1} holds NaN, infinity or values too "
                    f"large for {self._dtype}; set capture.store_dtype to bfloat16 or float32, and "
                    "if it happens again capture.dtype to float32"
                )
            self._buffers[site][layer, batch.places] = bits

    def _write(self, shard: Shard) -> None:
        for site, array in self._arrays.items():
            stop = min(shard.stop, array.shape[1])
            if stop > shard.start:
                rows = self._buffers[site][:, : stop - shard.start]
                array[:, shard.start : stop] = rows.view(array.dtype)
        shard.record()


def as_bits(values: "torch.Tensor") -> NDArray[Any]:
    """View a CPU tensor's bits as unsigned integers; numpy has no bfloat16."""
    import torch

    if values.element_size() == 2:
        return values.view(torch.int16).numpy().view(np.uint16)
    return values.view(torch.int32).numpy().view(np.uint32)


def finite(bits: NDArray[Any], dtype: StoreDtype) -> bool:
    """Say whether no value is infinite or NaN: those have every bit of the exponent set."""
    mask = UNSIGNED[dtype](EXPONENT[dtype])
    return not bool(((bits & mask) == mask).any())
