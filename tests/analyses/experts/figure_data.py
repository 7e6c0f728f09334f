"""Synthetic datasets of the experts analysis, with planted structure, for the tests of figures."""

import json
from typing import Any

import numpy as np
import xarray as xr

from support.relatedness import related
from support.training import in_training

HIGH_FREQUENCY = 0.05
METRICS = ("euclidean", "kl_divergence", "jensen_shannon", "pearson")
LANGUAGES = [
    ("en", "English", "Indo-European", "Germanic"),
    ("fr", "French", "Indo-European", "Romance"),
    ("es", "Spanish", "Indo-European", "Romance"),
    ("hi", "Hindi", "Indo-European", "Indic"),
    ("zh-hans", "Chinese (Simplified)", "Sino-Tibetan", "Chinese"),
    ("ar", "Arabic", "Afro-Asiatic", "Semitic"),
    ("de", "German", "Indo-European", "Germanic"),
    ("bn", "Bengali", "Indo-European", "Indic"),
    ("pt", "Portuguese", "Indo-European", "Romance"),
    ("th", "Thai", "Tai-Kadai", "Kam-Tai"),
    ("cs", "Czech", "Indo-European", "Slavic"),
    ("ru", "Russian", "Indo-European", "Slavic"),
    ("pl", "Polish", "Indo-European", "Slavic"),
    ("ur", "Urdu", "Indo-European", "Indic"),
    ("sw", "Swahili", "Niger-Congo", "Bantoid"),
    ("ja", "Japanese", "Japanese", "Japanese"),
    ("ko", "Korean", "Korean", "Korean"),
    ("vi", "Vietnamese", "Austro-Asiatic", "Viet-Muong"),
    ("fi", "Finnish", "Uralic", "Finnic"),
    ("te", "Telugu", "Dravidian", "South-Central Dravidian"),
]


def dataset(
    family: str,
    languages: int = 10,
    stacks: dict[str, int] | None = None,
    experts: int = 64,
    folds: int = 32,
) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    chosen = LANGUAGES[:languages]
    if family == "training":
        of_frequency = dataset("frequency", languages, stacks)
        return in_training("experts", of_frequency, ["specific"], stacks or {"decoder": 6})
    attrs = {
        "model": "gemma-3-270m",
        "language_names": json.dumps({language: name for language, name, *_ in chosen}),
        "high_frequency": HIGH_FREQUENCY,
        "folds": folds,
        "corpora": ["udhr"],
    }
    ids = [language for language, *_ in chosen]
    made = (
        inference(languages)
        if family == "inference"
        else frequency(chosen, stacks or {"decoder": 18}, experts)
    )
    return made.assign_coords(language=ids).assign_attrs(attrs)


def frequency(
    chosen: list[tuple[str, str, str, str]], stacks: dict[str, int], experts: int
) -> xr.Dataset:
    """Frequencies that are flat early and peaked late, and alike within genus and family."""
    ids, _, families, genera = (list(facts) for facts in zip(*chosen, strict=True))
    values = frequencies(families, genera, sum(stacks.values()), experts)
    shared = (values >= HIGH_FREQUENCY).sum(0)
    pair = ("metric", "language_a", "language_b")
    data = xr.Dataset(
        {
            "expert_frequency": (("language", "layer", "expert"), values),
            "tokens": ("language", np.full(len(ids), 40_000)),
            "shared_by": (("layer", "expert"), shared.astype(np.int32)),
            "shared_histogram": ("languages", np.bincount(shared.ravel(), minlength=len(ids) + 1)),
            "similarity": (pair, similarities(values)),
        },
        {
            "family": ("language", families),
            "genus": ("language", genera),
            "stack": ("layer", [name for name, size in stacks.items() for _ in range(size)]),
            "stack_layer": ("layer", [i for size in stacks.values() for i in range(size)]),
            "layer": np.arange(sum(stacks.values())),
            "metric": list(METRICS),
            "languages": np.arange(len(ids) + 1),
            "language_a": ids,
            "language_b": ids,
        },
    )
    return with_chance(data).merge(related(len(ids), {"metric": len(METRICS)}))


def frequencies(
    families: list[str], genera: list[str], layers: int, experts: int
) -> np.ndarray[Any, Any]:
    """``[language, layer, expert]``."""
    rng = np.random.default_rng(3)
    depth = np.linspace(0.3, 1.6, layers)[:, None]
    parts = {key: rng.normal(size=(layers, experts)) for key in ["all", *families, *genera]}
    logits = np.stack(
        [
            parts["all"]
            + 0.5 * parts[family]
            + 0.5 * parts[genus]
            + 0.2 * rng.normal(size=(layers, experts))
            for family, genus in zip(families, genera, strict=True)
        ]
    )
    scaled = np.exp(depth * logits)
    return np.asarray(np.minimum(0.098 * scaled / scaled.mean(axis=(1, 2), keepdims=True), 1))


