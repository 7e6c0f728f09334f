"""Runs a model over tokens and records activations: raw rows, and sums over rows."""

import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.capture.blocks import Block, Recording, cut_into_blocks, segments_of, stretches
from neuroglot.capture.collectors import (
    BY_FOLD,
    BY_SEGMENT,
    CrossLayerCollector,
    Partial,
    Totals,
)
from neuroglot.capture.context import pad
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.capture.writer import RowBatch, Shard, Writer
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.files import written_whole
from neuroglot.models.ffn import FFN, backbone, ffns, record
from neuroglot.progress import progress
from neuroglot.store import (
    PROGRESS,
    SITES,
    create_rows,
    create_sums,
    damaged,
    itemsize,
    shard_rows,
)
from neuroglot.tokens import Tokens

# Minimum number of tokens in a block, however large a model's rows: with fewer a GPU would idle.
LEAST_TOKENS = 1024


@dataclass(frozen=True, eq=False)
class Picked:
    """The recorded rows of a batch.

    Attributes:
        times: by stack (encoder or decoder), each row's index in the stack's batch, flattened from
            ``[segment, position]``; ``[row]``.
        items: each row's segment, as an index within the batch, ``[row]``.
        folds: the folds that the rows are in, each once, ascending.
        of_fold: ``[fold, row]``, 1 if the row is in the fold, else 0.
        places: each row's index among the rows of the recording in the block, ``[row]``.
    """

    times: dict[str, Tensor]
    items: Tensor
    folds: NDArray[np.int64]
    of_fold: Tensor
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Segments that are run together, padded on the right.

    Attributes:
        inputs: arguments of the model.
        picked: rows by the name of the recording. Recordings without rows are left out; recordings
            with the same rows share one ``Picked``.
        begun: the segments that begin in the block, of a parallel text; their sums are kept apart.
            None of other texts.
        text: by stack, ``[segment, position]``, true at tokens of the text: neither padding nor
            special tokens.
        tokens: number of the text's tokens, without padding and special tokens.
    """

    inputs: dict[str, Tensor]
    picked: dict[str, Picked]
    begun: slice | None
    text: dict[str, Tensor]
    tokens: int


class Engine:
    """Records a model's activations.

    Rows are stored in the order of the corpus, whatever the batches. A text is cut into blocks,
    which are computed and written one by one. Progress is saved after each stretch of blocks (see
    ``blocks.stretches``), and an interrupted recording continues with the next stretch.
    """

    def __init__(
        self,
        model: nn.Module,
        execution: ExecutionSettings | None = None,
        during: Callable[[Batch], AbstractContextManager[None]] | None = None,
    ) -> None:
        """Get a model ready.

        Args:
            model: with or without its head.
            execution: how much to do at a time.
            during: called with each batch; the model reads the batch inside the context manager
                that this returns.
        """
        self._during = during or (lambda _: nullcontext())
        self.model: Any = backbone(model)
        self.ffns = ffns(model)
        self.execution = execution or ExecutionSettings()
        self._device = next(model.parameters()).device
        # 256 tokens is the default on a CPU, whose caches larger batches overflow.
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
        saved: Path | None = None,
    ) -> dict[str, dict[str, NDArray[Any]]]:
        """Make several recordings in one pass; return their sums by recording and statistic.

        Sums are ``[layer, ...]``; sums by fold are ``[layer, fold, ...]``, with 0 in folds without
        rows. Of a parallel text, sums by segment are written to ``store / name`` as
        ``{statistic}_by_segment``; see ``store.create_sums``.

        Blocks whose progress an interrupted call has saved are not computed again, if that call
        made all of these recordings; it may have made others too.

        Args:
            tokens: the text.
            recordings: by name. Raw rows are written to ``store / name``. Recordings of last tokens
                cannot be mixed with recordings of other tokens.
            store: a folder.
            description: label of the progress bar.
            saved: folder for the progress of an interrupted call; by default in the store.

        Raises:
            NeuroglotError: nothing to record; NaN, infinity or overflow; not enough memory.
        """
        size = self._block_size(tokens, recordings.values())
        blocks = cut_into_blocks(tokens, recordings, size)
        folder = (saved or store / PROGRESS) / f"blocks-of-{size}"
        arrays = self._arrays(tokens, recordings, store, size, folder)
        done, totals = _resumed(folder, recordings)
        writing = {name for name, _ in arrays}
        missing = [part for part in stretches(blocks, writing) if part[-1].stop > done]
        lengths, sequences = np.bincount(tokens.segment), tokens.sequences()
        to_read = [group for part in missing for block in part for group in block.segments]
        longest = {
            name: max(
                (block.spans[name].stop - block.spans[name].start for block in blocks), default=0
            )
            for name in writing
        }
        count = sum(int(lengths[group].sum()) for group in to_read)
        with (
            progress(count, "tokens", description) as bar,
            Writer(arrays, longest, store) as writer,
        ):
            for stretch in missing:
                for block in stretch:
                    put, update = writer.put, bar.update
                    of_block = self._block(tokens, sequences, recordings, block, put, update)
                    for name, sums in of_block.items():
                        totals[name].merge(sums)
                    writer.put(Shard(block.spans))
                arrays_of_sums = _by_layer(totals)
                _refuse_nan(arrays_of_sums, store)
                writer.put(partial(_save, folder, stretch[-1].stop, arrays_of_sums))
        return {name: sums.stacked() for name, sums in totals.items()}

    def rows(self, tokens: Tokens, recording: Recording) -> dict[str, NDArray[np.float32]]:
        """Record in memory: raw rows ``[layer, row, width]`` by site.

        Raises:
            NeuroglotError: NaN or infinity; not enough memory.
        """
        rows = recording.rows(tokens)
        by_site = {}
        for site in recording.sites:
            layers, width = _planes(self.ffns, site)
            by_site[site] = np.full((layers, len(rows), width), np.nan, np.float32)

        def keep(batch: RowBatch) -> None:
            batch.ready()
            for (_, site, layer), values in batch.values.items():
                of_layer = values.float().numpy()
                _refuse_nan({f"{site}/{layer}": of_layer}, "the recorded rows")
                by_site[site][layer, batch.places["rows"], : of_layer.shape[1]] = of_layer

        spans, segments = {"rows": slice(len(rows))}, [segments_of(tokens, rows)]
        begun = slice(len(tokens.segment_ids))
        whole = Block(len(tokens.segment), begun, {"rows": rows}, spans, segments)
        self._block(tokens, tokens.sequences(), {"rows": recording}, whole, keep)
        return by_site

    def _block_size(self, tokens: Tokens, recordings: Iterable[Recording]) -> int:
        """Tokens in a block or, if last tokens are recorded, segments in a block."""
        shard_bytes = self.execution.risk_megabytes << 19  # half: two shards are in memory at once
        last = [recording for recording in recordings if recording.of_last_tokens]
        if last:
            row_bytes = sum(
                itemsize(recording.store_dtype) * math.prod(_planes(self.ffns, site))
                for recording in last
                for site in recording.sites
            )
            return shard_rows(len(tokens.segment_ids), row_bytes, shard_bytes)
        # As if ``act`` and ``out`` were stored: the size must not depend on what is recorded.
        values = sum(math.prod(_planes(self.ffns, site)) for site in ("act", "out"))
        row_bytes = itemsize("float16") * values
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
        """Open or make the arrays that blocks write, and make ``folder``.

        They are raw rows by recording and site, and of a parallel text sums by recording and
        statistic.

        If ``folder`` exists, it holds the progress of an interrupted call, whose arrays are opened.
        If not, the arrays are new, and progress in folders beside it is removed: it was made with
        another block size, and so with other batches.
        """
        arrays = {}
        resumed = folder.is_dir()
        if not resumed:
            shutil.rmtree(folder.parent, ignore_errors=True)
        for name, recording in recordings.items():
            rows = recording.rows(tokens)
            any_rows = tokens.ends_prefix.any() if recording.over == "prefixes" else len(rows)
            if not any_rows:
                raise NeuroglotError(f"{store}: no segment has a prefix of two subwords to record")
            for array, create in self._creators(tokens, recording, size).items():
                arrays[name, array] = (
                    zarr.open_array(store / name / array, mode="r+")
                    if resumed
                    else create(store / name, array)
                )
        folder.mkdir(parents=True, exist_ok=True)
        return arrays

    def _creators(
        self, tokens: Tokens, recording: Recording, size: int
    ) -> dict[str, Callable[[Path, str], Any]]:
        """Functions that create the arrays of a recording in a folder, by array."""
        creators: dict[str, Callable[[Path, str], Any]] = {}
        rows, longest = len(recording.rows(tokens)), int(np.bincount(tokens.segment).max())
        for site in recording.sites if rows else ():
            layers, width = _planes(self.ffns, site)
            shape, dtype = (layers, rows, width), recording.store_dtype
            creators[site] = partial(
                create_rows, shape=shape, rows_per_shard=size, dtype=dtype, over=recording.over
            )
        for statistic, (width_name, sums) in self._by_fold(recording).items():
            if tokens.drawn:
                counts = np.min_scalar_type(longest)
                creators[_by_segment(statistic)] = partial(
                    create_sums,
                    shape=(len(self.ffns), len(tokens.segment_ids), *sums.shape[1:]),
                    width=width_name,
                    dtype=counts if sums.dtype.kind == "i" else sums.dtype,
                )
        return creators

    def _by_fold(self, recording: Recording) -> dict[str, tuple[str, NDArray[Any]]]:
        """Ask a recording's collectors for their sums by fold, of one fold without rows.

        Returns:
            By statistic, the name of its width and the sums ``[fold, width]`` in the widest layer;
            ``[fold]`` for a statistic with one number a layer.
        """
        none = torch.zeros(1, 0)
        kept_sums: dict[str, tuple[str, Tensor]] = {}
        for collector in recording.collectors:
            rows = torch.zeros(0, _planes(self.ffns, collector.site)[1])
            for statistic, sums in collector.chunk(rows, none).items():
                kept_sums[statistic] = SITES[collector.site].width, sums
        for comparer in recording.cross_layer:
            widths = [_width(ffn, comparer.site) for ffn in self.ffns]
            kept = [comparer.layer(i, torch.zeros(0, width)) for i, width in enumerate(widths)]
            for statistic, by_layer in comparer.rows(torch.stack(kept, dim=1), none).items():
                kept_sums[statistic] = "kept", by_layer[0]
        return {
            statistic: (width, sums.numpy())
            for statistic, (width, sums) in kept_sums.items()
            if statistic.endswith(BY_FOLD)
        }

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

        def run_group(segments: NDArray[np.int64]) -> None:
            def run(numbers: NDArray[np.int64]) -> None:
                batch = self._batch(tokens, sequences, segments[numbers], recordings, block)
                if batch.picked:
                    of_batch, rows = self._forward(batch, recordings)
                    for name, sums in of_batch.items():
                        totals[name].merge(sums)
                    if rows.values:
                        keep(rows)
                if update:
                    update(batch.tokens)

            lengths = [len(sequences[segment]) for segment in segments]
            self._budget = in_batches(lengths, self._budget, run, "one segment")

        for group in block.segments:
            run_group(group)
        return totals

    def _batch(
        self,
        tokens: Tokens,
        sequences: Sequence[NDArray[np.int64]],
        group: NDArray[np.int64],
        recordings: Mapping[str, Recording],
        block: Block,
    ) -> Batch:
        prompts = "last prompt token" in {recording.over for recording in recordings.values()}
        before, after = len(tokens.before), len(tokens.after)
        whole = [sequences[segment] for segment in group]
        ids, real = pad(whole)
        inputs = {"input_ids": ids, "attention_mask": real}
        text = {"decoder": _without_specials(ids, real, tokens)}
        # By stack: the width of the padded batch, and what to add to a token's position to get its
        # column. None: all rows are in the column at which a decoder's answer begins.
        columns: dict[str, tuple[int, int | None]] = {"decoder": (ids.shape[1], 0)}
        opening = tokens.opening
        if self.model.config.is_encoder_decoder:
            opening = opening or [self.model.config.decoder_start_token_id]
            plain = [[] if prompts else ids[before : len(ids) - after] for ids in whole]
            ids, read = pad([np.array([*opening, *ids]) for ids in plain])
            inputs |= {"decoder_input_ids": ids, "decoder_attention_mask": read}
            text = {"encoder": text["decoder"], "decoder": read.bool()}
            text["decoder"][:, : len(opening) - 1] = False
            text["decoder"][:, len(opening) - 1] = prompts  # text only where an answer begins
            shift = None if prompts else len(opening) - before
            columns = {"encoder": columns["decoder"], "decoder": (ids.shape[1], shift)}

        def pick(rows: NDArray[np.int64]) -> Picked | None:
            """Pick the block's ``rows`` that are in the batch, in its order; None if none are."""
            first = np.searchsorted(tokens.segment[rows], group)
            last = np.searchsorted(tokens.segment[rows], group, "right")
            items = np.repeat(np.arange(len(group)), last - first)
            places = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])
            if not len(places):
                return None
            positions = tokens.position[rows[places]]
            times = {
                stack: torch.from_numpy(
                    items * width + (len(opening) - 1 if shift is None else positions + shift)
                )
                for stack, (width, shift) in columns.items()
            }
            fold_of_row = tokens.folds[group[items]]
            folds = np.unique(fold_of_row)
            of_fold = (folds[:, None] == fold_of_row).astype(np.float32)
            return Picked(
                times=self._on_device(times),
                items=torch.from_numpy(items).to(self._device),
                folds=folds,
                of_fold=torch.from_numpy(of_fold).to(self._device),
                places=places,
            )

        picked: dict[str, Picked] = {}
        for name, rows in block.rows.items():
            twins = (other for other in picked if np.array_equal(block.rows[other], rows))
            twin = next(twins, None)
            of_recording = picked[twin] if twin else pick(rows)
            if of_recording is not None:
                picked[name] = of_recording
        return Batch(
            inputs=self._on_device(inputs),
            picked=picked,
            begun=block.begun if tokens.drawn else None,
            text=self._on_device(text),
            tokens=int(real.sum()) - len(group) * (before + after),
        )

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}

    def _forward(
        self, batch: Batch, recordings: Mapping[str, Recording]
    ) -> tuple[dict[str, Totals], RowBatch]:
        """Run the model over a batch; return sums by recording, raw rows and sums by segment."""
        wanted = {name: recordings[name] for name in batch.picked}
        watched = set().union(*(recording.watched for recording in wanted.values()))
        offsets = {site: _plane_offsets(self.ffns, site) for site in watched}
        totals = {name: Totals() for name in wanted}
        stored: dict[tuple[str, str, int], Tensor] = {}
        # What cross-layer collectors keep of each layer, by recording and collector.
        kept: dict[tuple[str, CrossLayerCollector], dict[int, Tensor]] = defaultdict(dict)
        copies = _Copies()

        def add(name: str, plane: int, partial_sums: Partial) -> None:
            folds = batch.picked[name].folds.tolist()
            for statistic, sums in partial_sums.items():
                if batch.begun is not None and statistic.endswith(BY_FOLD):
                    stored[name, _by_segment(statistic), plane] = copies.to_host(sums)
                else:
                    totals[name].collect({statistic: sums}, plane, folds)

        def sink(site: str, stack: str, layer: int, value: Tensor) -> None:
            plane = offsets[site][stack] + layer
            # The batch's rows at this layer, by the id of their Picked, which recordings may share.
            selected: dict[int, Tensor] = {}
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
                        of_fold = picked.of_fold.to(rows.device)
                        add(name, plane, collector.chunk(rows.float(), of_fold))
                for comparer in recording.cross_layer:
                    if comparer.site == site:
                        of_layer = comparer.layer(plane, rows.float()).to(self._device)
                        kept[name, comparer][plane] = of_layer
                dtype = getattr(torch, recording.store_dtype)
                for target in recording.sites:
                    if recording.source(target) == site:
                        pooled = target != site
                        raw = _over_text(target, value, batch, picked, stack) if pooled else rows
                        stored[name, target, plane] = copies.to_host(raw.to(dtype))

        with (
            torch.inference_mode(),
            self._during(batch),
            record(self.model, watched, sink),
        ):
            extra = {} if self.model.config.is_encoder_decoder else {"use_cache": False}
            self.model(**batch.inputs, **extra)
        with torch.inference_mode():
            for (name, comparer), layers in kept.items():
                rows = torch.stack([layers[plane] for plane in sorted(layers)], dim=1)
                for stat, by_layer in comparer.rows(rows, batch.picked[name].of_fold).items():
                    for plane, sums in enumerate(by_layer):
                        add(name, plane, {stat: sums})
        places = {
            name: batch.picked[name].folds - batch.begun.start
            if batch.begun is not None and wanted[name].sums
            else batch.picked[name].places
            for name, _, _ in stored
        }
        return totals, RowBatch(stored, places, copies.wait)


