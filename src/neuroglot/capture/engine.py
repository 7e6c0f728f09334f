"""Runs a model over tokens once; raw rows and streaming collectors share the forward pass."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.batches import in_batches
from neuroglot.capture.collectors import BY_FOLD, Collector, CrossLayerCollector, Totals
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.capture.writer import RowBatch, Shard, Writer
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.models.ffn import FFN, backbone, ffns, record
from neuroglot.progress import progress
from neuroglot.store import PROGRESS, StoreDtype, create_rows, damaged, itemsize, shard_rows
from neuroglot.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from torch import nn

# Beyond the raw rows a shard is only sums, which may be larger than the rows they are of.
SHARDS_OF_SUMS = 16


@dataclass(frozen=True)
class Recording:
    """What to keep of a forward pass.

    Attributes:
        sites: whose raw rows are stored: ``act``, ``gate``, ``out``, ``mid``, ``state``, and two
            over all tokens of the row's segment, special ones left out: ``peak``, the largest value
            of ``peak_of``, and ``mean``, the mean of ``state``.
        raw_rows: how many of the recorded rows, from the first, are stored raw.
        collectors: statistics over all recorded rows.
        store_dtype: precision of raw rows.
        cross_layer: statistics over all recorded rows that compare layers.
        every_token: records every token, not only those that end a prefix.
        last_token: records the last token of every segment, and no other.
        peak_of: ``act`` or ``gate``.
        prompts: lets an encoder-decoder's decoder read its start token alone, where it begins to
            answer, and not the text again.
    """

    sites: tuple[str, ...]
    raw_rows: int
    collectors: tuple[Collector, ...]
    store_dtype: StoreDtype = "float16"
    cross_layer: tuple[CrossLayerCollector, ...] = ()
    every_token: bool = False
    last_token: bool = False
    peak_of: str = "act"
    prompts: bool = False

    def rows(self, tokens: Tokens) -> NDArray[np.int64]:
        """Indices of the recorded tokens, ``[row]``."""
        if self.every_token:
            return np.arange(len(tokens.token_id))
        if self.last_token:
            return np.flatnonzero(np.diff(tokens.segment, append=-1))
        return np.flatnonzero(tokens.snapshot)

    def source(self, site: str) -> str:
        """The site that a stored one is read from."""
        return {"peak": self.peak_of, "mean": "state"}.get(site, site)

    @property
    def watched(self) -> set[str]:
        """Every site that something is wanted of."""
        collected = [collector.site for collector in self.collectors]
        sites = map(self.source, self.sites)
        return {*sites, *collected, *(collector.site for collector in self.cross_layer)}


@dataclass(frozen=True)
class Batch:
    """Segments that are run together, padded on the right.

    Attributes:
        inputs: arguments of the model.
        times: by stack, ``[row]`` index into the flattened (segment, position) of each row.
        prefixes: indices of the rows that end a prefix; None if all do.
        items: ``[row]``, the segment of each row within the batch.
        folds: those that the segments are of.
        of_fold: ``[fold, row]``, 1 where the row is of the fold and 0 elsewhere.
        text: by stack, ``[segment, position]``, what is neither padding nor a special token.
        places: ``[row]``, indices in the shard.
        tokens: tokens without padding.
    """

    inputs: "dict[str, torch.Tensor]"
    times: "dict[str, torch.Tensor]"
    prefixes: "torch.Tensor | None"
    items: "torch.Tensor"
    folds: list[int]
    of_fold: "torch.Tensor"
    text: "dict[str, torch.Tensor]"
    places: NDArray[np.int64]
    tokens: int


class Engine:
    """A model with what it takes to record it.

    Rows are recorded in the order of the corpus, whatever the batches: results do not depend on
    how segments are grouped. Rows are cut into shards; each is computed and written on its own, so
    that an interrupted recording goes on with the first shard it lacks.
    """

    def __init__(
        self,
        model: "nn.Module",
        execution: ExecutionSettings | None = None,
        during: Callable[[Batch], AbstractContextManager[None]] | None = None,
    ) -> None:
        """Get a model ready.

        Args:
            model: with or without its head.
            execution: how much to do at a time.
            during: what holds while the model reads a batch.
        """
        self._during = during or (lambda _: nullcontext())
        self.model: Any = backbone(model)
        self.ffns = ffns(model)
        self.execution = execution or ExecutionSettings()  # type: ignore[call-arg]
        self._device = next(model.parameters()).device
        usual = 256 if self._device.type == "cpu" else 8192
        self._budget = self.execution.batch_tokens or usual

    def run(
        self, tokens: Tokens, recording: Recording, store: Path, description: str = "capture"
    ) -> dict[str, NDArray[Any]]:
        """Record rows into ``store`` and return the collectors' sums, ``[layer, ...]`` by name.

        Those by fold are ``[layer, fold, ...]``, zero in folds without rows.

        What an interrupted call with the same arguments has finished is not computed again.

        Raises:
            NeuroglotError: nothing to record; NaN, infinity or overflow; not enough memory.
        """
        recorded = recording.rows(tokens)
        of_prefixes = any(collector.prefixes for collector in recording.collectors)
        if not len(recorded) or (of_prefixes and not tokens.snapshot.any()):
            raise NeuroglotError(f"{store}: no segment has a prefix of two subwords to record")
        raw_rows = min(recording.raw_rows, len(recorded))
        planes = {site: _planes(self.ffns, site) for site in recording.sites}
        # Without raw rows a shard is as much work as if there were some.
        sizes = [_planes(self.ffns, site) for site in recording.sites or recording.watched]
        row_bytes = itemsize(recording.store_dtype) * sum(n * width for n, width in sizes)
        shard_bytes = self.execution.risk_megabytes << 19  # half of it: two are under way
        rows_per_shard = shard_rows(len(recorded), row_bytes, shard_bytes)
        # Shards of another size mean other rows, so what was done in them does not count.
        done = store / PROGRESS / f"shards-of-{rows_per_shard}"
        if not done.is_dir():
            shutil.rmtree(done.parent, ignore_errors=True)
            arrays = {
                site: create_rows(
                    store, site, (n, raw_rows, width), rows_per_shard, recording.store_dtype
                )
                for site, (n, width) in planes.items()
                if raw_rows
            }
            done.mkdir(parents=True)
        else:
            arrays = _open_arrays(store, planes if raw_rows else {})
        shards = _shards(len(recorded), raw_rows, rows_per_shard)
        missing = [shard for shard in shards if not _sums_path(done, shard[0]).is_file()]
        lengths = np.bincount(tokens.segment)
        total = sum(int(lengths[_segments(tokens, recorded[a:b])].sum()) for a, b in missing)
        with (
            progress(total, "tokens", description) as bar,
            Writer(arrays, rows_per_shard, recording.store_dtype, store) as writer,
        ):
            for start, stop in missing:
                rows = recorded[start:stop]
                totals = self._shard(
                    tokens, rows, raw_rows - start, recording, writer.put, bar.update
                )
                sums = {name: value.numpy() for name, value in totals.stacked().items()}
                _refuse_nan(sums, store)
                sums["folds"] = np.array(totals.folds(), np.int64)
                writer.put(Shard(start, stop, partial(_save, _sums_path(done, start), sums)))
        return _merge(_sums_path(done, start) for start, _ in shards)

    def rows(self, tokens: Tokens, recording: Recording) -> dict[str, NDArray[np.float32]]:
        """Raw rows of all that is recorded, ``[layer, row, width]`` by site, kept in memory.

        Raises:
            NeuroglotError: NaN or infinity; not enough memory.
        """
        recorded = recording.rows(tokens)
        found = {}
        for site in recording.sites:
            layers, width = _planes(self.ffns, site)
            found[site] = np.empty((layers, len(recorded), width), np.float32)

        def keep(batch: RowBatch) -> None:
            batch.ready()
            for (site, layer), values in batch.values.items():
                found[site][layer, batch.places] = values.float().numpy()

        self._shard(tokens, recorded, len(recorded), recording, keep)
        _refuse_nan(found, "the recorded rows")
        return found

    def _shard(
        self,
        tokens: Tokens,
        rows: NDArray[np.int64],
        raw_rows: int,
        recording: Recording,
        keep: Callable[[RowBatch], None],
        update: Callable[[int], Any] | None = None,
    ) -> Totals:
        """Run the segments that a shard's ``rows`` lie in and ``keep`` the first ``raw_rows``."""
        sequences = tokens.sequences()
        by_segment = {
            int(segment): np.flatnonzero(tokens.segment[rows] == segment)
            for segment in _segments(tokens, rows)
        }
        segments, totals = list(by_segment), Totals()

        def run(group: NDArray[np.int64]) -> None:
            own = [segments[number] for number in group]
            batch = self._batch(tokens, sequences, own, by_segment, rows, recording.prompts)
            sums, raw = self._forward(batch, raw_rows, recording)
            totals.merge(sums)
            if raw is not None:
                keep(raw)
            if update:
                update(batch.tokens)

        def too_long(number: int) -> str:
            return (
                f"one segment of {lengths[number]} tokens on {self._device}; shorten it, or use a "
                "device with more memory"
            )

        lengths = [len(sequences[segment]) for segment in segments]
        self._budget = in_batches(lengths, self._budget, run, too_long)
        return totals

    def _batch(
        self,
        tokens: Tokens,
        sequences: Sequence[NDArray[np.int64]],
        group: Sequence[int],
        by_segment: dict[int, NDArray[np.int64]],
        rows: NDArray[np.int64],
        prompts: bool,
    ) -> Batch:
        import torch

        ids, mask = _pad([sequences[segment] for segment in group])
        places = np.concatenate([by_segment[segment] for segment in group])
        items = np.repeat(np.arange(len(group)), [len(by_segment[s]) for s in group])
        positions = tokens.position[rows[places]]
        inputs = {"input_ids": ids, "attention_mask": mask}
        times = {"decoder": items * ids.shape[1] + positions}
        text = {"decoder": _without_specials(mask, tokens)}
        if self.model.config.is_encoder_decoder:
            first = self.model.config.decoder_start_token_id
            before, after = len(tokens.before), len(tokens.after)
            plain = [sequences[s][before : len(sequences[s]) - after] for s in group]
            read, read_mask = _pad([np.r_[first, [] if prompts else own] for own in plain])
            inputs |= {"decoder_input_ids": read, "decoder_attention_mask": read_mask}
            times["encoder"], text["encoder"] = times["decoder"], text["decoder"]
            times["decoder"] = items * read.shape[1] + (0 if prompts else positions - before + 1)
            text["decoder"] = read_mask.astype(bool)
            text["decoder"][:, 0] = prompts  # before a text, the start token is none of it
        folds, fold = np.unique(np.asarray(group)[items] % FOLDS, return_inverse=True)
        of_fold = (np.arange(len(folds))[:, None] == fold).astype(np.float32)
        ends_prefix = tokens.snapshot[rows[places]]
        prefixes = torch.from_numpy(np.flatnonzero(ends_prefix)).to(self._device)
        return Batch(
            inputs={k: torch.from_numpy(v).to(self._device) for k, v in inputs.items()},
            times={k: torch.from_numpy(v).to(self._device) for k, v in times.items()},
            prefixes=None if ends_prefix.all() else prefixes,
            items=torch.from_numpy(items).to(self._device),
            folds=folds.tolist(),
            of_fold=torch.from_numpy(of_fold).to(self._device),
            text={k: torch.from_numpy(v).to(self._device) for k, v in text.items()},
            places=places,
            tokens=int(sum(len(sequences[s]) for s in group)) - len(group) * _specials(tokens),
        )

    def _forward(
        self, batch: Batch, raw_rows: int, recording: Recording
    ) -> tuple[Totals, RowBatch | None]:
        import torch

        totals = Totals()
        values: dict[tuple[str, int], torch.Tensor] = {}
        keep = np.flatnonzero(batch.places < raw_rows)
        all_raw = len(keep) == len(batch.places)
        kept = torch.from_numpy(keep).to(self._device)
        dtype = getattr(torch, recording.store_dtype)
        offsets = {site: _plane_offsets(self.ffns, site) for site in recording.watched}
        copies = _Copies()
        pending: list[dict[int, torch.Tensor]] = [{} for _ in recording.cross_layer]

        def sink(site: str, stack: str, layer: int, value: torch.Tensor) -> None:
            times = batch.times[stack].to(value.device)
            rows = value.flatten(0, 1).index_select(0, times)  # [row, width]
            plane = offsets[site][stack] + layer
            for collector in recording.collectors:
                if collector.site == site:
                    read, of_fold = rows, batch.of_fold.to(rows.device)
                    if collector.prefixes and batch.prefixes is not None:
                        prefixes = batch.prefixes.to(rows.device)
                        read = rows.index_select(0, prefixes)
                        of_fold = of_fold.index_select(1, prefixes)
                    found = collector.chunk(read.float(), of_fold)
                    totals.collect(found, plane, batch.folds)
            for cross_layer, layers in zip(recording.cross_layer, pending, strict=True):
                if cross_layer.site == site:
                    layers[plane] = cross_layer.layer(plane, rows.float()).to(self._device)
            if not len(keep):
                return
            for name in recording.sites:
                if recording.source(name) == site:
                    of_rows = rows if name == site else _over_text(name, value, batch, stack)
                    raw = of_rows if all_raw else of_rows.index_select(0, kept.to(rows.device))
                    values[name, plane] = copies.to_host(raw.to(dtype))

        watch = record(self.model, recording.watched, sink)
        with torch.inference_mode(), self._during(batch), watch:
            extra = {} if self.model.config.is_encoder_decoder else {"use_cache": False}
            self.model(**batch.inputs, **extra)
            for cross_layer, layers in zip(recording.cross_layer, pending, strict=True):
                kept_rows = torch.stack([layers[plane] for plane in sorted(layers)], dim=1)
                for name, sums in cross_layer.rows(kept_rows, batch.of_fold).items():
                    for plane, partial_sum in enumerate(sums):
                        totals.collect({name: partial_sum}, plane, batch.folds)
        if not len(keep):
            return totals, None
        return totals, RowBatch(values, batch.places[keep], copies.wait)


