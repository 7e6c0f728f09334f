"""Recorded activations at the end of the same prompts in several languages."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.sharing.measures.kinds import Bits, KindBits, kinds, pack_above
from neuroglot.capture.recorded import Recorded, open_recorded
from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import Item, check_same_items, read_items

BLOCK_BYTES = 1 << 28
Act = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Prompts:
    """One model's recordings of one task.

    Attributes:
        task: id.
        site: ``act`` or ``gate``: the site whose values decide whether a neuron is active.
        recorded: recordings by language, in the configured order; all have the same items.
    """

    task: str
    site: str
    recorded: Mapping[str, Recorded]

    @property
    def items(self) -> list[str]:
        """Ids of the items, in the recorded order."""
        return [str(item) for item in self._first["segment"].values]

    @property
    def neurons(self) -> list[int]:
        """Width of each layer."""
        first = next(iter(self.recorded.values()))
        widest = int(store.read_rows(first.path, "act", 0, slice(1)).shape[1])
        return [first.width("act", layer) or widest for layer in self.layers["layer"].values]

    @property
    def layers(self) -> xr.Dataset:
        """Coordinates ``layer``, ``stack(layer)`` and ``stack_layer(layer)``."""
        return self._first[["stack", "stack_layer"]]

    @property
    def _first(self) -> xr.Dataset:
        return next(iter(self.recorded.values())).data

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
        bits = -(-max(self.neurons) // 8)
        found = {
            one: np.zeros((len(self.items), len(self.neurons), bits), np.uint8)
            for one in self.recorded
        }
        for layers in self.blocks():
            for one, own in signs(self.read(self.site, layers), threshold).items():
                found[one][:, layers, : own.shape[-1]] = own
        return found

    def read(self, site: str, layers: slice) -> Act:
        """Read ``act``, ``gate`` or ``peak`` for a block of ``blocks``.

        Returns:
            ``[item, layer, neuron]`` by language.
        """
        width = max(self.neurons[layers])
        return {
            language: store.read_rows(one.path, site, layers)[..., :width].transpose(1, 0, 2)
            for language, one in self.recorded.items()
        }


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
    keys = {(task, one): path for task, own in paths.items() for one, path in own.items()}
    by_key = dict(zip(keys, open_recorded(keys.values()), strict=True))
    languages, found = list(languages), []
    for task in tasks:
        recorded = {one: by_key[task, one] for one in languages if (task, one) in by_key}
        if len(recorded) < 2:
            raise NeuroglotError(
                f"task {task!r} was recorded in {len(recorded)} language(s), and neurons are "
                "shared between two or more; give the task more languages"
            )
        check_same_items(
            task,
            {one: r.data["segment"].values.tolist() for one, r in recorded.items()},
        )
        first = next(iter(recorded.values())).path
        site = store.read_completion(first, "activations").origin["group"]["site"]
        found.append(Prompts(task, site, recorded))
    return found


def recorded_items(paths: Mapping[str, Path], prompts: Prompts) -> dict[str, list[Item]]:
    """Read the items whose prompts were recorded, by language.

    Args:
        paths: paths of the task's items, by language.
        prompts: the task's recordings.

    Raises:
        NeuroglotError: a file's items differ from the recorded items.
    """
    found = {}
    for language in prompts.recorded:
        found[language] = list(read_items(paths[language]).items)
        if [item.id for item in found[language]] != prompts.items:
            raise NeuroglotError(
                f"{paths[language]}: its items are not those that were recorded; run again"
            )
    return found


def kinds_of(fired: Act, threshold: float) -> KindBits:
    """Find the kinds of neurons from the firing site's values in all languages."""
    neurons = next(iter(fired.values())).shape[-1]
    return kinds(signs(fired, threshold).values(), neurons)


def signs(fired: Act, threshold: float) -> dict[str, Bits]:
    """Pack the active neurons by language."""
    return {language: pack_above(own, [threshold])[0] for language, own in fired.items()}