def similarities(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``[metric, language_a, language_b]`` of frequencies, a little apart on the diagonal."""
    n = len(values)
    halves = [
        values * np.random.default_rng(seed).uniform(0.9, 1.1, values.shape) for seed in (1, 2)
    ]
    made = np.zeros((4, n, n))
    p, q = (of_half / of_half.sum(-1, keepdims=True) for of_half in halves)
    for a in range(n):
        for b in range(n):
            m = (p[a] + q[b]) / 2
            layers = zip(halves[0][a], halves[1][b], strict=True)
            made[0, a, b] = np.sqrt(((halves[0][a] - halves[1][b]) ** 2).sum())
            made[1, a, b] = (p[a] * np.log(p[a] / q[b])).sum()
            both = p[a] * np.log2(p[a] / m) + q[b] * np.log2(q[b] / m)
            made[2, a, b] = both.sum() / 2 / len(m)
            made[3, a, b] = np.mean([np.corrcoef(one, other)[0, 1] for one, other in layers])
    symmetric = (made + made.swapaxes(1, 2)) / 2
    symmetric[1] = made[1]
    return symmetric


def with_chance(data: xr.Dataset) -> xr.Dataset:
    """Intervals around the numbers of experts, and numbers by chance that are far smaller."""
    high = data["expert_frequency"] >= HIGH_FREQUENCY
    own = (high & (high.sum("language") == 1)).sum("expert")
    numbers = {
        "specific": own.sum("layer"),
        "specific_by_layer": own.sum("language"),
        "shared_histogram": data["shared_histogram"],
    }
    ends = {"": 1, "_low": 0.9, "_high": 1.1, "_null": 0.2, "_null_low": 0.1, "_null_high": 0.3}
    return data.assign(
        {
            f"{name}{end}": number if end == "" else by * number
            for name, number in numbers.items()
            for end, by in ends.items()
        }
    )


def inference(languages: int, worse: float = 4.0) -> xr.Dataset:
    """High-frequency experts lose a little, others more, random ones ``worse`` times.

    3 draws, 4 rounds; the first language alone is not told from another's experts.
    """
    rng = np.random.default_rng(5)
    seeds, rounds = 3, 4
    perplexity = np.full((languages, 4, seeds), np.nan)
    full = rng.uniform(12, 30, languages)
    perplexity[:, 0, 0], perplexity[:, 1, 0] = full, full * rng.uniform(1.1, 1.4, languages)
    perplexity[:, 2] = full[:, None] * rng.uniform(1.6, 1.9, (languages, seeds))
    perplexity[:, 3] = full[:, None] * worse * rng.uniform(0.7, 1.4, (languages, seeds))
    speed = np.full((languages, 4, seeds, rounds), np.nan)
    drift = 900 * rng.uniform(0.9, 1.1, (languages, 1, rounds))
    speed[:, 0, :1] = drift
    speed[:, 1, :1] = drift * rng.uniform(1.15, 1.3, (languages, 1, rounds))
    speed[:, 2:] = drift[:, None] * rng.uniform(1.1, 1.3, (languages, 2, seeds, rounds))
    kept = rng.uniform(0.65, 0.78, languages)
    excess = np.log(perplexity[:, 1, :1] / perplexity[:, 2:].mean(-1)).T  # [control, language]
    p_value = np.where(np.arange(languages) == 0, [[0.3], [0.001]], 0.001)
    return xr.Dataset(
        {
            "perplexity": (("language", "variant", "seed"), perplexity),
            "perplexity_low": (("language", "variant"), 0.95 * np.nanmin(perplexity, -1)),
            "perplexity_high": (("language", "variant"), 1.05 * np.nanmax(perplexity, -1)),
            "excess": (("control", "language"), excess),
            "excess_low": (("control", "language"), 1.2 * excess),
            "excess_high": (("control", "language"), 0.8 * excess),
            "excess_p_value": (("control", "language"), p_value),
            "fewest_segments": ("language", np.full(languages, 6)),
            "tokens_per_second": (("language", "variant", "seed", "round"), speed),
            "expert_share": ("language", kept),
            "ffn_parameters_saved": ("language", 1 - kept),
            "parameters_saved": ("language", 0.4 * (1 - kept)),
            "predicted_tokens": ("language", np.full(languages, 5_000)),
            "segments": ("language", np.full(languages, 40)),
        },
        {
            "variant": ["full", "high_frequency", "other_language", "random"],
            "control": ["other_language", "random"],
            "seed": np.arange(seeds),
            "round": np.arange(rounds),
        },
    )


def shown(stem: str, ds: xr.Dataset) -> np.ndarray[Any, Any]:
    """Numbers that the figure must draw."""
    if stem == "experts_in_training":
        return (ds["specific"] - ds["specific_null"]).values
    match stem:
        case "figure_01_expert_frequency":
            return np.asarray(ds["expert_frequency"])
        case "figure_02_euclidean" | "figure_05_kl_divergence" | "figure_06_pearson":
            return np.ravel(ds["similarity"].sel(metric=stem.split("_", 2)[2]).values)
        case "jensen_shannon":
            return np.ravel(ds["similarity"].sel(metric=stem).values)
        case "related_languages":
            names = ["correlation", "coefficient"]
        case "figure_03_shared_experts":
            names = [f"shared_histogram{part}{end}" for part in PARTS for end in ENDS]
        case "specific_experts":
            names = [f"specific{part}{end}" for part in PARTS for end in ENDS]
            names += [f"specific_by_layer{part}{end}" for part in PARTS for end in ENDS]
        case "table_04_perplexity":
            full = ds["perplexity"].values[:, :1, :1]
            loss = np.log2(ds["perplexity"].values)
            added = np.log2(ds["perplexity"].values[:, 1:2] / full)
            ends = [np.log2(ds[f"perplexity{end}"].values) for end in ("_low", "_high")]
            excess = [ds[f"excess{end}"].values / np.log(2) for end in ("", "_low", "_high")]
            kept = [ds["expert_share"].values]
            return np.concatenate([np.ravel(p) for p in (loss, added, *ends, *excess, *kept)])
        case "sliced_speed":
            speed = ds["tokens_per_second"].values
            ratio = (speed / speed[:, :1, :1])[:, 1:].reshape(ds.sizes["language"], 3, -1)
            parts = [reduce(ratio, axis=-1) for reduce in (np.nanmean, np.nanmin, np.nanmax)]
            return np.concatenate([np.ravel(part) for part in parts])
    return np.concatenate([np.ravel(ds[name].values) for name in names])


PARTS = ("", "_null")
ENDS = ("", "_low", "_high")
