"""Synthetic datasets of the sharing analysis, with planted structure, for the tests of figures."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from analyses.roles.figure_data import names_of
from support.training import in_training

TASKS = ("facts", "edits", "edits-to-en", "nli")
SCORING = ("rank", "string", "exact", "string")
KINDS = ("all_shared", "partial_shared", "specific", "non_activated")
THRESHOLDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
NUMBERS = (3, 5, 7, 9)
SHOTS = (0, 2, 4, 6)
CHANGES = {
    "without_all_shared": "random_all_shared",
    "without_partial_shared": "random_partial_shared",
    "without_specific": "random_specific",
    "converted_specific": "inactive_specific",
    "converted_partial_shared": "inactive_partial_shared",
    "converted_both": "inactive_both",
}
EXCESS = {"naive": 0.9, "activity": 1.0, "contribution": 0.6}
"""The differences from each control, as parts of those from the drawn one."""
VARIANTS = ("baseline", *CHANGES, *CHANGES.values())
NEURONS = 2048


def coordinates(languages: int, stacks: dict[str, int] | None) -> dict[str, Any]:
    stacks = stacks or {"decoder": 18}
    return {
        "task": list(TASKS),
        "language": list(names_of(languages)),
        "kind": list(KINDS),
        "layer": np.arange(sum(stacks.values())),
        "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
        "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
    }


def attributes(languages: int) -> dict[str, Any]:
    return {"model": "gemma-3-270m", "language_names": json.dumps(names_of(languages))}


def bounded(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Add the ends of an interval around every value of ``names``."""
    ends = {"_low": 0.9, "_high": 1.2}
    return ds.assign(
        {name + end: ds[name] * factor for name in names for end, factor in ends.items()}
    )


def shares(rng: np.random.Generator, tasks: int, depth: int) -> np.ndarray:
    """``[task, layer, kind]``: all-shared in the middle, specific in few; they sum to one."""
    x = np.linspace(0, 1, depth)
    weights = np.stack(
        [0.4 * np.exp(-(((x - 0.4) / 0.3) ** 2)), 0.2 + 0.2 * x, 0.05 + 0.03 * x, 0.9 - 0.3 * x],
        axis=-1,
    )
    noisy = weights * rng.uniform(0.7, 1.3, (tasks, depth, 4))
    divided: np.ndarray = noisy / noisy.sum(-1, keepdims=True)
    return divided


