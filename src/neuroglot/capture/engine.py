"""Runs a model over tokens; raw rows and streaming collectors share one forward pass."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.capture.collectors import Collector, CrossLayerCollector, Totals
from neuroglot.capture.settings import ExecutionSettings, Over
from neuroglot.capture.writer import RowBatch, Rows, Shard, Writer
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.files import written_whole
from neuroglot.models.ffn import FFN, backbone, ffns, record
from neuroglot.progress import progress
from neuroglot.store import PROGRESS, StoreDtype, create_rows, damaged, itemsize, shard_rows
from neuroglot.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from torch import nn

# Without raw rows only sums are saved. They may be larger than a block's rows would be, so they are
# saved only after this many blocks.
BLOCKS_OF_SUMS = 16
# Minimum number of tokens in a block, however large a model's rows: with fewer a GPU would idle.
LEAST_TOKENS = 1024


@dataclass(frozen=True)
class Recording:
    """What to keep of a forward pass, and of which tokens.

    Attributes:
        sites: the sites whose raw rows are stored: ``act``, ``gate``, ``out``, ``mid``, ``state``,
            ``peak`` and ``mean``. ``peak`` is the largest value of ``peak_of``, and ``mean`` the
            mean of ``state``, over the tokens of the row's segment without special tokens.
        over: the tokens that are recorded. With prompts, an encoder-decoder's decoder reads only
            its start token, at which it begins to answer; it does not read the text again.
        collectors: statistics over the recorded rows.
        store_dtype: precision of raw rows.
        cross_layer: statistics over the recorded rows that compare layers.
        segments: how many of the drawn segments are recorded, from the first; None records all.
        peak_of: ``act`` or ``gate``.
    """

    sites: tuple[str, ...] = ()
    over: Over = "prefixes"
    collectors: tuple[Collector, ...] = ()
    store_dtype: StoreDtype = "float16"
    cross_layer: tuple[CrossLayerCollector, ...] = ()
    segments: int | None = None
    peak_of: str = "act"

    def rows(self, tokens: Tokens) -> NDArray[np.int64]:
        """Indices of the recorded tokens, ``[row]``."""
        if self.over == "prefixes":
            chosen = tokens.ends_prefix
        elif self.over == "every token":
            chosen = np.ones(len(tokens.segment), bool)
        else:
            chosen = np.diff(tokens.segment, append=-1) != 0
        places = tokens.places[tokens.segment]
        within = True if self.segments is None else places < self.segments
        return np.flatnonzero(chosen & within)

    @property
    def of_last_tokens(self) -> bool:
        """Whether every segment has one row: its last token."""
        return self.over in ("last token of each segment", "last prompt token")

    def source(self, site: str) -> str:
        """The site that a stored site is computed from."""
        return {"peak": self.peak_of, "mean": "state"}.get(site, site)

    @property
    def watched(self) -> set[str]:
        """Every site that has to be read."""
        collected = [collector.site for collector in self.collectors]
        sites = map(self.source, self.sites)
        return {*sites, *collected, *(collector.site for collector in self.cross_layer)}


@dataclass(frozen=True, eq=False)
class Picked:
    """The recorded rows of a batch.

    Attributes:
        times: by stack, each row's index into the flattened (segment, position), ``[row]``.
        items: each row's segment, as an index within the batch, ``[row]``.
        of_fold: ``[fold, row]``, 1 if the row is in the fold, else 0.
        places: each row's index in the block, ``[row]``.
    """

    times: "dict[str, torch.Tensor]"
    items: "torch.Tensor"
    of_fold: "torch.Tensor"
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Segments that are run together, padded on the right.

    Attributes:
        inputs: arguments of the model.
        picked: rows by the name of the recording. Recordings without rows are left out; recordings
            with the same rows share one ``Picked``.
        folds: the folds of the segments.
        text: by stack, ``[segment, position]``, true at tokens of the text: neither padding nor
            special tokens.
        tokens: number of the text's tokens, without padding and special tokens.
    """

    inputs: "dict[str, torch.Tensor]"
    picked: dict[str, Picked]
    folds: list[int]
    text: "dict[str, torch.Tensor]"
    tokens: int


