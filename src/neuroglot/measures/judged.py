"""What the units of a language do to held-out text: to its own, to others', and beside controls."""

import numpy as np
import xarray as xr

from neuroglot.measures.controls import SETS, excess
from neuroglot.measures.perplexity import NATS, bounded_perplexity, per_token, tested
from neuroglot.measures.significance import bounded_difference

OTHERS = "others"
"""The contrast of a language's own text with those of the other languages."""


def perplexity_statistics(
    losses: xr.Dataset, shares: xr.Dataset, paired: bool, replicates: int
) -> xr.Dataset:
    """Compute perplexities without neurons, their changes, and contrasts of the changes.

    Args:
        losses: of each segment, in nats, NaN where a language lacks it: ``plain(language, item)``
            of the model as it is; ``without(deactivated, language, item)``, without the neurons of
            each deactivated language; ``controls(variant, language, item)``, without each of
            ``SETS`` but the chosen neurons, in the language's own text; and ``tokens(language,
            item)``, the predicted tokens.
        shares: ``measures.controls.SHARES`` by language.
        paired: whether a segment says the same in every language. If not, own and other languages'
            texts are not contrasted.
        replicates: resamples of segments.

    Returns:
        ``baseline(language)`` and ``perplexity(deactivated, language)``, with bootstrap intervals;
        ``change(deactivated, language)`` and ``own_change(variant, language)``, in ln perplexity,
        with the intervals of the sign-flip test; ``others_change(language)``; and
        ``tested`` of the contrasts.
    """
    tokens = losses["tokens"]
    plain = per_token(losses["plain"], tokens)
    without = per_token(losses["without"], tokens)
    change = (without - plain).assign_attrs(NATS)
    of_own = of_own_text(change).expand_dims(variant=[SETS[0]])
    of_controls = per_token(losses["controls"], tokens) - plain
    own_change = xr.concat([of_own, of_controls], "variant").assign_attrs(NATS)
    others = others_mean(change)
    against = (of_own.squeeze("variant", drop=True) - others).where(paired)
    by_contrast = [against.expand_dims(contrast=[OTHERS])]
    by_contrast.append(excess(own_change, shares).rename(control="contrast"))
    return xr.Dataset(
        {
            **bounded_perplexity("baseline", losses["plain"], tokens, replicates),
            **bounded_perplexity("perplexity", losses["without"], tokens, replicates),
            **bounded_difference("change", change),
            **bounded_difference("own_change", own_change),
            "others_change": others.mean("item").assign_attrs(NATS),
            **tested(xr.concat(by_contrast, "contrast")),
        }
    )


def of_own_text(change: xr.DataArray) -> xr.DataArray:
    """Take the changes of each language's own text, [language, …] from [deactivated, language, …].

    NaN in languages whose neurons are not deactivated.
    """
    return change.where(change["deactivated"] == change["language"]).max("deactivated")


def others_mean(change: xr.DataArray) -> xr.DataArray:
    """Average what each language's neurons do to the others' texts, segment by segment.

    Args:
        change: [deactivated, language, item].

    Returns:
        By the language whose neurons they are, [language, item]; NaN where another language lacks
        the segment, or there is no other language.
    """
    different = change["deactivated"] != change["language"]
    others = change.where(different, 0).sum("language", skipna=False)
    count = different.sum("language")
    return (others / count.where(count > 0, np.nan)).rename(deactivated="language")
