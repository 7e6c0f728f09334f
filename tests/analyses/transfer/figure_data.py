"""Synthetic datasets of the transfer analysis, with planted structure, for the tests of figures."""

import json

import numpy as np
import xarray as xr

from support.relatedness import related

NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "cs": "Czech",
    "hi": "Hindi",
    "bn": "Bengali",
    "th": "Thai",
    "zh": "Chinese (Mandarin)",
    **{f"x{i:02d}": f"Language number {i}" for i in range(10, 20)},
}
FAMILIES = dict.fromkeys([*NAMES][:8], "Indo-European") | {"th": "Tai-Kadai", "zh": "Sino-Tibetan"}
K = (5, 10)
SHARES = (0.9, 0.95, 0.99)
TOPS = (10, 100, 1000)
LISTS = ("type1", "type2", "random_type1", "random_type2")
PAIRS = ("parallel", "non_parallel")
VARIANTS = ("baseline", "without_type1", "random")
TASKS = ("capitals", "natural-language-inference")
TASK_VARIANTS = (
    "baseline",
    "without_type1",
    "without_type2",
    "random_type1",
    "random_type2",
)
SEGMENTS = 120


def ids_of(languages: int) -> list[str]:
    return [*NAMES][:languages]


def attributes(languages: int, **more: object) -> dict[str, object]:
    named = {one: NAMES[one] for one in ids_of(languages)}
    return {
        "model": "gemma-3-270m",
        "pivot": "en",
        "corpora": ["udhr"],
        "language_names": json.dumps(named),
        "language_families": json.dumps({one: FAMILIES.get(one, "Other") for one in named}),
        "top_n": 1000,
        **more,
    }


def along(word: str, stacks: dict[str, int]) -> dict[str, object]:
    """The coordinates of layers, or of states, of which a stack has one more."""
    depths = {name: depth + (word == "state") for name, depth in stacks.items()}
    return {
        word: np.arange(sum(depths.values())),
        "stack": (word, [name for name, depth in depths.items() for _ in range(depth)]),
        f"stack_{word}": (word, [i for depth in depths.values() for i in range(depth)]),
    }


def hill(stacks: dict[str, int]) -> np.ndarray:
    """``[state]``: low at the embeddings and at the end, high between, in each stack."""
    return np.concatenate([np.sin(np.pi * np.linspace(0, 1, n + 1)) for n in stacks.values()])


def neurons_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(1)
    coords = along("layer", stacks or {"decoder": 18})
    depth, others = len(coords["layer"]), ids_of(languages)[1:]
    lower = round(0.625 * depth)
    counts = np.zeros((2, len(others), depth), np.int32)
    score = np.full((2, len(others), depth, 3), np.nan, np.float32)
    for kind, own in enumerate((slice(0, lower), slice(lower, depth))):
        width = len(range(depth)[own])
        weights = np.linspace(0.3, 2, width) ** 2 if kind else np.linspace(2, 0.2, width)
        for language in range(len(others)):
            noisy = weights * rng.uniform(0.6, 1.4, width)
            counts[kind, language, own] = rng.multinomial(1000, noisy / noisy.sum())
        score[kind, :, own] = rng.normal(size=(len(others), width, 3)).astype(np.float32)
    return xr.Dataset(
        {
            "neurons": (("type", "language", "layer"), counts),
            "score": (("type", "language", "layer", "neuron"), score),
        },
        coords | {"type": ["type1", "type2"], "language": others},
        attributes(languages, segments=SEGMENTS, pool="last"),
    )


