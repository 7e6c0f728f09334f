"""Synthetic datasets of the boost analysis, for the tests of figures."""

import json
from typing import Any

import numpy as np
import xarray as xr

NAMES = {"en": "English", "de": "German", "fr": "French", "wo": "Wolof", "th": "Thai"}


def dataset(
    family: str,
    languages: int = 5,
    stacks: dict[str, int] | None = None,
    factors: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0),
    prompts: int = 24,
) -> xr.Dataset:
    """Boosted languages are written more and read worse by factor; random neurons do little.

    English is the pivot; Wolof cannot be identified; Thai has no neurons.
    """
    del family, stacks  # one family; the analysis has no layers
    rng = np.random.default_rng(7)
    ids = [*NAMES, *(f"x{i:02d}" for i in range(len(NAMES), languages))][:languages]
    names = {one: NAMES.get(one, f"Language number {one[1:]}") for one in ids}
    effect = np.array([1.0, 0.1])[:, None, None] * (np.array(factors)[:, None] - 1)
    effect = effect * rng.uniform(0.5, 1.5, languages)
    chance = np.clip(0.4 + 0.2 * effect * np.array([0.5, 1])[:, None, None, None], 0, 1)
    share = np.round(chance * prompts) / prompts
    perplexity = 20 * np.exp(effect)
    share[0, :, :, 0] = np.nan
    changed = np.array(factors) != 1
    if languages > 4:
        share[..., 3] = np.nan
        share[:, :, changed, 4] = np.nan
        perplexity[:, changed, 4] = np.nan
    dims = ("prompted", "variant", "factor", "language")
    return xr.Dataset(
        {
            "share": (dims, share),
            "share_low": (dims, np.maximum(share - 0.2, 0)),
            "share_high": (dims, np.minimum(share + 0.15, 1)),
            "perplexity": (dims[1:], perplexity),
            "neurons": ("language", 1200 + np.arange(languages)),
            "predicted_tokens": ("language", np.full(languages, 5_000)),
        },
        {
            "prompted": ["pivot", "own"],
            "variant": ["boosted", "random"],
            "factor": list(factors),
            "language": ids,
        },
        {
            "model": "gemma-3-270m",
            "method": "lape",
            "pivot": "en",
            "prompts": prompts,
            "new_tokens": 24,
            "unidentified": ["wo"] if languages > 4 else [],
            "language_names": json.dumps(names),
        },
    )


def shown(stem: str, ds: xr.Dataset) -> np.ndarray[Any, Any]:
    """Numbers that the figure must draw."""
    if stem == "share_of_text":
        shares = [ds[name].values for name in ("share", "share_low", "share_high")]
        return np.asarray(np.stack(shares) * ds.attrs["prompts"])
    plain = list(ds["factor"].values).index(1)
    loss = np.log2(ds["perplexity"].values)
    return np.asarray(loss - loss[:, [plain]])