@dataclass(frozen=True)
class Block:
    """Successive tokens whose segments are run, summed and written together.

    Blocks and batches depend on the text and the model, not on what is recorded. So a recording
    has the same numbers whether it is made alone or together with others. Rows are in the order of
    the text.

    Attributes:
        stop: index of the token after the block's last token.
        rows: indices of the recorded tokens, by name of the recording.
        starts: index of the block's first row among all rows, by name of the recording.
        segments: groups of segments that are batched separately: segments with a prefix, and
            segments without.
    """

    stop: int
    rows: Mapping[str, NDArray[np.int64]]
    starts: Mapping[str, int]
    segments: Sequence[NDArray[np.int64]]


class Engine:
    """Records a model's activations.

    Rows are stored in the order of the corpus, whatever the batches. A text is cut into blocks,
    which are computed and written one by one. An interrupted recording continues with the first
    block that it lacks.
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
            during: makes the context manager in which the model reads a batch.
        """
        self._during = during or (lambda _: nullcontext())
        self.model: Any = backbone(model)
        self.ffns = ffns(model)
        self.execution = execution or ExecutionSettings()
        self._device = next(model.parameters()).device
        # Larger batches overflow a CPU's caches.
        self._budget = batch_budget(self.model, 256, self.execution.batch_tokens)

    def run(
        self, tokens: Tokens, recording: Recording, store: Path, description: str = "capture"
    ) -> dict[str, NDArray[Any]]:
        """Record into ``store`` and return the collectors' sums, ``[layer, ...]`` by name.

        This is ``run_together`` with one recording, and with its progress in ``store``.
        """
        together = {store.name: recording}
        sums = self.run_together(tokens, together, store.parent, description, store / PROGRESS)
        return sums[store.name]

    def run_together(
        self,
        tokens: Tokens,
        recordings: Mapping[str, Recording],
        store: Path,
        description: str = "capture",
        kept: Path | None = None,
    ) -> dict[str, dict[str, NDArray[Any]]]:
        """Make several recordings in one pass; return their sums by recording and statistic.

        Sums are ``[layer, ...]``; sums by fold are ``[layer, fold, ...]``, with 0 in folds without
        rows. Blocks that an interrupted call has finished are not computed again, if that call had
        these recordings or these and others.

        Args:
            tokens: the text.
            recordings: by name. Raw rows are written to ``store / name``. Recordings of last tokens
                cannot be mixed with recordings of other tokens.
            store: a folder.
            description: label of the progress bar.
            kept: folder for the progress of an interrupted call; by default in the store.

        Raises:
            NeuroglotError: nothing to record; NaN, infinity or overflow; not enough memory.
        """
        size = self._block_size(tokens, recordings.values())
        blocks = _blocks(tokens, recordings, size)
        folder = (kept or store / PROGRESS) / f"blocks-of-{size}"
        arrays = self._arrays(tokens, recordings, store, size, folder)
        done, totals = _resumed(folder, recordings)
        raw = [name for name, recording in recordings.items() if recording.sites]
        missing = [own for own in _stretches(blocks, raw) if own[-1].stop > done]
        lengths, sequences = np.bincount(tokens.segment), tokens.sequences()
        read = [own for stretch in missing for block in stretch for own in block.segments]
        longest = {
            name: max((len(block.rows[name]) for block in blocks), default=0) for name in raw
        }
        with (
            progress(sum(int(lengths[own].sum()) for own in read), "tokens", description) as bar,
            Writer(arrays, longest, store) as writer,
        ):
            for stretch in missing:
                for block in stretch:
                    put, update = writer.put, bar.update
                    found = self._block(tokens, sequences, recordings, block, put, update)
                    for name, own in found.items():
                        totals[name].merge(own)
                    writer.put(Shard({n: Rows(block.starts[n], len(block.rows[n])) for n in raw}))
                sums = _by_layer(totals)
                _refuse_nan(sums, store)
                writer.put(partial(_save, folder, stretch[-1].stop, sums))
        return {name: own.stacked() for name, own in totals.items()}

    def rows(self, tokens: Tokens, recording: Recording) -> dict[str, NDArray[np.float32]]:
        """Record in memory: raw rows ``[layer, row, width]`` by site.

        Raises:
            NeuroglotError: NaN or infinity; not enough memory.
        """
        rows = recording.rows(tokens)
        found = {}
        for site in recording.sites:
            layers, width = _planes(self.ffns, site)
            found[site] = np.full((layers, len(rows), width), np.nan, np.float32)

        def keep(batch: RowBatch) -> None:
            batch.ready()
            for (_, site, layer), values in batch.values.items():
                own = values.float().numpy()
                _refuse_nan({f"{site}/{layer}": own}, "the recorded rows")
                found[site][layer, batch.places["rows"], : own.shape[1]] = own

        whole = Block(len(tokens.segment), {"rows": rows}, {"rows": 0}, [_segments(tokens, rows)])
        self._block(tokens, tokens.sequences(), {"rows": recording}, whole, keep)
        return found

    def _block_size(self, tokens: Tokens, recordings: Iterable[Recording]) -> int:
        """Tokens in a block or, if last tokens are recorded, segments in a block."""
        shard_bytes = self.execution.risk_megabytes << 19  # half: two shards are in memory at once
        last = [recording for recording in recordings if recording.of_last_tokens]
        if last:
            sizes = [
                itemsize(recording.store_dtype) * layers * width
                for recording in last
                for layers, width in (_planes(self.ffns, site) for site in recording.sites)
            ]
            return shard_rows(len(tokens.segment_ids), sum(sizes), shard_bytes)
        # The size of rows of ``act`` and ``out`` of every token, whatever is recorded now.
        planes = (_planes(self.ffns, site) for site in ("act", "out"))
        row_bytes = itemsize("float16") * sum(layers * width for layers, width in planes)
        return shard_rows(
            len(tokens.segment), row_bytes, max(shard_bytes, LEAST_TOKENS * row_bytes)
        )

    def _arrays(
        self,
        tokens: Tokens,
        recordings: Mapping[str, Recording],
        store: Path,
        size: int,
        folder: Path,
    ) -> dict[tuple[str, str], Any]:
        """The arrays of raw rows, by recording and site.

        If ``folder`` holds progress, the existing arrays are opened, else new ones are made.
        Progress with another block size has other batches and is removed.
        """
        import zarr

        found = {}
        begun = folder.is_dir()
        if not begun:
            shutil.rmtree(folder.parent, ignore_errors=True)
        for name, recording in recordings.items():
            rows = recording.rows(tokens)
            needed = tokens.ends_prefix.any() if recording.over == "prefixes" else len(rows)
            if not needed:
                raise NeuroglotError(f"{store}: no segment has a prefix of two subwords to record")
            for site in recording.sites if len(rows) else ():
                layers, width = _planes(self.ffns, site)
                shape, dtype = (layers, len(rows), width), recording.store_dtype
                found[name, site] = (
                    zarr.open_array(store / name / site, mode="r+")
                    if begun
                    else create_rows(store / name, site, shape, size, dtype, recording.over)
                )
        folder.mkdir(parents=True, exist_ok=True)
        return found

    def _block(
        self,
        tokens: Tokens,
        sequences: Sequence[NDArray[np.int64]],
        recordings: Mapping[str, Recording],
        block: Block,
        keep: Callable[[RowBatch], None],
        update: Callable[[int], Any] | None = None,
    ) -> dict[str, Totals]:
        """Run a block's segments, hand raw rows to ``keep`` and return the sums by recording."""
        totals = {name: Totals() for name in recordings}

        def run_all(segments: NDArray[np.int64]) -> None:
            lengths = [len(sequences[segment]) for segment in segments]

            def run(group: NDArray[np.int64]) -> None:
                batch = self._batch(tokens, sequences, segments[group], recordings, block)
                if batch.picked:
                    sums, raw = self._forward(batch, recordings)
                    for name, own in sums.items():
                        totals[name].merge(own)
                    if raw.values:
                        keep(raw)
                if update:
                    update(batch.tokens)

            def too_long(number: int) -> str:
                return (
                    f"one segment of {lengths[number]} tokens on {self._device}; shorten it, or "
                    "use a device with more memory"
                )

            self._budget = in_batches(lengths, self._budget, run, too_long)

        for segments in block.segments:
            run_all(segments)
        return totals

    def _batch(
        self,
        tokens: Tokens,
        sequences: Sequence[NDArray[np.int64]],
        group: NDArray[np.int64],
        recordings: Mapping[str, Recording],
        block: Block,
    ) -> Batch:
        import torch

        prompts = any(one.over == "last prompt token" for one in recordings.values())
        ids, mask = _pad([sequences[segment] for segment in group])
        inputs = {"input_ids": ids, "attention_mask": mask}
        text = {"decoder": _without_specials(mask, tokens)}
        before, after = len(tokens.before), len(tokens.after)
        # By stack: the length of a padded sequence, and how far a token's place in it is from the
        # token's position. None: every row is taken from the first token.
        reads: dict[str, tuple[int, int | None]] = {"decoder": (ids.shape[1], 0)}
        if self.model.config.is_encoder_decoder:
            first = self.model.config.decoder_start_token_id
            plain = [sequences[s][before : len(sequences[s]) - after] for s in group]
            read, read_mask = _pad([np.r_[first, [] if prompts else own] for own in plain])
            inputs |= {"decoder_input_ids": read, "decoder_attention_mask": read_mask}
            text["encoder"] = text["decoder"]
            text["decoder"] = read_mask.astype(bool)
            text["decoder"][:, 0] = prompts  # the start token counts as text only in prompts
            moved = None if prompts else 1 - before
            reads = {"encoder": reads["decoder"], "decoder": (read.shape[1], moved)}
        folds, of_segment = np.unique(tokens.folds[group], return_inverse=True)

        def pick(rows: NDArray[np.int64]) -> Picked | None:
            """The rows of the batch's segments, in the order of the batch; None if it has none."""
            first = np.searchsorted(tokens.segment[rows], group)
            last = np.searchsorted(tokens.segment[rows], group, "right")
            items = np.repeat(np.arange(len(group)), last - first)
            places = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
            if not len(places):
                return None
            positions = tokens.position[rows[places]]
            times = {
                stack: items * length + (0 if moved is None else positions + moved)
                for stack, (length, moved) in reads.items()
            }
            of_fold = (np.arange(len(folds))[:, None] == of_segment[items]).astype(np.float32)
            return Picked(
                times={k: torch.from_numpy(v).to(self._device) for k, v in times.items()},
                items=torch.from_numpy(items).to(self._device),
                of_fold=torch.from_numpy(of_fold).to(self._device),
                places=places,
            )

        picked: dict[str, Picked] = {}
        for name, rows in block.rows.items():
            twin = next((n for n in picked if np.array_equal(block.rows[n], rows)), None)
            own = picked[twin] if twin else pick(rows)
            if own is not None:
                picked[name] = own
        return Batch(
            inputs={k: torch.from_numpy(v).to(self._device) for k, v in inputs.items()},
            picked=picked,
            folds=folds.tolist(),
            text={k: torch.from_numpy(v).to(self._device) for k, v in text.items()},
            tokens=int(mask.sum()) - len(group) * (before + after),
        )

    def _forward(
        self, batch: Batch, recordings: Mapping[str, Recording]
    ) -> tuple[dict[str, Totals], RowBatch]:
        import torch

        wanted = {name: recordings[name] for name in batch.picked}
        watched = set().union(*(recording.watched for recording in wanted.values()))
        totals = {name: Totals() for name in wanted}
        values: dict[tuple[str, str, int], torch.Tensor] = {}
        offsets = {site: _plane_offsets(self.ffns, site) for site in watched}
        copies = _Copies()
        pending: dict[tuple[str, int], dict[int, torch.Tensor]] = {
            (name, number): {}
            for name, recording in wanted.items()
            for number in range(len(recording.cross_layer))
        }

        def sink(site: str, stack: str, layer: int, value: torch.Tensor) -> None:
            plane = offsets[site][stack] + layer
            selected: dict[int, torch.Tensor] = {}
            for name, recording in wanted.items():
                if site not in recording.watched:
                    continue
                picked = batch.picked[name]
                if id(picked) not in selected:
                    times = picked.times[stack].to(value.device)
                    selected[id(picked)] = value.flatten(0, 1).index_select(0, times)
                rows = selected[id(picked)]  # [row, width]
                for collector in recording.collectors:
                    if collector.site == site:
                        sums = collector.chunk(rows.float(), picked.of_fold.to(rows.device))
                        totals[name].collect(sums, plane, batch.folds)
                for number, cross_layer in enumerate(recording.cross_layer):
                    if cross_layer.site == site:
                        part = cross_layer.layer(plane, rows.float()).to(self._device)
                        pending[name, number][plane] = part
                dtype = getattr(torch, recording.store_dtype)
                for stored in recording.sites:
                    if recording.source(stored) == site:
                        whole = stored == site
                        raw = rows if whole else _over_text(stored, value, batch, picked, stack)
                        values[name, stored, plane] = copies.to_host(raw.to(dtype))

        watch = record(self.model, watched, sink)
        with torch.inference_mode(), self._during(batch), watch:
            extra = {} if self.model.config.is_encoder_decoder else {"use_cache": False}
            self.model(**batch.inputs, **extra)
            for (name, number), layers in pending.items():
                cross_layer, of_fold = wanted[name].cross_layer[number], batch.picked[name].of_fold
                kept_rows = torch.stack([layers[plane] for plane in sorted(layers)], dim=1)
                for stat, sums in cross_layer.rows(kept_rows, of_fold).items():
                    for plane, partial_sum in enumerate(sums):
                        totals[name].collect({stat: partial_sum}, plane, batch.folds)
        places = {name: batch.picked[name].places for name, _, _ in values}
        return totals, RowBatch(values, places, copies.wait)


