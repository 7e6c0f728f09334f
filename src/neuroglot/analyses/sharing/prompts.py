"""Recorded activations at the end of the same prompts in several languages."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.sharing.measures.kinds import (
    Bits,
    KindBits,
    kinds,
    median_above,
    pack_above,
)
from neuroglot.capture.recorded import Recorded, open_recorded
from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import Item, check_same_items, read_items

BLOCK_BYTES = 1 << 28
Act = dict[str, NDArray[np.float32]]
"""Activations by language."""


@dataclass(frozen=True)
class Prompts:
    """One model's recordings of one task.

    Attributes:
        task: id.
        site: ``act`` or ``gate``: the site whose values decide whether a neuron is active.
        recorded: recordings by language, in the configured order; all have the same items.
    """

    task: str
    site: Literal["act", "gate"]
    recorded: Mapping[str, Recorded]

    @property
    def items(self) -> list[str]:
        """Ids of the items, in the recorded order."""
        return [str(item) for item in self._first.data["segment"].values]

    @property
    def neurons(self) -> list[int]:
        """Width of each layer."""
        widest = int(store.read_rows(self._first.path, "act", 0, slice(1)).shape[1])
        layers = self.layers["layer"].values
        return [self._first.width("act", layer) or widest for layer in layers]

    @property
    def layers(self) -> xr.Dataset:
        """Coordinates ``layer``, ``stack(layer)`` and ``stack_layer(layer)``."""
        return self._first.data[["stack", "stack_layer"]]

    @property
    def _first(self) -> Recorded:
        return next(iter(self.recorded.values()))

    def blocks(self) -> Iterator[slice]:
        """Give blocks of layers of equal width that fit into memory in all languages."""
        column = len(self.items) * len(self.recorded) * np.dtype(np.float32).itemsize
        first = 0
        for width, run in groupby(self.neurons):
            stop, step = first + len(list(run)), max(1, BLOCK_BYTES // (column * width))
            for start in range(first, stop, step):
                yield slice(start, min(start + step, stop))
            first = stop

    def active(self, threshold: float) -> dict[str, Bits]:
        """Pack the active neurons, ``[item, layer, byte]`` by language, block by block.

        ``byte`` fits the widest layer; the padding bits of narrower layers are 0.
        """
        shape = len(self.items), len(self.neurons), -(-max(self.neurons) // 8)
        active = {language: np.zeros(shape, np.uint8) for language in self.recorded}
        for layers in self.blocks():
            for language, bits in signs(self.read(self.site, layers), threshold).items():
                active[language][:, layers, : bits.shape[-1]] = bits
        return active

    def median_active(self, threshold: float) -> NDArray[np.float32]:
        """The median of each layer's active neurons, ``[language, item, layer]``.

        It is one of ``site``'s values. NaN where no neuron is active.
        """
        medians = np.empty((len(self.recorded), len(self.items), len(self.neurons)), np.float32)
        for layers in self.blocks():
            for place, values in enumerate(self.read(self.site, layers).values()):
                medians[place, :, layers] = median_above(values, threshold)
        return medians

    def read(self, site: str, layers: slice) -> Act:
        """Read ``act``, ``gate`` or ``peak`` for a block of ``blocks``.

        Returns:
            ``[item, layer, neuron]`` by language.
        """
        width = max(self.neurons[layers])
        return {
            language: store.read_rows(recorded.path, site, layers)[..., :width].transpose(1, 0, 2)
            for language, recorded in self.recorded.items()
        }

    def by_layer(self, threshold: float) -> Iterator[tuple[Act, KindBits]]:
        """Give each layer's activations ``[item, neuron]`` by language, and kinds of neurons."""
        for layers in self.blocks():
            act, bits = self.read("act", layers), signs(self.read(self.site, layers), threshold)
            of_block = kinds(bits.values(), self.neurons[layers.start])
            for place in range(layers.stop - layers.start):
                of_layer = {language: values[:, place] for language, values in act.items()}
                yield of_layer, of_block[:, place]


def open_prompts(
    paths: Mapping[str, Mapping[str, Path]], tasks: Iterable[str], languages: Iterable[str]
) -> list[Prompts]:
    """Open one model's recordings of tasks.

    Args:
        paths: paths of the recordings, by task and language.
        tasks: ids of the tasks to open.
        languages: ids, in the order of the results; a task need not have all of them.

    Raises:
        NeuroglotError: a recording is missing or damaged, a task was recorded in fewer than two
            languages, or a task's items differ between languages.
    """
    groups = [path for by_language in paths.values() for path in by_language.values()]
    opened = {recorded.path: recorded for recorded in open_recorded(groups)}
    languages, prompts = list(languages), []
    for task in tasks:
        asked = [language for language in languages if language in paths[task]]
        recorded = {language: opened[paths[task][language]] for language in asked}
        if len(recorded) < 2:
            raise NeuroglotError(
                f"task {task!r} was recorded in {len(recorded)} language(s), and neurons are "
                "shared between two or more; give the task more languages"
            )
        items = {language: r.data["segment"].values.tolist() for language, r in recorded.items()}
        check_same_items(task, items)
        completion = store.read_completion(paths[task][asked[0]], "activations")
        prompts.append(Prompts(task, completion.origin["group"]["site"], recorded))
    return prompts


def recorded_items(paths: Mapping[str, Path], prompts: Prompts) -> dict[str, list[Item]]:
    """Read the items whose prompts were recorded, by language.

    Args:
        paths: paths of the task's items, by language.
        prompts: the task's recordings.

    Raises:
        NeuroglotError: a file's items differ from the recorded items.
    """
    items = {language: list(read_items(paths[language]).items) for language in prompts.recorded}
    for language, asked in items.items():
        if [item.id for item in asked] != prompts.items:
            raise NeuroglotError(
                f"{paths[language]}: its items are not those that were recorded; run again"
            )
    return items


def signs(fired: Act, threshold: float) -> dict[str, Bits]:
    """Pack the active neurons, by language."""
    return {language: pack_above(values, [threshold])[0] for language, values in fired.items()}
