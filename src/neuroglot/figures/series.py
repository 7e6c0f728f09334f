"""How lines and points look: one look per language, kind or method, the same in all figures."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xarray import Dataset

# Paul Tol's "muted" hues and black; sand is a little darker, to be visible on white paper. Any two
# hues are at least 15 CIELAB units apart under protanopia, deuteranopia and tritanopia.
HUES = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#999933",
    "#882255",
    "#44AA99",
    "#CCBB44",
    "#AA4499",
    "#000000",
)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "p")


@dataclass(frozen=True)
class Look:
    """The look of one line or of one group of points, and its name for readers."""

    label: str
    color: str = "black"
    linestyle: Any = "-"
    marker: str = "o"
    filled: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of matplotlib for a line."""
        return {"color": self.color, "linestyle": self.linestyle}

    @property
    def point(self) -> dict[str, Any]:
        """Keyword arguments of matplotlib for points."""
        face = self.color if self.filled else "white"
        both = {"color": self.color, "marker": self.marker, "markerfacecolor": face}
        return {"linestyle": "none", **both}


@dataclass(frozen=True)
class Series:
    """A column of a table whose levels have a line, a row of points or cells, or a panel each.

    Attributes:
        column: name of the column.
        looks: the levels in drawing order, each with its look.
    """

    column: str
    looks: Mapping[str, Look]

    @classmethod
    def of(cls, column: str, labels: Mapping[Any, str] | Iterable[str]) -> "Series":
        """Name levels, for rows and panels; without labels, levels are named as they are."""
        if not isinstance(labels, Mapping):
            labels = {level: level for level in labels}
        return cls(column, {level: Look(label) for level, label in labels.items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self.looks)

    def __len__(self) -> int:
        return len(self.looks)

    def only(self, levels: Iterable[str]) -> "Series":
        """The series with some of its levels only, in its own order."""
        kept = set(levels)
        return Series(self.column, {k: look for k, look in self.looks.items() if k in kept})

    def labelled(self, label: Callable[[str, str], str]) -> "Series":
        """The series with other labels, made from each level and its label."""
        looks = self.looks.items()
        named = {level: replace(look, label=label(level, look.label)) for level, look in looks}
        return Series(self.column, named)

    @property
    def labels(self) -> list[str]:
        """The names of all levels for readers."""
        return [look.label for look in self.looks.values()]

    def label(self, level: str) -> str:
        """The name of a level for readers."""
        return self.looks[level].label

    def values(self, attribute: str) -> dict[str, Any]:
        """One attribute of every level's look, for example ``color``."""
        return {level: getattr(look, attribute) for level, look in self.looks.items()}


def language_look(position: int, label: str) -> Look:
    """The look of the language at ``position`` in the configured list.

    After 10 languages the hues repeat with another line style. Neighbours have different markers,
    so that hue and marker together are unique for the first 110 languages.
    """
    return Look(
        label,
        color=HUES[position % len(HUES)],
        linestyle=DASHES[position // len(HUES) % len(DASHES)],
        marker=MARKERS[position % len(MARKERS)],
    )


def languages(ds: Dataset, dimension: str = "language") -> Series:
    """The languages along ``dimension`` of a dataset.

    A look depends on the position in ``attrs["language_names"]`` (JSON), which lists the configured
    languages in their order. Adding a language at the end, or leaving a language out of an
    analysis, does not change other languages' looks. Languages outside this list come after it.
    """
    ids = [str(language) for language in ds[dimension].values]
    names: dict[str, str] = json.loads(ds.attrs.get("language_names", "{}"))
    looks = {
        language: language_look(position, names.get(language, language))
        for position, language in enumerate(dict.fromkeys([*names, *ids]))
    }
    return Series(dimension, looks).only(ids)


def pivot(ds: Dataset, among: Series) -> str:
    """The pivot language: ``attrs["pivot"]``, or the first language."""
    pivot = str(ds.attrs.get("pivot", ""))
    return pivot if pivot in among.looks else next(iter(among))
