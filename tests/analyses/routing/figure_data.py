"""Synthetic datasets of the routing analysis, with planted structure, for the tests of figures."""

import json
from typing import Any

import numpy as np
import xarray as xr

from analyses.experts.figure_data import LANGUAGES, frequencies
from analyses.lape import figure_data as of_lape
from support.relatedness import related
from support.training import in_training

EXPERTS = 32
SLOTS = 4
FOLDS = 32
ENDS = {"": 0.0, "_low": -1.0, "_high": 1.0}


def dataset(family: str, languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    if family == "training":
        return in_training("routing", shares(languages, stacks), ["mean_"], stacks)
    if family == "perplexity":
        made = of_lape.perplexity(languages).rename(neurons="experts")
        return made.assign_attrs(model="olmoe-1b-7b")
    return experts(languages, stacks) if family == "experts" else shares(languages, stacks)


def described(languages: int, stacks: dict[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coordinates and attributes."""
    chosen = LANGUAGES[:languages]
    ids, names, families, genera = (list(facts) for facts in zip(*chosen, strict=True))
    coords = {
        "language": ids,
        "family": ("language", families),
        "genus": ("language", genera),
        "expert": np.arange(EXPERTS),
        # The first layer is dense.
        "layer": np.arange(1, 1 + sum(stacks.values())),
        "stack": ("layer", [name for name, size in stacks.items() for _ in range(size)]),
        "stack_layer": ("layer", [1 + i for size in stacks.values() for i in range(size)]),
    }
    attrs = {
        "model": "olmoe-1b-7b",
        "language_names": json.dumps(dict(zip(ids, names, strict=True))),
        "pivot": "en",
        "corpora": ["udhr"],
        "slots": SLOTS,
        "folds": FOLDS,
    }
    return coords, attrs


def chosen(languages: int, layers: int) -> np.ndarray:
    """Shares of tokens, [language, layer, expert], alike within genus and family."""
    _, _, families, genera = zip(*LANGUAGES[:languages], strict=True)
    values = frequencies(list(families), list(genera), layers, EXPERTS)
    return np.minimum(SLOTS * values / values.sum(-1, keepdims=True), 1)


def around(
    name: str, values: np.ndarray, dims: tuple[str, ...], apart: float
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """A variable and the ends of its interval."""
    return {f"{name}{end}": (dims, values + apart * by) for end, by in ENDS.items()}


def shares(languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """Divergence is high in the first and last layers; routers are surer in later ones."""
    rng = np.random.default_rng(5)
    coords, attrs = described(languages, stacks)
    n, layers = languages, sum(stacks.values())
    depth = np.concatenate([np.linspace(0, 1, size) for size in stacks.values()])
    by = ("language", "layer")
    excess = 0.3 * (2 * depth - 1) ** 2 + 0.02 * rng.normal(size=(n, layers))
    excess = excess + 0.01 * np.arange(n)[:, None]
    floor = 0.02 + 0.002 * rng.random((n, layers))
    of_pivot = (coords["language"].index("en"), slice(None))
    excess[of_pivot] = floor[of_pivot] = np.nan
    frequency = chosen(n, layers)
    p = frequency / SLOTS
    overlap = np.minimum(p[:, None], p[None]).sum(-1).mean(-1) - 0.05
    values = {
        **around("expert_frequency", frequency, (*by, "expert"), 0.01),
        **around("expert_entropy", -(p * np.log2(p)).sum(-1), by, 0.02),
        **around("excess", excess, by, 0.02),
        **around("floor", floor, by, 0.002),
        **around("divergence", excess + floor, by, 0.02),
        **around("mean_excess", excess.mean(1), ("language",), 0.02),
        **around("mean_floor", floor.mean(1), ("language",), 0.002),
        **around("mean_divergence", (excess + floor).mean(1), ("language",), 0.02),
        **around("overlap", overlap, ("language_a", "language_b"), 0.01),
        **around("router_top", 0.2 + 0.3 * depth + 0.05 * rng.random((n, layers)), by, 0.01),
        **around("router_margin", 0.01 + 0.05 * depth + 0.01 * rng.random((n, layers)), by, 0.001),
        "tokens": ("language", 40_000 + 100 * np.arange(n)),
        "compared_tokens": ("language", np.full(n, 39_000)),
    }
    ids = coords["language"]
    made = xr.Dataset(values, {**coords, "language_a": ids, "language_b": ids}, attrs)
    return made.merge(related(n, {})).assign_attrs(attrs)


def experts(languages: int, stacks: dict[str, int]) -> xr.Dataset:
    """A language has more experts of its own in outer layers; some are shared, the second has none.

    Chance gives about one a language.
    """
    rng = np.random.default_rng(6)
    coords, attrs = described(languages, stacks)
    layers = sum(stacks.values())
    depth = np.abs(2 * np.linspace(0, 1, layers) - 1)
    own = rng.random((languages, layers, EXPERTS)) < 0.02 + 0.1 * depth[:, None]
    if languages > 1:
        own[1] = False
    totals = own.sum((1, 2)).astype(float)
    shared = np.bincount(own.sum(0).ravel(), minlength=languages + 1)[1:]
    return xr.Dataset(
        {
            "language_expert": (("language", "layer", "expert"), own),
            "experts": (("language", "layer"), own.sum(2).astype(np.int32)),
            **{f"all_layers{end}": ("language", totals * (1 + by / 5)) for end, by in ENDS.items()},
            "chance_experts": ("layer", np.full(layers, 1 / layers)),
            **{f"chance_all_layers{end}": 1.0 + by for end, by in ENDS.items()},
            "shared_by_languages": ("count", shared),
            "tokens": ("language", 40_000 + 100 * np.arange(languages)),
        },
        {**coords, "count": np.arange(1, languages + 1)},
        attrs,
    ).drop_vars(["family", "genus"])


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""

    def drawn(*names: str) -> np.ndarray:
        return np.concatenate([np.ravel(ds[name].values) for name in names])

    match stem:
        case "perplexity_without_experts":
            return of_lape.shown("perplexity_without", ds)
        case "divergence_from_pivot":
            return drawn("excess")
        case "divergence_and_floor":
            return np.ravel(ds[["divergence", "floor"]].mean("language").to_array().values)
        case "chosen_experts":
            return drawn("expert_frequency")
        case "expert_entropy":
            return drawn("expert_entropy")
        case "router_confidence":
            return drawn("router_top")
        case "router_margin":
            return drawn("router_margin")
        case "routing_overlap":
            return drawn("overlap")
        case "related_routing":
            return drawn("correlation", "coefficient")
        case "own_experts":
            return drawn("experts", "chance_experts")
    return drawn("mean_excess")