class _Copies:
    """Copies tensors to the host during the forward pass, on one CUDA stream for each device."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def to_host(self, value: Tensor) -> Tensor:
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


def _planes(networks: Sequence[FFN], site: str) -> tuple[int, int]:
    """Count a site's planes, and give the width of the widest one.

    A plane is a layer of a stack or, for ``state`` and ``mean``, one of its states: a stack has one
    more state than layers.
    """
    states = len({ffn.stack for ffn in networks}) if site in ("state", "mean") else 0
    return len(networks) + states, max(_width(ffn, site) for ffn in networks)


def _width(ffn: FFN, site: str) -> int:
    return ffn.neurons if SITES[site].width == "neuron" else ffn.hidden


def _by_segment(statistic: str) -> str:
    """The name under which a statistic ``…_by_fold`` of a parallel text is written."""
    return statistic.removesuffix(BY_FOLD) + BY_SEGMENT


def _plane_offsets(networks: Sequence[FFN], site: str) -> dict[str, int]:
    """Give the index of each stack's first plane, see ``_planes``, for a site that is read."""
    offsets: dict[str, int] = {}
    for ffn in networks:
        states_before = len(offsets) if site == "state" else 0
        offsets.setdefault(ffn.stack, ffn.index + states_before)
    return offsets


