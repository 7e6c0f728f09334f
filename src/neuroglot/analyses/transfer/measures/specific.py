"""Whether the neurons that LAPE finds specific to a language are its transfer neurons."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot.analyses.transfer.measures.controls import DONE, DRAWN, controlled
from neuroglot.analyses.transfer.measures.lists import ALL, TYPES, listed
from neuroglot.measures.bootstrap import named_bounds
from neuroglot.measures.matching import Mask

LAPE = "lape"
"""Name of the set of neurons that LAPE finds specific to a language."""


def lape_neurons(language_neuron: xr.DataArray) -> dict[str, Mask]:
    """Mark each language's neurons, bool [layer, neuron]; languages without any are left out.

    Args:
        language_neuron: result of LAPE, bool [language, layer, neuron].
    """
    ordered = language_neuron.transpose("language", "layer", "neuron")
    masks = zip(ordered["language"].values.tolist(), ordered.values.astype(bool), strict=True)
    return {language: mask for language, mask in masks if mask.any()}


def specificity(lists: xr.Dataset, specific: Mapping[str, Mask], seeds: int) -> xr.Dataset:
    """Compare LAPE's neurons with the lists, and their transfer scores with those of controls.

    Args:
        lists: result of the step ``neurons``.
        specific: result of ``lape_neurons``.
        seeds: number of draws of controls.

    Returns:
        By ``type`` and ``language``, of LAPE's neurons in the layers that are searched for the
        type: ``lape_neurons``, their number; ``lape_listed``, the share of them that is in the
        list; ``listed_lape``, the share of the list that is among them; ``…_chance`` of both, of
        neurons drawn at random from these layers. ``lape_score(set, …)``: the mean transfer score
        of LAPE's neurons (``lape``) and of their controls (``controls.DONE``); of drawn ones
        ``…_control_low`` and ``…_control_high`` are the ends over draws. NaN for languages without
        such neurons.
    """
    languages = lists["language"].values.tolist()
    shape = (len(TYPES), len(languages))
    shares = {
        name: np.full(shape, np.nan)
        for name in ("lape_listed", "lape_listed_chance", "listed_lape", "listed_lape_chance")
    }
    number = np.full(shape, np.nan)
    mean, low, high = np.full((3, len(DONE), *shape), np.nan)
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
        for row, draws in enumerate(controlled({ALL: mine}, lists, language, seeds).masks.values()):
            means = [np.nanmean(score[draw[0]]) for draw in draws if draw.any()]
            if means:
                mean[(row, *at)] = np.mean(means)
                if DONE[row] in DRAWN:
                    low[(row, *at)], high[(row, *at)] = min(means), max(means)
    dims, units = ("type", "language"), {"units": "difference of cosines"}
    by_set = ("set", *dims)
    return xr.Dataset(
        {
            "lape_neurons": (dims, number, {"units": "neurons"}),
            **{name: (dims, values, {"units": "share"}) for name, values in shares.items()},
            "lape_score": (by_set, mean, units),
            **named_bounds("lape_score_control", ((by_set, end, units) for end in (low, high))),
        },
        {"set": [LAPE, *DONE[1:]], "type": list(TYPES), "language": languages},
    )
