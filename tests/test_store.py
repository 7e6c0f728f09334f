"""A store is data only when its record says so, and only for the settings the record names."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from numcodecs.bitround import BitRound

from neuroglot import store
from neuroglot.capture.writer import EXPONENT, UNSIGNED, as_bits, finite, widened
from neuroglot.errors import NeuroglotError

ORIGIN = {"model": "m", "settings": {"dtype": "float16"}}


@pytest.fixture
def small() -> xr.Dataset:
    return xr.Dataset(
        {"mean": (("language", "layer"), np.arange(6.0).reshape(2, 3))},
        coords={"language": ["en", "zh-hans"], "layer": [0, 1, 2]},
        attrs={"analysis": "roles"},
    )


def finished(path: Path, data: xr.Dataset, origin: dict = ORIGIN) -> Path:
    assert not store.begin(path, "reduction", origin)
    store.write_dataset(path, data)
    store.complete(path, "reduction", origin, {"layer": 3})
    return path


def test_round_trip(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    xr.testing.assert_identical(store.open_dataset(path, "reduction"), small)


def test_unicode_labels_survive(tmp_path: Path, small: xr.Dataset) -> None:
    small = small.assign_coords(language=["हिन्दी", "中文"])
    path = finished(tmp_path / "a.zarr", small)
    assert store.open_dataset(path, "reduction")["language"].values.tolist() == ["हिन्दी", "中文"]


def test_a_complete_store_of_the_same_origin_is_done(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    assert store.begin(path, "reduction", ORIGIN)


def test_a_complete_store_of_other_settings_is_refused_and_kept(
    tmp_path: Path, small: xr.Dataset
) -> None:
    path = finished(tmp_path / "a.zarr", small)
    with pytest.raises(NeuroglotError, match=r"a\.zarr is a complete store .*settings differ"):
        store.begin(path, "reduction", {**ORIGIN, "settings": {"dtype": "float32"}})
    xr.testing.assert_identical(store.open_dataset(path, "reduction"), small)


def test_a_store_to_be_replaced_is_begun_again(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    other = {**ORIGIN, "settings": {"dtype": "float32"}}
    assert not store.begin(path, "reduction", other, replace=True)
    assert [one.name for one in path.iterdir()] == [store.ORIGIN]
    assert store.begin(finished(tmp_path / "b.zarr", small), "reduction", ORIGIN, replace=True)


def test_the_old_record_of_a_store_that_was_being_replaced_does_not_count(
    tmp_path: Path, small: xr.Dataset
) -> None:
    path = finished(tmp_path / "a.zarr", small)
    record, other = (
        (path / store.COMPLETE).read_text(),
        {**ORIGIN, "settings": {"dtype": "float32"}},
    )
    store.begin(path, "reduction", other, resume=True, replace=True)
    (path / "half").touch()
    (path / store.COMPLETE).write_text(record)  # as Snakemake does when the job fails
    with pytest.raises(NeuroglotError, match=r"a\.zarr is incomplete: it was being replaced"):
        store.open_dataset(path, "reduction")
    assert not store.begin(path, "reduction", other, resume=True, replace=True)
    assert not (path / store.COMPLETE).exists()
    assert (path / "half").exists()  # what was done of the new one is kept


def test_without_its_record_a_store_is_incomplete(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    (path / store.COMPLETE).unlink()
    with pytest.raises(NeuroglotError, match=r"a\.zarr is incomplete"):
        store.open_dataset(path, "reduction")
    with pytest.raises(NeuroglotError, match=r"b\.zarr is missing"):
        store.open_dataset(tmp_path / "b.zarr", "reduction")


def test_a_damaged_record_is_refused(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    (path / store.COMPLETE).write_text("{")
    with pytest.raises(NeuroglotError, match="is damaged"):
        store.open_dataset(path, "reduction")


def test_damaged_bytes_are_found(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    chunk = next(file for file in (path / "mean" / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes(bytes(content))
    with pytest.raises(NeuroglotError, match=r"a\.zarr is damaged"):
        store.open_dataset(path, "reduction")


def test_another_kind_is_refused(tmp_path: Path, small: xr.Dataset) -> None:
    path = finished(tmp_path / "a.zarr", small)
    with pytest.raises(NeuroglotError, match="holds reduction, not tokens"):
        store.open_dataset(path, "tokens")


def test_what_is_no_store_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(NeuroglotError, match="not written by neuroglot"):
        store.begin(path, "reduction", ORIGIN)
    assert (path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("origin", "resume", "kept"),
    [(ORIGIN, True, True), (ORIGIN, False, False), ({**ORIGIN, "model": "n"}, True, False)],
)
def test_an_interrupted_store_is_resumed_only_with_the_same_origin(
    tmp_path: Path, origin: dict, resume: bool, kept: bool
) -> None:
    path = tmp_path / "a.zarr"
    store.begin(path, "activations", ORIGIN)
    (path / "shard").write_text("x")
    assert not store.begin(path, "activations", origin, resume=resume)
    assert (path / "shard").exists() is kept


def test_a_store_that_lost_only_its_record_gets_it_back(tmp_path: Path, small: xr.Dataset) -> None:
    """Snakemake, killed before it has noted that a job is done, removes the job's output."""
    path = finished(tmp_path / "a.zarr", small)
    record = (path / store.COMPLETE).read_bytes()
    (path / store.COMPLETE).unlink()
    assert store.begin(path, "reduction", ORIGIN, resume=True), "there is nothing to do again"
    assert (path / store.COMPLETE).read_bytes() == record
    xr.testing.assert_identical(store.open_dataset(path, "reduction"), small)


