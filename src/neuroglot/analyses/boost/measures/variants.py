"""Texts and losses with a language's neurons, or those of a control, multiplied.

``drawn`` lists the sets of ``measures.controls.SETS`` in their order, and of the last, random
neurons, every draw. ``variant`` is the same with the draws averaged.
"""

from collections.abc import Sequence

import xarray as xr

from neuroglot.measures.controls import SETS, excess
from neuroglot.measures.perplexity import NATS, exponential, per_token, tested
from neuroglot.measures.proportions import bounded_share
from neuroglot.measures.significance import bounded_difference

NOT_WRITTEN = ""
"""The language of a text that was not generated."""
UNDETERMINED = "und"
"""The BCP 47 tag for a text of undetermined language."""


def draws(seeds: int) -> list[str]:
    """Name every set, and every draw of random neurons: the labels of ``drawn``."""
    return [*SETS[:-1], *(f"{SETS[-1]} {draw + 1}" for draw in range(seeds))]


def averaged(values: xr.DataArray) -> xr.DataArray:
    """Average the draws of random neurons, [variant, ...] from [drawn, ...]."""
    sets: Sequence[xr.DataArray] = [
        *(values.sel(drawn=name, drop=True) for name in SETS[:-1]),
        values.isel(drawn=slice(len(SETS) - 1, None)).mean("drawn"),
    ]
    return xr.concat(sets, xr.Variable("variant", [*SETS])).astype(float)


def language_shares(detected: xr.DataArray, code: xr.DataArray) -> xr.Dataset:
    """Compute the shares of texts in the boosted language, and of undetermined language.

    Args:
        detected: the language of each text, [drawn, language, item, ...]: a code, ``und``, or an
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
    share = averaged((detected == code).where(written & known)).assign_attrs(units)
    undetermined = averaged((detected == UNDETERMINED).where(written)).assign_attrs(units)
    return xr.Dataset(
        {
            **bounded_share("share", share),
            "undetermined": undetermined.mean("item", keep_attrs=True),
        }
    )


def loss_statistics(
    loss: xr.DataArray, tokens: xr.DataArray, plain: float, shares: xr.Dataset
) -> xr.Dataset:
    """Compute perplexities, their changes by factor, and how these differ from the controls'.

    Args:
        loss: of each held-out segment of the boosted language, in nats, [drawn, factor, language,
            item].
        tokens: predicted tokens of each segment, [language, item].
        plain: the factor of the model as it is.
        shares: ``measures.controls.SHARES`` by language.

    Returns:
        [variant, factor, language]: ``perplexity``, and ``change``, that of ln perplexity, with the
        intervals of the sign-flip test; and ``tested``, [control, factor, language],
        at other factors than ``plain``. The languages of a factor and a control are a family.
    """
    losses = per_token(averaged(loss), tokens)
    change = (losses - losses.sel(factor=plain, drop=True)).assign_attrs(NATS)
    differences = excess(change, shares)
    told = differences.where(differences["factor"] != plain)
    return xr.Dataset(
        {
            "perplexity": exponential(losses.mean("item")),
            **bounded_difference("change", change),
            **tested(told),
        }
    )
