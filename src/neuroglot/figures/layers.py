"""Draws quantities by layer or state of one stack, or of a separate encoder and decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray
from pandas import DataFrame
from xarray import Dataset

GAP = 1.5
MOST_TICKS = 12
MOST_MARKERS = 14
LABELS = {"layer": "layer", "state": "state (0: embeddings)"}

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """One stack of layers or states: its name, its flat indices, and its numbers."""

    name: str
    layers: NDArray[np.intp]
    numbers: NDArray[np.intp]
    x: Values


@dataclass(frozen=True)
class LayerAxis:
    """The x axis of a figure by layer or state: the stacks side by side, with a gap between.

    Layers are numbered from 1; states from 0, the embeddings, so that state 1 is after layer 1.
    """

    stacks: tuple[Stack, ...]
    word: str = "layer"

    @classmethod
    def of(cls, ds: Dataset, word: str = "layer") -> "LayerAxis":
        """Read the coordinates ``stack`` and ``stack_layer`` or ``stack_state`` of ``ds``.

        Args:
            ds: dataset with coordinates along ``layer`` or ``state``.
            word: ``layer`` or ``state``.
        """
        first = 1 if word == "layer" else 0
        names = np.asarray(ds["stack"].values, dtype=str)
        numbers = np.asarray(ds[f"stack_{word}"].values, dtype=np.intp) + first
        stacks: list[Stack] = []
        start = float(first)
        for name in dict.fromkeys(names.tolist()):
            layers = np.flatnonzero(names == name)
            x = start + np.arange(layers.size, dtype=np.float64)
            stacks.append(Stack(name, layers, numbers[layers], x))
            start = x[-1] + 1 + GAP
        return cls(tuple(stacks), word)

    @property
    def size(self) -> int:
        """Number of layers or states."""
        return sum(stack.layers.size for stack in self.stacks)

    def placed(self, table: DataFrame) -> DataFrame:
        """Sort a table by layer or state, and add the columns ``x`` and ``stack``.

        Args:
            table: has ``layer``, counted from 1, or ``state``, counted from 0.
        """
        first = 1 if self.word == "layer" else 0
        x = np.full(self.size, np.nan)
        names = np.full(self.size, "", dtype=object)
        for stack in self.stacks:
            x[stack.layers], names[stack.layers] = stack.x, stack.name
        flat = table[self.word].to_numpy() - first
        return table.assign(x=x[flat], stack=names[flat]).sort_values("x", kind="stable")

    def plot(self, ax: Axes, values: Values, **line: Any) -> None:
        """Draw ``values[layer]`` as one separate line per stack, with gaps for NaN."""
        for stack in self.stacks:
            every = max(1, -(-stack.layers.size // MOST_MARKERS))
            ax.plot(stack.x, values[stack.layers], markevery=every, **line)

    def fill(self, ax: Axes, low: Values, high: Values, **patch: Any) -> None:
        """Fill between ``low[layer]`` and ``high[layer]``, stack by stack."""
        for stack in self.stacks:
            ax.fill_between(stack.x, low[stack.layers], high[stack.layers], **patch)

    def decorate(self, ax: Axes) -> None:
        """Number the layers or states below ``ax``, name the stacks, and draw a line between."""
        ax.set_xlim(self.stacks[0].x[0] - 0.6, self.stacks[-1].x[-1] + 0.6)
        shown = [ticks(stack.numbers, MOST_TICKS // len(self.stacks)) for stack in self.stacks]
        ax.set_xticks(
            np.concatenate([stack.x[keep] for stack, keep in zip(self.stacks, shown, strict=True)]),
            [str(n) for s, keep in zip(self.stacks, shown, strict=True) for n in s.numbers[keep]],
        )
        ax.grid(axis="x", visible=False)
        ax.set_xlabel(LABELS[self.word])
        if len(self.stacks) == 1:
            return
        ax.xaxis.remove_overlapping_locs = False  # a stack's name may be below a number
        centres = [float(stack.x.mean()) for stack in self.stacks]
        ax.set_xticks(centres, [stack.name for stack in self.stacks], minor=True)
        ax.tick_params(axis="x", which="minor", length=0, pad=17, labelsize="medium")
        for left in self.stacks[:-1]:
            ax.axvline(left.x[-1] + (1 + GAP) / 2, color="#888888", linewidth=0.8)

    def number(self, ax: Axes, stack: Stack) -> None:
        """Number the layers below a heat map of one stack, whose cells are centred at i + 0.5."""
        shown = ticks(stack.numbers, max(2, MOST_TICKS // (2 * len(self.stacks))))
        ax.set_xticks(shown + 0.5, [str(number) for number in stack.numbers[shown]], rotation=0)

    def label(self, stack: Stack) -> str:
        """The label of a stack's axis: "layer" or, with two stacks, "encoder layer"."""
        return LABELS[self.word] if len(self.stacks) == 1 else f"{stack.name} {self.word}"

    def chosen(self) -> tuple[int, ...]:
        """Flat indices of each stack's first, middle and last layer, without repetition."""
        picks = [
            int(stack.layers[place])
            for stack in self.stacks
            for place in (0, (stack.layers.size - 1) // 2, stack.layers.size - 1)
        ]
        return tuple(dict.fromkeys(picks))

    def name(self, layer: int) -> str:
        """Name the flat index ``layer``: "layer 3" or, with two stacks, "encoder state 0"."""
        for stack in self.stacks:
            for index, number in zip(stack.layers, stack.numbers, strict=True):
                if index == layer:
                    prefix = f"{stack.name} " if len(self.stacks) > 1 else ""
                    return f"{prefix}{self.word} {number}"
        raise IndexError(layer)


def ticks(numbers: Sequence[int] | NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Indices of the numbers to print: all if few; else the first, every 5th or more, the last."""
    numbers = np.asarray(numbers, dtype=np.intp)
    step = next(s for s in (1, 5, 10, 20, 50, 1000) if numbers.size <= s * most)
    regular = (numbers % step == 0) | (numbers == numbers[0])
    regular[-1] |= 2 * (numbers[-1] % step) > step
    return np.flatnonzero(regular)


def plain_numbers(ax: Axes) -> None:
    """Write the y axis in plain numbers, about five of them, without offset or exponent."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    ax.yaxis.set_major_formatter(formatter)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
