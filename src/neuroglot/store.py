"""Zarr stores on disk, and the completion record that marks a store as complete."""

import json
import math
import os
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.provenance import digest

if TYPE_CHECKING:
    import xarray as xr
    import zarr

Content = Literal["tokens", "activations", "reduction"]
StoreDtype = Literal["float16", "bfloat16", "float32"]

COMPLETE = "complete.json"
ORIGIN = "origin.json"
PROGRESS = "progress"
CHUNK_BYTES = 1 << 20
SHARD_BYTES = 1 << 25  # of sums by segment; shards of raw rows are sized by their writer
COMPRESSED_BYTES = 1 << 27  # at most, of compressed raw rows: zarr holds a shard in memory
MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23}  # bits of a value after its leading 1


class Site(NamedTuple):
    """Dimensions and description of a site's raw rows, ``[planes, row, width]``.

    Sites of experts have only statistics; their planes are the layers with routed experts.
    """

    planes: str
    width: str
    long_name: str


SITES = {
    "act": Site("layer", "neuron", "activation of each neuron: input of the FFN's output matrix"),
    "gate": Site("layer", "neuron", "activation function of each neuron's gate"),
    "peak": Site("layer", "neuron", "largest activation of each neuron at any token of the text"),
    "out": Site("layer", "hidden", "output of the FFN's output matrix"),
    "mid": Site("layer", "hidden", "residual stream before the FFN adds to it"),
    "state": Site("depth", "hidden", "residual stream: what enters a stack and leaves its layers"),
    "chosen": Site("layer", "expert", "1 where a token is routed to the expert, else 0"),
    "weight": Site("layer", "expert", "the router's weight of the expert, 0 where not routed"),
    "router": Site("layer", "expert", "the router's probability of the expert"),
    "mean": Site("depth", "hidden", "mean of the residual stream over the tokens of the segment"),
}