class _Copies:
    """Copies to the host that run beside the forward pass, each device's on a stream of its own."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def to_host(self, value: "torch.Tensor") -> "torch.Tensor":
        import torch

        if value.device.type != "cuda":
            return value.cpu()
        stream = self._streams.setdefault(
            value.device,
            torch.cuda.Stream(value.device),  # type: ignore[no-untyped-call]
        )
        stream.wait_stream(torch.cuda.current_stream(value.device))
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        with torch.cuda.stream(stream):
            host.copy_(value, non_blocking=True)
        value.record_stream(stream)
        return host

    def wait(self) -> None:
        for stream in self._streams.values():
            stream.synchronize()


def _planes(blocks: Sequence[FFN], site: str) -> tuple[int, int]:
    """Number of layers (or states) of a site over all stacks, and its width."""
    states = len({block.stack for block in blocks}) if site in ("state", "mean") else 0
    width = blocks[0].neurons if site in ("act", "gate", "peak") else blocks[0].hidden
    return len(blocks) + states, width


def _plane_offsets(blocks: Sequence[FFN], site: str) -> dict[str, int]:
    """Index of each stack's first layer; a stack has one more state than layers."""
    offsets: dict[str, int] = {}
    for block in blocks:
        states_before = len(offsets) if site == "state" else 0
        offsets.setdefault(block.stack, block.index + states_before)
    return offsets


