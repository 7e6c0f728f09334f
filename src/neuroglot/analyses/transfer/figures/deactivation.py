"""How close a language is to the pivot without its Type 1 neurons."""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.analyses.transfer.figures.alignment import told
from neuroglot.figures import points, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw
from neuroglot.figures.texts import held
from neuroglot.tables import valued

CHANGES = Series(
    "variant",
    {
        "without_type1": Look("without Type 1", looks.TYPES.looks["type1"].color),
        "random": Look("without as many random", "#777777", filled=False),
        "excess": Look("Type 1 minus random", "#AA3377", marker="D"),
    },
)
PAIRS = Series.of("pair", {"parallel": "parallel segments", "non_parallel": "other segments"})


def excess(ds: Dataset) -> tuple[Dataset, Series]:
    """Change of the cosines with the pivot without Type 1 neurons, less that without random ones.

    Args:
        ds: ``excess(pair, state, language)`` with ``_low`` and ``_high``.
    """
    return looks.bounded_value(ds, "excess"), PAIRS.only(held(ds, "excess", "pair"))


def neighbours(ds: Dataset) -> tuple[Dataset, Series]:
    """Neighbours in common with the pivot without Type 1 neurons, less those without random ones.

    Args:
        ds: ``mutual_knn(variant, k, state, language)``; the range of random draws,
            ``mutual_knn_control_low(k, state, language)`` and ``…_high``;
            ``mutual_knn_chance(k)``.
    """
    overlap = ds["mutual_knn"].sel(variant="without_type1", drop=True)
    random = {
        "value": ds["mutual_knn"].sel(variant="random", drop=True),
        "value_low": ds["mutual_knn_control_high"],
        "value_high": ds["mutual_knn_control_low"],
    }
    values = (overlap - Dataset(random)).where(told(ds))
    return values, looks.numbers(values, "k", "k = {:,}")


def in_one_state(ds: Dataset) -> tuple[Dataset, Series]:
    """Select from ``excess`` the state, after a layer, in which parallel segments are closest.

    They are closest where their cosine exceeds other segments' most, mean over languages, in the
    model as it is.

    Args:
        ds: see ``excess``; ``similarity(variant, pair, state, language)``.
    """
    cosine = ds["similarity"].sel(variant="baseline").mean("language")
    gap = cosine.sel(pair="parallel") - cosine.sel(pair="non_parallel")
    state = gap.where(ds["stack_state"] > 0, -np.inf).fillna(-np.inf).argmax("state")
    values, pairs = excess(ds)
    return values.isel(state=[int(state)]), pairs


def effect(ds: Dataset) -> Figure:
    """Changes of cosines in one state: without Type 1, without random ones, and the difference.

    Args:
        ds: see ``in_one_state``; ``effect(variant, pair, state, language)``, ``_low``, ``_high``.
    """
    values, pairs = in_one_state(ds)
    if not pairs:
        raise NothingToDraw("no effect of Type 1 neurons")
    changes = looks.bounded_value(ds.sel(state=values["state"]), "effect")
    both = [changes.drop_sel(variant="baseline"), values.expand_dims(variant=["excess"])]
    table = valued(xr.concat(both, "variant"), "value")
    languages = series.languages(ds).only(table["language"])
    label = "change of the mean cosine with the pivot"
    figure = points.by_level(table, languages, CHANGES, label, columns=pairs, mean=True)
    sheets.guide(figure.axes, 0, "x")
    state = LayerAxis.of(ds, "state").name(int(values["state"][0]))
    note = looks.note(ds, "whiskers: 95 % intervals")
    return sheets.title(figure, ds, f"what Type 1 neurons change in {state}", note)


FIGURES = {
    "similarity_without_type1": looks.by_state(
        excess,
        "cosine with the pivot's segments, without Type 1 neurons",
        "change, Type 1 minus random",
        "bands: 95 % intervals",
    ),
    "mutual_knn_without_type1": looks.by_state(
        neighbours,
        "neighbours shared with the pivot, without Type 1 neurons",
        "overlap, Type 1 minus random",
        "bands: range over random draws",
    ),
    "effect_of_type1": Drawing(effect, partial(looks.finding, measure=in_one_state)),
}
