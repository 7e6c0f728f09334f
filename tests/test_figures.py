"""What the figures draw: the dataset's numbers, every language in its look, nothing overlapping."""

import importlib
import json
import subprocess
import sys
import warnings
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from neuroglot.figures import layers, matrices, style
from neuroglot.figures.roles import FAMILIES, REDUCTIONS

ROOT = Path(__file__).parents[1]
NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "cs": "Czech",
    "ru": "Russian",
    "hi": "Hindi",
    "bn": "Bengali",
    "zh-hans": "Chinese (Simplified)",
}
CORPORA = ("udhr", "django")
SITES = ("act", "out")
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]


def names_of(count: int) -> dict[str, str]:
    """The first ``count`` of the ten languages, followed by invented ones."""
    more = {f"x{i:02d}": f"Language number {i}" for i in range(len(NAMES), count)}
    return dict(list((NAMES | more).items())[:count])


def datasets(
    languages: int = 10,
    stacks: dict[str, int] | None = None,
    corpora: tuple[str, ...] = CORPORA,
    neurons: int = 700,
    rows: int = 60,
    pivot: str = "en",
) -> dict[str, xr.Dataset]:
    """Every family's dataset with planted structure: a trend by layer, an offset by language."""
    stacks = stacks or {"decoder": 18}
    names = names_of(languages)
    ids, L, C, S = list(names), sum(stacks.values()), len(corpora), len(SITES)
    n = len(ids)
    depth = np.concatenate([np.linspace(0, 1, k) for k in stacks.values()])
    rng = np.random.default_rng(7)
    coords = {
        "corpus": list(corpora),
        "layer": np.arange(L),
        "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
        "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
    }
    attrs = {
        "model": "gemma-3-270m",
        "paper": "roles",
        "source": "synthetic",
        "pivot": pivot,
        "corpus": corpora[0],
        "language_names": json.dumps(names),
    }
    offset = np.linspace(0, 1, n)
    count = 700 + 40 * np.arange(n) + 300 * np.arange(C)[:, None]
    per_language = ("site", "corpus", "language", "layer")
    per_pair = ("site", "corpus", "language_a", "language_b", "layer")

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(size=shape)

    shape = (3, C, n, L)
    mean = 1 - 0.2 * depth**6 * (0.3 + offset[:, None]) * np.array([0.01, 0, 1])[:, None, None, None]
    mean = mean + 0 * noise(*shape)
    std = 0.05 + 0.1 * (depth - 0.5) ** 2 + 0.02 * offset[:, None] + 0.002 * noise(*shape)
    std = std * np.array([0.1, 0, 1])[:, None, None, None]
    frequency = xr.Dataset(
        {
            "mean": (per_language, mean),
            "std": (per_language, std),
            "rows": (("corpus", "language"), count),
        },
        coords | {"site": [*SITES, "out_gelu"], "language": ids},
        attrs,
    )

    shape = (S, C, n, L)
    flat = 0.5 - 0.2 * np.array([depth, np.exp(-(((depth - 0.6) / 0.1) ** 2))])[:, None, None]
    flat = flat - 0.03 * offset[:, None] + 0.003 * noise(*shape)
    flatness = xr.Dataset(
        {
            "flatness_mean": (per_language, flat),
            "flatness_sum": (per_language, flat * count[:, :, None]),
            "rows": (("corpus", "language"), count),
        },
        coords | {"site": list(SITES), "language": ids},
        attrs,
    )

    chosen = sorted({0, L // 3, 2 * L // 3, L - 1})
    scaled = {}
    for site, width, where in (("act", neurons, 33), ("out", neurons // 2, 218)):
        block = rng.beta(8, 9, size=(n, len(chosen), rows, width)).astype(np.float32)
        block[..., where % width] = 1
        for i in range(n):
            block[i, :, rows - 2 * (i % 5) :] = np.nan
        scaled[site] = block
    segment = np.repeat(np.arange(rows)[None] // 6, n, 0)
    heatmap = xr.Dataset(
        {
            "scaled_act": (("language", "layer", "row", "neuron"), scaled["act"]),
            "scaled_out": (("language", "layer", "row", "hidden"), scaled["out"]),
            "segment": (("language", "row"), segment),
        },
        {
            "language": ids,
            "layer": chosen,
            "stack": ("layer", np.array(coords["stack"][1])[chosen]),
            "stack_layer": ("layer", np.array(coords["stack_layer"][1])[chosen]),
        },
        attrs,
    )

    apart = np.abs(offset[:, None] - offset[None])[..., None]
    shape = (S, C, n, n, L)
    per_prefix = (10 + 90 * depth**3 + 20 * apart) * (1 + 0.02 * noise(*shape))
    per_prefix[:, :, np.arange(n), np.arange(n)] = 0
    distance = xr.Dataset(
        {
            "distance": (per_pair, per_prefix * count[:, :, None, None]),
            "distance_mean": (per_pair, per_prefix),
            "segments": (("corpus", "language_a", "language_b"), np.full((C, n, n), 90)),
            "prefixes": (("corpus", "language_a", "language_b"), np.full((C, n, n), 900)),
        },
        coords | {"site": list(SITES), "language_a": ids, "language_b": ids},
        attrs,
    )

    rho = 0.95 - (0.2 + 0.6 * (depth - 0.55) ** 2 * 4) * (0.3 + apart) + 0.01 * noise(*shape)
    rho = (rho + np.swapaxes(rho, 2, 3)) / 2
    rho[:, :, np.arange(n), np.arange(n)] = 1
    rank_correlation = xr.Dataset(
        {"rank_correlation": (per_pair, rho)},
        coords | {"site": list(SITES), "language_a": ids, "language_b": ids},
        attrs,
    )

    same = 0.95 - 0.3 * depth * (0.5 + offset[:, None, None, None]) + 0.01 * noise(S, n, C, C, L)
    same[:, :, np.arange(C), np.arange(C)] = 1
    overlap = rng.uniform(0, 0.3, size=(2, n, C, C))
    overlap[:, :, np.arange(C), np.arange(C)] = 1
    sets = xr.Dataset(
        {
            "same_language": (("site", "language", "corpus_a", "corpus_b", "layer"), same),
            "sentence_overlap": (("language", "corpus_a", "corpus_b"), overlap[0]),
            "token_overlap": (("language", "corpus_a", "corpus_b"), overlap[1]),
        },
        {k: v for k, v in coords.items() if k != "corpus"}
        | {"site": list(SITES), "language": ids, "corpus_a": list(corpora)}
        | {"corpus_b": list(corpora)},
        attrs,
    )

    models = {"gemma-3-270m": 18, "smollm2-135m": 30, "bloom-560m": 24}
    deepest = max(models.values())
    rsa = np.full((S, n, len(models), deepest, len(models), deepest), np.nan)
    for a, (_, la) in enumerate(models.items()):
        for b, (_, lb) in enumerate(models.items()):
            if a < b:
                far = np.linspace(0, 1, la)[:, None] - np.linspace(0, 1, lb)
                rsa[:, :, a, :la, b, :lb] = 0.8 * np.exp(-((far / 0.4) ** 2)) + 0.02 * noise(
                    S, n, la, lb
                )
    similarity = xr.Dataset(
        {
            "rsa": (("site", "language", "model_a", "layer_a", "model_b", "layer_b"), rsa),
            "stimuli": (("language", "model_a", "model_b"), np.full((n, 3, 3), 312)),
        },
        {
            "site": list(SITES),
            "language": ids,
            "model_a": list(models),
            "model_b": list(models),
            "layer_a": np.arange(deepest),
            "layer_b": np.arange(deepest),
        },
        {k: v for k, v in attrs.items() if k != "model"},
    )
    return {
        "frequency": frequency,
        "flatness": flatness,
        "heatmap": heatmap,
        "distance": distance,
        "rsa": similarity,
        "rank_correlation": rank_correlation,
        "parallel_sets": sets.assign(rank_correlation.data_vars),
    }


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    module = importlib.import_module(f"neuroglot.figures.roles.{family}")
    return module.FIGURES[stem](ds)