class _Copies:
    """Copies tensors to the host during the forward pass, on one CUDA stream for each device."""

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
    """A site's number of layers (or states) over all stacks, and the width of the widest layer."""
    states = len({block.stack for block in blocks}) if site in ("state", "mean") else 0
    of_neurons = site in ("act", "gate", "peak")
    width = max(block.neurons if of_neurons else block.hidden for block in blocks)
    return len(blocks) + states, width


def _plane_offsets(blocks: Sequence[FFN], site: str) -> dict[str, int]:
    """Index of each stack's first layer; a stack has one more state than layers."""
    offsets: dict[str, int] = {}
    for block in blocks:
        states_before = len(offsets) if site == "state" else 0
        offsets.setdefault(block.stack, block.index + states_before)
    return offsets


def _blocks(tokens: Tokens, recordings: Mapping[str, Recording], size: int) -> list[Block]:
    """Cut a text into blocks of ``size`` tokens, or of ``size`` segments for last tokens.

    Blocks without rows are left out.
    """
    last = any(recording.of_last_tokens for recording in recordings.values())
    if last:
        cuts = np.flatnonzero(np.diff(tokens.segment, prepend=-1))[::size]
    else:
        cuts = np.arange(0, len(tokens.segment), size)
    cuts = np.append(cuts, len(tokens.segment))
    rows = {name: recording.rows(tokens) for name, recording in recordings.items()}
    places = {name: np.searchsorted(own, cuts) for name, own in rows.items()}
    found = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        own = {name: slice(*at[number : number + 2]) for name, at in places.items()}
        inside = {name: rows[name][at] for name, at in own.items()}
        tokens_inside = np.arange(start, stop)
        apart = [_segments(tokens, tokens_inside)]
        if not last:
            with_prefix = _segments(tokens, tokens_inside[tokens.ends_prefix[start:stop]])
            apart = [with_prefix, np.setdiff1d(apart[0], with_prefix)]
        read = np.concatenate([_segments(tokens, one) for one in inside.values()])
        segments = [one for one in apart if np.isin(one, read).any()]
        if segments:
            starts = {name: int(at.start) for name, at in own.items()}
            found.append(Block(int(stop), inside, starts, segments))
    return found


