"""Perplexity and speed of a model with only a language's high-frequency experts (section 4.4)."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.experts.measures.experts import (
    as_many_of,
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
from neuroglot.measures.bootstrap import ENDS, named_bounds, perplexity_interval, with_bounds
from neuroglot.measures.perplexity import by_segment, per_token, tested
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.slicing import parameters_saved, sliced
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

VARIANTS = ("full", "high_frequency", "other_language", "random")
CONTROLS = VARIANTS[2:]
MEASURED = {
    "high_frequency",
    "random_seeds",
    "speed_rounds",
    "prompt_tokens",
    "continuation_tokens",
    "perplexity",
    *RUNNING,
}
"""Settings that a language's measurements depend on."""

Keep = list[NDArray[np.intp]]

VARIABLES: Mapping[str, str] = {
    "variant": "experts that the model runs with: all, the language's high-frequency ones, as many "
    "in each layer of those most frequent in another language, or as many random ones",
    "control": "experts that the language's own are compared with",
    "seed": "draw of the other language or of random experts",
    "continued_by": "experts that the model writes with",
    "perplexity": "perplexity of the language's held-out text, over all predicted tokens",
    "excess": "loss with the language's high-frequency experts minus that with the control's, the "
    "mean of draws",
    "excess_p_value": "probability that any language would reach its excess if none had one: sign "
    "flips of segments, adjusted for all languages by step-down maxT",
    "fewest_segments": "segments that a language needs for its p value to be able to be below 0.05",
    "other_language": "language whose most frequent experts are kept instead",
    "overlap": "share of the kept experts that are also of high frequency in the language read",
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
    frequency = expert_frequency(routing["active"], routing["tokens"])
    experiment = _Experiment(inputs, settings, partition)
    pieces = []
    with progress(len(held_out), "languages", f"{inputs.model.name} experts") as bar:
        for text in held_out:
            sets = _Sets.of(text.language, frequency, settings)
            origin = digest(
                [
                    read_card(inputs.model).sha256,
                    text.fingerprint,
                    [experts.values.tolist() for experts in (sets.high, *sets.others.values())],
                    partition.values.tolist(),
                    settings.model_dump(include=MEASURED),
                    fingerprint(__name__),
                ]
            )
            path = inputs.work.pieces / f"{text.language}.npz"
            pieces.append(piece(path, origin, partial(experiment.run, text, sets)))
            bar.update()
    return _dataset(pieces, held_out, settings.replicates)


@dataclass(frozen=True, eq=False)
class _Sets:
    """Experts that a model is left with for one language, each bool [layer, expert].

    Attributes:
        high: the language's high-frequency experts.
        others: as many of other languages, by language.
        random: as many random ones, by draw.
    """

    high: xr.DataArray
    others: Mapping[str, xr.DataArray]
    random: Sequence[xr.DataArray]

    @classmethod
    def of(cls, language: str, frequency: xr.DataArray, settings: InferenceSettings) -> "_Sets":
        """Choose a language's experts, and draw others: as many languages as random sets.

        Args:
            language: id.
            frequency: [language, layer, expert].
            settings: the threshold, and the number of draws.
        """
        high = high_frequency(frequency.sel(language=language), settings.high_frequency)
        different = sorted(i for i in frequency["language"].values.tolist() if i != language)
        order = np.random.default_rng([*language.encode()]).permutation(len(different))
        drawn = [different[place] for place in order[: settings.random_seeds]]
        return cls(
            high,
            {other: as_many_of(frequency.sel(language=other), high) for other in drawn},
            [random_experts(high, seed) for seed in range(settings.random_seeds)],
        )

    def draws(self) -> Iterator[tuple[int, int, xr.DataArray]]:
        """Give the place in ``VARIANTS``, the draw and the experts of each sliced model."""
        for variant, drawn in enumerate(((self.high,), self.others.values(), self.random), 1):
            for seed, experts in enumerate(drawn):
                yield variant, seed, experts


class _Experiment:
    """Runs the full and the sliced model, which is loaded when the first language needs it."""

    def __init__(
        self, inputs: InferenceInputs, settings: InferenceSettings, partition: xr.DataArray
    ) -> None:
        self._inputs, self._settings, self._partition = inputs, settings, partition
        self._tokenizer = read_tokenizer(inputs.model)
        self._model: Any = None

    def run(self, text: HeldOut, sets: _Sets) -> Piece:
        """Measure one language; variants alternate, so that other load affects all of them."""
        settings = self._settings
        if self._model is None:
            self._model = load(self._inputs.model, settings.device, settings.dtype)
            self._likelihood(text, text.segments[:1])  # the first pass also loads the weights
        kept = kept_neurons(self._partition, sets.high)
        shape = len(VARIANTS), settings.random_seeds
        perplexities, overlap = np.full((2, *shape), np.nan)
        speed = np.full((*shape, settings.speed_rounds), np.nan)
        nll = np.full((*shape, len(text.segments)), np.nan)
        size = sum(map(len, text.segments))
        for variant, seed, experts in sets.draws():
            both = float((experts & sets.high).sum())
            overlap[variant, seed] = both / (int(experts.sum()) or np.nan)
        for turn in range(settings.speed_rounds):
            for variant, seed, keep in self._variants(sets):
                with sliced(self._model, keep) if keep is not None else nullcontext():
                    start = perf_counter()
                    total = self._likelihood(text, text.segments)
                    speed[variant, seed, turn] = size / (perf_counter() - start)
                nll[variant, seed] = total
                perplexities[variant, seed] = perplexity(total, text.predicted)
        saved = parameters_saved(self._model, kept)
        names = [*sets.others, *[""] * (settings.random_seeds - len(sets.others))]
        return {
            "perplexity": perplexities,
            "overlap": overlap,
            "other_language": np.array(names),
            "nll": nll,
            "tokens_per_second": speed,
            "expert_share": sets.high.mean().values,
            "ffn_parameters_saved": np.array(saved.ffn),
            "parameters_saved": np.array(saved.all),
            "predicted_tokens": np.array(text.predicted.sum()),
            **self._continuations(text, kept),
        }

    def _variants(self, sets: _Sets) -> Iterator[tuple[int, int, Keep | None]]:
        """Give the place in ``VARIANTS``, the draw and the neurons to keep; None keeps all."""
        yield 0, 0, None
        for variant, seed, experts in sets.draws():
            yield variant, seed, kept_neurons(self._partition, experts)

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
        "overlap": (("variant", "seed"), "share of experts"),
        "other_language": (("seed",), "1"),
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
            **{
                name: (
                    ("language", *dims),
                    np.stack([measured[name] for measured in pieces]),
                    {"units": units, "source": "section 4.4"},
                )
                for name, (dims, units) in variables.items()
            },
            **_compared(pieces, held_out),
        },
        coords={
            "language": [text.language for text in held_out],
            "variant": list(VARIANTS),
            "seed": np.arange(pieces[0]["perplexity"].shape[1]),
            "continued_by": list(VARIANTS[:2]),
        },
    )


