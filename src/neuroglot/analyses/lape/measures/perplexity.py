"""Change of perplexity without one language's neurons, with intervals over windows of text."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.bootstrap import interval, named_bounds
from neuroglot.measures.significance import difference_interval

CHANGED = ("chosen", "deactivated", "language")

Losses = Sequence[NDArray[np.float64]]
"""The negative log-likelihood of each window, in nats, by language."""


def mean_losses(draws: Sequence[Sequence[Losses]]) -> list[list[NDArray[np.float64]]]:
    """Average losses over random draws for each window, ``[deactivated][language]``.

    Args:
        draws: losses by draw and by deactivated language.
    """
    return [
        [np.mean(windows, axis=0) for windows in zip(*of_draws, strict=True)]
        for of_draws in zip(*draws, strict=True)
    ]


def compared_over_windows(
    whole: Losses,
    without: Sequence[Sequence[Losses]],
    tokens: NDArray[np.integer],
    replicates: int,
) -> xr.Dataset:
    """Compute the change of log perplexity, with intervals over windows of text.

    Args:
        whole: losses of the unedited model.
        without: losses by choice of neurons and by deactivated language.
        tokens: number of predicted tokens in each language's windows, [language].
        replicates: resamples of the windows.

    Returns:
        ``change(chosen, deactivated, language)``: ln(perplexity / baseline), nats per token, with
        the bounds of the sign-flip test over windows. Also bounds of ``perplexity`` with the same
        dimensions and of ``baseline(language)``: logarithms of perplexity are means over windows,
        whose bounds are those of the bootstrap. Bounds of few windows are NaN.
    """
    shape = (2, len(without), len(whole), len(whole))
    changed, perplexities = np.empty((2, *shape))
    baseline, change = np.empty((2, len(whole))), np.empty(shape[1:])
    for place, (windows, predicted) in enumerate(zip(whole, tokens, strict=True)):
        per_token = len(windows) / predicted  # from a window's sum to a mean per token
        edited = [texts[place] for deactivated in without for texts in deactivated]
        losses = xr.DataArray(np.stack([windows, *edited]) * per_token, dims=("set", "item"))
        both = np.exp(np.stack(interval(losses, replicates)))
        baseline[:, place] = both[:, 0]
        perplexities[..., place] = both[:, 1:].reshape(shape[:-1])
        paired = (losses - losses[0])[1:]
        change[..., place] = paired.mean("item").values.reshape(shape[1:-1])
        changed[..., place] = np.stack(difference_interval(paired)).reshape(shape[:-1])
    nats, units = {"units": "nats per token"}, {"units": "perplexity"}
    return xr.Dataset(
        {
            "change": (CHANGED, change, nats),
            **named_bounds("change", ((CHANGED, bound, nats) for bound in changed)),
            **named_bounds("perplexity", ((CHANGED, bound, units) for bound in perplexities)),
            **named_bounds("baseline", (("language", bound, units) for bound in baseline)),
        }
    )