def space_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(2)
    stacks = stacks or {"decoder": 18}
    coords, ids = along("state", stacks), ids_of(languages)
    rise, n = hill(stacks), languages
    states = rise.size
    centre = 30 * rng.normal(size=(states, n, 1, 2)) * (1.1 - rise)[:, None, None, None]
    cloud = centre + 8 * rng.normal(size=(states, n, SEGMENTS, 2))
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / n
    cosine = 1 - (0.6 - 0.5 * rise)[:, None, None] * (0.3 + near) * (near > 0)
    distance = np.linspace(0.1, 0.5, n)
    parallel = 0.5 + 0.45 * rise[:, None] * (1 - distance) + 0.01 * rng.normal(size=(states, n))
    apart = 0.5 + 0.25 * rise[:, None] * (1 - distance)
    neighbours = np.stack([rise[:, None] * (0.7 - distance) + k / (SEGMENTS - 1) for k in K])
    for values in (parallel, apart, neighbours):
        values[..., 0] = np.nan
    counts = np.stack([20 * s**3 + 25 * rise[:, None] * s + 3 * distance for s in SHARES], -1)
    by_state = ("state", "language")
    variables = {
        "coordinates": (("state", "language", "segment", "component"), cloud.astype(np.float32)),
        "explained": (("state", "component"), np.stack([0.5 - 0.3 * rise, 0.2 - 0.1 * rise], 1)),
        "centroid_similarity": (("state", "language", "language_other"), cosine),
        "components": (("state", "language", "variance"), np.round(counts)),
        "mutual_knn_chance": ("k", [k / (SEGMENTS - 1) for k in K]),
    }
    for name, dims, values, width in (
        ("mutual_knn", ("k", *by_state), neighbours, 0.04),
        ("parallel", by_state, parallel, 0.02),
        ("non_parallel", by_state, apart, 0.005),
    ):
        variables[name] = (dims, values)
        variables |= {f"{name}_low": (dims, values - width), f"{name}_high": (dims, values + width)}
    more = {
        "language": ids,
        "language_other": ids,
        "segment": [f"s{i}" for i in range(SEGMENTS)],
        "component": [1, 2],
        "variance": list(SHARES),
        "k": list(K),
    }
    data = xr.Dataset(variables, coords | more, attributes(languages, pool="last"))
    return data.merge(related(languages, {}, ("state", states)))


def deactivation_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(3)
    stacks = stacks or {"decoder": 18}
    coords, others = along("state", stacks), ids_of(languages)[1:]
    rise = hill(stacks)[:, None]
    best = np.linspace(0.95, 0.7, len(others))
    base = np.stack([0.4 + 0.5 * rise * best, 0.4 + 0.3 * rise * best])
    loss = np.array([0.0, 0.25, 0.04])[:, None, None, None] * rise
    noise = 0.004 * rng.normal(size=(3, *base.shape)) * rise
    similarity = base - loss * np.array([1, 0.7])[:, None, None] + noise
    neighbours = np.stack([rise * best * 0.6 + 0.02 * k for k in K]) - 0.8 * loss + 0.5 * noise
    effect = similarity - similarity[0]
    effect[0] = np.nan
    excess = effect[1] - effect[2]
    at = ("state", "language")
    variables = {"mutual_knn_chance": ("k", [k / (SEGMENTS - 1) for k in K])}
    for name, dims, values in (
        ("similarity", ("variant", "pair", *at), similarity),
        ("mutual_knn", ("variant", "k", *at), neighbours),
        ("effect", ("variant", "pair", *at), effect),
        ("excess", ("pair", *at), excess),
    ):
        variables[name] = (dims, values)
        variables |= {f"{name}_low": (dims, values - 0.02), f"{name}_high": (dims, values + 0.02)}
    for name, dims, values in (
        ("similarity", ("pair", *at), similarity[2]),
        ("mutual_knn", ("k", *at), neighbours[2]),
    ):
        for end, sign in (("low", -1), ("high", 1)):
            variables[f"{name}_control_{end}"] = (dims, values + sign * 0.03 * rise)
    more = {"variant": list(VARIANTS), "pair": list(PAIRS), "k": list(K), "language": others}
    return xr.Dataset(
        variables, coords | more, attributes(languages, random_seeds=5, segments=SEGMENTS)
    )


def correlation_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(4)
    others = ids_of(languages)[1:]
    level = np.array([0.25, 0.4, 0.08, 0.12])[:, None, None, None]
    fade = np.array([1, 0.8, 0.5])
    size = (len(LISTS), 2, len(others), len(TOPS))
    mean = level * np.array([1, 0.7])[:, None, None] * fade * rng.uniform(0.7, 1.3, size)
    if len({FAMILIES.get(one) for one in ids_of(languages)}) == 1:
        mean[:, 1] = np.nan  # all are of one family
    dims = ("type", "grouping", "language", "top")
    random = np.array([one.startswith("random") for one in LISTS])[:, None, None, None]
    return xr.Dataset(
        {
            "mean_ratio": (dims, mean),
            "mean_ratio_control_low": (dims, np.where(random, mean - 0.02, np.nan)),
            "mean_ratio_control_high": (dims, np.where(random, mean + 0.02, np.nan)),
        },
        {
            "type": list(LISTS),
            "grouping": ["language", "family"],
            "language": others,
            "top": list(TOPS),
        },
        attributes(languages, random_seeds=5),
    )


