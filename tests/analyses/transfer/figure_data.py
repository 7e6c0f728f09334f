"""Synthetic datasets of the transfer analysis, with planted structure, for the tests of figures."""

import json

import numpy as np
import xarray as xr

from neuroglot.analyses.run import merged
from support.relatedness import related
from support.training import in_training

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
SETS = ("type1", "type2", "lape")
DONE = ("without", "random", "active", "matched", "partner")
LISTS = tuple(f"{done}_{name}".removeprefix("without_") for name in SETS[:2] for done in DONE)
CONTROLS = ("naive", "activity", "contribution")
PAIRS = ("parallel", "non_parallel")
VARIANTS = ("baseline", *(f"{done}_{name}" for name in SETS for done in DONE))
TASK_VARIANTS = VARIANTS[:11]
TASKS = ("capitals", "natural-language-inference")
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
            "list_length": ("type", [1000, 600]),
            "halves_jaccard": (("type", "language"), rng.uniform(0.3, 0.8, (2, len(others)))),
            "halves_jaccard_chance": ("type", [0.0018, 0.0017]),
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


def compared(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """[control, variant, …]: variants without a set, minus their controls; else NaN."""
    excess = np.full((len(CONTROLS), *values.shape), np.nan)
    for name in SETS if len(values) == len(VARIANTS) else SETS[:2]:
        without, *others = (VARIANTS.index(f"{done}_{name}") for done in DONE)
        random, active, matched, partner = others
        pairs = ((without, random), (without, active), (matched, partner))
        for row, (one, other) in enumerate(pairs):
            excess[row, without] = values[one] - values[other]
    return excess


def deactivation_dataset(
    languages: int = 10, stacks: dict[str, int] | None = None, of_lape: bool = False
) -> xr.Dataset:
    rng = np.random.default_rng(3)
    stacks = stacks or {"decoder": 18}
    coords, others = along("state", stacks), ids_of(languages)[1:]
    rise = hill(stacks)[:, None]
    best = np.linspace(0.95, 0.7, len(others))
    base = np.stack([0.4 + 0.5 * rise * best, 0.4 + 0.3 * rise * best])
    loss = np.array(
        [0, 0.25, 0.02, 0.05, 0.12, 0.06, 0.1, 0.02, 0.04, 0.05, 0.04, 0.08, 0.02, 0.07, 0.05, 0.05]
    )
    loss = loss[:, None, None, None] * rise
    noise = 0.004 * rng.normal(size=(len(VARIANTS), *base.shape)) * rise
    similarity = base - loss * np.array([1, 0.7])[:, None, None] + noise
    neighbours = np.stack([rise * best * 0.6 + 0.02 * k for k in K]) - 0.8 * loss + 0.5 * noise
    at = ("state", "language")
    variables = {"mutual_knn_chance": ("k", [k / (SEGMENTS - 1) for k in K])}
    for name, level, values in (
        ("similarity", "pair", similarity),
        ("mutual_knn", "k", neighbours),
    ):
        effect = values - values[0]
        effect[0] = np.nan
        dims = ("variant", level, *at)
        excess = compared(values)
        means = excess.mean(-1) if others else np.full(excess.shape[:-1], np.nan)
        for part, of_part, numbers in (
            (name, dims, values),
            (f"{name}_effect", dims, effect),
            (f"{name}_excess", ("control", *dims), excess),
            (f"{name}_excess_all", ("control", *dims[:-1]), means),
        ):
            variables[part] = (of_part, numbers)
            variables[f"{part}_low"] = (of_part, numbers - 0.02)
            variables[f"{part}_high"] = (of_part, numbers + 0.02)
        drawn = np.array([one.startswith(("random", "active")) for one in VARIANTS])
        width = np.where(drawn, 0.03, np.nan)[:, None, None, None] * rise
        for end, sign in (("low", -1), ("high", 1)):
            variables[f"{name}_control_{end}"] = (dims, values + sign * width)
    shares = np.full((len(VARIANTS), len(others)), np.nan)
    shares[[1, 6, 11]] = rng.uniform(0.81, 0.98, (3, len(others)))
    for name in ("matched_share", "matched_contribution"):
        variables[name] = (("variant", "language"), shares)
    neurons = np.broadcast_to(np.array([0, *[79] * 5, *[50] * 5, *[30] * 5])[:, None], shares.shape)
    variables["edited"] = (("variant", "language"), neurons)
    more = {
        "variant": list(VARIANTS),
        "control": list(CONTROLS),
        "pair": list(PAIRS),
        "k": list(K),
        "language": others,
    }
    every = xr.Dataset(
        variables, coords | more, attributes(languages, random_seeds=5, segments=SEGMENTS)
    )
    return every.sel(variant=[name for name in VARIANTS if name.endswith("lape") == of_lape])


def correlation_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(4)
    others = ids_of(languages)[1:]
    level = np.array([0.25, 0.04, 0.08, 0.2, 0.12, 0.4, 0.05, 0.12, 0.3, 0.2])[:, None, None, None]
    fade = np.array([1, 0.8, 0.5])
    size = (len(LISTS), 2, len(others), len(TOPS))
    mean = level * np.array([1, 0.7])[:, None, None] * fade * rng.uniform(0.7, 1.3, size)
    if len({FAMILIES.get(one) for one in ids_of(languages)}) == 1:
        mean[:, 1] = np.nan  # all are of one family
    dims = ("type", "grouping", "language", "top")
    random = np.array([one.startswith(("random", "active")) for one in LISTS])[:, None, None, None]
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
        attributes(languages, draws=10),
    )


