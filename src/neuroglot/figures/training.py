"""Draws quantities of the revisions of models by the steps that these were trained for."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.findings import number
from neuroglot.figures.layers import Indices, LayerAxis
from neuroglot.figures.style import NothingToDraw

_UNITS = ((1_000_000, "M"), (1000, "k"))


class RevisionAxis(LayerAxis):
    """The x axis of revisions: families side by side, and in each the revisions evenly apart.

    Numbers are training steps, or places in the list of revisions if a family's steps are unknown.
    """

    @classmethod
    def read(cls, ds: Dataset) -> "RevisionAxis":
        """Read ``model_family(model)`` and ``training_step(model)``."""
        steps = ds["training_step"].values
        known = bool(np.isfinite(steps).all())
        numbers = steps.astype(int).tolist() if known else places(ds).tolist()
        return cls([*map(str, ds["model_family"].values)], numbers, "step" if known else "revision")

    def ticks(self, layers: Indices, most: int) -> Indices:
        """As many of a family's revisions as there is room for, the last among them."""
        room = most // 2 if len(layers) <= most // 2 else most // 3  # for longer numbers
        apart = -(-len(layers) // max(2, room))
        return layers[::-1][::apart][::-1]

    def written(self, layer: int) -> str:
        """A number of steps, such as "143k"."""
        steps = self.numbers[layer]
        for unit, letter in _UNITS:
            if steps >= unit:
                return f"{steps / unit:.4g}{letter}"
        return str(steps)


def places(ds: Dataset) -> NDArray[np.intp]:
    """The place of each model among its family's, from 1: ``[model]``."""
    families = ds["model_family"].values
    return np.array([1 + int((families[:at] == name).sum()) for at, name in enumerate(families)])


def placed(ds: Dataset, name: str) -> tuple[Dataset, RevisionAxis]:
    """Give a variable and its interval's ends by revision, and the x axis.

    Args:
        ds: ``model_family(model)``, ``training_step(model)`` and the variable, ``(model, …)``.
        name: its name.

    Raises:
        NothingToDraw: there is no value, or of one revision of each family only.
    """
    axis = RevisionAxis.read(ds)
    known = ds[name].notnull().any([dim for dim in ds[name].dims if dim != "model"])
    if (
        max(np.unique(ds["model_family"].values[known.values], return_counts=True)[1], default=0)
        < 2
    ):
        raise NothingToDraw("no two revisions of a model to compare")
    names = [each for end in ("", "_low", "_high") if (each := f"{name}{end}") in ds]
    by_place = ds[names].rename(model=axis.word)
    return by_place.assign_coords({axis.word: np.arange(axis.size)}), axis


def change(ds: Dataset, values: DataArray, what: str, form: str = ".3g") -> str:
    """Say how a mean over all but ``model`` moves from the first to the last revision.

    Args:
        ds: as for ``placed``.
        values: the quantity, ``(model, …)``.
        what: what it is, to begin the sentence.
        form: format of the numbers.
    """
    means = values.mean([dim for dim in values.dims if dim != "model"])
    axis, told = RevisionAxis.read(ds), []
    for family, members in axis.stacks.items():
        known = [member for member in members if np.isfinite(means.values[member])]
        if len(known) > 1:
            ends = [known[0], known[-1]]
            first, last = (number(means.values[at], form) for at in ends)
            steps = " to ".join(axis.written(at) for at in ends)
            told.append(f"{family} from {first} to {last} ({axis.word} {steps})")
    if not told:
        raise NothingToDraw("no two revisions of a model to compare")
    return f"{what}: {'; '.join(told)}."


def subject(ds: Dataset, words: str) -> str:
    """Name the families that a figure follows, and what it follows of them."""
    return f"{', '.join(dict.fromkeys(map(str, ds['model_family'].values)))}: {words}"


def by_language(ds: Dataset, name: str, by_chance: str, label: str, words: str) -> Figure:
    """Draw a number of each language, less that by chance, by training step.

    Args:
        ds: ``name`` and its interval's ends, ``(model, language)``; ``by_chance``, ``(model)`` or
            ``(model, language)``; and as for ``placed``.
        name: the number's name.
        by_chance: the name of what chance gives on average.
        label: label of the y axis.
        words: what is counted, for the title.
    """
    values, axis = placed(beyond(ds, name, by_chance), name)
    figure = languages.by_layer(values, name, label, signed=True, axis=axis)
    corpora = ", ".join(ds.attrs["corpora"])
    note = f"{corpora}; bands: 95 % intervals" if figure.legends else corpora
    return sheets.title(figure, ds, subject(ds, words), note)


def beyond(ds: Dataset, name: str, by_chance: str) -> Dataset:
    """Give a variable and its interval's ends less what chance gives on average."""
    names = [each for end in ("", "_low", "_high") if (each := f"{name}{end}") in ds]
    return ds.assign({each: ds[each] - ds[by_chance] for each in names})