@pytest.mark.parametrize("change", ["cut", "removed", "added"])
def test_a_store_that_lost_more_than_its_record_does_not(
    tmp_path: Path, small: xr.Dataset, change: str
) -> None:
    path = finished(tmp_path / "a.zarr", small)
    (path / store.COMPLETE).unlink()
    chunk = next(file for file in (path / "mean" / "c").rglob("*") if file.is_file())
    if change == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif change == "removed":
        chunk.unlink()
    else:
        chunk.with_name("other").write_bytes(b"x")
    assert not store.begin(path, "reduction", ORIGIN, resume=True)
    assert not (path / store.COMPLETE).exists()


def test_what_was_half_written_is_removed_before_a_store_is_gone_on_with(
    tmp_path: Path, small: xr.Dataset
) -> None:
    path = tmp_path / "a.zarr"
    assert not store.begin(path, "reduction", ORIGIN)
    store.write_dataset(path, small)
    half = path / "mean" / "c" / "0" / "0.abc.partial"
    half.write_bytes(b"half")
    assert not store.begin(path, "reduction", ORIGIN, resume=True)
    assert not half.exists()
    store.write_dataset(path, small)  # over what is there of it
    store.complete(path, "reduction", ORIGIN, {})
    xr.testing.assert_identical(store.open_dataset(path, "reduction"), small)


