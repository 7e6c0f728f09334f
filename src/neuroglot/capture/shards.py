"""Writes raw rows straight into their places in the shards of a Zarr array."""

import os
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import zarr

CHECKSUM = 4  # bytes, after each chunk and after the index
ABSENT = np.uint64(2**64 - 1)  # in the index, of chunks beyond the last row


class Shards:
    """The shards of an array ``[plane, row, width]`` whose chunks are not compressed.

    A shard is a file in the format of Zarr's codec ``sharding_indexed``: chunks, each followed by
    its CRC32C, and then an index of their places and lengths. All chunks have the same length, so
    each has its place before it is known what it holds. Rows are written there in any order, and
    zarr would hold a whole shard in memory, and copy it. A chunk's checksum is written when its
    last row is there. What a killed run wrote needs no other record: it goes on with the rows that
    it lacks.
    """

    def __init__(self, array: "zarr.Array[Any]", folder: Path) -> None:
        """Take the layout of an array from ``store.create_rows``; ``folder`` is the array's."""
        planes, self._rows, width = array.shape
        _, self._chunk_rows, _ = array.chunks
        assert array.shards is not None
        self._shard_rows = array.shards[1]
        self._row_bytes = width * array.dtype.itemsize
        self._stored_bytes = self._chunk_rows * self._row_bytes + CHECKSUM
        self._planes, self._width, self._folder = planes, width, folder
        self._files: dict[int, int] = {}  # open files, by shard

    def __enter__(self) -> "Shards":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for shard in list(self._files):
            os.close(self._files.pop(shard))

    def put(self, plane: int, places: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Write ``rows`` of one plane.

        Args:
            plane: the plane's index.
            places: the rows' indices in the array, ``[row]``.
            rows: contiguous ``[row, width]``, of the array's width and precision.
        """
        content = rows.reshape(-1).view(np.uint8).data
        breaks = (np.diff(places) != 1) | (places[1:] % self._chunk_rows == 0)
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(places)]
        for start, stop in pairwise(starts):
            shard, place = self._place(plane, int(places[start]))
            run = content[start * self._row_bytes : stop * self._row_bytes]
            _write(self._file(shard), run, place)

    def finish(self, start: int, stop: int) -> None:
        """Write the checksums of the chunks whose last row is one of ``start`` to ``stop``."""
        size = self._chunk_rows * self._row_bytes
        last = -(-stop // self._chunk_rows) if stop == self._rows else stop // self._chunk_rows
        for chunk in range(start // self._chunk_rows, last):
            for plane in range(self._planes):
                shard, place = self._place(plane, chunk * self._chunk_rows)
                content = os.pread(self._file(shard), size, place)
                assert len(content) == size
                _write(self._file(shard), memoryview(_checksum(content)), place + size)
        for shard in [shard for shard in self._files if (shard + 1) * self._shard_rows <= stop]:
            os.close(self._files.pop(shard))

    def _place(self, plane: int, row: int) -> tuple[int, int]:
        """The shard of a row, and the row's place in the shard's file."""
        shard, within = divmod(row, self._shard_rows)
        chunk, rest = divmod(within, self._chunk_rows)
        before = plane * self._chunks(shard) + chunk
        return shard, before * self._stored_bytes + rest * self._row_bytes

    def _chunks(self, shard: int) -> int:
        """Number of chunks of each plane of a shard; fewer in the last one."""
        rows = min(self._shard_rows, self._rows - shard * self._shard_rows)
        return -(-rows // self._chunk_rows)

    def _file(self, shard: int) -> int:
        if shard not in self._files:
            path = self._folder / "c" / "0" / str(shard) / "0"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[shard] = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            end = self._planes * self._chunks(shard) * self._stored_bytes
            index = self._index(shard)
            os.ftruncate(file, end + len(index))
            _write(file, memoryview(index), end)
        return self._files[shard]

    def _index(self, shard: int) -> bytes:
        """Place and length of each chunk, ``[plane, chunk, 2]``, and their checksum."""
        index = np.full((self._planes, self._shard_rows // self._chunk_rows, 2), ABSENT, "<u8")
        chunks = self._chunks(shard)
        first = np.arange(self._planes * chunks, dtype="<u8").reshape(self._planes, chunks)
        index[:, :chunks, 0] = first * np.uint64(self._stored_bytes)
        index[:, :chunks, 1] = self._stored_bytes
        content = index.tobytes()
        return content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    checksum: int = google_crc32c.value(content)
    return checksum.to_bytes(CHECKSUM, "little")


def _write(file: int, content: memoryview, place: int) -> None:
    """Write all of ``content``; a disk that is nearly full takes only a part at a time."""
    while len(content):
        written = os.pwrite(file, content, place)
        content, place = content[written:], place + written
