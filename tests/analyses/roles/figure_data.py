"""Synthetic datasets of the roles analysis, with planted structure, for the tests of figures."""

import json
from typing import Any

import numpy as np
import xarray as xr

from support.relatedness import related
from support.training import in_training

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
    depths: tuple[int, ...] = (18, 30, 24),
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
        "analysis": "roles",
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
    mean = (
        1 - 0.2 * depth**6 * (0.3 + offset[:, None]) * np.array([0.01, 0, 1])[:, None, None, None]
    )
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
        {**attrs, "combinators_drawn": "out_gelu"},
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
            "unrelated_mean": (per_pair, per_prefix * 1.3),
            "distance_ratio": (per_pair, 0.7 + 0.2 * (depth - 0.5) ** 2 + 0.01 * noise(*shape)),
            "segments": (("corpus", "language_a", "language_b"), np.full((C, n, n), 90)),
            "prefixes": (("corpus", "language_a", "language_b"), np.full((C, n, n), 900)),
        },
        coords | {"site": list(SITES), "language_a": ids, "language_b": ids},
        attrs,
    )

    rho = 0.95 - (0.2 + 0.6 * (depth - 0.55) ** 2 * 4) * (0.3 + apart) + 0.01 * noise(*shape)
    rho = (rho + np.swapaxes(rho, 2, 3)) / 2
    rho[:, :, np.arange(n), np.arange(n)] = 1
    of_pairs = ("corpus", "language_a", "language_b")
    overlap = np.where(np.eye(n, dtype=bool), 1, 0.3 * (1 - apart[..., 0])) * np.ones((C, 1, 1))
    scales = {
        "within_language": 0.9 + 0.002 * noise(*shape),
        "same_content": 0.95 * rho,
        "other_content": 0.9 * rho,
        "corrected": rho + 0.01,
        "sample_correlation": rho - 0.02,
        "without_shared_tokens": rho - 0.1,
        "without_random_prefixes": rho - 0.03,
    }
    rank_correlation = xr.Dataset(
        {
            "rank_correlation": (per_pair, rho),
            **{name: (per_pair, values) for name, values in scales.items()},
            "token_overlap": (of_pairs, overlap),
            "sampled_prefixes": (of_pairs, np.full((C, n, n), 400.0)),
            "unshared_prefixes": (of_pairs, 400 * (1 - overlap)),
            "folds": ("corpus", np.full(C, 32)),
            "sampled_segments": ("corpus", np.full(C, 40)),
        },
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
            "set_token_overlap": (("language", "corpus_a", "corpus_b"), overlap[1]),
        },
        {k: v for k, v in coords.items() if k != "corpus"}
        | {"site": list(SITES), "language": ids, "corpus_a": list(corpora)}
        | {"corpus_b": list(corpora)},
        attrs,
    )

    models = dict(zip(("gemma-3-270m", "smollm2-135m", "bloom-560m"), depths, strict=False))
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
            "stimuli": (
                ("language", "model_a", "model_b"),
                np.full((n, len(models), len(models)), 312),
            ),
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
    frequency = with_bounds(frequency, "mean", "std")
    flatness = with_bounds(flatness, "flatness_mean")
    distance = with_bounds(distance, "distance_mean", "distance_ratio")
    rank_correlation = with_bounds(rank_correlation, "rank_correlation")
    of_corpora = related(n, {"site": S, "corpus": C}, ("layer", L))
    compared = of_corpora["compared_languages"].expand_dims(corpus=C)
    rank_correlation = rank_correlation.merge(of_corpora.assign(compared_languages=compared))
    sets = with_bounds(sets, "same_language")
    return {
        "frequency": frequency,
        "flatness": flatness,
        "heatmap": heatmap,
        "distance": distance,
        "rsa": similarity,
        "rank_correlation": rank_correlation,
        "related": rank_correlation,
        "parallel_sets": sets.assign(rank_correlation.data_vars),
    }


