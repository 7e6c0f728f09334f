"""Perplexity and speed of a model with only a language's high-frequency experts (section 4.4)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.experts.measures.experts import (
    expert_frequency,
    high_frequency,
    kept_neurons,
    random_experts,
    relative_speed,
)
from neuroglot.analyses.experts.partitions import read_partition, read_routing
from neuroglot.analyses.experts.settings import InferenceInputs, InferenceSettings
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import negative_log_likelihood, perplexity
from neuroglot.measures.bootstrap import ENDS, named_bounds, perplexity_interval
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.slicing import parameters_saved, sliced
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

VARIANTS = ("full", "high_frequency", "random")
MEASURED = {
    "high_frequency",
    "random_seeds",
    "speed_rounds",
    "prompt_tokens",
    "continuation_tokens",
    "device",
    "dtype",
    "perplexity",
}
"""Settings that a language's measurements depend on."""

Keep = list[NDArray[np.intp]]

VARIABLES: Mapping[str, str] = {
    "variant": "experts that the model runs with: all, the language's high-frequency ones, or as "
    "many random ones",
    "continued_by": "experts that the model writes with",
    "perplexity": "perplexity of the language's held-out text, over all predicted tokens; seed is "
    "the draw of random experts",
    "tokens_per_second": "held-out tokens read per second, in each round of the measurement",
    "expert_share": "share of the experts that are of high frequency in the language",
    "ffn_parameters_saved": "share of the FFNs' parameters that the model does without",
    "parameters_saved": "share of all parameters that the model does without",
    "predicted_tokens": "tokens of held-out text that perplexity is over",
    "segments": "segments of held-out text, which are resampled for the intervals",
    "prompt": "beginning of the held-out text, which the model continues",
    "continuation": "what the model writes next",
}


def compute(inputs: InferenceInputs, settings: InferenceSettings) -> xr.Dataset:
    """Measure perplexity, speed and continuations of the full and the sliced model, by language."""
    languages = settings.languages
    partition = read_partition(inputs.partition)
    held_out = read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, languages
    )
    routing = read_routing(inputs.routing, languages).sum("fold")
    experiment = _Experiment(inputs, settings, partition)
    pieces = []
    with progress(len(held_out), "languages", f"{inputs.model.name} experts") as bar:
        for text in held_out:
            counts = routing.sel(language=text.language)
            frequency = expert_frequency(counts["active"], counts["tokens"])
            high = high_frequency(frequency, settings.high_frequency)
            origin = digest(
                [
                    read_card(inputs.model).sha256,
                    text.fingerprint,
                    high.values.tolist(),
                    partition.values.tolist(),
                    settings.model_dump(include=MEASURED),
                    fingerprint(__name__),
                ]
            )
            path = inputs.work.pieces / f"{text.language}.npz"
            pieces.append(piece(path, origin, partial(experiment.run, text, high)))
            bar.update()
    return _dataset(pieces, held_out, settings.replicates)