class Completion(BaseModel):
    """A store's inputs and counts; written last, when the whole store is on disk.

    Attributes:
        content: what the store holds.
        origin: labels, settings and the fingerprints of the inputs.
        key: for recordings, the key that tells whether they are up to date.
        counts: number of rows, segments and so on.
        checksum: fingerprint of the counts and of the store's files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    content: Content
    origin: dict[str, Any]
    key: str = ""
    counts: dict[str, int] = {}
    checksum: str = ""

    @property
    def fingerprint(self) -> str:
        return digest({"content": self.content, "origin": self.origin, "key": self.key})


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, _as_json(value))


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def begin(
    store: Path,
    content: Content,
    origin: Mapping[str, Any],
    resume: bool = False,
    replace: bool = False,
    key: str = "",
) -> bool:
    """Prepare ``store`` for writing, unless it is already complete.

    With ``resume``, an incomplete store of the same origin is kept. If it lacks nothing but its
    completion record, that is restored: Snakemake removes it if it is killed before it has noted
    that the job is done. Other incomplete stores are removed; with ``replace``, so is a complete
    store of another origin.

    Returns:
        True if the store is complete and has the same origin: there is nothing to do.

    Raises:
        NeuroglotError: ``store`` is a complete store of another origin, or is not a store.
    """
    wanted = Completion(content=content, origin=dict(origin), key=key)
    if (store / COMPLETE).is_file():
        old = _parse(store, content)
        if old.fingerprint == wanted.fingerprint:
            return True
        if not replace:
            keys = sorted({*old.origin, *wanted.origin})
            changed = ", ".join(k for k in keys if old.origin.get(k) != wanted.origin.get(k))
            raise NeuroglotError(
                f"{store} is a complete store made from something else ({changed} differ); "
                "remove it, or write to another place"
            )
        (store / COMPLETE).unlink()
    if store.exists() and any(store.iterdir()) and not (store / ORIGIN).is_file():
        raise NeuroglotError(
            f"{store} is in the way: it was not written by neuroglot; move it elsewhere"
        )
    kept = resume and _begun(store).get("fingerprint") == wanted.fingerprint
    if kept and _put_back(store):
        return True
    if not kept:
        shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True, exist_ok=True)
    for unfinished in store.rglob("*.partial"):  # files that zarr was writing when it was killed
        unfinished.unlink()
    write_json(store / ORIGIN, {"fingerprint": wanted.fingerprint})
    return False


def complete(
    store: Path,
    content: Content,
    origin: Mapping[str, Any],
    counts: Mapping[str, int],
    key: str = "",
) -> None:
    """Write the completion record of a store."""
    completion = Completion(
        content=content,
        origin=dict(origin),
        key=key,
        counts=dict(counts),
        checksum=_checksum(store, counts),
    )
    write_json(
        store / ORIGIN,
        {"fingerprint": completion.fingerprint, "completion": completion.model_dump()},
    )
    write_json(store / COMPLETE, completion.model_dump())


def _put_back(store: Path) -> bool:
    """Restore the completion record if a store lacks nothing else; return whether it did."""
    try:
        completion = Completion.model_validate(_begun(store).get("completion"))
    except ValidationError:
        return False
    if completion.checksum != _checksum(store, completion.counts):
        return False
    write_json(store / COMPLETE, completion.model_dump())
    return True


def _checksum(store: Path, counts: Mapping[str, int]) -> str:
    """Fingerprint the parts of a store that the chunks' checksums do not cover.

    A missing chunk reads as zeros, and metadata have no checksum. So the fingerprint covers the
    files' names and sizes, and the content of JSON files.
    """
    files = {}
    for folder, folders, names in os.walk(store):
        if Path(folder) == store:
            folders[:] = [name for name in folders if name != PROGRESS]
            names = [name for name in names if name not in (COMPLETE, ORIGIN)]
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            is_json = path.suffix == ".json"
            content = path.read_text("utf-8", "replace") if is_json else path.stat().st_size
            files[path.relative_to(store).as_posix()] = content
    return digest([dict(counts), files])


def read_completion(store: Path, content: Content | None = None) -> Completion:
    """Read the completion record of a store of the given content, or of any.

    Raises:
        NeuroglotError: the store is missing, incomplete, damaged or holds something else.
    """
    if not (store / COMPLETE).is_file():
        state = "incomplete" if store.exists() else "missing"
        raise NeuroglotError(
            f"{store} is {state}: it has no {COMPLETE}; run the step that makes it"
        )
    completion = _parse(store, content)
    if _being_replaced(store, completion):
        raise NeuroglotError(
            f"{store} is incomplete: it was being replaced; run the step that makes it"
        )
    return completion


def held_at(path: Path) -> Completion | None:
    """The completion record of a store or group; None if it is missing or incomplete.

    Raises:
        NeuroglotError: the completion record is damaged.
    """
    if not (path / COMPLETE).is_file():
        return None
    completion = _parse(path, None)
    return None if _being_replaced(path, completion) else completion


def held(store: Path) -> dict[str, Completion]:
    """The completion records of a store's complete groups, by name; empty if there is no store.

    Raises:
        NeuroglotError: a completion record is damaged.
    """
    paths = sorted(path.parent for path in store.glob(f"*/{COMPLETE}"))
    completions = {path.name: held_at(path) for path in paths}
    return {name: completion for name, completion in completions.items() if completion}


def consolidate(store: Path, attributes: Mapping[str, str]) -> None:
    """Write the metadata of a store, including those of its complete groups.

    With them, the store and all its groups open with one call. The file is written only if it
    changes.
    """
    inside: dict[str, Any] = {}
    for name in held(store):
        group = json.loads((store / name / "zarr.json").read_text("utf-8"))
        arrays = group["consolidated_metadata"]["metadata"]
        inside[name] = {**group, "consolidated_metadata": _consolidated({})}
        inside |= {f"{name}/{array}": metadata for array, metadata in arrays.items()}
    metadata = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": _consolidated(inside),
    }
    path = store / "zarr.json"
    if not path.is_file() or path.read_bytes() != _as_json(metadata):
        write_json(path, metadata)


def _consolidated(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": dict(metadata)}


def _being_replaced(store: Path, completion: Completion) -> bool:
    """Whether Snakemake restored an old completion record after a failed update of the store."""
    return bool(_begun(store).get("fingerprint", completion.fingerprint) != completion.fingerprint)


def _parse(store: Path, content: Content | None) -> Completion:
    try:
        completion = Completion.model_validate_json((store / COMPLETE).read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise NeuroglotError(
            f"{store / COMPLETE} is damaged; remove {store} and make it again"
        ) from error
    if content not in (None, completion.content):
        raise NeuroglotError(f"{store} holds {completion.content}, not {content}")
    return completion


def require_same(completions: Mapping[Path, Completion], keys: Iterable[str]) -> None:
    """Refuse stores that cannot be compared because they were made in different ways.

    Raises:
        NeuroglotError: names the first two stores that differ, and in what.
    """
    (first, reference), *others = completions.items()
    keys = list(keys)
    for path, completion in others:
        for key in keys:
            if completion.origin.get(key) != reference.origin.get(key):
                raise NeuroglotError(
                    f"{path} and {first} cannot be compared: they differ in {key}; "
                    "make both again with the same settings"
                )


def _begun(store: Path) -> dict[str, Any]:
    """The fingerprint of what the store was last begun for, and its completion if it got one."""
    try:
        begun = json.loads((store / ORIGIN).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return begun if isinstance(begun, dict) else {}


# --- arrays ---------------------------------------------------------------------------------


def write_dataset(store: Path, dataset: "xr.Dataset", by_layer: Collection[str] = ()) -> None:
    """Write a dataset as one Zarr group, checked by CRC32C.

    Each array is one file, because a few large files are faster than many small ones. Text has
    variable length, as in Zarr's specification of strings.

    Args:
        store: a folder; other arrays in it stay and become part of the group.
        dataset: the dataset to write.
        by_layer: names of arrays that are read layer by layer, along their first dimension.
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    dataset, encoding = dataset.copy(), {}
    for name, variable in dataset.variables.items():
        sizes = tuple(max(1, size) for size in variable.shape)
        cut = {"chunks": (1, *sizes[1:]), "shards": sizes} if name in by_layer else {}
        encoding[str(name)] = {
            "chunks": sizes,
            "compressors": [ZstdCodec(level=3), Crc32cCodec()],
            **cut,
        }
        if variable.dtype.kind in "UT":
            dataset[name] = variable.astype(object)
    for name in dataset.variables:  # a partly written array cannot be continued
        shutil.rmtree(store / str(name), ignore_errors=True)
    (store / "zarr.json").unlink(missing_ok=True)
    with quiet():  # about our own files, and that consolidated metadata is an extension
        dataset.to_zarr(store, mode="a", encoding=encoding, zarr_format=3, consolidated=True)