def _shards(rows: int, raw_rows: int, size: int) -> list[tuple[int, int]]:
    """First and last row + 1 of each shard; those without raw rows are larger."""
    shards, start = [], 0
    while start < rows:
        stop = min(rows, start + size * (1 if start < raw_rows else SHARDS_OF_SUMS))
        shards.append((start, stop))
        start = stop
    return shards


def _segments(tokens: Tokens, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.unique(tokens.segment[rows])


def _specials(tokens: Tokens) -> int:
    return len(tokens.before) + len(tokens.after)


def _pad(sequences: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad on the right, with token 0, and say what is no padding."""
    width = max(map(len, sequences))
    ids = np.zeros((len(sequences), width), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def _without_specials(mask: NDArray[np.int64], tokens: Tokens) -> NDArray[np.bool_]:
    """``[segment, position]``: the mask of padding, less special tokens at both ends."""
    place, length = np.arange(mask.shape[1]), mask.sum(1, keepdims=True)
    text: NDArray[np.bool_] = (place >= len(tokens.before)) & (place < length - len(tokens.after))
    return text


def _over_text(name: str, value: "torch.Tensor", batch: Batch, stack: str) -> "torch.Tensor":
    """``[row, width]``: ``peak`` or ``mean`` of ``value`` over the text of each row's segment."""
    import torch

    inside = batch.text[stack].to(value.device)[:, :, None]
    if name == "peak":
        found = torch.where(inside, value, -torch.inf).amax(1)
    else:
        found = torch.where(inside, value, 0).sum(1, dtype=torch.float64) / inside.sum(1)
    return found.index_select(0, batch.items.to(value.device))


def _open_arrays(store: Path, sites: Any) -> dict[str, Any]:
    import zarr

    return {site: zarr.open_array(store / "rows" / site, mode="r+") for site in sites}


def _sums_path(folder: Path, start: int) -> Path:
    return folder / f"{start:012d}.npz"


def _save(path: Path, sums: dict[str, NDArray[Any]]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    try:
        np.savez(temporary, **sums)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _merge(paths: Iterator[Path]) -> dict[str, NDArray[Any]]:
    """Add up the shards' sums, in the order of the shards."""
    merged: dict[str, NDArray[Any]] = {}
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as stored:
                sums = {name: stored[name] for name in stored.files}
                folds = sums.pop("folds")
        except Exception as error:  # a damaged archive fails in a dozen ways
            raise damaged(path, error) from error
        for name, found in sums.items():
            if name.endswith(BY_FOLD):
                shape = (found.shape[0], FOLDS, *found.shape[2:])
                merged.setdefault(name, np.zeros(shape, found.dtype))[:, folds] += found
            else:
                merged[name] = merged[name] + found if name in merged else found
    return merged


def _refuse_nan(found: dict[str, NDArray[Any]], where: Path | str) -> None:
    for name, values in found.items():
        if not np.isfinite(values).all():
            layer = int(np.argwhere(~np.isfinite(values))[0][0])
            raise NeuroglotError(
                f"{where}: {name} of layer {layer + 1} is not finite: the model's activations hold "
                "NaN or infinity; set capture.dtype to float32 or bfloat16"
            )
