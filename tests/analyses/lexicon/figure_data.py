"""Synthetic datasets of the lexicon analysis, with planted structure, for the tests of figures."""

import json

import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import linkage

from neuroglot.languages import find_language
from support.languages import known_languages
from support.training import in_training

FIRST = ("en", "de", "hi", "bn", "fr", "es", "pt", "cs", "ru", "zh-hans")
SIGNS = ["positive", "negative"]


def dataset(
    family: str = "",
    languages: int | tuple[str, ...] = FIRST,
    stacks: dict[str, int] | None = None,
    neurons: int = 60,
    rank: int = 100,
    minimum_coverage: float = 0.2,
) -> xr.Dataset:
    """The dataset of all families: neuron 0 is of one language, neuron 1 of all alike.

    Neuron 2 has none of its tokens in the text. The last layer has no stacks.
    """
    if family == "training":
        of_neurons = dataset(languages=languages)
        return in_training("lexicon", of_neurons, ["entropy"], stacks or {"decoder": 6})
    if isinstance(languages, int):
        languages = tuple(dict.fromkeys([*FIRST, *known_languages()]))[:languages]
    known = {language: find_language(language) for language in languages}
    n = len(known)
    rng = np.random.default_rng(3)
    association = rng.dirichlet(np.full(n, 0.15), size=(2, 2, neurons))
    association[:, :, 0] = np.eye(n)[min(1, n - 1)]
    association[:, :, 1] = 1 / n
    association[:, :, 2] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(association == 0, 0, -association * np.log2(association)).sum(-1)
    covered = np.round(rng.uniform(0.05, 0.9, size=(2, neurons)) * rank) / rank
    covered[:, :2] = 0.5
    covered[:, 2] = 0
    ranked = np.argsort(np.where(covered < minimum_coverage, np.nan, bits[0]), axis=1)
    enough = (covered >= minimum_coverage).sum(1)
    share = (association.argmax(-1, keepdims=True) == np.arange(n)).mean((1, 2))
    profiles = np.nan_to_num(association[0]).reshape(-1, n).T
    tree = linkage(profiles, "average") if n > 1 else np.empty((0, 4))
    tokens = np.array(["␣the", "Haus", "हिन्दी", "слово"] * 5)
    per_neuron = ("sign", "neuron")
    ds = xr.Dataset(
        {
            "association": (("prior", *per_neuron, "language"), association),
            "entropy": (("prior", *per_neuron), bits, {"units": "bits"}),
            "tfidf": ((*per_neuron, "language"), np.nan_to_num(association[0] ** 1.5)),
            "coverage": (per_neuron, covered),
            "top_language_share": (("prior", "language"), share),
            "tokens": ("language", 1000 + 10 * np.arange(n)),
            "linkage": (("merge", "column"), tree, {"units": "1 − Pearson's r"}),
            "drawn": (("sign", "place"), ranked[:, :4].astype(np.int32)),
            "drawn_highest": (
                "sign",
                np.array([row[k - 1] for row, k in zip(ranked, enough, strict=True)], np.int32),
            ),
            "top_token": ((*per_neuron, "rank"), np.zeros((2, neurons, rank), np.int32)),
            "top_text": ((*per_neuron, "shown"), np.broadcast_to(tokens, (2, neurons, 20))),
        },
        {
            "prior": ["uniform", "corpus"],
            "sign": SIGNS,
            "language": [*known],
            **{
                key: ("language", [getattr(one, key) for one in known.values()])
                for key in ("family", "genus", "script")
            },
        },
        {
            "model": "gemma-3-270m",
            "corpora": ["lexicon"],
            "minimum_coverage": minimum_coverage,
            "language_names": json.dumps({tag: one.name for tag, one in known.items()}),
        },
    )
    bounded = ("entropy", "coverage", "top_language_share")
    ends = {"_low": 0.9, "_high": 1.1}
    return ds.assign(
        {f"{name}{end}": ds[name] * by for name in bounded for end, by in ends.items()}
    )


def shown(stem: str, ds: xr.Dataset) -> np.ndarray:
    """Numbers that the figure must draw."""
    if stem == "entropy_in_training":
        return ds["entropy"].values
    uniform = ds.sel(prior="uniform")
    match stem:
        case "section_5_1_prior":
            first = ds["top_language_share"].max("prior").argsort().values[::-1][:15]
            some = ds.isel(language=first)
            bounds = [some[f"top_language_share{end}"] for end in ("", "_low", "_high")]
            tokens = some["tokens"] / ds["tokens"].sum()
            return np.concatenate([*(bound.values.ravel() for bound in bounds), tokens.values])
        case "entropy_and_coverage":
            most = max(np.log2(ds.sizes["language"]), 0.1)
            counts = [
                np.histogram(np.clip(bits[np.isfinite(bits)], 0, most), 40, (0, most))[0]
                for bits in uniform["entropy"].values
            ]
            return np.concatenate([*counts, [ds.attrs["minimum_coverage"]]]).astype(float)
        case "language_tree":
            return ds["linkage"].values[:, 2]
    sign = "positive" if "positive" in stem else "negative"
    chosen = [(sign, neuron) for neuron in ds["drawn"].sel(sign=sign).values]
    if "highest" in stem:
        chosen = [(sign, ds["drawn_highest"].sel(sign=sign).item()) for sign in SIGNS]
    values = []
    for sign, neuron in chosen:
        at = uniform.sel(sign=sign).isel(neuron=neuron)
        order = np.argsort(-at["association"].values)
        for share in (at["association"], at["tfidf"] / at["tfidf"].sum()):
            values += [*share.values[order[:5]], share.values[order[5:]].sum()]
    return np.array(values)
