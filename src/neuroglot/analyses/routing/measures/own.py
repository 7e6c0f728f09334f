"""Experts of one language, by LAPE's rule, and the experts that are distinctive of a language."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.lape.measures import lape
from neuroglot.analyses.lape.measures.uncertainty import (
    Fired,
    Tokens,
    chance_selection,
    selection_interval,
)
from neuroglot.measures.bootstrap import bounded

EXPERTS = {"units": "experts"}
PER_TOKEN = {"units": "share of tokens"}
BAR = "frequency_bar"


def expert_frequency(chosen: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Share of a language's tokens that are routed to an expert.

    Args:
        chosen: tokens routed to each expert, [language, layer, expert].
        tokens: all tokens, [language].

    Returns:
        float32 in [0, 1], [language, layer, expert]. The sum over a layer's experts is the number
        of experts that a token passes through.

    Raises:
        NeuroglotError: as ``lape.activation_probability``.
    """
    probability = lape.activation_probability(_as_neurons(chosen), tokens)
    return _as_experts(probability).rename("expert_frequency").assign_attrs(PER_TOKEN)


def language_experts(
    frequency: xr.DataArray, percentile: float, top_fraction: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Assign the experts of lowest entropy to languages, by the rule of LAPE.

    The rule is ``lape.language_neurons``, with the frequency at which experts are chosen in place
    of the probability that a neuron fires.

    Args:
        frequency: result of ``expert_frequency``.
        percentile: share of all frequencies that are at or below the bar.
        top_fraction: share of all experts that are selected.

    Returns:
        ``language_expert(language, layer, expert)``, bool, with the bar as attribute
        ``frequency_bar``; and ``language_entropy(layer, expert)``, the entropy over languages of
        the expert's frequencies, in nats.
    """
    probability = _as_neurons(frequency)
    selected = lape.language_neurons(probability, percentile, top_fraction)
    entropy = lape.activation_probability_entropy(probability)
    attrs = {"units": "true or false", BAR: selected.attrs["activation_bar"]}
    own = _as_experts(selected).rename("language_expert")
    own.attrs = attrs
    return own, _as_experts(entropy).rename("language_entropy")


def counted_experts(
    language_expert: xr.DataArray,
    entropy: xr.DataArray,
    chosen: Fired,
    tokens: Tokens,
    shares: tuple[float, float],
    replicates: int,
    permutations: int,
) -> dict[str, xr.DataArray]:
    """Count each language's experts, with intervals, beside those that chance gives.

    Args:
        language_expert: of ``language_experts``.
        entropy: of ``language_experts``.
        chosen: gives of a language and a layer the tokens routed to each expert, [fold, expert].
        tokens: number of tokens by fold, by language.
        shares: ``percentile`` and ``top_fraction``.
        replicates: resamples of the folds; experts are selected anew in each.
        permutations: how often languages' texts are exchanged within folds; see
            ``lape.chance_selection``.

    Returns:
        ``experts(language, layer)`` and ``all_layers(language)``, with ``_low`` and ``_high``;
        ``chance_selected``, ``chance_experts(layer)`` and ``chance_all_layers``, likewise.
    """
    count = language_expert.sum("expert", dtype=np.int32).assign_attrs(EXPERTS)
    widths = [language_expert.sizes["expert"]] * language_expert.sizes["layer"]
    bounds = selection_interval(chosen, tokens, count, widths, shares, replicates)
    highest = float(entropy.where(language_expert.any("language")).max().fillna(-np.inf))
    standard = language_expert.attrs[BAR], highest
    chance = chance_selection(chosen, tokens, len(widths), *standard, permutations)
    by_chance = {
        str(name).replace("neurons", "experts"): values.assign_attrs(EXPERTS)
        for name, values in chance.items()
    }
    return {
        **bounded("experts", count, bounds[..., :-1]),
        **bounded("all_layers", count.sum("layer", keep_attrs=True), bounds[..., -1]),
        **by_chance,
    }


def shared_by_languages(language_expert: xr.DataArray) -> xr.DataArray:
    """Count the experts of languages by the number of languages that they belong to.

    Returns:
        int64 [count], ``count`` = 1 … languages.
    """
    languages = language_expert.sizes["language"]
    numbers = language_expert.sum("language").to_numpy().ravel()
    return xr.DataArray(
        np.bincount(numbers, minlength=languages + 1)[1:].astype(np.int64),
        {"count": ("count", np.arange(1, languages + 1), {"units": "languages"})},
        "count",
        "shared_by_languages",
        EXPERTS,
    )


def distinctive(
    frequency: NDArray[np.floating], bar: float, number: int, most: int
) -> NDArray[np.bool_]:
    """Choose the experts that are most distinctive of a language, as many of each if there are.

    An expert's frequency in a language, divided by the sum of its frequencies in all languages,
    says how distinctive it is. Candidates are experts that the language chooses above the bar, and
    more often than the other languages do on average. Those with the highest quotient are chosen;
    in a tie the lower layer and expert comes first.

    Args:
        frequency: how often experts are chosen, [language, layer, expert].
        bar: the frequency that an expert must exceed in the language.
        number: how many are chosen of each language; fewer where there are fewer candidates.
        most: how many are chosen of one layer, at most.

    Returns:
        bool [language, layer, expert].
    """
    total = frequency.sum(axis=0, dtype=np.float64)
    quotient = frequency / np.where(total > 0, total, np.nan)
    candidate = (frequency > bar) & (quotient > 1 / len(frequency))
    chosen = np.zeros(frequency.shape, bool)
    for own, quotients, of_language in zip(chosen, quotient, candidate, strict=True):
        ranked = np.argsort(-np.where(of_language, quotients, -1), axis=None, kind="stable")
        for place in ranked[: of_language.sum()]:
            layer, expert = np.unravel_index(place, own.shape)
            if own.sum() < number and own[layer].sum() < most:
                own[layer, expert] = True
    return chosen


def _as_neurons(of_experts: xr.DataArray) -> xr.DataArray:
    return of_experts.rename(expert="neuron")


def _as_experts(of_neurons: xr.DataArray) -> xr.DataArray:
    return of_neurons.rename(neuron="expert")
