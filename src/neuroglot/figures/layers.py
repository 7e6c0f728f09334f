"""Draws quantities by layer or state of one stack, or of a separate encoder and decoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pandas import DataFrame
from xarray import Dataset

GAP = 1.5
MOST_TICKS = 12
LABELS = {
    "layer": "layer",
    "state": "state (0: embeddings)",
    "step": "training step",
    "revision": "revision, as listed",
}

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class LayerAxis:
    """The x axis of a figure by layer or state: the stacks side by side, with a gap between.

    Layers are numbered from 1; states from 0, the embeddings, so that state 1 is after layer 1.

    Attributes:
        names: name of the stack of each layer.
        numbers: number of each layer in its stack.
        word: ``layer`` or ``state``.
        labels: number of each layer over all stacks, from 0, as datasets have it; None if no layer
            is left out.
    """

    names: Sequence[str]
    numbers: Sequence[int]
    word: str = "layer"
    labels: Sequence[int] | None = None

    @classmethod
    def of(cls, ds: Dataset, word: str = "layer") -> "LayerAxis":
        """Read the coordinates ``stack`` and ``stack_layer`` or ``stack_state`` of ``ds``."""
        numbers = ds[f"stack_{word}"].values + (word == "layer")
        labels = ds[word].values.tolist() if word in ds.coords else None
        return cls([*map(str, ds["stack"].values)], numbers.tolist(), word, labels)

    @property
    def size(self) -> int:
        """Number of layers or states."""
        return len(self.names)

    @property
    def stacks(self) -> dict[str, Indices]:
        """Flat indices of the layers of each stack."""
        names = np.asarray(self.names)
        return {name: np.flatnonzero(names == name) for name in dict.fromkeys(self.names)}

    @property
    def x(self) -> NDArray[np.float64]:
        """Places of the layers on the axis."""
        first, stack = self.word == "layer", [*self.stacks]
        return first + np.arange(self.size) + GAP * np.array([*map(stack.index, self.names)])

    def placed(self, table: DataFrame) -> DataFrame:
        """Sort a table by layer or state, and add the columns ``x`` and ``stack``.

        Args:
            table: has ``layer``, counted from 1, or ``state``, counted from 0.
        """
        flat = table[self.word].to_numpy() - (self.word == "layer")
        if self.labels is not None:
            flat = np.searchsorted(self.labels, flat)
        stack = np.array(self.names, dtype=object)[flat]
        return table.assign(x=self.x[flat], stack=stack).sort_values("x", kind="stable")

    def decorate(self, ax: Axes) -> None:
        """Number the layers or states below ``ax``, name the stacks, and draw a line between."""
        x, stacks = self.x, self.stacks
        ax.set_xlim(x[0] - 0.6, x[-1] + 0.6)
        shown = [self.ticks(layers, MOST_TICKS // len(stacks)) for layers in stacks.values()]
        numbered = np.concatenate(shown)
        ax.set_xticks(x[numbered], [self.written(layer) for layer in numbered])
        ax.grid(axis="x", visible=False)
        ax.set_xlabel(LABELS[self.word])
        if len(stacks) == 1:
            return
        ax.xaxis.remove_overlapping_locs = False  # a stack's name may be below a number
        ax.set_xticks([x[layers].mean() for layers in stacks.values()], [*stacks], minor=True)
        ax.tick_params(axis="x", which="minor", length=0, pad=17, labelsize="medium")
        for layers in [*stacks.values()][:-1]:
            ax.axvline(x[layers[-1]] + (1 + GAP) / 2, color="#888888", linewidth=0.8)

    def number(self, ax: Axes, stack: str) -> None:
        """Number the layers below a heat map of one stack, whose cells are centred at i + 0.5."""
        layers = self.stacks[stack]
        shown = self.ticks(layers, max(2, MOST_TICKS // (2 * len(self.stacks))))
        ax.set_xticks(shown - layers[0] + 0.5, [*map(self.written, shown)], rotation=0)

    def ticks(self, layers: Indices, most: int) -> Indices:
        """Those of a stack's flat indices that are numbered."""
        return layers[ticks([self.numbers[layer] for layer in layers], most)]

    def written(self, layer: int) -> str:
        """The number of a flat index, as it stands below an axis."""
        return str(self.numbers[layer])

    def label(self, stack: str) -> str:
        """The label of a stack's axis: "layer" or, with two stacks, "encoder layer"."""
        return LABELS[self.word] if len(self.stacks) == 1 else f"{stack} {self.word}"

    def chosen(self) -> list[int]:
        """Flat indices of each stack's first, middle and last layer, without repetition."""
        ends = [
            (layers[0], layers[(len(layers) - 1) // 2], layers[-1])
            for layers in self.stacks.values()
        ]
        return [*dict.fromkeys(int(layer) for three in ends for layer in three)]

    def name(self, layer: int) -> str:
        """Name the flat index ``layer``: "layer 3" or, with two stacks, "encoder state 0"."""
        prefix = f"{self.names[layer]} " if len(self.stacks) > 1 else ""
        return f"{prefix}{self.word} {self.numbers[layer]}"


def ticks(numbers: Sequence[int] | Indices, most: int) -> Indices:
    """Indices of the numbers to print: all if few; else the first, every 5th or more, the last."""
    numbers = np.asarray(numbers, dtype=np.intp)
    step = next(s for s in (1, 5, 10, 20, 50, 1000) if numbers.size <= s * most)
    regular = (numbers % step == 0) | (numbers == numbers[0])
    regular[-1] |= 2 * (numbers[-1] % step) > step
    return np.flatnonzero(regular)
