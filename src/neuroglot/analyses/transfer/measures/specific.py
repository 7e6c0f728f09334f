"""Whether the neurons that LAPE finds specific to a language are its transfer neurons."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.controls import DONE, DRAWN, controlled
from neuroglot.analyses.transfer.measures.lists import ALL, TYPES, listed
from neuroglot.measures.bootstrap import named_bounds
from neuroglot.measures.matching import Mask

LAPE = "lape"
"""Name of the set of neurons that LAPE finds specific to a language."""
MEANS = {"lape_score": "difference of cosines", "lape_ratio": "share of variance"}
"""What LAPE's neurons are compared with controls by, with units: transfer score and η²."""


def lape_neurons(language_neuron: xr.DataArray) -> dict[str, Mask]:
    """Mark each language's neurons, bool [layer, neuron]; languages without any are left out.

    Args:
        language_neuron: result of LAPE, bool [language, layer, neuron].
    """
    ordered = language_neuron.transpose("language", "layer", "neuron")
    masks = zip(ordered["language"].values.tolist(), ordered.values.astype(bool), strict=True)
    return {language: mask for language, mask in masks if mask.any()}


def specificity(
    lists: xr.Dataset, specific: Mapping[str, Mask], ratio: xr.DataArray, seeds: int
) -> xr.Dataset:
    """Compare LAPE's neurons with the lists, and with controls by transfer score and by η².

    Args:
        lists: result of the step ``neurons``.
        specific: result of ``lape_neurons``.
        ratio: η² of every neuron, [language, layer, neuron], for the languages of ``lists``.
        seeds: number of draws of controls.

    Returns:
        By ``type`` and ``language``, of LAPE's neurons in the layers that are searched for the
        type: ``lape_neurons``, their number; ``lape_listed``, the share of them that is in the
        list; ``listed_lape``, the share of the list that is among them; ``…_chance`` of both, of
        neurons drawn at random from these layers. ``lape_score(set, …)`` and ``lape_ratio(set,
        …)``: the mean transfer score, and the mean η², of LAPE's neurons (``lape``) and of their
        controls (``controls.DONE``); of drawn ones ``…_control_low`` and ``…_control_high`` are the
        ends over draws. NaN for languages without such neurons.
    """
    languages = lists["language"].values.tolist()
    shape = (len(TYPES), len(languages))
    shares = {
        name: np.full(shape, np.nan)
        for name in ("lape_listed", "lape_listed_chance", "listed_lape", "listed_lape_chance")
    }
    number = np.full(shape, np.nan)
    means = {name: np.full((3, len(DONE), *shape), np.nan) for name in MEANS}
    for at in np.ndindex(*shape):
        name, language = TYPES[at[0]], languages[at[1]]
        score = lists["score"].sel(type=name, language=language).values
        candidates = np.isfinite(score)
        mine = specific.get(language, np.zeros_like(candidates)) & candidates
        if not mine.any():
            continue
        number[at] = mine.sum()
        list_of_type = listed(lists, name, language)
        common = (mine & list_of_type).sum()
        shares["lape_listed"][at] = common / mine.sum()
        shares["lape_listed_chance"][at] = list_of_type.sum() / candidates.sum()
        shares["listed_lape"][at] = common / list_of_type.sum()
        shares["listed_lape_chance"][at] = mine.sum() / candidates.sum()
        of_neurons = dict(zip(MEANS, (score, ratio.sel(language=language).values), strict=True))
        for row, draws in enumerate(controlled({ALL: mine}, lists, language, seeds).masks.values()):
            for quantity, values in of_neurons.items():
                of_draws = over_draws(values, draws, ends=DONE[row] in DRAWN)
                means[quantity][(slice(None), row, *at)] = of_draws
    dims = ("type", "language")
    by_set = ("set", *dims)
    bounded: dict[str, Any] = {}
    for quantity, units in MEANS.items():
        mean, *ends = ((by_set, values, {"units": units}) for values in means[quantity])
        bounded |= {quantity: mean, **named_bounds(f"{quantity}_control", ends)}
    return xr.Dataset(
        {
            "lape_neurons": (dims, number, {"units": "neurons"}),
            **{name: (dims, values, {"units": "share"}) for name, values in shares.items()},
            **bounded,
        },
        {"set": [LAPE, *DONE[1:]], "type": list(TYPES), "language": languages},
        {"draws": seeds},
    )


def over_draws(
    values: NDArray[np.floating], draws: NDArray[np.bool_], ends: bool
) -> tuple[float, float, float]:
    """Average a quantity over the neurons of each draw: the mean draw and, if wanted, the ends.

    Args:
        values: the quantity, [layer, neuron].
        draws: neurons, [draw, 1, layer, neuron]; those of a draw may be none.
        ends: give the lowest and the highest draw; else NaN.
    """
    of_draws = [float(np.nanmean(values[draw[0]])) for draw in draws if draw.any()]
    if not of_draws:
        return np.nan, np.nan, np.nan
    low, high = (min(of_draws), max(of_draws)) if ends else (np.nan, np.nan)
    return float(np.mean(of_draws)), low, high