class _Experiment:
    """Runs the full and the sliced model, which is loaded when the first language needs it."""

    def __init__(
        self, inputs: InferenceInputs, settings: InferenceSettings, partition: xr.DataArray
    ) -> None:
        self._inputs, self._settings, self._partition = inputs, settings, partition
        self._tokenizer = read_tokenizer(inputs.model)
        self._model: Any = None

    def run(self, text: HeldOut, high: xr.DataArray) -> Piece:
        """Measure one language; variants alternate, so that other load affects all of them."""
        settings = self._settings
        if self._model is None:
            self._model = load(self._inputs.model, settings.device, settings.dtype)
            self._likelihood(text, text.segments[:1])  # the first pass also loads the weights
        kept = kept_neurons(self._partition, high)
        shape = len(VARIANTS), settings.random_seeds
        perplexities = np.full(shape, np.nan)
        speed = np.full((*shape, settings.speed_rounds), np.nan)
        nll = np.full((*shape, len(text.segments)), np.nan)
        size = sum(map(len, text.segments))
        for turn in range(settings.speed_rounds):
            for variant, seed, keep in self._variants(high, kept):
                with sliced(self._model, keep) if keep is not None else nullcontext():
                    start = perf_counter()
                    total = self._likelihood(text, text.segments)
                    speed[variant, seed, turn] = size / (perf_counter() - start)
                nll[variant, seed] = total
                perplexities[variant, seed] = perplexity(total, text.predicted)
        saved = parameters_saved(self._model, kept)
        return {
            "perplexity": perplexities,
            "nll": nll,
            "tokens_per_second": speed,
            "expert_share": high.mean().values,
            "ffn_parameters_saved": np.array(saved.ffn),
            "parameters_saved": np.array(saved.all),
            "predicted_tokens": np.array(text.predicted.sum()),
            **self._continuations(text, kept),
        }

    def _variants(self, high: xr.DataArray, kept: Keep) -> Iterator[tuple[int, int, Keep | None]]:
        """Give the place in ``VARIANTS``, the seed and the neurons to keep; None keeps all."""
        yield 0, 0, None
        yield 1, 0, kept
        for seed in range(self._settings.random_seeds):
            yield 2, seed, kept_neurons(self._partition, random_experts(high, seed))

    def _likelihood(
        self, text: HeldOut, segments: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        return negative_log_likelihood(
            self._model, segments, text.before, self._inputs.work.execution.batch_tokens
        )

    def _continuations(self, text: HeldOut, kept: Keep) -> Piece:
        """Let the full and the sliced model continue the start of the held-out text (table 5)."""
        settings = self._settings
        prompt = text.whole[0][: settings.prompt_tokens].tolist()
        start, new_tokens = [[*text.before, *prompt]], settings.continuation_tokens
        written = generate(self._model, start, new_tokens)
        with sliced(self._model, kept):
            written += generate(self._model, start, new_tokens)
        return {
            "prompt": np.array(self._tokenizer.decode(prompt)),
            "continuation": np.array([self._tokenizer.decode(ids) for ids in written]),
        }


def _dataset(pieces: list[Piece], held_out: list[HeldOut], replicates: int) -> xr.Dataset:
    for measured, text in zip(pieces, held_out, strict=True):
        bounds = perplexity_interval(measured["nll"], text.predicted, replicates)
        measured |= named_bounds("perplexity", bounds) | {"segments": np.array(len(text.segments))}
    variables: dict[str, tuple[tuple[str, ...], str]] = {
        "perplexity": (("variant", "seed"), "perplexity"),
        "perplexity_low": (("variant",), "perplexity"),
        "perplexity_high": (("variant",), "perplexity"),
        "segments": ((), "segments"),
        "tokens_per_second": (("variant", "seed", "round"), "tokens/s"),
        "expert_share": ((), "share of experts"),
        "ffn_parameters_saved": ((), "share of FFN parameters"),
        "parameters_saved": ((), "share of all parameters"),
        "predicted_tokens": ((), "tokens"),
        "prompt": ((), "text"),
        "continuation": (("continued_by",), "text"),
    }
    return xr.Dataset(
        {
            name: (
                ("language", *dims),
                np.stack([measured[name] for measured in pieces]),
                {"units": units, "source": "section 4.4"},
            )
            for name, (dims, units) in variables.items()
        },
        coords={
            "language": [text.language for text in held_out],
            "variant": list(VARIANTS),
            "continued_by": list(VARIANTS[:2]),
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Perplexity and savings (table 4), speed, and continuations side by side (table 5)."""
    names = json.loads(data.attrs.get("language_names", "{}"))
    random = data["perplexity"].sel(variant="random")
    speed = data["tokens_per_second"].mean("round").mean("seed")
    relative = relative_speed(data["tokens_per_second"]).mean(("seed", "round"))
    bounds = {
        f"perplexity_{variant}{end}": data[f"perplexity{end}"].sel(variant=variant)
        for variant in VARIANTS
        for end in ENDS
    }
    perplexities = pd.DataFrame(
        {
            "language": data["language"].values,
            "name": [names.get(language, language) for language in data["language"].values],
            "expert_share": data["expert_share"],
            "ffn_parameters_saved": data["ffn_parameters_saved"],
            "parameters_saved": data["parameters_saved"],
            "perplexity_full": data["perplexity"].sel(variant="full", seed=0),
            "perplexity_high_frequency": data["perplexity"].sel(variant="high_frequency", seed=0),
            "perplexity_random_mean": random.mean("seed"),
            "perplexity_random_std": random.std("seed"),
            **bounds,
            **{f"tokens_per_second_{name}": speed.sel(variant=name) for name in VARIANTS},
            "speed_high_frequency": relative.sel(variant="high_frequency"),
            "speed_random": relative.sel(variant="random"),
            "predicted_tokens": data["predicted_tokens"],
            "segments": data["segments"],
        }
    )
    return {
        "perplexity": perplexities,
        "speed": tidy(data[["tokens_per_second"]]),
        "continuations": tidy(data[["prompt", "continuation"]]),
    }