def _compared(pieces: list[Piece], held_out: list[HeldOut]) -> dict[str, xr.DataArray]:
    """Compare losses with a language's own experts and with the controls', segment by segment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a language alone has no other language
        losses = [np.nanmean(measured["nll"], axis=1) for measured in pieces]
    arranged = by_segment(
        {
            "loss": (("variant", "language", "item"), np.concatenate(losses, axis=1)),
            "tokens": (("language", "item"), np.concatenate([text.predicted for text in held_out])),
        },
        [text.labels for text in held_out],
        {"variant": [*VARIANTS], "language": [text.language for text in held_out]},
    )
    loss = per_token(arranged["loss"], arranged["tokens"])
    controls = loss.sel(variant=[*CONTROLS]).rename(variant="control")
    return tested(loss.sel(variant="high_frequency", drop=True) - controls)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Perplexity and savings (table 4), speed, and continuations side by side (table 5)."""
    names = json.loads(data.attrs.get("language_names", "{}"))
    random, other = (data["perplexity"].sel(variant=name) for name in ("random", "other_language"))
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
            "perplexity_other_language": other.mean("seed"),
            "overlap_other_language": data["overlap"].sel(variant="other_language").mean("seed"),
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
        "controls": tidy(data[[*with_bounds("excess"), "excess_p_value"]]),
        "speed": tidy(data[["tokens_per_second"]]),
        "continuations": tidy(data[["prompt", "continuation"]]),
    }