def open_dataset(store: Path, content: Content, without: Collection[str] = ()) -> "xr.Dataset":
    """Read a complete store into memory, ``without`` some of its variables.

    Results of mixtures of experts are given by layer, see ``axes.by_layer``.

    Raises:
        NeuroglotError: the store is missing, incomplete, damaged or holds something else.
    """
    import xarray as xr

    from neuroglot.measures.axes import by_layer

    completion = read_completion(store, content)
    if completion.checksum != _checksum(store, completion.counts):
        raise NeuroglotError(
            f"{store} is damaged: its files are not those that were written; remove it and make it "
            "again"
        )
    try:
        with quiet():
            data: xr.Dataset = xr.open_zarr(store, chunks=None, drop_variables=list(without)).load()
    except Exception as error:
        raise damaged(store, error) from error
    for name, variable in data.variables.items():
        if variable.dtype.kind in "OT":  # labels become fixed-width text, whatever zarr returns
            text = np.array(variable.values.tolist(), dtype=str)
            data[name] = (variable.dims, text, variable.attrs)
    return by_layer(data)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what zarr warns of: extensions that we use on purpose, such as ``BitRound``."""
    from zarr.errors import ZarrUserWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        yield


def damaged(store: Path, error: Exception) -> NeuroglotError:
    """Make the error for a store that cannot be read although it has a completion record."""
    return NeuroglotError(
        f"{store} is damaged ({type(error).__name__}: {error}); remove it and make it again"
    )


def shard_rows(rows: int, row_bytes: int, shard_bytes: int) -> int:
    """Number of rows in a shard: the largest power of two that fits, but no more than needed.

    Args:
        rows: number of rows in all.
        row_bytes: size of one row over all sites and layers.
        shard_bytes: wanted size of a shard, which is in memory while it is filled.
    """
    fitting = max(1, shard_bytes // max(1, row_bytes))
    return int(2 ** min(math.floor(math.log2(fitting)), math.ceil(math.log2(max(1, rows)))))


def create_rows(
    store: Path,
    name: str,
    shape: tuple[int, int, int],
    rows_per_shard: int,
    dtype: StoreDtype,
    over: str,
    keep_bits: int | None = None,
) -> "zarr.Array[Any]":
    """Create the array of one site's raw rows, ``[layer or depth, row, width]``.

    A shard is one file and holds all layers of its rows. A chunk holds one layer of about 1 MB of
    rows, because analyses read layer by layer. Zarr has no bfloat16, so such values are stored as
    float32; their lower halves are zeros, which compress to almost nothing. Values with fewer than
    all bits are rounded by numcodecs' ``BitRound`` as they are written, and compressed. The shards
    of compressed rows are smaller.

    ``name`` is one of ``SITES``, ``over`` names the tokens that the rows cover, and ``keep_bits``
    is the number of bits of the mantissa that are kept, less than ``dtype`` has; None keeps all.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec
    from zarr.codecs.numcodecs import BitRound

    planes, rows, width = shape
    site, stored = SITES[name], "float32" if dtype == "bfloat16" else dtype
    filters: list[Any] = []
    packed: list[Any] = []
    attributes: dict[str, Any] = {"dtype": dtype, "units": "1", "long_name": site.long_name}
    attributes["over"] = over
    with quiet():
        if keep_bits is not None:
            filters, attributes["keep_bits"] = [BitRound(keepbits=keep_bits)], keep_bits
            packed = [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")]
        elif dtype == "bfloat16":
            packed = [BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")]
        if packed:
            row_bytes = planes * width * np.dtype(stored).itemsize
            rows_per_shard = min(rows_per_shard, shard_rows(rows, row_bytes, COMPRESSED_BYTES))
        fitting = max(1, CHUNK_BYTES // (width * itemsize(dtype)))
        return zarr.create_array(
            store / name,
            shape=shape,
            chunks=(1, min(rows_per_shard, 2 ** math.floor(math.log2(fitting))), width),
            shards=(planes, rows_per_shard, width),
            dtype=stored,
            filters=filters,
            compressors=[*packed, Crc32cCodec()],
            fill_value=0,
            dimension_names=(site.planes, "row", site.width),
            attributes=attributes,
            overwrite=True,
        )


def create_sums(
    store: Path, name: str, shape: tuple[int, ...], width: str, dtype: np.dtype[Any]
) -> "zarr.Array[Any]":
    """Create the array of a statistic's sums by segment, ``[layer, segment, width]``.

    A chunk holds one layer of about 1 MB of segments, because analyses read layer by layer; a shard
    is one file and holds all layers of about 32 MB. It is written a few segments at a time. Sums
    beyond the width of a narrower layer are 0, as they are where nothing was written.

    Args:
        store: the group's folder.
        name: the statistic.
        shape: of the array; ``[layer, segment]`` for a statistic with one number a layer.
        width: name of the third dimension.
        dtype: type of the sums.
    """
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    layers, segments, *wide = shape
    of_layer = math.prod(wide) * dtype.itemsize
    per_shard = shard_rows(segments, layers * of_layer, SHARD_BYTES)
    return zarr.create_array(
        store / name,
        shape=shape,
        chunks=(1, min(per_shard, shard_rows(segments, of_layer, CHUNK_BYTES)), *wide),
        shards=(layers, per_shard, *wide),
        dtype=dtype,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],  # more saves nothing and takes longer
        fill_value=0,
        dimension_names=("layer", "segment", width)[: len(shape)],
        overwrite=True,
    )


def describe(store: Path, name: str, attributes: Mapping[str, str]) -> None:
    """Add attributes to an array."""
    import zarr

    zarr.open_array(store / name, mode="r+").attrs.update(attributes)


def itemsize(dtype: StoreDtype) -> int:
    """Bytes of one stored value."""
    return 4 if dtype == "float32" else 2


def read_rows(
    store: Path, name: str, layer: int | slice = slice(None), rows: slice = slice(None)
) -> NDArray[np.float32]:
    """Read raw rows as float32: ``[row, width]`` of one layer, ``[layer, row, width]`` of several.

    Raises:
        NeuroglotError: the store does not hold this site's rows, or they are damaged.
    """
    values = _read_array(store, name, f"raw rows of {name}", (layer, rows))
    return values.astype(np.float32, copy=False)


def read_sums(
    store: Path, name: str, layer: int | slice = slice(None), parts: slice = slice(None)
) -> NDArray[Any]:
    """Read sums by fold or segment, ``[layer, fold or segment, ...]``, too large to be read whole.

    Raises:
        NeuroglotError: the store does not hold the statistic, or it is damaged.
    """
    return _read_array(store, name, f"{name}; make it again", (layer, parts))


def _read_array(store: Path, name: str, missing: str, chosen: Any) -> NDArray[Any]:
    import zarr

    path = store / name
    if not (path / "zarr.json").is_file():
        raise NeuroglotError(f"{store} holds no {missing}")
    try:
        with quiet():
            return np.asarray(zarr.open_array(path, mode="r")[chosen])
    except Exception as error:
        raise damaged(store, error) from error
