"""Runs a model over tokens and records activations: raw rows, and sums over rows."""

import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroglot.capture.arrays import open_arrays, planes
from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.capture.blocks import Block, Recording, cut_into_blocks, segments_of, stretches
from neuroglot.capture.collectors import Totals
from neuroglot.capture.inputs import Batch, Batches
from neuroglot.capture.listener import Keep, Listener
from neuroglot.capture.saved import by_layer, refuse_nan, resumed, save
from neuroglot.capture.settings import RISK_MEGABYTES, ExecutionSettings
from neuroglot.capture.writer import Done, Rows, Writer
from neuroglot.models.describe import causal
from neuroglot.models.ffn import backbone, ffns, record
from neuroglot.progress import progress
from neuroglot.store import PROGRESS, itemsize, shard_rows
from neuroglot.tokens import Tokens

# Minimum number of tokens in a block, however large a model's rows: with fewer a GPU would idle.
LEAST_TOKENS = 1024


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
        # Progress in folders beside it was made with another block size, and so with other batches.
        folder = (saved or store / PROGRESS) / f"blocks-of-{size}"
        if not (begun := folder.is_dir()):
            shutil.rmtree(folder.parent, ignore_errors=True)
        arrays = open_arrays(self.ffns, tokens, recordings, store, size, begun)
        folder.mkdir(parents=True, exist_ok=True)
        done, totals = resumed(folder, recordings)
        writing = {name for name, _ in arrays}
        missing = [part for part in stretches(blocks, writing) if part[-1].stop > done]
        longest = {
            name: max(
                (block.spans[name].stop - block.spans[name].start for block in blocks), default=0
            )
            for name in writing
        }
        batches = self._batches(tokens, recordings)
        lengths = np.bincount(tokens.segment)
        to_read = [group for part in missing for block in part for group in block.segments]
        count = sum(int(lengths[group].sum()) for group in to_read)
        with (
            progress(count, "tokens", description) as bar,
            Writer(arrays, longest, store) as writer,
        ):
            for stretch in missing:
                for block in stretch:
                    self._block(batches, block, totals, recordings, writer.put, bar.update)
                    writer.put(Done(block.spans))
                sums = by_layer(totals)
                refuse_nan(sums, store)
                writer.put(partial(save, folder, stretch[-1].stop, sums))
        return {name: sums.stacked() for name, sums in totals.items()}

    def rows(self, tokens: Tokens, recording: Recording) -> dict[str, NDArray[np.float32]]:
        """Record in memory: raw rows ``[layer, row, width]`` by site.

        Raises:
            NeuroglotError: NaN or infinity; not enough memory.
        """
        rows = recording.rows(tokens)
        by_site = {}
        for site in recording.sites:
            layers, width = planes(self.ffns, site)
            by_site[site] = np.full((layers, len(rows), width), np.nan, np.float32)

        def keep(batch: Rows) -> None:
            batch.ready()
            for (_, site, layer), values in batch.values.items():
                of_layer = values.float().numpy()
                refuse_nan({f"{site}/{layer}": of_layer}, "the recorded rows")
                by_site[site][layer, batch.places["rows"], : of_layer.shape[1]] = of_layer

        spans, segments = {"rows": slice(0, len(rows))}, [segments_of(tokens, rows)]
        whole = Block(len(tokens.segment), {"rows": rows}, spans, segments)
        recordings = {"rows": recording}
        batches = self._batches(tokens, recordings)
        self._block(batches, whole, {}, recordings, keep)
        return by_site

    def _batches(self, tokens: Tokens, recordings: Mapping[str, Recording]) -> Batches:
        config, stack = self.model.config, self.ffns[0].stack
        return Batches(config, stack, self._device, tokens, recordings)

    def _block_size(self, tokens: Tokens, recordings: Iterable[Recording]) -> int:
        """Tokens in a block or, if last tokens are recorded, segments in a block."""
        # In half precision, what is batched together, and so cut into one block, must not depend
        # on settings of memory and storage.
        fixed = self._budget.fixed
        risk = RISK_MEGABYTES if fixed else self.execution.risk_megabytes
        block_bytes = risk << 19  # half: a killed run loses two blocks, one of them being written
        last = [recording for recording in recordings if recording.of_last_tokens]
        if last:
            row_bytes = sum(
                itemsize("float32" if fixed else recording.store_dtype)
                * math.prod(planes(self.ffns, site))
                for recording in last
                for site in recording.sites
            )
            return shard_rows(len(tokens.segment_ids), row_bytes, block_bytes)
        # As if ``act`` and ``out`` were stored: the size must not depend on what is recorded.
        values = sum(math.prod(planes(self.ffns, site)) for site in ("act", "out"))
        row_bytes = itemsize("float16") * values
        return shard_rows(
            len(tokens.segment), row_bytes, max(block_bytes, LEAST_TOKENS * row_bytes)
        )

    def _block(
        self,
        batches: Batches,
        block: Block,
        totals: Mapping[str, Totals],
        recordings: Mapping[str, Recording],
        keep: Keep,
        update: Callable[[int], Any] | None = None,
    ) -> None:
        """Run a block's segments, hand raw rows to ``keep`` and add the sums to ``totals``."""

        def run_group(segments: NDArray[np.int64]) -> None:
            def run(numbers: NDArray[np.int64]) -> None:
                batch = batches.of(segments[numbers], block)
                if batch.picked:
                    self._forward(batch, keep, recordings).add_to(totals)
                if update:
                    update(batch.tokens)

            self._budget = in_batches(batches.lengths(segments), self._budget, run, "one segment")

        for group in block.segments:
            run_group(group)

    def _forward(self, batch: Batch, keep: Keep, recordings: Mapping[str, Recording]) -> Listener:
        """Run the model over a batch; its sums are in the listener that is returned."""
        listener = Listener(self.ffns, batch, recordings, keep)
        extra = {"use_cache": False} if causal(self.model.config) else {}
        with (
            torch.inference_mode(),
            self._during(batch),
            record(self.model, listener.watched, listener.sink),
        ):
            self.model(**batch.inputs, **extra)
        return listener
