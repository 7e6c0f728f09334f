"""Synthetic datasets of the agreement analysis, with planted structure, to draw figures of."""

import json
from itertools import combinations

import numpy as np
import xarray as xr

from analyses.roles.figure_data import names_of
from neuroglot.analyses.agreement.measures.overlap import agreement
from neuroglot.analyses.named import ORDER


def dataset(family: str, languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """LAPE and sharing agree; type 1 looks at lower layers, the lexicon at the last."""
    layers, generator = sum(stacks.values()), np.random.default_rng(4)
    names, methods = names_of(languages), list(ORDER)
    looked = np.ones((len(methods), layers), bool)
    half = (layers + 1) // 2
    looked[2, half:] = looked[3, :half] = looked[5, :-1] = False
    core = generator.random((languages, layers, 200)) < 0.03
    chosen = generator.random((len(methods), languages, layers, 200)) < 0.04
    chosen[:2] |= core
    chosen &= looked[:, None, :, None]
    chosen[2:4, 0] = False
    named = xr.DataArray(
        chosen,
        dims=("method", "language", "layer", "neuron"),
        coords={
            "method": methods,
            "language": list(names),
            "layer": np.arange(layers),
            "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
            "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
        },
    )
    seen = xr.DataArray(looked, dims=("method", "layer"), coords={"method": methods})
    data = agreement(named, seen).assign(looked_at=seen)
    return data.assign_attrs(model="gemma-3-270m", language_names=json.dumps(names))


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    above = np.triu_indices(ds.sizes["method"], 1)
    if stem == "agreement_by_language":
        return np.asarray((ds["jaccard_all"].values / ds["expected_all"].values)[above])
    drawn = []
    for a, b in combinations(range(ds.sizes["method"]), 2):
        pair = ds.isel(method=a, method_other=b)
        ratio = (
            pair["jaccard"].mean("language").values
            / pair["expected_jaccard"].mean("language").values
        )
        if np.isfinite(ratio).sum() > 1:
            drawn.append(np.log2(ratio[ratio > 0]))
    return np.concatenate(drawn)
