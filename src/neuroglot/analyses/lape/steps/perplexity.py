"""Perplexity of every language without one language's neurons, and without neurons like them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.lape.measures.perplexity import perplexity_statistics
from neuroglot.analyses.lape.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.capture.activity import Activity, Site
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.controls import (
    SETS,
    SHARES,
    ControlledSets,
    controlled_sets,
    described,
)
from neuroglot.measures.perplexity import CONTROLLED, by_segment, read_sizes
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

VARIABLES: Mapping[str, str] = {
    **CONTROLLED,
    "deactivated": "BCP 47 tag of the language whose neurons are deactivated",
    "perplexity": "perplexity of the language's held-out text without the neurons of the "
    "deactivated language, over all predicted tokens",
    "baseline": "perplexity of the language's held-out text of the model as it is",
    "change": "logarithm of perplexity without the neurons over that of the model as it is",
    "own_change": "the same for the language's own text, without its neurons or without others",
    "others_change": "the same for the other languages' texts without the language's neurons, mean "
    "over these languages",
    "contrast": "what is subtracted from the change of the language's own text without its "
    "neurons: others, the mean change of the other languages' texts, segment by segment; or a "
    "control, that without others that fire as often (activity), without as many random ones "
    "(naive), or, from the change without the part that has partners, without the partners "
    "(contribution)",
    "excess": "change of the language's own text less what it is contrasted with; left out where "
    "too few neurons are alike",
}


def compute(inputs: PerplexityInputs, settings: PerplexityStepSettings) -> xr.Dataset:
    """Measure perplexity on held-out text without each language's neurons and without controls.

    Every language's text is read without the neurons of each language, but only the language's own
    text without their controls.
    """
    languages, widths = settings.languages, read_card(inputs.model).neurons
    reduction = store.open_dataset(inputs.neurons, "reduction")
    chosen = reduction["language_neuron"].sel(language=languages)
    masks = chosen.transpose("language", "layer", "neuron").to_numpy()
    texts = read_held_out(
        inputs.model, inputs.held_out, inputs.chosen_on, settings.perplexity, languages
    )
    measured = _Measured(inputs, settings, texts, reduction.attrs["site"])
    runs = 1 + len(texts) + len(SETS) - 2 + settings.random_seeds
    with progress(runs, "sets", f"{inputs.model.name} LAPE") as bar:
        plain = measured.plain()
        bar.update()
        sets = [
            controlled_sets(mask, frequency, contribution, settings.random_seeds, widths)
            for mask, frequency, contribution in zip(
                masks, plain["frequency"], plain["contribution"], strict=True
            )
        ]
        without = []
        for mask in masks:
            without.append(measured.without(mask))
            bar.update()
        controls = []
        for draws in _controls(sets):
            controls.append(np.mean([measured.without(of_draw) for of_draw in draws], axis=0))
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
        segments, about[[*SHARES]], all(text.parallel for text in texts), settings.replicates
    )
    return xr.Dataset({**statistics, **about, **read_sizes(segments["tokens"])})


def _controls(sets: Sequence[ControlledSets]) -> Iterator[list[NDArray[np.bool_]]]:
    """For each of ``SETS`` but the chosen neurons, give its draws, [language, layer, neuron]."""
    for name in SETS[1:]:
        yield [np.stack(masks) for masks in zip(*(of.draws[name] for of in sets), strict=True)]


class _Measured:
    """Losses of all segments under sets of deactivated neurons; earlier results are kept."""

    def __init__(
        self,
        inputs: PerplexityInputs,
        settings: PerplexityStepSettings,
        texts: Sequence[HeldOut],
        site: Site,
    ) -> None:
        self._inputs, self._settings, self._texts, self._site = inputs, settings, texts, site
        # All languages in one call: fewer batches read the head's weights less often.
        self._segments = [segment for text in texts for segment in text.segments]
        self._language = np.repeat(np.arange(len(texts)), [len(text.segments) for text in texts])

    @cached_property
    def _model(self) -> Any:
        return load(self._inputs.model, self._settings.device, self._settings.dtype)

    def plain(self) -> Piece:
        """Read all texts with the model as it is.

        Returns:
            ``nll [segment]``, and of each language's text ``frequency`` and ``contribution
            [language, layer, neuron]``, as in ``Activity``.
        """

        def measure() -> Piece:
            activity = Activity(self._model, self._site, self._language)
            return {
                "nll": self._likelihood(activity=activity),
                "frequency": activity.frequency(),
                "contribution": activity.contribution(),
            }

        return self._piece(self._site, measure)

    def without(self, neurons: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give each segment's loss, [segment], with neurons deactivated.

        Args:
            neurons: for all texts [layer, neuron], or for each language's text [language, layer,
                neuron].
        """

        def edits(segments: NDArray[np.int64]) -> list[Edit]:
            return [Edit(neurons).rows(self._language[segments])]

        def measure() -> Piece:
            return {"nll": self._likelihood(edits=edits)}

        return self._piece([neurons.shape, np.flatnonzero(neurons).tolist()], measure)["nll"]

    def _likelihood(self, **how: Any) -> NDArray[np.float64]:
        before, budget = self._texts[0].before, self._inputs.work.execution.batch_tokens
        return negative_log_likelihood(self._model, self._segments, before, budget, **how)

    def _piece(self, what: Any, measure: Any) -> Piece:
        name = digest(
            [
                read_card(self._inputs.model).sha256,
                [text.fingerprint for text in self._texts],
                self._settings.model_dump(include={"perplexity", *RUNNING}),
                fingerprint(__name__),
                what,
            ]
        )
        return piece(self._inputs.work.pieces / f"{name}.npz", name, measure)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Perplexities of all texts; each language's own text under each edit; and the contrasts."""
    segments = ["predicted_tokens", "segments"]
    return {
        "perplexity": tidy(data[[*with_bounds("perplexity", "change", "baseline"), *segments]]),
        "controls": tidy(data[[*with_bounds("own_change"), "neurons", "firing_frequency"]]),
        "contrasts": tidy(
            data[
                [
                    *with_bounds("excess"),
                    "excess_p_value",
                    *SHARES,
                    *segments,
                    "fewest_segments",
                ]
            ]
        ),
    }
