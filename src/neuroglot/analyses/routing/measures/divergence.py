"""How far a language's routing lies from the pivot's, layer by layer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroglot.analyses.routing.measures.shares import BITS, Values, entropy, shares
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import bounded
from neuroglot.measures.halves import across_halves

QUANTITIES = ("divergence", "floor", "excess")


def jensen_shannon(p: Values, q: Values) -> Values:
    """Jensen-Shannon divergence of distributions over the last axis, in bits.

    H(m) - H(p) / 2 - H(q) / 2 with m = (p + q) / 2 (Lin 1991, doi:10.1109/18.61115): from 0 for
    equal distributions to 1 for disjoint ones.
    """
    divergence = entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2
    return np.clip(divergence, 0, 1)


def divergence_from_pivot(
    chosen: xr.DataArray, pivot: str, replicates: int, seed: int = 0
) -> dict[str, xr.DataArray]:
    """Compare each language's shares of experts with the pivot's, in every layer.

    Languages are compared by ``halves.across_halves``: the pivot on one half of the segments, the
    language on the other, and the reverse. The floor is the same divergence of the pivot's own two
    halves and of the language's own, averaged. To second order in the shares' errors, the
    divergence of two languages with equal shares is expected at the floor. So the excess, their
    difference, estimates the divergence of the shares themselves; by noise, it may be below zero.

    Args:
        chosen: tokens routed to each expert, [language, fold, layer, expert], of equally many
            tokens of each language (``halves.equal_tokens``); a fold has the same segments in each.
        pivot: language that the others are compared with.
        replicates: resamples of the folds, the same for all languages.
        seed: seed of splits and resamples.

    Returns:
        ``divergence``, ``floor`` and ``excess`` (language, layer), and the mean of each over layers
        as ``mean_…(language)``; all in bits, with ``_low`` and ``_high``. NaN of the pivot itself,
        and of a language without tokens.

    Raises:
        NeuroglotError: the pivot is not among the languages.
    """
    ordered = chosen.transpose("language", "fold", "layer", "expert")
    languages = ordered["language"].values.tolist()
    if pivot not in languages:
        raise NeuroglotError(
            f"routing is compared with that of the pivot {pivot!r}, and the text is in "
            f"{', '.join(languages)}; add the pivot to the corpus' languages"
        )
    at = languages.index(pivot)

    def compared(first: Sequence[Values], second: Sequence[Values]) -> Values:
        """All of ``QUANTITIES``, [replicate, quantity, language, layer + 1]; last, their mean."""
        p, q = shares(first[0]), shares(second[0])
        from_pivot = (jensen_shannon(p[:, [at]], q) + jensen_shannon(p, q[:, [at]])) / 2
        own = jensen_shannon(p, q)
        floor = (own + own[:, [at]]) / 2
        by_layer = np.stack([from_pivot, floor, from_pivot - floor], axis=1)
        return np.concatenate([by_layer, by_layer.mean(axis=-1, keepdims=True)], axis=-1)

    counts = ordered.to_numpy().astype(np.float64)
    estimate, bounds = across_halves([counts], compared, replicates, seed)
    estimate[:, at] = bounds[:, :, at] = np.nan
    limits = np.array([0, 0, -1])[:, None, None]
    bounds = np.where(np.isfinite(bounds), np.clip(bounds, limits, 1), np.nan)
    template = ordered.isel(fold=0, expert=0, drop=True).astype(np.float64).assign_attrs(BITS)
    result: dict[str, xr.DataArray] = {}
    for place, name in enumerate(QUANTITIES):
        of_layers = template.copy(data=estimate[place, :, :-1])
        of_all = template.isel(layer=0, drop=True).copy(data=estimate[place, :, -1])
        result |= bounded(name, of_layers, bounds[:, place, :, :-1])
        result |= bounded(f"mean_{name}", of_all, bounds[:, place, :, -1])
    return result