def lape_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """As the figures get it: merged with the deactivation of the two lists."""
    rng = np.random.default_rng(6)
    others = ids_of(languages)[1:]

    def of_lists(low: float, high: float, *leading: int) -> np.ndarray:
        return rng.uniform(low, high, (*leading, 2, len(others)))

    by_list = ("type", "language")
    by_set = np.array([3, 0.5, 1, 2, 1.5])[:, None, None]
    score, ratio = (of_lists(0.5, 1, 5) * by_set * size for size in (0.02, 0.1))
    whisker = np.full(score.shape, 0.004)
    whisker[2, 0, :1] = 0.5  # of the others as active: far beyond all points
    of_lape = xr.Dataset(
        {
            "lape_listed": (by_list, of_lists(0.05, 0.3)),
            "lape_listed_chance": (by_list, of_lists(0.0034, 0.0036)),
            "listed_lape": (by_list, of_lists(0.05, 0.3)),
            "listed_lape_chance": (by_list, of_lists(0.004, 0.01)),
            "lape_score": (("set", *by_list), score),
            "lape_score_control_low": (("set", *by_list), score - 0.004),
            "lape_score_control_high": (("set", *by_list), score + whisker),
            "lape_ratio": (("set", *by_list), ratio),
            "lape_ratio_control_low": (("set", *by_list), ratio - 0.004),
            "lape_ratio_control_high": (("set", *by_list), ratio + 0.004),
        },
        {"type": list(SETS[:2]), "language": others, "set": ["lape", *DONE[1:]]},
        attributes(languages, draws=10, segments=SEGMENTS),
    )
    without = (deactivation_dataset(languages, stacks, lape) for lape in (True, False))
    of_step = of_lape.merge(next(without), combine_attrs="override")
    return merged([of_step, *without])