def _stretches(blocks: Sequence[Block], raw: Sequence[str]) -> list[list[Block]]:
    """Group blocks; progress is saved after each group. A block with raw rows ends its group."""
    found: list[list[Block]] = [[]]
    for block in blocks:
        found[-1].append(block)
        if len(found[-1]) == BLOCKS_OF_SUMS or any(len(block.rows[name]) for name in raw):
            found.append([])
    return [stretch for stretch in found if stretch]


def _segments(tokens: Tokens, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(tokens.segment[rows]).astype(np.int64)


def _pad(sequences: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad on the right with token 0; also return the mask, 0 at padding and else 1."""
    width = max(map(len, sequences))
    ids = np.zeros((len(sequences), width), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def _without_specials(mask: NDArray[np.int64], tokens: Tokens) -> NDArray[np.bool_]:
    """True at tokens that are neither padding nor special tokens, ``[segment, position]``."""
    place, length = np.arange(mask.shape[1]), mask.sum(1, keepdims=True)
    text: NDArray[np.bool_] = (place >= len(tokens.before)) & (place < length - len(tokens.after))
    return text


def _over_text(
    name: str, value: "torch.Tensor", batch: Batch, picked: Picked, stack: str
) -> "torch.Tensor":
    """``peak`` or ``mean`` of ``value`` over the tokens of each row's segment, ``[row, width]``."""
    import torch

    inside = batch.text[stack].to(value.device)[:, :, None]
    if name == "peak":
        found = torch.where(inside, value, -torch.inf).amax(1)
    else:
        found = torch.where(inside, value, 0).sum(1, dtype=torch.float64) / inside.sum(1)
    return found.index_select(0, picked.items.to(value.device))


def _by_layer(totals: Mapping[str, Totals]) -> dict[str, NDArray[Any]]:
    """The sums by ``recording/statistic/layer``, as they are saved."""
    return {
        f"{name}/{key}": value
        for name, own in totals.items()
        for key, value in own.arrays().items()
    }


def _save(folder: Path, stop: int, sums: dict[str, NDArray[Any]]) -> None:
    """Save the sums up to token ``stop``, and remove the sums saved earlier."""
    path = folder / f"{stop:012d}.npz"
    with written_whole(path, ".npz") as temporary:
        np.savez(temporary, **sums)  # type: ignore[arg-type]
    for other in folder.glob("*.npz"):
        if other.name < path.name:
            other.unlink()


def _resumed(folder: Path, names: Iterable[str]) -> tuple[int, dict[str, Totals]]:
    """Read saved progress: the token at which to continue, and the sums up to it."""
    saved = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
    if not saved:
        return 0, {name: Totals() for name in names}
    try:
        with np.load(saved[-1], allow_pickle=False) as stored:
            sums = {key: stored[key] for key in stored.files}
    except Exception as error:  # a damaged archive can raise many kinds of error
        raise damaged(saved[-1], error) from error
    return int(saved[-1].stem), {
        name: Totals.of(
            {key.partition("/")[2]: v for key, v in sums.items() if key.startswith(f"{name}/")}
        )
        for name in names
    }


def _refuse_nan(found: Mapping[str, NDArray[Any]], where: Path | str) -> None:
    """Refuse NaN and infinity in ``found``, whose names end in ``statistic/layer``.

    Raises:
        NeuroglotError: names the statistic and its layer, counted from 1.
    """
    for key, values in found.items():
        if not np.isfinite(values).all():
            *_, name, layer = key.split("/")
            raise not_finite(f"{where}: {name} of layer {int(layer) + 1}")