def test_stores_made_in_other_ways_are_not_compared(tmp_path: Path) -> None:
    records = {
        tmp_path / name: store.Completion(content="activations", origin={"code": code})
        for name, code in [("en.zarr", "1"), ("de.zarr", "1"), ("fr.zarr", "2")]
    }
    with pytest.raises(
        NeuroglotError, match=r"fr\.zarr and .*en\.zarr cannot be .* differ in code"
    ):
        store.require_same(records, ["code"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_raw_rows_round_trip(tmp_path: Path, dtype: store.StoreDtype) -> None:
    values = torch.randn(3, 10, 7, generator=torch.Generator().manual_seed(1))
    stored = values.to(getattr(torch, dtype))
    array = store.create_rows(tmp_path, "act", (3, 10, 7), 4, dtype, "every token")
    for start in range(0, 10, 4):
        rows = as_bits(stored[:, start : start + 4].contiguous())
        values = widened(rows) if dtype == "bfloat16" else rows
        array[:, start : start + 4] = values.view(array.dtype)
    assert torch.equal(torch.from_numpy(store.read_rows(tmp_path, "act")), stored.float())
    assert np.array_equal(store.read_rows(tmp_path, "act", 1), stored[1].float().numpy())


@pytest.mark.parametrize(
    ("dtype", "keep_bits"), [("float16", 4), ("bfloat16", 4), ("float32", 10), ("float32", 1)]
)
def test_rounded_rows_are_the_nearest_with_so_many_bits(
    tmp_path: Path, dtype: store.StoreDtype, keep_bits: int
) -> None:
    """Compared with the nearest of all values that have no more bits, ties to even."""
    values = torch.randn(2, 30, 512, generator=torch.Generator().manual_seed(1))
    values[values.abs() < 1e-3] = 1e-3  # float16 has fewer bits near zero
    exact = values.to(getattr(torch, dtype)).float().numpy()
    array = store.create_rows(tmp_path, "act", exact.shape, 8, dtype, "every token", keep_bits)
    array[:] = exact
    fraction, exponent = np.frexp(exact.astype(np.float64))  # np.rint rounds ties to even
    nearest = np.ldexp(np.rint(fraction * 2 ** (keep_bits + 1)) / 2 ** (keep_bits + 1), exponent)
    found = store.read_rows(tmp_path, "act")
    np.testing.assert_array_equal(found, nearest.astype(np.float32))
    assert (found != exact).any()
    assert zarr.open_array(tmp_path / "act", mode="r").attrs["keep_bits"] == keep_bits
    size = sum(f.stat().st_size for f in (tmp_path / "act" / "c").rglob("*") if f.is_file())
    assert size < exact.size * store.itemsize(dtype)


@pytest.mark.parametrize(
    ("dtype", "keep_bits"), [("float16", 4), ("float16", 9), ("bfloat16", 1), ("float32", 10)]
)
def test_values_that_rounding_makes_infinite_are_not_finite(
    dtype: store.StoreDtype, keep_bits: int
) -> None:
    """The last values before infinity, each compared with what the codec makes of it."""
    bits, unsigned = EXPONENT[dtype], UNSIGNED[dtype]
    stored = np.float32 if dtype == "float32" else np.float16
    half = 1 << (store.MANTISSA[dtype] - keep_bits - 1)
    for number in [*range(bits - 2, bits - 2 - 3 * half, -max(1, half // 7)), bits - half]:
        for sign in (0, 1 << (8 * np.dtype(unsigned).itemsize - 1)):
            value = np.array([number | sign], unsigned)
            held = widened(value) if dtype == "bfloat16" else value.view(stored)
            rounded = BitRound(keepbits=keep_bits).encode(held).view(held.dtype)
            assert finite(value, dtype, keep_bits) == bool(np.isfinite(rounded).all())
            assert finite(value, dtype)


def test_damaged_rows_are_found(tmp_path: Path) -> None:
    array = store.create_rows(tmp_path, "act", (1, 8, 4), 8, "float32", "every token")
    array[:] = np.arange(32, dtype=np.float32).reshape(1, 8, 4)
    shard = next(f for f in (tmp_path / "act" / "c").rglob("*") if f.is_file())
    content = bytearray(shard.read_bytes())
    content[5] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(NeuroglotError, match="is damaged"):
        store.read_rows(tmp_path, "act")


def test_absent_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(NeuroglotError, match="holds no raw rows of gate"):
        store.read_rows(tmp_path, "gate")


@pytest.mark.parametrize(
    ("rows", "row_bytes", "shard_bytes", "expected"),
    [(100, 10, 1000, 64), (3, 10, 1000, 4), (1, 10, 1000, 1), (10, 5000, 1000, 1)],
)
def test_shard_rows(rows: int, row_bytes: int, shard_bytes: int, expected: int) -> None:
    assert store.shard_rows(rows, row_bytes, shard_bytes) == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan"), 70000.0, 0.0, -1e-7])
def test_non_finite_bits(dtype: store.StoreDtype, bad: float) -> None:
    for others in ([1.0, -65504.0], [1.0], [-65504.0], []):
        value = torch.tensor([*others, bad]).to(getattr(torch, dtype))
        assert finite(as_bits(value), dtype) == bool(torch.isfinite(value).all())
    assert finite(as_bits(value[:0]), dtype)
