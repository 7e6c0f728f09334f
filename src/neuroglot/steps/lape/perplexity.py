"""What every language loses when one language's neurons, or random ones, are deactivated."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.perplexity import negative_log_likelihood, perplexity, predicted
from neuroglot.measures.lape import random_neurons
from neuroglot.models.intervene import deactivated
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.steps.held_out import HeldOut, read_held_out
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.pieces import piece

TABLE = ("perplexity", "baseline", "deactivated_neurons", "predicted_tokens")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Measure perplexity on every language's held-out text, language by language switched off."""
    own = inputs.reduction("lape/neurons")["language_neuron"].sel(language=settings["languages"])
    texts = read_held_out(inputs, settings)
    seeds = settings["random_seeds"]
    measured = _Measured(inputs, settings, texts)
    values = np.zeros((1 + seeds, len(texts), len(texts)))
    with progress((1 + seeds) * len(texts) + 1, "sets", f"{inputs.model.name} LAPE") as bar:
        baseline = measured.without({})
        bar.update()
        for row, language in enumerate(settings["languages"]):
            mask = own.sel(language=language, drop=True)
            for column, chosen in enumerate(
                [mask, *(random_neurons(mask, seed) for seed in range(seeds))]
            ):
                values[column, row] = measured.without(_indices(chosen))
                bar.update()
    random = values[1:]
    units = {"units": "perplexity"}
    return xr.Dataset(
        {
            "perplexity": (
                ("chosen", "deactivated", "language"),
                np.stack([values[0], np.exp(np.log(random).mean(0))]),
                units,
            ),
            "perplexity_random": (("seed", "deactivated", "language"), random, units),
            "baseline": ("language", baseline, units),
            "deactivated_neurons": (
                "deactivated",
                own.sum(("layer", "neuron")).values,
                {"units": "neurons"},
            ),
            "predicted_tokens": ("language", measured.tokens, {"units": "tokens"}),
        },
        coords={
            "chosen": ["lape", "random"],
            "deactivated": settings["languages"],
            "language": settings["languages"],
        },
    )


class _Measured:
    """Perplexity of all texts under a set of deactivated neurons, kept from earlier runs."""

    def __init__(self, inputs: Inputs, settings: dict[str, Any], texts: list[HeldOut]) -> None:
        self._inputs, self._settings, self._texts = inputs, settings, texts
        self._model: Any = None
        self._same = [
            inputs.card().sha256,
            [text.fingerprint for text in texts],
            {key: settings[key] for key in ("perplexity", "device", "dtype")},
            fingerprint(__name__),
        ]
        self.tokens = np.array(
            [len(text.windows) * predicted(text.windows, text.before) for text in texts]
        )

    def without(self, neurons: dict[int, NDArray[np.intp]]) -> NDArray[np.float64]:
        """Perplexity ``[language]`` with ``neurons`` (by layer) deactivated."""
        what = {str(layer): indices.tolist() for layer, indices in neurons.items()}
        name = digest([*self._same, what])
        path = self._inputs.pieces / f"{name}.npz"
        return piece(path, name, lambda: {"perplexity": self._measure(neurons)})["perplexity"]

    def _measure(self, neurons: dict[int, NDArray[np.intp]]) -> NDArray[np.float64]:
        if self._model is None:
            device, dtype = self._settings["device"], self._settings["dtype"]
            self._model = load(self._inputs.model, device, dtype)
        # All languages in one call: a batch reads the head's weights once, whoever is in it.
        with deactivated(self._model, neurons):
            nll = negative_log_likelihood(
                self._model,
                np.concatenate([text.windows for text in self._texts]),
                self._texts[0].before,
                self._inputs.execution.batch_tokens,
            )
        ends = np.cumsum([len(text.windows) for text in self._texts])
        return np.array(list(map(perplexity, np.split(nll, ends[:-1]), self.tokens)))


def _indices(chosen: xr.DataArray) -> dict[int, NDArray[np.intp]]:
    """The chosen neurons by layer; layers without any are left out."""
    rows = chosen.transpose("layer", "neuron").values
    return {layer: np.flatnonzero(row) for layer, row in enumerate(rows) if row.any()}
