"""Perplexity of every language when one language's neurons, or random neurons, are deactivated."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.lape.measures.perplexity import (
    CHANGED,
    Losses,
    compared_over_windows,
    mean_losses,
)
from neuroglot.analyses.lape.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.analyses.pieces import piece
from neuroglot.capture.perplexity import negative_log_likelihood, perplexity, predicted
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.controls import matched_random
from neuroglot.measures.perplexity import geometric_mean
from neuroglot.models.card import read_card
from neuroglot.models.intervene import deactivated
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint

TABLE = (
    *with_bounds("perplexity", "change", "baseline"),
    "deactivated_neurons",
    "predicted_tokens",
)

VARIABLES: Mapping[str, str] = {
    "chosen": "neurons that are deactivated: those of LAPE, or as many random ones",
    "deactivated": "BCP 47 tag of the language whose neurons are deactivated",
    "perplexity": "perplexity of the language's held-out text without the neurons, over all "
    "predicted tokens; of random ones the geometric mean over draws",
    "perplexity_random": "perplexity of the language's held-out text without each draw of random "
    "neurons",
    "baseline": "perplexity of the language's held-out text of the model as it is",
    "change": "logarithm of perplexity without the neurons over that of the model as it is",
    "deactivated_neurons": "neurons that are deactivated",
    "predicted_tokens": "tokens of held-out text that perplexity is over",
}


def compute(inputs: PerplexityInputs, settings: PerplexityStepSettings) -> xr.Dataset:
    """Measure perplexity on every language's held-out text without each language's neurons."""
    language_neuron = store.open_dataset(inputs.neurons, "reduction")["language_neuron"].sel(
        language=settings.languages
    )
    texts = read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, settings.languages
    )
    seeds, widths = settings.random_seeds, read_card(inputs.model).neurons
    measured = _Measured(inputs, settings, texts)
    losses: list[list[Losses]] = [[] for _ in range(1 + seeds)]
    with progress((1 + seeds) * len(texts) + 1, "sets", f"{inputs.model.name} LAPE") as bar:
        whole = measured.without(np.zeros(language_neuron.shape[1:], bool))
        bar.update()
        for mask in language_neuron.transpose("language", "layer", "neuron").to_numpy():
            drawn = [
                matched_random(mask, np.random.default_rng(seed), "others", widths)
                for seed in range(seeds)
            ]
            for column, chosen in enumerate([mask, *drawn]):
                losses[column].append(measured.without(chosen))
                bar.update()
    values = np.array([[*map(measured.perplexity, column)] for column in losses])
    # Perplexities of random draws are averaged as logarithms, for each window.
    without: list[Sequence[Losses]] = [losses[0], mean_losses(losses[1:])]
    units = {"units": "perplexity"}
    return xr.Dataset(
        {
            "perplexity": (CHANGED, np.stack([values[0], geometric_mean(values[1:])]), units),
            "perplexity_random": (("seed", "deactivated", "language"), values[1:], units),
            "baseline": ("language", measured.perplexity(whole), units),
            **compared_over_windows(whole, without, measured.tokens, settings.replicates),
            "deactivated_neurons": (
                "deactivated",
                language_neuron.sum(("layer", "neuron")).values,
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


class _Measured:
    """Losses of all texts under sets of deactivated neurons; earlier results are kept."""

    def __init__(
        self, inputs: PerplexityInputs, settings: PerplexityStepSettings, texts: Sequence[HeldOut]
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
        """Compute perplexity ``[language]`` from the windows' losses."""
        return np.array(list(map(perplexity, losses, self.tokens)))

    def without(self, chosen: NDArray[np.bool_]) -> Losses:
        """Give each language's losses with the chosen neurons ``[layer, neuron]`` deactivated."""
        neurons = {layer: np.flatnonzero(row) for layer, row in enumerate(chosen) if row.any()}
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
        # All languages in one call: fewer batches read the head's weights less often.
        with deactivated(self._model, neurons):
            return negative_log_likelihood(
                self._model,
                np.concatenate([text.windows for text in self._texts]),
                self._texts[0].before,
                self._inputs.work.execution.batch_tokens,
            )
