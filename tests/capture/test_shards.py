"""Raw rows that are put into their places one by one are what zarr reads, or nothing at all."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from neuroglot import store
from neuroglot.capture.shards import Shards
from neuroglot.errors import NeuroglotError

PLANES, WIDTH = 3, 5


def made(folder: Path, rows: int, dtype: store.StoreDtype, monkeypatch) -> "zarr.Array":
    """An array with chunks of 4 rows in shards of 8, whatever the precision."""
    monkeypatch.setattr(store, "CHUNK_BYTES", 4 * WIDTH * store.itemsize(dtype))
    array = store.create_rows(folder, "act", (PLANES, rows, WIDTH), 8, dtype, "every token")
    assert (array.chunks, array.shards) == ((1, 4, WIDTH), (PLANES, 8, WIDTH))
    return array


def values(rows: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(PLANES, rows, WIDTH)).astype(dtype)


def write(array, folder: Path, rows: np.ndarray, start: int, stop: int, seed: int = 0) -> None:
    """Put a block's rows in no order, a few at a time, as batches do."""
    order = np.random.default_rng(seed).permutation(np.arange(start, stop))
    with Shards(array, folder / "act") as shards:
        for batch in np.array_split(order, min(3, len(order))):
            for plane in range(PLANES):
                places = np.sort(batch)
                shards.put(plane, places, np.ascontiguousarray(rows[plane, places]))
        shards.finish(start, stop)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("rows", [1, 4, 7, 8, 9, 16, 21, 30])
@pytest.mark.parametrize("size", [1, 3, 8, 11, 100])
def test_zarr_reads_what_was_put(
    rows: int, size: int, dtype: store.StoreDtype, tmp_path: Path, monkeypatch
) -> None:
    array, expected = made(tmp_path, rows, dtype, monkeypatch), values(rows, dtype)
    for start, stop in pairwise([*range(0, rows, size), rows]):
        write(array, tmp_path, expected, start, stop)
    found = store.read_rows(tmp_path, "act")
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    np.testing.assert_array_equal(store.read_rows(tmp_path, "act", 1, slice(2, 5)), found[1, 2:5])


@pytest.mark.parametrize("rows", [18, 21])
def test_what_is_written_is_what_zarr_would_write(rows: int, tmp_path: Path, monkeypatch) -> None:
    """But for the order of the chunks in a file: same files, same sizes, same chunks."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    expected = values(rows, "float16")
    write(made(ours, rows, "float16", monkeypatch), ours, expected, 0, rows)
    made(theirs, rows, "float16", monkeypatch)[:] = expected
    files = [
        {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*")}
        for folder in (ours, theirs)
    ]
    assert files[0] == files[1]


def test_a_killed_recording_goes_on_in_a_chunk_that_it_left(tmp_path: Path, monkeypatch) -> None:
    expected = values(21, "float16")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    write(made(whole, 21, "float16", monkeypatch), whole, expected, 0, 21)
    array = made(killed, 21, "float16", monkeypatch)
    write(array, killed, expected, 0, 10)
    with Shards(array, killed / "act") as shards:  # some rows of the next block, perhaps damaged
        shards.put(1, np.array([11, 15]), np.full((2, WIDTH), 7, np.float16))
    write(array, killed, expected, 10, 21, seed=1)
    for file in whole.rglob("c/*/*/*"):
        assert file.read_bytes() == (killed / file.relative_to(whole)).read_bytes()


def test_rows_of_a_chunk_that_is_not_finished_are_refused(tmp_path: Path, monkeypatch) -> None:
    array, expected = made(tmp_path, 21, "float16", monkeypatch), values(21, "float16")
    write(array, tmp_path, expected, 0, 10)
    np.testing.assert_array_equal(
        store.read_rows(tmp_path, "act", 2, slice(0, 8)), expected[2, :8].astype(np.float32)
    )
    with pytest.raises(NeuroglotError, match="is damaged"):
        store.read_rows(tmp_path, "act", 2, slice(8, 10))


@pytest.mark.parametrize("at", ["chunk", "checksum", "index"])
def test_a_single_flipped_bit_is_found(at: str, tmp_path: Path, monkeypatch) -> None:
    write(made(tmp_path, 16, "float16", monkeypatch), tmp_path, values(16, "float16"), 0, 16)
    file = tmp_path / "act" / "c" / "0" / "1" / "0"
    content = bytearray(file.read_bytes())
    content[{"chunk": 7, "checksum": 4 * WIDTH * 2 + 1, "index": -9}[at]] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(NeuroglotError, match="is damaged"):
        store.read_rows(tmp_path, "act")


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all_of_them(
    tmp_path: Path, monkeypatch
) -> None:
    array, expected = made(tmp_path, 9, "float32", monkeypatch), values(9, "float32")
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: whole(file, content[:7], at))
    write(array, tmp_path, expected, 0, 9)
    np.testing.assert_array_equal(store.read_rows(tmp_path, "act"), expected)