def of_languages(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Add the means over languages of ``names`` with the ends of their intervals."""
    means = {f"{name}_of_languages": ds[name].mean("language") for name in names}
    return bounded(ds.assign(means), *means)


def kinds(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """Shares of kinds; there are fewer all-shared neurons at high thresholds."""
    rng = np.random.default_rng(1)
    coords = coordinates(languages, stacks)
    depth, tasks = len(coords["layer"]), len(TASKS)
    share = shares(rng, tasks, depth)
    by_threshold = np.stack([share * [f, f, f, 1] for f in np.linspace(1, 0.2, 6)], axis=1)
    by_number = np.stack([share * [f, 2 - f, 1, 1] for f in np.linspace(1.3, 1, 4)], axis=1)
    by_language = ("task", "layer", "language")
    size = (tasks, depth, languages)
    ds = xr.Dataset(
        {
            "kind_share": (("task", "layer", "kind"), share),
            "active_share": (by_language, share[..., :1] + rng.uniform(0.1, 0.15, size)),
            "threshold_share": (("task", "threshold", "layer", "kind"), by_threshold),
            "language_count_share": (("task", "languages", "layer", "kind"), by_number),
            **{
                f"random_languages_share{end}": (
                    ("task", "languages", "layer", "kind"),
                    by_number * (1 + factor * np.array([3, 2, 1, 0])[:, None, None]),
                )
                for end, factor in (("", 0.01), ("_lowest", -0.02), ("_highest", 0.05))
            },
            "overlap": (("task", "layer", "kind"), share * [0.05, 0.01, 0.002, 0.2]),
            "dead": (by_language, rng.uniform(0.002, 0.3, size)),
            "items": ("task", np.array([4, 30, 65, 120])),
            "facts": ("task", np.array([4, 12, 65, 120])),
        },
        coords | {"threshold": list(THRESHOLDS), "languages": list(NUMBERS)},
        attributes(languages) | {"threshold": 0.0},
    )
    names = ("kind_share", "active_share", "threshold_share", "language_count_share", "dead")
    return bounded(ds, *names)


def contributions(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """As the figures get it: merged with what the kinds' reduction counted."""
    rng = np.random.default_rng(2)
    ds = kinds(languages, stacks)
    share = ds["kind_share"].transpose("task", "layer", "kind").values[:, None]
    noise = rng.uniform(0.8, 1.25, (len(TASKS), languages, share.shape[2], 4))
    top = share * [6, 2, 1, 0.1] * noise
    total = share * [4, 2, 1.5, 0.3] * noise
    total = total / total.sum(-1, keepdims=True)
    dims = ("task", "language", "layer", "kind")
    names = ("top_share", "mean", "sum")
    ds = ds.assign(
        top_share=(dims, top / top.sum(-1, keepdims=True)),
        mean=(dims, total / (share * NEURONS)),
        sum=(dims, total),
    ).assign_attrs(top_fraction=0.05)
    return of_languages(bounded(ds, *names), *names)


def effective(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """The last layer's maxima are the highest; one kind has no positive score in one language."""
    rng = np.random.default_rng(3)
    coords = coordinates(languages, stacks)
    depth = len(coords["layer"])
    reach = np.array([18, 2.5, 0.06, 0.03])
    by_layer = rng.uniform(0.1, 0.5, (len(TASKS), languages, depth, 4)) * reach
    by_layer[:, :, -1] *= 3
    by_layer[:, 0, :, 3] *= -1
    high = by_layer.max(2)
    dims = ("task", "language", "kind")
    ds = xr.Dataset(
        {
            "max": (dims, high),
            "min": (dims, -abs(high) * rng.uniform(0.4, 1, high.shape)),
            "mean": (dims, 0.01 * high),
            "max_by_layer": (("task", "language", "layer", "kind"), by_layer),
            "items": (("task", "language"), np.full((len(TASKS), languages), 24)),
        },
        coords,
        attributes(languages),
    )
    return of_languages(ds, "max_by_layer")


def comparison(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """Two models, of which one is as deep as ``stacks``, and a sweep of examples."""
    rng = np.random.default_rng(6)
    depth = sum((stacks or {"decoder": 18}).values())
    models = {"gemma-3-270m": depth, "smollm2-135m": depth + 12}
    names = [*TASKS, *(f"edits-{n}-shot" for n in SHOTS[1:])]
    share = np.full((len(models), len(names), depth + 12, 4), np.nan)
    for model, layers in enumerate(models.values()):
        share[model, :, :layers] = shares(rng, len(names), layers)
    ds = xr.Dataset(
        {
            "kind_share": (("model", "task", "layer", "kind"), share),
            "layers": ("model", [*models.values()]),
            "items": (("model", "task"), np.full((len(models), len(names)), 24)),
        },
        {
            "model": [*models],
            "task": names,
            "layer": np.arange(depth + 12),
            "kind": list(KINDS),
            "shots": ("task", [0] * len(TASKS) + list(SHOTS[1:])),
        },
        {"few_shot": json.dumps(["edits", *names[len(TASKS) :]])},
    )
    return bounded(ds, "kind_share")


def interventions(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    """Answers are worse without all-shared neurons; the second task has few items."""
    rng = np.random.default_rng(4)
    size = (len(TASKS), len(VARIANTS), languages)
    worse = np.ones(len(VARIANTS))
    worse[[1, 2, 7]] = 0.3, 0.9, 0.8
    accuracy = rng.uniform(0.35, 0.6, (len(TASKS), 1, languages)) * worse[:, None]
    accuracy = accuracy + rng.uniform(-0.02, 0.02, size)
    difference = -5 / accuracy + 5 / accuracy[:, :1]
    dims, by_language = ("task", "variant", "language"), ("task", "language")
    excluded = np.zeros(size[::2], dtype=np.int64)
    excluded[:, -1] = 3
    facts = np.array([120, 12, 65, 30])[:, None] - excluded
    chance = np.array([0.05, 1 / 3, 0, 1 / 3])[:, None]
    neurons = np.array([0, *[4000, 6000, 900, 800, 5000, 5800] * 2], dtype=float)[:, None]
    coords = coordinates(languages, stacks)
    ds = xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "exact_accuracy": (dims, accuracy / 3),
            "log_probability_difference": (dims, difference),
            "neurons": (dims, np.broadcast_to(neurons, size) + 10.0 * np.arange(languages)),
            "items": (by_language, 3 * facts),  # a fact is asked in several wordings
            "facts": (by_language, facts),
            "excluded": (by_language, excluded),
            "fewest_facts": (by_language, np.full(facts.shape, 6)),
            "chance": (by_language, np.broadcast_to(chance, facts.shape).copy()),
        },
        {name: coords[name] for name in ("task", "language")}
        | {"variant": list(VARIANTS), "scoring": ("task", list(SCORING))},
        attributes(languages) | {"random_seeds": 3, "positions": "last", "site": "gate"},
    )
    for name in ("accuracy", "log_probability_difference"):
        excess = ds[name].sel(variant=list(CHANGES))
        control = ds[name].sel(variant=list(CHANGES.values())).assign_coords(variant=list(CHANGES))
        excess = (excess - control).reindex(variant=list(VARIANTS))
        part = xr.DataArray(list(EXCESS.values()), {"control": list(EXCESS)}, ["control"])
        lone = excess["variant"].str.startswith("converted") & (part["control"] != "activity")
        ds[name.removesuffix("_difference") + "_excess"] = (part * excess).where(~lone)
    ds["log_probability_excess_p_value"] = np.exp(-abs(ds["log_probability_excess"]))
    ends = {"_low": -0.06, "_high": 0.06}
    names = [n for n in ds if str(n).startswith(("accuracy", "log")) and "p_value" not in str(n)]
    return ds.assign({f"{n}{end}": ds[n] + by for n in names for end, by in ends.items()})


FAMILIES: dict[str, Callable[..., xr.Dataset]] = {
    "kinds": kinds,
    "contributions": contributions,
    "effective": effective,
    "interventions": interventions,
    "comparison": comparison,
}


def dataset(family: str, **case: Any) -> xr.Dataset:
    """The merged dataset of a family of figures."""
    if family == "training":
        return in_training("sharing", kinds(**case), ["kind_share"], case["stacks"])
    return FAMILIES[family](**case)


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "kinds_in_training":
        return ds["kind_share"].values
    word = "converted" if "converted" in stem else "without"
    variants = [one for one in CHANGES if one.startswith(word)]
    match stem:
        case "tables_02_05_06_accuracy" | "table_03_converted":
            few = ds["facts"].max("language") < 20
            part = ds[["accuracy", "accuracy_excess"]].sel(variant=variants)
            part = part.sel(control=["activity", "contribution"])
            return numbers(*(part * ds["facts"].where(few, 1)).values())
        case "log_probability_without" | "log_probability_converted":
            names = ["log_probability_difference", "log_probability_excess"]
            part = ds[names].sel(variant=variants, control=["activity", "contribution"])
            return numbers(*part.values())
        case "figures_02_04_11_18_kinds":
            return numbers(ds["kind_share"], ds["active_share"].mean("language"))
        case "figure_05_behaviour_repeating":
            chance = ds["kind_share"] ** ds["items"]
            return numbers(*(x.mean("layer") for x in (ds["kind_share"], ds["overlap"], chance)))
        case "figure_06_dead":
            return ds["dead"].values
        case "figure_19_language_count":
            fewer = ds["languages"] != ds.sizes["language"]
            drawn = ds["language_count_share"].sel(languages=fewer), ds["random_languages_share"]
            return numbers(*(share.isel(task=slice(2)) for share in drawn))
        case "figure_22_threshold":
            return ds["threshold_share"].values
        case "figures_08_23_26_top":
            return numbers(ds["kind_share"], ds["top_share"].mean("language"))
        case "figure_09_contribution":
            return numbers(ds["mean"].mean("language"), ds["sum"].mean("language"))
        case "figures_10_27_29_effective":
            highest = ds["max_by_layer"].mean("language")
            return numbers(highest.where(highest > 0))
        case "tables_01_04_effective":
            return numbers(ds["max"].where(ds["max"] > 0))
        case "figures_07_20_models":
            return numbers(ds["kind_share"].sel(task=list(TASKS)))
        case "figure_21_few_shot":
            share = ds["kind_share"]
            return numbers(share.isel(task=slice(len(TASKS), None)) - share.sel(task="edits"))
    raise KeyError(stem)


def numbers(*arrays: xr.DataArray) -> np.ndarray:
    """All values of some arrays."""
    return np.concatenate([np.ravel(array.values) for array in arrays])
