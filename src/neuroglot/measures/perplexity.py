"""Perplexity of held-out text under edits: means over segments, intervals and tests.

A segment's loss is the negative log-likelihood of its tokens. Segments are the independent units:
each is read by itself, and tokens of one segment are not independent of each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.bootstrap import bounded, ratio_interval
from neuroglot.measures.controls import SHARES
from neuroglot.measures.significance import bounded_difference, fewest_units, step_down_p_value

NATS = {"units": "nats per token"}

CONTROLLED: Mapping[str, str] = {
    **SHARES,
    "variant": "neurons that are edited: those of the language (chosen), others of the same layers "
    "that fire about as often in its held-out text (active), the part of the language's neurons "
    "that has partners (matched), the partners of like contribution (partner), or as many random "
    "others (random)",
    "excess_p_value": "probability that any language would reach its excess if none had one: sign "
    "flips of segments, adjusted for all languages by step-down maxT",
    "neurons": "neurons that are edited; of random ones the mean over draws",
    "firing_frequency": "share of tokens of the language's held-out text at which an edited neuron "
    "fires, mean over neurons",
    "predicted_tokens": "tokens of held-out text that perplexity is over",
    "segments": "segments of held-out text, the units of intervals and tests",
    "fewest_segments": "segments that a language needs for its p value to be able to be below 0.05",
}
"""Descriptions of the variables that ``lape`` and ``boost`` have in common."""


def by_segment(
    values: Mapping[str, tuple[tuple[str, ...], NDArray[np.generic]]],
    ids: Sequence[Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
) -> xr.Dataset:
    """Arrange numbers of all languages' segments as [..., language, item].

    Args:
        values: by name, the dimensions [..., language, item], and numbers [..., segment]: the
            segments of the first language, then those of the next.
        ids: by language, the names of its segments; of one name, they are aligned.
        coords: labels of the dimensions but ``item``.

    Returns:
        The numbers, NaN where a language lacks a segment that another has.
    """
    items = list(dict.fromkeys(segment for of_language in ids for segment in of_language))
    place = {segment: at for at, segment in enumerate(items)}
    row = np.repeat(np.arange(len(ids)), [*map(len, ids)])
    column = np.array([place[segment] for of_language in ids for segment in of_language])
    arranged = {}
    for name, (dims, numbers) in values.items():
        whole = np.full((*numbers.shape[:-1], len(ids), len(items)), np.nan)
        whole[..., row, column] = numbers
        arranged[name] = (dims, whole)
    return xr.Dataset(arranged, {**coords, "item": items})


def per_token(loss: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Divide segments' losses by the mean number of tokens of the language's segments.

    The mean over segments of the result is the loss per token, the logarithm of perplexity:
    ``sum of losses / sum of tokens``.

    Args:
        loss: summed over a segment's tokens, nats, [..., language, item].
        tokens: predicted tokens of each segment, [language, item].
    """
    return (loss / tokens.mean("item")).assign_attrs(NATS)


def bounded_perplexity(
    name: str, loss: xr.DataArray, tokens: xr.DataArray, replicates: int
) -> dict[str, xr.DataArray]:
    """Perplexity, with the bootstrap's interval over segments; see ``bounded``.

    Its logarithm is a ratio of two sums over segments, which are drawn together with their tokens.
    The exponential keeps the order of the replicates.

    Args:
        name: the perplexity's name.
        loss: summed over a segment's tokens, nats, [..., language, item].
        tokens: predicted tokens of each segment, [language, item].
        replicates: resamples of the segments.
    """
    part, whole = (values.fillna(0).rename(item="fold") for values in (loss, tokens))
    ends = map(exponential, ratio_interval(part, whole, replicates))
    return bounded(name, exponential(per_token(loss, tokens).mean("item")), ends)


def exponential(losses: xr.DataArray) -> xr.DataArray:
    """Perplexities of mean losses per token."""
    return losses.copy(data=np.exp(losses.to_numpy())).assign_attrs(units="perplexity")


def tested(excess: xr.DataArray) -> dict[str, xr.DataArray]:
    """Average differences over segments, with intervals and tests.

    The languages are a family of tests: they share the segments, whose signs are flipped jointly.

    Args:
        excess: one difference per segment, nats per token, [..., language, item]; NaN where
            nothing is compared.

    Returns:
        [..., language]: ``excess`` with ``_low`` and ``_high``, those of the sign-flip test;
        ``excess_p_value``, adjusted by step-down maxT for all languages; and
        ``fewest_segments(language)``.
    """
    fewest = xr.DataArray(
        np.full(excess.sizes["language"], fewest_units()),
        {"language": excess["language"].values},
        attrs={"units": "segments"},
    )
    return {
        **bounded_difference("excess", excess.assign_attrs(NATS)),
        "excess_p_value": step_down_p_value(excess, "language"),
        "fewest_segments": fewest,
    }


def read_sizes(tokens: xr.DataArray) -> dict[str, xr.DataArray]:
    """Count ``predicted_tokens`` and ``segments`` by language.

    Args:
        tokens: predicted tokens of each segment, [language, item], NaN where a language lacks it.
    """
    return {
        "predicted_tokens": tokens.sum("item").astype(np.int64).assign_attrs(units="tokens"),
        "segments": tokens.notnull().sum("item").assign_attrs(units="segments"),
    }