def tasks_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(5)
    others = ids_of(languages)[1:]
    size = (len(TASKS), len(TASK_VARIANTS), len(others))
    worse = np.array([1, 0.5, 0.95, 0.9, 0.7, 0.8, 0.8, 0.97, 0.9, 0.85, 0.88])[:, None]
    accuracy = rng.uniform(0.35, 0.6, (len(TASKS), 1, len(others))) * worse
    excess = np.moveaxis(compared(np.moveaxis(accuracy, 0, 1)), 2, 1)
    over = ("control", "task", "variant", "language")
    log_probability = -5 / accuracy
    difference = log_probability - log_probability[:, :1]
    dims, by_language = ("task", "variant", "language"), ("task", "language")
    neurons = np.array([0, *[1000] * 5, *[600] * 5])[:, None]
    chance = np.array([0.05, 1 / 3])[:, None]
    return xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "accuracy_low": (dims, accuracy - 0.06),
            "accuracy_high": (dims, accuracy + 0.06),
            "exact_accuracy": (dims, accuracy / 3),
            "accuracy_excess": (over, excess),
            "accuracy_excess_low": (over, excess - 0.06),
            "accuracy_excess_high": (over, excess + 0.06),
            "log_probability_difference": (dims, difference),
            "log_probability_difference_low": (dims, difference - 1.5),
            "log_probability_difference_high": (dims, difference + 1.5),
            "log_probability_excess": (over, 10 * excess),
            "log_probability_excess_p_value": (over, np.exp(-abs(10 * excess))),
            "log_probability_excess_low": (over, 10 * excess - 1.5),
            "log_probability_excess_high": (over, 10 * excess + 1.5),
            "neurons": (dims, np.broadcast_to(neurons, size).copy()),
            "items": (by_language, np.full((len(TASKS), len(others)), 120)),
            "facts": (by_language, np.full((len(TASKS), len(others)), 120)),
            "fewest_facts": (by_language, np.full((len(TASKS), len(others)), 6)),
            "excluded": (by_language, np.zeros((len(TASKS), len(others)), np.int64)),
            "chance": (by_language, np.broadcast_to(chance, (len(TASKS), len(others))).copy()),
        },
        {
            "control": list(CONTROLS),
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
    "lape": lape_dataset,
    "tasks": tasks_dataset,
}


def dataset(family: str, languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    if family == "training":
        of_space = DATASETS["alignment"](languages, stacks)
        return in_training("transfer", of_space, ["mutual_knn"], stacks or {"decoder": 6})
    return DATASETS[family](languages, stacks)


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "neighbours_in_training":
        return ds["mutual_knn_excess"].values
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
            return (ds["mutual_knn"] - ds["mutual_knn_chance"]).values
        case "parallel_similarity":
            return ((ds["parallel"] - ds["non_parallel"]) / (1 - ds["non_parallel"])).values
        case "similarity_without_type1" | "mutual_knn_without_type1":
            name = stem.removesuffix("_without_type1")
            matched = ds[f"{name}_excess"].sel(control=["activity", "contribution"])
            return matched.sel(variant="without_type1").values
        case "effect_of_type1":
            cosine = ds["similarity"].sel(variant="baseline").mean("language")
            gap = (cosine.sel(pair="parallel") - cosine.sel(pair="non_parallel"))[later]
            there = ds.isel(state=later).isel(state=int(gap.argmax("state")))
            effect = there["similarity_effect"].sel(variant=["without_type1", "active_type1"])
            excess = there["similarity_excess"].sel(variant="without_type1")
            return np.concatenate([effect, excess.sel(control=["activity", "contribution"])])
        case "correlation_ratio":
            ratio = ds["mean_ratio"].sel(grouping="language")
            pairs = [("", "active_"), ("matched_", "partner_")]
            return np.stack(
                [
                    ratio.sel(type=f"{one}{name}") - ratio.sel(type=f"{other}{name}")
                    for one, other in pairs
                    for name in SETS[:2]
                ]
            )
        case "lape_neurons":
            lists = ds.sel(type=list(SETS[:2]))
            pairs = [("lape", "active"), ("matched", "partner")]
            return np.stack(
                [
                    lists["lape_listed"] - lists["lape_listed_chance"],
                    *(
                        lists[name].sel(set=one) - lists[name].sel(set=other)
                        for name in ("lape_score", "lape_ratio")
                        for one, other in pairs
                    ),
                ]
            )
        case "without_each_set":
            without = [f"without_{name}" for name in SETS]
            ds = ds.sel(variant=without, control=["activity", "contribution"])
            of_pairs = ds["similarity_excess_all"].sel(pair="parallel")
            return np.stack([of_pairs, ds["mutual_knn_excess_all"].isel(k=0)])
        case "task_accuracy":
            return ds["accuracy_excess"].sel(control=["activity", "contribution"]).values
        case "task_log_probability":
            return ds["log_probability_excess"].sel(control=["activity", "contribution"]).values
    raise KeyError(stem)
