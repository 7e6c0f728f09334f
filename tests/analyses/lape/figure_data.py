"""Synthetic datasets of the lape analysis, with planted structure, for the tests of figures."""

import json

import numpy as np
import xarray as xr

from analyses.roles.figure_data import names_of
from neuroglot.measures.controls import CONTROLS, SETS
from support.training import in_training

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
    """LAPE's neurons raise their own language's perplexity most; one has no like neurons."""
    rng = np.random.default_rng(13)
    names = names_of(languages)
    change = rng.normal(0.02, 0.02, (languages, languages)) + np.diag(
        rng.uniform(0.3, 3, languages)
    )
    own = np.diag(change) * np.array([1, 0.1, 0.9, 0.3, 0.01])[:, None]
    others = np.array([np.delete(row, i).mean() for i, row in enumerate(change) if languages > 1])
    others = others if languages > 1 else np.full(1, np.nan)
    excess = np.stack([own[0] - others, own[0] - own[1], own[2] - own[3], own[0] - own[4]])
    excess[2, 1:2] = np.nan
    ends = {"": 0, "_low": -0.1, "_high": 0.1}
    each = np.ones(languages, int)
    return xr.Dataset(
        {
            "change": (("deactivated", "language"), change),
            **{f"own_change{end}": (("variant", "language"), own + by) for end, by in ends.items()},
            **{f"excess{end}": (("contrast", "language"), excess + by) for end, by in ends.items()},
            "excess_p_value": (("contrast", "language"), np.where(excess > 0.5, 0.01, 0.3)),
            "others_change": ("language", others),
            "neurons": (("variant", "language"), 1300 + 17 * np.tile(np.arange(languages), (5, 1))),
            "predicted_tokens": ("language", 3_000 + np.arange(languages)),
            "segments": ("language", 40 * each),
            "fewest_segments": ("language", 6 * each),
        },
        {
            "variant": list(SETS),
            "contrast": ["others", *CONTROLS],
            "deactivated": list(names),
            "language": list(names),
        },
        {"model": "gemma-3-270m", "language_names": json.dumps(names)},
    )


def dataset(family: str, languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    if family == "training":
        return in_training("lape", neurons(languages, stacks), ["all_layers"], stacks)
    return neurons(languages, stacks) if family == "neurons" else perplexity(languages)


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "neurons_in_training":
        return (ds["all_layers"] - ds["chance_all_layers"]).values
    if stem == "language_neurons":
        return np.concatenate([ds["neurons"].values.ravel(), ds["chance_neurons"].values])
    if stem == "perplexity_without":
        drawn = ds.sel(
            contrast=["others", "activity", "contribution"], variant=["chosen", "random"]
        )
        names = ("change", "own_change", "excess", "others_change")
        numbers = np.concatenate([drawn[name].values.ravel() for name in names])
        return numbers[np.isfinite(numbers)] if ds.sizes["language"] > 1 else np.zeros(0)
    belongs = ds["language_neuron"].values
    pairs = [(a & b).sum() for i, a in enumerate(belongs) for b in belongs[:i]]
    return np.array([*pairs, *np.trim_zeros(ds["shared_by_languages"].values)])
