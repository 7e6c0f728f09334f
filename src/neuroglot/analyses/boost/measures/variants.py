"""Texts and perplexity with a language's neurons multiplied, beside as many random ones.

``chosen`` are the language's neurons, which come first, and then each draw of random ones;
``variant`` is the same with the draws averaged.
"""

import xarray as xr

from neuroglot.measures.bootstrap import bounded_mean
from neuroglot.measures.perplexity import geometric_mean

VARIANTS = ("boosted", "random")
NOT_WRITTEN = ""
"""The language of a text that was not asked for."""
UNDETERMINED = "und"
"""BCP 47's tag for a text in no language."""


def language_shares(detected: xr.DataArray, code: xr.DataArray, replicates: int) -> xr.Dataset:
    """Count the texts that are in the boosted language, and those that are in none.

    Args:
        detected: the language of each text, [chosen, language, item, ...]: a code, ``und`` or
            nothing where there is no text.
        code: of each language that is boosted, [language]; nothing where texts in it cannot be
            told.
        replicates: bootstrap samples of prompts.

    Returns:
        ``share`` of texts in the language with ``share_low`` and ``share_high``, 95 % over prompts,
        and ``undetermined``, the share of those in no language, [variant, language, ...]. NaN
        without texts, and ``share`` without a code.
    """
    units = {"units": "share of texts"}
    written, known = detected != NOT_WRITTEN, code != NOT_WRITTEN
    share = _variants((detected == code).where(written & known)).assign_attrs(units)
    undetermined = _variants((detected == UNDETERMINED).where(written)).assign_attrs(units)
    return xr.Dataset(
        {
            **bounded_mean("share", share, replicates),
            "undetermined": undetermined.mean("item", keep_attrs=True),
        }
    )


def perplexities(values: xr.DataArray) -> xr.DataArray:
    """Put perplexities [chosen, ...] as variants, the draws averaged as logarithms."""
    ordered = values.transpose("chosen", ...)
    boosted = ordered.isel(chosen=0, drop=True)
    random = boosted.copy(data=geometric_mean(ordered[1:].to_numpy()))
    return _concatenated(boosted, random).assign_attrs(units="perplexity")


def _variants(values: xr.DataArray) -> xr.DataArray:
    random = values.isel(chosen=slice(1, None)).mean("chosen")
    return _concatenated(values.isel(chosen=0, drop=True), random)


def _concatenated(boosted: xr.DataArray, random: xr.DataArray) -> xr.DataArray:
    return xr.concat([boosted, random], xr.Variable("variant", [*VARIANTS])).astype(float)
