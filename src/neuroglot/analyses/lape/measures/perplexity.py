"""What every language loses without one language's neurons, with intervals over windows of text."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.bootstrap import interval, named_bounds

CHANGED = ("chosen", "deactivated", "language")

Losses = Sequence[NDArray[np.float64]]
"""By language, the negative log-likelihood of each window, in nats."""


def mean_losses(draws: Sequence[Sequence[Losses]]) -> list[list[NDArray[np.float64]]]:
    """Average losses over random draws window by window, ``[deactivated][language]``.

    Args:
        draws: the losses by draw and by the language whose neurons are deactivated.
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
    """Say how the logarithm of perplexity changes, and how far that hangs on the windows of text.

    Args:
        whole: of the model as it is.
        without: by how neurons are chosen and by the language whose neurons are deactivated.
        tokens: predicted in each language's windows together, [language].
        replicates: resamples of the windows.

    Returns:
        ``change(chosen, deactivated, language)``: ln of perplexity over the baseline's, nats per
        token; its bounds, those of ``perplexity`` of the same dimensions and of
        ``baseline(language)``: percentile bootstrap over windows, of a change over the same
        windows with and without the neurons.
    """
    shape = (2, len(without), len(whole), len(whole))
    changed, perplexities = np.empty((2, *shape))
    baseline, change = np.empty((2, len(whole))), np.empty(shape[1:])
    for place, (windows, predicted) in enumerate(zip(whole, tokens, strict=True)):
        per_token = len(windows) / predicted  # a window's loss to its tokens' mean
        rows = [windows, *(own[place] for one in without for own in one)]
        losses = xr.DataArray(np.stack(rows) * per_token, dims=("set", "item"))
        both = np.exp(np.stack(interval(losses, replicates)))
        baseline[:, place] = both[:, 0]
        perplexities[..., place] = both[:, 1:].reshape(shape[:-1])
        paired = (losses - losses[0])[1:]
        change[..., place] = paired.mean("item").values.reshape(shape[1:-1])
        changed[..., place] = np.stack(interval(paired, replicates)).reshape(shape[:-1])
    nats, units = {"units": "nats per token"}, {"units": "perplexity"}
    return xr.Dataset(
        {
            "change": (CHANGED, change, nats),
            **named_bounds("change", ((CHANGED, bound, nats) for bound in changed)),
            **named_bounds("perplexity", ((CHANGED, bound, units) for bound in perplexities)),
            **named_bounds("baseline", (("language", bound, units) for bound in baseline)),
        }
    )