def with_bounds(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Intervals of 4 % around each of the variables."""
    ends = {"_low": 0.98, "_high": 1.02}
    return ds.assign({f"{n}{end}": ds[n] * by for n in names for end, by in ends.items()})


def dataset(family: str, **case: Any) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    if family == "training":
        correlation = datasets(**case)["rank_correlation"]
        return in_training("roles", correlation, ["rank_correlation"], case["stacks"])
    return datasets(**case)[family]


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "correlation_in_training":
        return ds["rank_correlation"].isel(corpus=0).values
    if stem == "related_languages":
        first = ds.isel(corpus=0)
        return np.array([first["layer_correlation"], first["layer_coefficient"]])
    site = "act" if "detector" in stem else "out"
    number = int(stem.split("_")[1])
    match number:
        case 2:
            return np.array([ds["mean"].sel(site="act"), ds["std"].sel(site="act")])
        case 3:
            return np.array([ds["mean"].sel(site="out_gelu"), ds["std"].sel(site="out_gelu")])
        case 4 | 6:
            return ds["flatness_mean"].sel(site=site).values
        case 5 | 7:
            return strongest(ds[f"scaled_{site}"].values)
        case 8:
            return np.nanmean(ds["scaled_out"].values[:, 0], axis=1)
        case 9 | 10:
            first = different(ds["distance_mean"].sel(site=site).values[0])
            if np.isnan(first).all():
                return first
            ratios = np.log2(first / np.nanmedian(first, axis=(0, 1)))
            pivot = ds["language_a"].values.tolist().index(ds.attrs["pivot"])
            apart = np.log2(different(ds["distance_ratio"].sel(site=site).values[0]))
            return np.array([ratios[pivot], ratios[:, pivot], apart[pivot], apart[:, pivot]])
        case 11:
            models = ds["rsa"].sel(site=site)
            a, b = models["model_a"].values[:2]
            return models.sel(model_a=a, model_b=b).mean("language").values
        case 12 | 13 if stem.endswith("pairs"):
            values = ds["rank_correlation"].sel(site=site).values
            lower = np.tril(values[0].mean(axis=-1), -1) + np.triu(np.full(values.shape[1:3], -2))
            best = np.unravel_index(lower.argmax(), lower.shape)
            return values[:, *best] if lower.max() > -2 else np.array([])
        case 12 | 13 if stem.endswith(("halves", "tokens")):
            first = ds.sel(site=site, corpus=ds["corpus"][0], language_a=ds.attrs["pivot"])
            others = first.sel(language_b=first["language_b"] != ds.attrs["pivot"])
            if stem.endswith("halves"):
                names = ["within_language", "same_content", "other_content", "corrected"]
                return others[names].to_dataarray().values[:, :19]
            change = others["without_shared_tokens"] - others["sample_correlation"]
            return change.values[:19]
        case 12 | 13:
            crowded = ds.sizes["language_a"] > 16  # there is room for the middle layer alone
            layer = (ds.sizes["layer"] - 1) // 2 if crowded else -1
            last = ds["rank_correlation"].sel(site=site).values[0, ..., layer]
            cells = np.array([last, ds["token_overlap"].values[0]])
            return cells[:, *np.tril_indices(len(last), -1)]
        case 14 | 15:
            return ds["same_language"].sel(site=site).values[:, 0, 1]
        case 16:
            return np.array([ds["sentence_overlap"][:, 0, 1], ds["set_token_overlap"][:, 0, 1]])
        case 17 | 18:
            of_pivot = ds["rank_correlation"].sel(site=site, language_a=ds.attrs["pivot"])
            return of_pivot.where(of_pivot["language_b"] != ds.attrs["pivot"]).values
    raise KeyError(stem)


def different(values: np.ndarray) -> np.ndarray:
    """Without the diagonal of ``[..., language, language, layer]``."""
    kept = values.copy()
    kept[..., np.arange(values.shape[-2]), np.arange(values.shape[-2]), :] = np.nan
    return kept


def strongest(scaled: np.ndarray) -> np.ndarray:
    """Robust z of the first language's strongest neuron in each layer, mean of a fifth of the rows.

    Args:
        scaled: ``[language, layer, prefix, neuron]``; the first language has every prefix.
    """
    block = scaled[0, :, : scaled.shape[2] // 5]
    if np.isnan(block).all():
        return np.array([])
    apart = block - np.median(block, axis=-1, keepdims=True)
    z = apart / (1.4826 * np.median(np.abs(apart), axis=-1, keepdims=True))
    return z.mean(axis=1).max(axis=-1)
