"""What every language loses when one language's neurons, or random ones, are deactivated."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.lape.measures.lape import random_neurons
from neuroglot.analyses.lape.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.analyses.pieces import piece
from neuroglot.capture.perplexity import negative_log_likelihood, perplexity, predicted
from neuroglot.measures.bootstrap import interval
from neuroglot.models.card import read_card
from neuroglot.models.intervene import deactivated
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint

TABLE = (
    "perplexity",
    "perplexity_low",
    "perplexity_high",
    "change",
    "change_low",
    "change_high",
    "baseline",
    "baseline_low",
    "baseline_high",
    "deactivated_neurons",
    "predicted_tokens",
)
Losses = list[NDArray[np.float64]]
"""By language, the negative log-likelihood of each window, in nats."""


def compute(inputs: PerplexityInputs, settings: PerplexityStepSettings) -> xr.Dataset:
    """Measure perplexity on every language's held-out text, language by language switched off."""
    own = store.open_dataset(inputs.neurons, "reduction")["language_neuron"].sel(
        language=settings.languages
    )
    texts = read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, settings.languages
    )
    seeds = settings.random_seeds
    measured = _Measured(inputs, settings, texts)
    values = np.zeros((1 + seeds, len(texts), len(texts)))
    losses: list[list[Losses]] = [[] for _ in range(1 + seeds)]
    with progress((1 + seeds) * len(texts) + 1, "sets", f"{inputs.model.name} LAPE") as bar:
        whole = measured.without({})
        bar.update()
        for row, language in enumerate(settings.languages):
            mask = own.sel(language=language, drop=True)
            for column, chosen in enumerate(
                [mask, *(random_neurons(mask, seed) for seed in range(seeds))]
            ):
                losses[column].append(measured.without(_indices(chosen)))
                values[column, row] = measured.perplexity(losses[column][row])
                bar.update()
    random = values[1:]
    # A random draw's perplexities are averaged as logarithms, window by window.
    chosen_losses = [losses[0], _mean_losses(losses[1:])]
    units = {"units": "perplexity"}
    return xr.Dataset(
        {
            "perplexity": (
                ("chosen", "deactivated", "language"),
                np.stack([values[0], np.exp(np.log(random).mean(0))]),
                units,
            ),
            "perplexity_random": (("seed", "deactivated", "language"), random, units),
            "baseline": ("language", measured.perplexity(whole), units),
            **_bounds(measured, whole, chosen_losses, settings.replicates),
            "deactivated_neurons": (
                "deactivated",
                own.sum(("layer", "neuron")).values,
                {"units": "neurons"},
            ),
            "predicted_tokens": ("language", measured.tokens, {"units": "tokens"}),
        },
        coords={
            "chosen": ["lape", "random"],
            "deactivated": settings.languages,
            "language": settings.languages,
        },
    )


def _mean_losses(draws: list[list[Losses]]) -> list[Losses]:
    """Average over the draws, ``[row][language]``."""
    return [
        [np.mean(windows, axis=0) for windows in zip(*of_draws, strict=True)]
        for of_draws in zip(*draws, strict=True)
    ]


def _bounds(
    measured: "_Measured", whole: Losses, chosen: list[list[Losses]], replicates: int
) -> dict[str, Any]:
    """95 % intervals over windows of perplexities, and of the change of their logarithms.

    A change is that of the same windows with and without the neurons; ``change`` is ln of
    perplexity over the baseline's.
    """
    shape = (2, len(chosen), len(whole), len(whole))
    changed, perplexities = np.empty((2, *shape))
    baseline, change = np.empty((2, len(whole))), np.empty(shape[1:])
    for place, (windows, tokens) in enumerate(zip(whole, measured.tokens, strict=True)):
        per_token = len(windows) / tokens  # a window's loss to its tokens' mean
        rows = [windows, *(own[place] for one in chosen for own in one)]
        losses = xr.DataArray(np.stack(rows) * per_token, dims=("set", "item"))
        both = np.exp(np.stack(interval(losses, replicates)))
        baseline[:, place] = both[:, 0]
        perplexities[..., place] = both[:, 1:].reshape(shape[:-1])
        paired = (losses - losses[0])[1:]
        change[..., place] = paired.mean("item").values.reshape(shape[1:-1])
        changed[..., place] = np.stack(interval(paired, replicates)).reshape(shape[:-1])
    dims, units = ("chosen", "deactivated", "language"), {"units": "perplexity"}
    nats = {"units": "nats per token"}
    found: dict[str, Any] = {"change": (dims, change, nats)}
    for place, end in enumerate(("_low", "_high")):
        found[f"perplexity{end}"] = (dims, perplexities[place], units)
        found[f"change{end}"] = (dims, changed[place], nats)
        found[f"baseline{end}"] = ("language", baseline[place], units)
    return found


class _Measured:
    """What all texts lose under a set of deactivated neurons, kept from earlier runs."""

    def __init__(
        self, inputs: PerplexityInputs, settings: PerplexityStepSettings, texts: list[HeldOut]
    ) -> None:
        self._inputs, self._settings, self._texts = inputs, settings, texts
        self._model: Any = None
        self._same = [
            read_card(inputs.model).sha256,
            [text.fingerprint for text in texts],
            settings.model_dump(include={"perplexity", "device", "dtype"}),
            fingerprint(__name__),
        ]
        self.tokens = np.array(
            [len(text.windows) * predicted(text.windows, text.before) for text in texts]
        )

    def perplexity(self, losses: Losses) -> NDArray[np.float64]:
        """Perplexity ``[language]`` of the windows' losses."""
        return np.array(list(map(perplexity, losses, self.tokens)))

    def without(self, neurons: dict[int, NDArray[np.intp]]) -> Losses:
        """Each language's losses with ``neurons`` (by layer) deactivated, ``[window]`` in nats."""
        what = {str(layer): indices.tolist() for layer, indices in neurons.items()}
        name = digest([*self._same, what])
        path = self._inputs.work.pieces / f"{name}.npz"
        nll = piece(path, name, lambda: {"nll": self._measure(neurons)})["nll"]
        ends = np.cumsum([len(text.windows) for text in self._texts])
        return np.split(nll, ends[:-1])

    def _measure(self, neurons: dict[int, NDArray[np.intp]]) -> NDArray[np.float64]:
        if self._model is None:
            device, dtype = self._settings.device, self._settings.dtype
            self._model = load(self._inputs.model, device, dtype)
        # All languages in one call: a batch reads the head's weights once, whoever is in it.
        with deactivated(self._model, neurons):
            return negative_log_likelihood(
                self._model,
                np.concatenate([text.windows for text in self._texts]),
                self._texts[0].before,
                self._inputs.work.execution.batch_tokens,
            )


def _indices(chosen: xr.DataArray) -> dict[int, NDArray[np.intp]]:
    """The chosen neurons by layer; layers without any are left out."""
    rows = chosen.transpose("layer", "neuron").values
    return {layer: np.flatnonzero(row) for layer, row in enumerate(rows) if row.any()}