def tasks_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(5)
    others = ids_of(languages)[1:]
    size = (len(TASKS), len(TASK_VARIANTS), len(others))
    worse = np.array([1, 0.5, 0.8, 0.95, 0.97])[:, None]
    accuracy = rng.uniform(0.35, 0.6, (len(TASKS), 1, len(others))) * worse
    excess = accuracy - accuracy[:, [0, 3, 4, 3, 4]]
    excess[:, [0, 3, 4]] = np.nan
    over = ("control", "task", "variant", "language")
    log_probability = -5 / accuracy
    difference = log_probability - log_probability[:, :1]
    dims, by_language = ("task", "variant", "language"), ("task", "language")
    neurons = np.array([0, 1000, 1000, 1000, 1000.0])[:, None]
    chance = np.array([0.05, 1 / 3])[:, None]
    return xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "accuracy_low": (dims, accuracy - 0.06),
            "accuracy_high": (dims, accuracy + 0.06),
            "exact_accuracy": (dims, accuracy / 3),
            "accuracy_excess": (over, (excess)[None]),
            "accuracy_excess_low": (over, (excess - 0.06)[None]),
            "accuracy_excess_high": (over, (excess + 0.06)[None]),
            "log_probability_difference": (dims, difference),
            "log_probability_difference_low": (dims, difference - 1.5),
            "log_probability_difference_high": (dims, difference + 1.5),
            "log_probability_excess": (over, (10 * excess)[None]),
            "log_probability_excess_p_value": (over, np.exp(-abs(10 * excess))[None]),
            "log_probability_excess_low": (over, (10 * excess - 1.5)[None]),
            "log_probability_excess_high": (over, (10 * excess + 1.5)[None]),
            "neurons": (dims, np.broadcast_to(neurons, size).copy()),
            "items": (by_language, np.full((len(TASKS), len(others)), 120)),
            "excluded": (by_language, np.zeros((len(TASKS), len(others)), np.int64)),
            "chance": (by_language, np.broadcast_to(chance, (len(TASKS), len(others))).copy()),
        },
        {
            "control": ["naive"],
            "task": list(TASKS),
            "variant": list(TASK_VARIANTS),
            "language": others,
            "scoring": ("task", ["rank", "string"]),
        },
        attributes(languages, random_seeds=5, task_positions="prompt"),
    )


DATASETS = {
    "neurons": neurons_dataset,
    "latent_spaces": space_dataset,
    "related": space_dataset,
    "alignment": space_dataset,
    "deactivation": deactivation_dataset,
    "correlation": correlation_dataset,
    "tasks": tasks_dataset,
}


def dataset(family: str, languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    return DATASETS[family](languages, stacks)


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    later = ds["stack_state"].values > 0 if "stack_state" in ds else slice(None)
    match stem:
        case "neurons_by_layer":
            return ds["neurons"].sum("type").values
        case "principal_coordinates":
            return ds["coordinates"].isel(state=[0, -1]).mean("segment").values
        case "principal_components":
            return ds["components"].sel(variance=0.9).values
        case "centroid_similarity":
            square = ds["centroid_similarity"].isel(state=-1).values
            for axis in (0, 1):
                square = square - square.mean(axis, keepdims=True)
            length = np.sqrt(np.diagonal(square))
            return (square / np.outer(length, length))[~np.eye(len(square), dtype=bool)]
        case "related_languages":
            return np.array([ds["layer_correlation"], ds["layer_coefficient"]])
        case "mutual_knn":
            return (ds["mutual_knn"] - ds["mutual_knn_chance"]).isel(state=later).values
        case "parallel_similarity":
            return ((ds["parallel"] - ds["non_parallel"]) / (1 - ds["non_parallel"])).values
        case "similarity_without_type1":
            return ds["excess"].values
        case "mutual_knn_without_type1":
            by_variant = ds["mutual_knn"].isel(state=later)
            return by_variant.sel(variant="without_type1") - by_variant.sel(variant="random")
        case "effect_of_type1":
            cosine = ds["similarity"].sel(variant="baseline").mean("language")
            gap = (cosine.sel(pair="parallel") - cosine.sel(pair="non_parallel"))[later]
            return ds["effect"].isel(state=later).isel(state=int(gap.argmax("state"))).values
        case "correlation_ratio":
            ratio = ds["mean_ratio"].sel(grouping="language")
            return np.stack(
                [ratio.sel(type=one) - ratio.sel(type=f"random_{one}") for one in LISTS[:2]]
            )
        case "task_accuracy":
            return ds["accuracy_excess"].values
        case "task_log_probability":
            return ds["log_probability_excess"].values
    raise KeyError(stem)
