"""Perplexity of every language without one language's neurons, and without neurons like them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.judged import Judged
from neuroglot.analyses.lape.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.analyses.pieces import Piece
from neuroglot.capture.activity import Activity, Site
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.controls import SHARES
from neuroglot.measures.perplexity import CONTROLLED
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.provenance import fingerprint
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
    reduction = store.open_dataset(inputs.neurons, "reduction")
    chosen = reduction["language_neuron"].sel(language=settings.languages)
    masks = chosen.transpose("language", "layer", "neuron").to_numpy()
    texts = read_held_out(
        inputs.model,
        inputs.held_out,
        inputs.chosen_on,
        settings.perplexity,
        settings.languages,
    )
    judged = _WithoutNeurons(inputs, settings, texts, reduction.attrs["site"])
    widths = read_card(inputs.model).neurons
    return judged.judge(masks, widths, settings.random_seeds, settings.replicates, "LAPE")


class _WithoutNeurons(Judged):
    """Losses of all segments under sets of deactivated neurons."""

    def __init__(
        self,
        inputs: PerplexityInputs,
        settings: PerplexityStepSettings,
        texts: Sequence[HeldOut],
        site: Site,
    ) -> None:
        """Begin with nothing read; ``site`` is what fires if it is above zero."""
        super().__init__(inputs, settings, texts, fingerprint(__name__))
        self._site = site

    def plain(self) -> Piece:
        """Read all texts with the model as it is; see ``Activity``."""

        def measure() -> Piece:
            activity = Activity(self._model, self._site, self._language)
            return {
                "nll": self._likelihood(self._segments, activity=activity),
                "frequency": activity.frequency(),
                "contribution": activity.contribution(),
            }

        return self._piece(self._site, measure)

    def without(self, units: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give each segment's loss, ``[segment]``, with neurons set to zero."""

        def edits(segments: NDArray[np.int64]) -> list[Edit]:
            return [Edit(units).rows(self._language[segments])]

        def measure() -> Piece:
            return {"nll": self._likelihood(self._segments, edits=edits)}

        return self._piece([units.shape, np.flatnonzero(units).tolist()], measure)["nll"]


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
