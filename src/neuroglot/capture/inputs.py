"""Makes batches of a text's segments, with the positions at which rows are recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.blocks import Block, Recording
from neuroglot.capture.context import pad
from neuroglot.models.experts import Routed
from neuroglot.tokens import Tokens


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

    def rows(self, value: Tensor, stack: str, dtype: torch.dtype | None = None) -> Tensor:
        """Copy the rows of ``value`` ``[segment, position, width]``, as ``dtype`` if given."""
        times, flat = self.times[stack].to(value.device), value.flatten(0, 1)
        if dtype and 2 * len(times) > len(flat):  # if most are picked, narrower rows copy faster
            return flat.to(dtype).index_select(0, times)
        rows = flat.index_select(0, times)
        return rows.to(dtype) if dtype else rows

    def routed(self, value: Routed) -> Routed:
        """The rows in what the experts of a mixture, which is a decoder alone, did with tokens."""
        [times] = self.times.values()
        return value.at(times.to(value.token.device))


@dataclass(frozen=True, eq=False)
class Batch:
    """Segments that are run together, padded on the right.

    Attributes:
        inputs: arguments of the model.
        picked: rows by the name of the recording. Recordings without rows are left out; recordings
            with the same rows share one ``Picked``.
        spans: by name of the recording, what the batch's block writes, see ``Block``.
        by_segment: whether the text is parallel; its sums by segment are kept apart.
        text: by stack, ``[segment, position]``, true at tokens of the text: neither padding nor
            special tokens.
        tokens: number of the text's tokens, without padding and special tokens.
    """

    inputs: dict[str, Tensor]
    picked: dict[str, Picked]
    spans: Mapping[str, slice]
    by_segment: bool
    text: dict[str, Tensor]
    tokens: int

    def pooled(self, name: str, value: Tensor, picked: Picked, stack: str) -> Tensor:
        """``peak`` or ``mean`` of ``value`` over each row's segment, ``[row, width]``."""
        inside = self.text[stack].to(value.device)[:, :, None]
        if name == "peak":
            by_segment = torch.where(inside, value, -torch.inf).amax(1)
        else:
            by_segment = torch.where(inside, value, 0).sum(1, dtype=torch.float64) / inside.sum(1)
        return by_segment.index_select(0, picked.items.to(value.device))

    def peak(self, value: Routed, picked: Picked) -> Tensor:
        """``peak`` of neurons of which some are in experts, ``[row, neuron]``."""
        [text] = self.text.values()
        segment, position = text.to(value.token.device).nonzero(as_tuple=True)
        inside = value.at(segment * text.shape[1] + position)
        return inside.largest(segment, len(text))[picked.items.to(segment.device)]


class Batches:
    """Makes batches of a text for a model and its recordings."""

    def __init__(
        self,
        config: Any,
        first: str,
        device: torch.device,
        tokens: Tokens,
        recordings: Mapping[str, Recording],
    ) -> None:
        """Take the model's configuration, its first stack and its device, the text and recordings.

        The first stack is the encoder, if there is one.
        """
        self._config, self._first, self._device, self._tokens = config, first, device, tokens
        self._prompts = "last prompt token" in {one.over for one in recordings.values()}
        self._sequences = tokens.sequences()
        self._opening = tokens.opening
        if config.is_encoder_decoder and not self._opening:
            self._opening = [config.decoder_start_token_id]

    def lengths(self, segments: NDArray[np.int64]) -> list[int]:
        """Number of tokens of each segment, special tokens included."""
        return [len(self._sequences[segment]) for segment in segments]

    def of(self, segments: NDArray[np.int64], block: Block) -> Batch:
        """Make one batch of some of the block's segments."""
        before, after = len(self._tokens.before), len(self._tokens.after)
        whole = [self._sequences[segment] for segment in segments]
        ids, real = pad(whole)
        inputs = {"input_ids": ids, "attention_mask": real}
        text = {self._first: _without_specials(ids, real, self._tokens)}
        # By stack: the width of the padded batch, and what to add to a token's position to get its
        # column. None: all rows are in the column at which a decoder's answer begins.
        columns: dict[str, tuple[int, int | None]] = {self._first: (ids.shape[1], 0)}
        if self._config.is_encoder_decoder:
            opening = self._opening
            plain = [[] if self._prompts else ids[before : len(ids) - after] for ids in whole]
            ids, read = pad([np.array([*opening, *ids]) for ids in plain])
            inputs |= {"decoder_input_ids": ids, "decoder_attention_mask": read}
            text["decoder"] = read.bool()
            text["decoder"][:, : len(opening) - 1] = False
            text["decoder"][:, len(opening) - 1] = self._prompts  # text only where an answer begins
            shift = None if self._prompts else len(opening) - before
            columns["decoder"] = (ids.shape[1], shift)
        picked: dict[str, Picked] = {}
        for name, rows in block.rows.items():
            twins = (other for other in picked if np.array_equal(block.rows[other], rows))
            twin = next(twins, None)
            of_recording = picked[twin] if twin else self._pick(rows, segments, columns)
            if of_recording is not None:
                picked[name] = of_recording
        return Batch(
            inputs=self._on_device(inputs),
            picked=picked,
            spans=block.spans,
            by_segment=bool(self._tokens.drawn),
            text=self._on_device(text),
            tokens=int(real.sum()) - len(segments) * (before + after),
        )

    def _pick(
        self,
        rows: NDArray[np.int64],
        segments: NDArray[np.int64],
        columns: Mapping[str, tuple[int, int | None]],
    ) -> Picked | None:
        """Pick the block's ``rows`` that are in the batch, in its order; None if none are."""
        tokens = self._tokens
        first = np.searchsorted(tokens.segment[rows], segments)
        last = np.searchsorted(tokens.segment[rows], segments, "right")
        items = np.repeat(np.arange(len(segments)), last - first)
        places = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])
        if not len(places):
            return None
        positions = tokens.position[rows[places]]
        times = {
            stack: torch.from_numpy(
                items * width + (len(self._opening) - 1 if shift is None else positions + shift)
            )
            for stack, (width, shift) in columns.items()
        }
        fold_of_row = tokens.folds[segments[items]]
        folds = np.unique(fold_of_row)
        of_fold = (folds[:, None] == fold_of_row).astype(np.float32)
        return Picked(
            times=self._on_device(times),
            items=torch.from_numpy(items).to(self._device),
            folds=folds,
            of_fold=torch.from_numpy(of_fold).to(self._device),
            places=places,
        )

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self._device) for name, tensor in tensors.items()}


def _without_specials(ids: Tensor, real: Tensor, tokens: Tokens) -> Tensor:
    """True at tokens that are neither padding nor special, ``[segment, position]``.

    ``real`` is 1 at all tokens but padding. The last token of a chat counts, special or not: there
    the model answers.
    """
    column, length = torch.arange(real.shape[1]), real.sum(1, keepdim=True)
    last = length - len(tokens.after) - 1
    special = torch.isin(ids, torch.tensor(tokens.special, dtype=ids.dtype)) & (column != last)
    return (column >= len(tokens.before)) & (column <= last) & ~special
