"""Synthetic datasets of the lape analysis, with planted structure, for the tests of figures."""

import json

import numpy as np
import xarray as xr

from analyses.roles.figure_data import names_of

GROUPS = ("germanic", "germanic", "romance", "romance", "romance", "slavic", "slavic", "indic")


def neurons(languages: int, stacks: dict[str, int], width: int = 400) -> xr.Dataset:
    """Most neurons in the first and last layers, some shared in a group, none of the second."""
    rng = np.random.default_rng(11)
    layers = sum(stacks.values())
    groups = [GROUPS[i] if i < len(GROUPS) else str(i) for i in range(languages)]
    density = (0.01 + 0.05 * (2 * np.linspace(0, 1, layers) - 1) ** 4)[:, None]
    of_group = {group: rng.random((layers, width)) < density for group in groups}
    belongs = np.stack(
        [
            (rng.random((layers, width)) < density * (0.3 + i / languages))
            | (of_group[group] & (rng.random((layers, width)) < 0.7))
            for i, group in enumerate(groups)
        ]
    )
    if languages > 1:
        belongs[1] = False
    counts, totals = belongs.sum(0), belongs.sum((1, 2))
    ends = {"": 1, "_low": 0.8, "_high": 1.2}
    names = names_of(languages)
    return xr.Dataset(
        {
            "language_neuron": (("language", "layer", "neuron"), belongs),
            "neurons": (("language", "layer"), belongs.sum(2).astype(np.int32)),
            **{f"all_layers{end}": ("language", totals * by) for end, by in ends.items()},
            "chance_neurons": ("layer", 7.0 * density[:, 0]),
            **{f"chance_all_layers{end}": 5.0 * by for end, by in ends.items()},
            "shared_by_languages": (
                "count",
                np.bincount(counts[counts > 0], minlength=languages + 1),
            ),
            "tokens": ("language", 900 + 10 * np.arange(languages)),
        },
        {
            "language": list(names),
            "layer": np.arange(layers),
            "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
            "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
            "count": np.arange(languages + 1),
        },
        {"model": "gemma-3-270m", "language_names": json.dumps(names)}
        | {"site": "gate", "corpora": ["udhr"]},
    )


def perplexity(languages: int) -> xr.Dataset:
    """LAPE's neurons raise their own language's perplexity most; random ones change little."""
    rng = np.random.default_rng(13)
    names = names_of(languages)
    change = rng.normal(0.02, 0.02, size=(2, languages, languages))
    change[0] += np.diag(rng.uniform(0.3, 3, languages))
    change[1] *= 0.5
    dims = ("chosen", "deactivated", "language")
    return xr.Dataset(
        {
            "change": (dims, change),
            "change_low": (dims, change - 0.1),
            "change_high": (dims, change + 0.1),
            "predicted_tokens": ("language", 3_000 + np.arange(languages)),
            "deactivated_neurons": ("deactivated", 1300 + 17 * np.arange(languages)),
        },
        {"chosen": ["lape", "random"], "deactivated": list(names), "language": list(names)},
        {"model": "gemma-3-270m", "language_names": json.dumps(names)},
    )


def dataset(family: str, languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    return neurons(languages, stacks) if family == "neurons" else perplexity(languages)


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "language_neurons":
        return np.concatenate([ds["neurons"].values.ravel(), ds["chance_neurons"].values])
    if stem == "perplexity_without":
        own = np.diagonal(ds["change_low"].values, axis1=1, axis2=2)
        change = ds["change"].values
        others = [np.delete(row, i).mean() for i, row in enumerate(change[0]) if len(row) > 1]
        return np.concatenate([change.ravel(), own.ravel(), others])
    belongs = ds["language_neuron"].values
    pairs = [(a & b).sum() for i, a in enumerate(belongs) for b in belongs[:i]]
    return np.array([*pairs, *np.trim_zeros(ds["shared_by_languages"].values)])
