"""Whether a neuron that is specific to a language is so again in other items, and not by chance."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.kinds import Bits, unpack
from neuroglot.measures.axes import layer_widths
from neuroglot.measures.selection import highest

Floats = NDArray[np.float64]


def specific_items(
    languages: Mapping[str, Bits], specific: Bits, neurons: int, widest: int | None = None
) -> xr.DataArray:
    """Count the items in which a neuron is active in one language alone (sharing, equation 6).

    Args:
        languages: activity by language, bits [item, layer, byte] of the same items.
        specific: ``KindBits.specific`` over these languages, [item, layer, byte].
        neurons: width of these layers.
        widest: that of the widest of all layers; None if these are.

    Returns:
        int32 (language, layer, neuron), as many as ``widest``; zero beyond the layers' neurons, and
        throughout if there is one language only.
    """
    beyond = ((0, 0), (0, (widest or neurons) - neurons))
    counts = [
        np.pad(unpack(specific & active, neurons).sum(0, dtype=np.int32), beyond)
        for active in languages.values()
    ]
    coords = {"language": list(languages)}
    attrs = {"units": "items"}
    return xr.DataArray(np.stack(counts), coords, ("language", "layer", "neuron"), attrs=attrs)


def specific_in_all(tasks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Add up over tasks in how many items a neuron is active in one language alone.

    Only the tasks asked in the most languages count: with fewer to compare, more neurons are
    specific.

    Args:
        tasks: of each task ``specific``, as ``specific_items`` gives it, and ``items``, how many.

    Returns:
        ``specific`` (language, layer, neuron), and ``specific_items``, among how many items.
    """
    most = max(one.sizes["language"] for one in tasks)
    counted = [one for one in tasks if one.sizes["language"] == most]
    return xr.Dataset(
        {
            "specific": reduce(add, (one["specific"] for one in counted)),
            "specific_items": reduce(add, (one["items"] for one in counted)),
        }
    )


def most_specific(counts: xr.DataArray, top_fraction: float) -> xr.DataArray:
    """Name the neurons that are most often active in one language alone.

    Args:
        counts: what ``specific_items`` gives, (language, layer, neuron); see ``axes.layer_widths``.
        top_fraction: share of all layers' neurons that a language is given at most, those of the
            highest counts (see ``highest``), and none that is never specific to it.

    Returns:
        bool (language, layer, neuron).
    """
    ordered = counts.transpose("language", "layer", "neuron")
    score = ordered.where(ordered > 0)
    n = round(top_fraction * sum(layer_widths(ordered)))
    return score.copy(data=np.array([highest(one, n) for one in score.to_numpy()]))


def repeated_specificity(counts: xr.DataArray, items: int) -> xr.Dataset:
    """Tell how often neurons are specific to one and the same language again, and by chance.

    By chance means that in which items a neuron is specific stays as it is, while the languages are
    dealt anew among all pairs of an item and a neuron specific in it, layer by layer: a neuron that
    is specific in s items then draws s languages, each with the share p_L of these pairs that are
    L's. What is expected over all such permutations is written down, so that none is drawn.

    Args:
        counts: what ``specific_items`` gives, (language, layer, neuron).
        items: there are.

    Returns:
        float64 (layer):
        ``repeating``: neurons specific to one and the same language in more than half of the items;
        ``repeating_null``: the number expected by chance, Σ_neuron Σ_L P(Binomial(s, p_L) >
        items / 2);
        ``repeating_null_high``: at most that many in 95 % of permutations, by the Poisson
        distribution, which is no narrower than that of a sum of independent events;
        ``same_language``: of two items in which a neuron is specific, how likely they are of the
        same language, over all pairs of all neurons; NaN where no neuron is specific in two;
        ``same_language_null``: the same by chance, Σ_L p_L²; NaN where no neuron is specific.
    """
    found = counts.transpose("layer", "language", "neuron").to_numpy().astype(np.int64)
    expected = np.array([_expected(own, items) for own in found])
    variables = {
        "repeating": ((2 * found > items).any(1).sum(1), "neurons"),
        "repeating_null": (expected, "neurons"),
        "repeating_null_high": (_poisson_quantile(0.95, expected), "neurons"),
        "same_language": (np.array([_same(own) for own in found]), "share of pairs of items"),
        "same_language_null": (
            np.array([(_marginals(own) ** 2).sum() for own in found]),
            "share of pairs of items",
        ),
    }
    return xr.Dataset(
        {
            name: ("layer", values.astype(np.float64), {"units": units})
            for name, (values, units) in variables.items()
        }
    )


def _marginals(counts: NDArray[np.int64]) -> Floats:
    """Each language's share of a layer's specific neurons over all items, from [language, neuron].

    NaN where there are none.
    """
    total = counts.sum()
    share: Floats = counts.sum(1) / (total if total else np.nan)
    return share


def _expected(counts: NDArray[np.int64], items: int) -> float:
    """Neurons specific to one language in more than half of the items, expected by chance."""
    from scipy.special import bdtrc

    times, neurons = np.unique(counts.sum(0), return_counts=True)
    share = np.nan_to_num(_marginals(counts))
    chance = np.where(
        times[:, None] > items // 2, bdtrc(items // 2, times[:, None], share), 0
    )  # no two languages can have a majority
    return float((chance.sum(1) * neurons).sum())


def _poisson_quantile(share: float, means: Floats) -> Floats:
    """The smallest whole numbers that a Poisson variable of each mean exceeds at most so rarely."""
    from scipy.special import pdtr, pdtrik

    above = np.ceil(pdtrik(share, np.maximum(means, np.finfo(np.float64).tiny)))
    below = np.maximum(above - 1, 0)  # where rounding has taken the quotient one too far
    found: Floats = np.where(pdtr(below, means) >= share, below, above)
    return found


def _same(counts: NDArray[np.int64]) -> float:
    """Share of pairs of one neuron's specific items that are of the same language."""
    total = counts.sum(0)
    pairs = (total * (total - 1)).sum()
    return float((counts * (counts - 1)).sum() / (pairs if pairs else np.nan))
