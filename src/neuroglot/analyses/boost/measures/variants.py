"""Texts and perplexity with a language's neurons, or as many random neurons, multiplied.

``chosen`` lists the language's neurons first and then each random draw. ``variant`` is the same
with the draws averaged.
"""

import xarray as xr

from neuroglot.measures.perplexity import geometric_mean
from neuroglot.measures.proportions import bounded_share

VARIANTS = ("boosted", "random")
NOT_WRITTEN = ""
"""The language of a text that was not generated."""
UNDETERMINED = "und"
"""The BCP 47 tag for a text of undetermined language."""


def language_shares(detected: xr.DataArray, code: xr.DataArray) -> xr.Dataset:
    """Compute the shares of texts in the boosted language, and of undetermined language.

    Args:
        detected: the language of each text, [chosen, language, item, ...]: a code, ``und``, or an
            empty string without a text.
        code: code of each boosted language, [language]; an empty string if the language cannot be
            identified.

    Returns:
        ``share``, the share of texts in the language, with Wilson's 95 % interval over prompts,
        ``share_low`` and ``share_high``; and ``undetermined``, the share of texts of undetermined
        language; [variant, language, ...]. NaN without texts; ``share`` is also NaN without a code.
    """
    units = {"units": "share of texts"}
    written, known = detected != NOT_WRITTEN, code != NOT_WRITTEN
    share = _variants((detected == code).where(written & known)).assign_attrs(units)
    undetermined = _variants((detected == UNDETERMINED).where(written)).assign_attrs(units)
    return xr.Dataset(
        {
            **bounded_share("share", share),
            "undetermined": undetermined.mean("item", keep_attrs=True),
        }
    )


def perplexities(of_chosen: xr.DataArray) -> xr.DataArray:
    """Turn perplexities [chosen, ...] into [variant, ...]; draws are averaged as logarithms."""
    ordered = of_chosen.transpose("chosen", ...)
    boosted = ordered.isel(chosen=0, drop=True)
    random = boosted.copy(data=geometric_mean(ordered[1:].to_numpy()))
    return _concatenated(boosted, random).assign_attrs(units="perplexity")


def _variants(of_chosen: xr.DataArray) -> xr.DataArray:
    random = of_chosen.isel(chosen=slice(1, None)).mean("chosen")
    return _concatenated(of_chosen.isel(chosen=0, drop=True), random)


def _concatenated(boosted: xr.DataArray, random: xr.DataArray) -> xr.DataArray:
    return xr.concat([boosted, random], xr.Variable("variant", [*VARIANTS])).astype(float)
