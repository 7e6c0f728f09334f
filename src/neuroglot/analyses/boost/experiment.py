"""Runs a model on prompts and held-out text while one language's neurons are multiplied."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.analyses.boost.settings import BoostInputs, BoostStepSettings
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.pieces import Piece, piece, pieces
from neuroglot.capture.generation import EditsOf, continued, generate
from neuroglot.capture.perplexity import negative_log_likelihood, perplexity
from neuroglot.errors import NeuroglotError
from neuroglot.measures.controls import matched_random
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load
from neuroglot.provenance import digest, fingerprint
from neuroglot.tokens import read_tokens

PLAIN = 1.0  # the factor that changes nothing
MEASURED = {"perplexity", "device", "dtype", "new_tokens"}
"""Settings that all measurements depend on."""


@dataclass(frozen=True)
class Text:
    """A language's held-out text, for perplexity, and its prompts.

    Attributes:
        held_out: text cut into windows.
        prompts: token ids of segment beginnings ``[item, position]``, without special tokens.
    """

    held_out: HeldOut
    prompts: NDArray[np.int64]


def read_texts(
    inputs: BoostInputs, settings: BoostStepSettings, languages: Sequence[str]
) -> dict[str, Text]:
    """Read held-out text and its prompts, by language in the order of ``languages``.

    Prompts are the first ``prompt_tokens`` tokens of the first ``prompts`` segments with at least
    ``prompt_tokens`` tokens.

    Raises:
        NeuroglotError: too few segments are long enough, or as ``read_held_out``.
    """
    count, length = settings.prompts, settings.prompt_tokens
    texts = {}
    for held_out in read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, languages
    ):
        path = inputs.held_out[held_out.language]
        tokens = read_tokens(path)
        starts = np.flatnonzero(np.diff(tokens.segment, prepend=-1))
        segments = np.split(tokens.token_id.astype(np.int64), starts[1:])
        long = [ids[:length] for ids in segments if len(ids) >= length]
        if len(long) < count:
            raise NeuroglotError(
                f"{path}: {len(long)} segments have {length} tokens or more, and {count} prompts "
                "are asked for; lower boost.prompts or boost.prompt_tokens, or give more held-out "
                "text"
            )
        texts[held_out.language] = Text(held_out, np.stack(long[:count]))
    return texts


class Experiment:
    """Runs the model, which is loaded when the first missing piece needs it.

    Factors are the settings' factors except 1, in their order.
    """

    def __init__(
        self, inputs: BoostInputs, settings: BoostStepSettings, texts: dict[str, Text]
    ) -> None:
        self._inputs, self._settings, self._texts = inputs, settings, texts
        self._factors = [factor for factor in settings.factors if factor != PLAIN]
        self._tokenizer = read_tokenizer(inputs.model)

    @cached_property
    def _model(self) -> Any:
        return load(self._inputs.model, self._settings.device, self._settings.dtype)

    def plain(self) -> dict[str, Piece]:
        """Measure the unedited model, with batches across languages.

        Returns:
            By language: its prompts as text, ``prompt [item]``; their ``continuation [item]``;
            ``perplexity``; and ``tokens``, the number of tokens that perplexity is taken over.
        """
        places = {self._path(f"plain_{language}"): language for language in self._texts}
        fingerprints = {
            path: self._origin([self._texts[language]], []) for path, language in places.items()
        }

        def measured(missing: list[Path]) -> dict[Path, Piece]:
            texts = [self._texts[places[path]] for path in missing]
            prompts = np.stack([text.prompts for text in texts])
            before = texts[0].held_out.before
            written = self._written(prompts.reshape(-1, prompts.shape[-1]).tolist(), before)
            return {
                path: {
                    "prompt": np.array(self._tokenizer.decode_batch(text.prompts.tolist()), str),
                    "continuation": continuation,
                    "perplexity": np.array(self._perplexity(text.held_out, [])),
                    "tokens": np.array(text.held_out.predicted_tokens),
                }
                for path, text, continuation in zip(
                    missing, texts, written.reshape(prompts.shape[:-1]), strict=True
                )
            }

        plain = pieces(fingerprints, measured)
        return {language: plain[path] for path, language in places.items()}

    def boosted(self, language: str, prompted: Sequence[str], neurons: NDArray[np.bool_]) -> Piece:
        """Measure the model with a language's neurons, or as many random neurons, multiplied.

        Args:
            language: id.
            prompted: the languages whose prompts the model continues.
            neurons: the language's neurons, ``[layer, neuron]``.

        Returns:
            ``continuation [prompted, chosen, factor, item]`` and ``perplexity [chosen, factor]``.
            ``chosen`` lists the language's neurons and then each random draw.
        """
        widths = read_card(self._inputs.model).neurons
        drawn = [
            matched_random(neurons, np.random.default_rng(seed), "others", widths)
            for seed in range(self._settings.random_seeds)
        ]
        masks = np.stack([neurons, *drawn])
        text = self._texts[language]
        sources = [self._texts[source] for source in prompted]

        def measure() -> Piece:
            perplexities = [
                [
                    self._perplexity(text.held_out, [Edit(mask, "scale", factor)])
                    for factor in self._factors
                ]
                for mask in masks
            ]
            prompts = [source.prompts for source in sources]
            return {
                "continuation": self._boosted(prompts, text.held_out.before, masks),
                "perplexity": np.array(perplexities),
            }

        flat = [np.flatnonzero(mask).tolist() for mask in masks]
        origin = self._origin([text, *sources], [flat, self._factors])
        return piece(self._path(f"boosted_{language}"), origin, measure)

    def _boosted(
        self, prompts: Sequence[NDArray[np.int64]], before: list[int], masks: NDArray[np.bool_]
    ) -> NDArray[np.str_]:
        """Continue all prompts for all factors and all sets of neurons, in common batches."""
        shape = len(prompts), len(masks), len(self._factors), len(prompts[0])
        grid = np.array(list(product(*map(range, shape))))
        asked = [prompts[place[0]][place[3]].tolist() for place in grid]

        def edits(items: NDArray[np.int64]) -> list[Edit]:
            chosen, factor = masks[grid[items, 1]], grid[items, 2]
            return [
                Edit(chosen & (factor == i)[:, None, None], "scale", value)
                for i, value in enumerate(self._factors)
            ]

        return self._written(asked, before, edits).reshape(shape)

    def _written(
        self, prompts: Sequence[list[int]], before: list[int], edits: EditsOf | None = None
    ) -> NDArray[np.str_]:
        asked = [[*before, *prompt] for prompt in prompts]
        new_tokens = self._settings.new_tokens
        budget = self._inputs.work.execution.batch_tokens
        written = generate(self._model, asked, new_tokens, edits, batch_tokens=budget)
        return np.array(
            [continued(self._tokenizer, *pair) for pair in zip(prompts, written, strict=True)], str
        )

    def _perplexity(self, text: HeldOut, edits: Sequence[Edit]) -> float:
        with intervened(self._model, edits):
            total = negative_log_likelihood(
                self._model, text.windows, text.before, self._inputs.work.execution.batch_tokens
            )
        return perplexity(total, text.predicted_tokens)

    def _path(self, name: str) -> Path:
        return self._inputs.work.pieces / f"{name}.npz"

    def _origin(self, texts: Sequence[Text], made_from: list[Any]) -> str:
        return digest(
            [
                read_card(self._inputs.model).sha256,
                [[text.held_out.fingerprint, text.prompts.tolist()] for text in texts],
                self._settings.model_dump(include=MEASURED),
                made_from,
                fingerprint(__name__),
            ]
        )
