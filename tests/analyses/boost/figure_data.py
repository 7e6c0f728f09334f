"""Synthetic datasets of the boost analysis, for the tests of figures."""

import json
from typing import Any

import numpy as np
import xarray as xr

from neuroglot.measures.controls import CONTROLS, SETS

NAMES = {"en": "English", "de": "German", "fr": "French", "wo": "Wolof", "th": "Thai"}


def dataset(
    family: str,
    languages: int = 5,
    stacks: dict[str, int] | None = None,
    factors: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0),
    prompts: int = 24,
) -> xr.Dataset:
    """Boosted languages are written more and read worse by factor; controls do less.

    English is the pivot; Wolof cannot be identified; Thai has no neurons, French no like ones.
    """
    del family, stacks  # one family; the analysis has no layers
    rng = np.random.default_rng(7)
    ids = [*NAMES, *(f"x{i:02d}" for i in range(len(NAMES), languages))][:languages]
    names = {one: NAMES.get(one, f"Language number {one[1:]}") for one in ids}
    size = np.array([1.0, 0.3, 0.9, 0.25, 0.1])[:, None, None]
    change = size * (np.array(factors)[:, None] - 1) * rng.uniform(0.5, 1.5, languages)
    chance = np.clip(0.4 + 0.2 * change * np.array([0.5, 1])[:, None, None, None], 0, 1)
    share = np.round(chance * prompts) / prompts
    share[0, :, :, 0] = np.nan
    changed = np.array(factors) != 1
    if languages > 4:
        share[..., 3] = np.nan
        share[:, :, changed, 4] = np.nan
        change[:, changed, 4] = np.nan
    excess = np.stack([change[0] - change[1], change[2] - change[3], change[0] - change[4]])
    excess[:, ~changed] = np.nan
    excess[1, :, 2:3] = np.nan
    dims = ("prompted", "variant", "factor", "language")
    by_control = ("control", "factor", "language")
    each = np.ones(languages, int)
    return xr.Dataset(
        {
            "share": (dims, share),
            "share_low": (dims, np.maximum(share - 0.2, 0)),
            "share_high": (dims, np.minimum(share + 0.15, 1)),
            **{
                f"change{end}": (dims[1:], change + by)
                for end, by in {"": 0, "_low": -0.1, "_high": 0.1}.items()
            },
            **{
                f"excess{end}": (by_control, excess + by)
                for end, by in {"": 0, "_low": -0.1, "_high": 0.1}.items()
            },
            "excess_p_value": (by_control, np.where(excess > 0.5, 0.01, 0.3)),
            "neurons": (dims[1::2], np.tile(1200 + np.arange(languages), (5, 1))),
            "predicted_tokens": ("language", 5_000 * each),
            "segments": ("language", 40 * each),
            "fewest_segments": ("language", 6 * each),
        },
        {
            "prompted": ["pivot", "own"],
            "variant": [*SETS],
            "control": [*CONTROLS],
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
        drawn = ds.sel(variant=["chosen", "active", "partner", "random"])
        shares = [drawn[name].values for name in ("share", "share_low", "share_high")]
        return np.asarray(np.stack(shares) * ds.attrs["prompts"])
    edited = ds.sel(factor=ds["factor"] != 1)
    change = edited["change"].sel(variant=["chosen", "random"])
    excess = edited["excess"].sel(control=["activity", "contribution"])
    numbers = np.concatenate([change.values.ravel(), excess.values.ravel()])
    return numbers[np.isfinite(numbers)]
