"""Judges a model by held-out text while a language's neurons or experts are taken away from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.held_out import HeldOut
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.planning import HeldOutInputs, HeldOutSettings
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.measures.controls import SETS, SHARES, ControlledSets, controlled_sets, described
from neuroglot.measures.judged import perplexity_statistics
from neuroglot.measures.perplexity import by_segment, read_sizes
from neuroglot.models.card import read_card
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest


class Judged(ABC):
    """Losses of all held-out segments, with and without some units; earlier results are kept.

    A unit is a neuron or an expert.
    """

    def __init__(
        self, inputs: HeldOutInputs, settings: HeldOutSettings, texts: Sequence[HeldOut], code: str
    ) -> None:
        """Begin with nothing read.

        Args:
            inputs: the step's inputs.
            settings: the step's settings.
            texts: each language's held-out text.
            code: fingerprint of the step's code, with which earlier results must have been made.
        """
        self._inputs, self._settings, self._texts, self._code = inputs, settings, texts, code
        # All languages in one call: fewer batches read the head's weights less often.
        self._segments = [segment for text in texts for segment in text.segments]
        self._language = np.repeat(np.arange(len(texts)), [len(text.segments) for text in texts])

    @abstractmethod
    def plain(self) -> Piece:
        """Read all texts with the model as it is.

        Returns:
            ``nll [segment]``, and of each language's text ``frequency``, how often a unit is
            active, and ``contribution``, how much it contributes, ``[language, layer, unit]``.
        """

    @abstractmethod
    def without(self, units: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give each segment's loss, ``[segment]``, without some units.

        Args:
            units: for all texts [layer, unit], or for each language's text [language, layer, unit].
        """

    @cached_property
    def _model(self) -> Any:
        return load(self._inputs.model, self._settings.device, self._settings.dtype)

    def _likelihood(self, segments: Sequence[Any], **how: Any) -> NDArray[np.float64]:
        before, budget = self._texts[0].before, self._inputs.work.execution.batch_tokens
        return negative_log_likelihood(self._model, segments, before, budget, **how)

    def _piece(self, what: Any, measure: Callable[[], Piece]) -> Piece:
        name = digest(
            [
                read_card(self._inputs.model).sha256,
                [text.fingerprint for text in self._texts],
                self._settings.model_dump(include={"perplexity", *RUNNING}),
                self._code,
                what,
            ]
        )
        return piece(self._inputs.work.pieces / f"{name}.npz", name, measure)

    def judge(
        self,
        chosen: NDArray[np.bool_],
        widths: Sequence[int],
        random_seeds: int,
        replicates: int,
        title: str,
    ) -> xr.Dataset:
        """Measure perplexity without each language's units, and without controls.

        Every language's text is read without the units of each language, but only the language's
        own text without their controls.

        Args:
            chosen: each language's units, [language, layer, unit].
            widths: number of units in each layer.
            random_seeds: draws of random units.
            replicates: resamples of segments.
            title: what the progress bar says.

        Returns:
            ``measures.judged.perplexity_statistics``, ``measures.controls.described`` and
            ``measures.perplexity.read_sizes``.
        """
        texts, languages = self._texts, self._settings.languages
        runs = 1 + len(texts) + len(SETS) - 2 + random_seeds
        with progress(runs, "sets", f"{self._inputs.model.name} {title}") as bar:
            plain = self.plain()
            bar.update()
            sets = [
                controlled_sets(mask, frequency, contribution, random_seeds, widths)
                for mask, frequency, contribution in zip(
                    chosen, plain["frequency"], plain["contribution"], strict=True
                )
            ]
            without = []
            for mask in chosen:
                without.append(self.without(mask))
                bar.update()
            controls = []
            for draws in _controls(sets):
                controls.append(np.mean([self.without(of_draw) for of_draw in draws], axis=0))
                bar.update(len(draws))
        losses = {
            "plain": (("language", "item"), plain["nll"]),
            "without": (("deactivated", "language", "item"), np.stack(without)),
            "controls": (("variant", "language", "item"), np.stack(controls)),
            "tokens": (("language", "item"), np.concatenate([text.predicted for text in texts])),
        }
        coords = {"language": languages, "deactivated": languages, "variant": list(SETS[1:])}
        about = described(sets, plain["frequency"], languages)
        segments = by_segment(losses, [text.labels for text in texts], coords)
        statistics = perplexity_statistics(
            segments, about[[*SHARES]], all(text.parallel for text in texts), replicates
        )
        return xr.Dataset({**statistics, **about, **read_sizes(segments["tokens"])})


def _controls(sets: Sequence[ControlledSets]) -> Iterator[list[NDArray[np.bool_]]]:
    """For each of ``SETS`` but the chosen units, give its draws, [language, layer, unit]."""
    for name in SETS[1:]:
        yield [np.stack(masks) for masks in zip(*(of.draws[name] for of in sets), strict=True)]
