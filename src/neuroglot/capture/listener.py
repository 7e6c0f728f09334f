"""Takes activations from hooks in one forward pass: statistics are summed, raw rows handed on."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.arrays import by_segment, plane_numbers
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import BY_FOLD, CrossLayerCollector, Partial, Totals
from neuroglot.capture.copies import Copies
from neuroglot.capture.inputs import Batch
from neuroglot.capture.writer import Rows
from neuroglot.models.experts import Routed
from neuroglot.models.ffn import FFN

Keep = Callable[[Rows], None]


class Listener:
    """What one forward pass over a batch records.

    Raw rows and sums by segment are handed on layer by layer, so that they need not wait in memory
    for the end of the pass. If the pass fails, the same ones are handed on again later. Sums over
    all rows are kept until ``add_to``.
    """

    def __init__(
        self, networks: Sequence[FFN], batch: Batch, recordings: Mapping[str, Recording], keep: Keep
    ) -> None:
        """Prepare to listen.

        Args:
            networks: the model's FFNs.
            batch: what the model reads.
            recordings: by name. Those without rows in the batch play no part.
            keep: takes raw rows and sums by segment.
        """
        self._batch, self._keep, self._copies = batch, keep, Copies()
        self._wanted = {name: recordings[name] for name in batch.picked}
        self._by_site: dict[str, dict[str, Recording]] = defaultdict(dict)
        for name, recording in self._wanted.items():
            for site in recording.watched:
                self._by_site[site][name] = recording
        self._planes = {site: plane_numbers(networks, site) for site in self._by_site}
        self._places = {name: self._placed(name) for name in self._wanted}
        # Sums by recording, layer and statistic.
        self._sums: list[tuple[str, int, Partial]] = []
        # What cross-layer collectors keep of each layer, by recording and collector.
        self._kept: dict[tuple[str, CrossLayerCollector], dict[int, Tensor]] = defaultdict(dict)

    @property
    def watched(self) -> set[str]:
        """The sites that have to be read."""
        return set(self._by_site)

    def _placed(self, name: str) -> NDArray[np.int64]:
        """The places of a recording's rows among all rows, or of its sums among all segments."""
        picked = self._batch.picked[name]
        if self._wanted[name].sums:
            return picked.folds
        first: int = self._batch.spans[name].start
        return first + picked.places

    def sink(self, site: str, stack: str, layer: int, value: Tensor | Routed) -> None:
        """Take one layer's activations ``[segment, position, width]``, or those of experts."""
        plane = self._planes[site][stack, layer]
        if isinstance(value, Routed):
            self._take_routed(site, plane, value)
            return
        # The batch's rows at this layer, by the id of their Picked, which recordings may share.
        selected: dict[int, Tensor] = {}
        stored: dict[tuple[str, str, int], Tensor] = {}
        for name, recording in self._by_site[site].items():
            if not recording.sums:
                continue
            picked = self._batch.picked[name]
            if id(picked) not in selected:
                selected[id(picked)] = picked.rows(value, stack).float()
            rows = selected[id(picked)]  # [row, width]
            for collector in recording.collectors:
                if collector.site == site:
                    of_fold = picked.of_fold.to(rows.device)
                    stored |= self._add(name, plane, collector.chunk(rows, of_fold))
            for comparer in recording.cross_layer:
                if comparer.site == site:
                    of_layer = comparer.layer(plane, rows).to(picked.of_fold.device)
                    self._kept[name, comparer][plane] = of_layer
        for name, recording in self._by_site[site].items():
            picked, dtype = self._batch.picked[name], getattr(torch, recording.store_dtype)
            for target in recording.sites:
                if recording.source(target) != site:
                    continue
                if target != site:
                    raw = self._batch.pooled(target, value, picked, stack).to(dtype)
                elif id(picked) in selected:
                    raw = selected[id(picked)].to(dtype)
                else:
                    raw = picked.rows(value, stack, dtype)
                stored[name, target, plane] = self._copies.to_host(raw)
        self._hand_on(stored)

    def _take_routed(self, site: str, plane: int, value: Routed) -> None:
        """Take the activations of a layer with routed experts.

        Rows of ``act`` are what multiplies a neuron's value vector: with the router's weight.
        """
        stored: dict[tuple[str, str, int], Tensor] = {}
        for name, recording in self._by_site[site].items():
            picked = self._batch.picked[name]
            rows = picked.routed(value)
            for collector in recording.collectors:
                if collector.site == site:
                    assert collector.routed, f"statistics of {site} take all neurons together"
                    of_fold = picked.of_fold.to(rows.values.device)
                    stored |= self._add(name, plane, collector.routed(rows, of_fold))
            for target in recording.sites:
                if recording.source(target) != site:
                    continue
                if target == "peak":
                    raw = self._batch.peak(value, picked)
                elif site == "act":
                    raw = rows.map(lambda values, weight: values * weight).whole()[0]
                else:
                    raw = rows.whole()[0]
                raw = raw.to(getattr(torch, recording.store_dtype))
                stored[name, target, plane] = self._copies.to_host(raw)
        self._hand_on(stored)

    @torch.inference_mode()
    def add_to(self, totals: Mapping[str, Totals]) -> None:
        """Add the sums over all rows to the ``totals`` of each recording, after the pass."""
        stored: dict[tuple[str, str, int], Tensor] = {}
        for (name, comparer), layers in self._kept.items():
            rows = torch.stack([layers[plane] for plane in sorted(layers)], dim=1)
            for stat, by_layer in comparer.rows(rows, self._batch.picked[name].of_fold).items():
                for plane, sums in enumerate(by_layer):
                    stored |= self._add(name, plane, {stat: sums})
        self._hand_on(stored)
        for name, plane, sums in self._sums:
            folds = torch.from_numpy(self._batch.picked[name].folds)
            totals[name].collect(sums, plane, folds)

    def _add(self, name: str, plane: int, partial: Partial) -> dict[tuple[str, str, int], Tensor]:
        """Keep sums over all rows, and return those by segment, copied to the host."""
        apart = {
            statistic: sums
            for statistic, sums in partial.items()
            if self._batch.by_segment and statistic.endswith(BY_FOLD)
        }
        self._sums.append((name, plane, {k: v for k, v in partial.items() if k not in apart}))
        return {
            (name, by_segment(statistic), plane): self._copies.to_host(sums)
            for statistic, sums in apart.items()
        }

    def _hand_on(self, stored: dict[tuple[str, str, int], Tensor]) -> None:
        if stored:
            self._keep(Rows(stored, self._places, self._batch.spans, self._copies.arrived()))