def _without_specials(ids: Tensor, real: Tensor, tokens: Tokens) -> Tensor:
    """True at tokens that are neither padding nor special, ``[segment, position]``.

    ``real`` is 1 at all tokens but padding. The last token of a chat counts, special or not: there
    the model answers.
    """
    column, length = torch.arange(real.shape[1]), real.sum(1, keepdim=True)
    last = length - len(tokens.after) - 1
    special = torch.isin(ids, torch.tensor(tokens.special, dtype=ids.dtype)) & (column != last)
    return (column >= len(tokens.before)) & (column <= last) & ~special


def _over_text(name: str, value: Tensor, batch: Batch, picked: Picked, stack: str) -> Tensor:
    """``peak`` or ``mean`` of ``value`` over the tokens of each row's segment, ``[row, width]``."""
    inside = batch.text[stack].to(value.device)[:, :, None]
    if name == "peak":
        by_segment = torch.where(inside, value, -torch.inf).amax(1)
    else:
        by_segment = torch.where(inside, value, 0).sum(1, dtype=torch.float64) / inside.sum(1)
    return by_segment.index_select(0, picked.items.to(value.device))


def _by_layer(totals: Mapping[str, Totals]) -> dict[str, NDArray[Any]]:
    """The sums by ``recording/statistic/layer``, as they are saved."""
    return {
        f"{name}/{key}": values
        for name, sums in totals.items()
        for key, values in sums.arrays().items()
    }


def _save(folder: Path, stop: int, sums: dict[str, NDArray[Any]]) -> None:
    """Save the sums over all tokens before ``stop``, and remove the sums saved earlier."""
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
    sums: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    try:
        with np.load(saved[-1], allow_pickle=False) as stored:
            for key, values in stored.items():
                name, _, of_layer = key.partition("/")
                sums[name][of_layer] = values
    except Exception as error:  # a damaged archive can raise errors of many types
        raise damaged(saved[-1], error) from error
    return int(saved[-1].stem), {name: Totals.of(sums[name]) for name in names}


def _refuse_nan(arrays: Mapping[str, NDArray[Any]], where: Path | str) -> None:
    """Refuse NaN and infinity in arrays whose names end in ``statistic/layer``."""
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            *_, name, layer = key.split("/")
            raise not_finite(f"{where}: {name} of layer {int(layer) + 1}")
