"""Runs a model on prompts and held-out text while one language's neurons are multiplied."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.boost.settings import BoostInputs, BoostStepSettings
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.pieces import Piece, piece, pieces
from neuroglot.capture.activity import Activity, Site
from neuroglot.capture.batches import EditsOf
from neuroglot.capture.generation import continued, generate
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.errors import NeuroglotError
from neuroglot.measures.controls import SETS, ControlledSets
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.provenance import digest, fingerprint

PLAIN = 1.0  # the factor that changes nothing
MEASURED = {"perplexity", "new_tokens", *RUNNING}
"""Settings that all measurements depend on."""


@dataclass(frozen=True)
class Text:
    """A language's held-out text, for perplexity, and its prompts.

    Attributes:
        held_out: the judged segments.
        prompts: token ids of segment beginnings ``[item, position]``, without special tokens.
    """

    held_out: HeldOut
    prompts: NDArray[np.int64]


def read_texts(
    inputs: BoostInputs, settings: BoostStepSettings, languages: Sequence[str]
) -> dict[str, Text]:
    """Read held-out text and its prompts, by language in the order of ``languages``.

    Prompts are the first ``prompt_tokens`` tokens of the first ``prompts`` segments with at least
    ``prompt_tokens`` tokens, in the order of ``read_held_out``. A segment that begins like an
    earlier one gives none, because equal prompts are continued equally.

    Raises:
        NeuroglotError: too few segments are long enough, or as ``read_held_out``.
    """
    count, length = settings.prompts, settings.prompt_tokens
    texts = {}
    for held_out in read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, languages
    ):
        long = [ids[:length].tolist() for ids in held_out.whole if len(ids) >= length]
        prompts = [*dict.fromkeys(map(tuple, long))]
        if len(prompts) < count:
            raise NeuroglotError(
                f"{inputs.held_out[held_out.language]}: {len(long)} segments have {length} tokens "
                f"or more, {len(prompts)} of them with a beginning of their own, and {count} "
                "prompts are asked for; lower boost.prompts, change boost.prompt_tokens, or give "
                "more held-out text"
            )
        texts[held_out.language] = Text(held_out, np.array(prompts[:count], np.int64))
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
        self._site: Site = "gate" if read_card(inputs.model).gated else "act"

    @cached_property
    def _model(self) -> Any:
        return load(self._inputs.model, self._settings.device, self._settings.dtype)

    def plain(self) -> dict[str, Piece]:
        """Measure the unedited model, with batches across languages.

        Returns:
            By language: its prompts as text, ``prompt [item]``; their ``continuation [item]``; the
            loss ``nll [segment]`` of its held-out text; and of the neurons there, ``frequency`` and
            ``contribution [layer, neuron]``, as in ``Activity``.
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
            segments = [segment for text in texts for segment in text.held_out.segments]
            sizes = [len(text.held_out.segments) for text in texts]
            language = np.repeat(np.arange(len(texts)), sizes)
            activity = Activity(self._model, self._site, language)
            losses = self._losses(segments, before, activity=activity)
            frequency, contribution = activity.frequency(), activity.contribution()
            return {
                path: {
                    "prompt": np.array(self._tokenizer.decode_batch(text.prompts.tolist()), str),
                    "continuation": written.reshape(prompts.shape[:-1])[at],
                    "nll": losses[language == at],
                    "frequency": frequency[at],
                    "contribution": contribution[at],
                }
                for at, (path, text) in enumerate(zip(missing, texts, strict=True))
            }

        plain = pieces(fingerprints, measured)
        return {language: plain[path] for path, language in places.items()}

    def boosted(self, language: str, prompted: Sequence[str], sets: ControlledSets) -> Piece:
        """Measure the model with a language's neurons, or those of a control, multiplied.

        Args:
            language: id.
            prompted: the languages whose prompts the model continues.
            sets: the language's neurons and its controls.

        Returns:
            ``continuation [prompted, drawn, factor, item]`` and ``nll [drawn, factor, segment]``;
            ``drawn`` as ``measures.variants.draws``.
        """
        masks = np.stack([mask for name in SETS for mask in sets.draws[name]])
        text = self._texts[language]
        sources = [self._texts[source] for source in prompted]

        def measure() -> Piece:
            prompts = [source.prompts for source in sources]
            return {
                "continuation": self._boosted(prompts, text.held_out.before, masks),
                "nll": self._boosted_losses(text.held_out, masks),
            }

        flat = [np.flatnonzero(mask).tolist() for mask in masks]
        origin = self._origin([text, *sources], [flat, self._factors])
        return piece(self._path(f"boosted_{language}"), origin, measure)

    def _boosted_losses(self, text: HeldOut, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Read held-out text for all sets of neurons and all factors, in common batches."""
        shape = len(masks), len(self._factors), len(text.segments)
        grid = np.array(list(product(*map(range, shape))))
        segments = [text.segments[segment] for _, _, segment in grid]
        edits = self._edits(masks, grid[:, 0], grid[:, 1])
        return self._losses(segments, text.before, edits=edits).reshape(shape)

    def _boosted(
        self, prompts: Sequence[NDArray[np.int64]], before: list[int], masks: NDArray[np.bool_]
    ) -> NDArray[np.str_]:
        """Continue all prompts for all sets of neurons and all factors, in common batches."""
        shape = len(prompts), len(masks), len(self._factors), len(prompts[0])
        grid = np.array(list(product(*map(range, shape))))
        asked = [prompts[source][item].tolist() for source, _, _, item in grid]
        edits = self._edits(masks, grid[:, 1], grid[:, 2])
        return self._written(asked, before, edits).reshape(shape)

    def _edits(
        self, masks: NDArray[np.bool_], mask: NDArray[np.int64], factor: NDArray[np.int64]
    ) -> EditsOf:
        """Multiply one of ``masks`` by one of the factors in every text, ``[text]``."""

        def edits(texts: NDArray[np.int64]) -> list[Edit]:
            return [
                Edit(masks[mask[texts]] & (factor[texts] == at)[:, None, None], "scale", value)
                for at, value in enumerate(self._factors)
            ]

        return edits

    def _written(
        self, prompts: Sequence[list[int]], before: list[int], edits: EditsOf | None = None
    ) -> NDArray[np.str_]:
        asked = [[*before, *prompt] for prompt in prompts]
        new_tokens = self._settings.new_tokens
        budget = self._inputs.work.execution.batch_tokens
        written = generate(
            self._model, asked, new_tokens, edits, batch_tokens=budget, special=len(before)
        )
        return np.array(
            [continued(self._tokenizer, *pair) for pair in zip(prompts, written, strict=True)], str
        )

    def _losses(
        self, segments: Sequence[NDArray[np.int64]], before: list[int], **how: Any
    ) -> NDArray[np.float64]:
        budget = self._inputs.work.execution.batch_tokens
        return negative_log_likelihood(self._model, segments, before, budget, **how)

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
