"""Perplexity of every language when one language's experts are forbidden, or others like them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.analyses.judged import Judged
from neuroglot.analyses.pieces import Piece
from neuroglot.analyses.routing.measures.own import BAR, distinctive
from neuroglot.analyses.routing.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.capture.expert_activity import ExpertActivity
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.controls import SHARES
from neuroglot.models.card import ModelCard, read_card
from neuroglot.models.routers import forbidden
from neuroglot.provenance import fingerprint
from neuroglot.tables import tidy

VARIABLES: Mapping[str, str] = {
    "expert": "number of the expert in its layer",
    "variant": "experts that are forbidden: the distinctive ones of the language (chosen), others "
    "of the same layers that its held-out text chooses about as often (active), the part of the "
    "distinctive experts that has partners (matched), the partners of like weight (partner), or as "
    "many random others (random)",
    "deactivated": "BCP 47 tag of the language whose distinctive experts are forbidden",
    "forbidden": "whether the expert is one of the language's distinctive ones",
    "perplexity": "perplexity of the held-out text of the language when the distinctive experts of "
    "the other language are forbidden, over all predicted tokens",
    "baseline": "perplexity of the language's held-out text of the model as it is",
    "change": "logarithm of perplexity when the experts are forbidden over that of the model as it "
    "is",
    "own_change": "the same for the language's own text, without its experts or without others",
    "others_change": "the same for the other languages' texts without the language's experts, mean "
    "over these languages",
    "contrast": "what is subtracted from the change of the language's own text without its "
    "experts: others, the mean change of the other languages' texts, segment by segment; or a "
    "control, that without others chosen as often (activity), without as many random ones (naive), "
    "or, from the change without the part that has partners, without the partners (contribution)",
    "excess": "change of the language's own text less what it is contrasted with; left out where "
    "too few experts are alike",
    "excess_p_value": "probability that any language would reach its excess if none had one: sign "
    "flips of segments, adjusted for all languages by step-down maxT",
    "experts": "experts that are forbidden; of random ones the mean over draws",
    "expert_frequency": "share of tokens of the language's held-out text that are routed to a "
    "forbidden expert of the model as it is, mean over experts",
    "active_share": "share of the distinctive experts that have a partner which is chosen about as "
    "often in the language's held-out text",
    "matched_share": "share of the distinctive experts that have a partner of like weight there",
    "matched_contribution": "share of the distinctive experts' weight that comes from those with "
    "such a partner",
    "predicted_tokens": "tokens of held-out text that perplexity is over",
    "segments": "segments of held-out text, the units of intervals and tests",
    "fewest_segments": "segments that a language needs for its p value to be able to be below 0.05",
}


def compute(inputs: PerplexityInputs, settings: PerplexityStepSettings) -> xr.Dataset:
    """Measure perplexity on held-out text when routers may not choose each language's experts.

    The next best experts take their place. Every language's text is read without the distinctive
    experts of each language, but only the language's own text without their controls.
    """
    card = read_card(inputs.model)
    reduction = store.open_dataset(inputs.experts, "reduction")
    frequency = reduction["expert_frequency"].transpose("language", "layer", "expert")
    of_layer = frequency.sizes["expert"]
    of_all = distinctive(
        frequency.to_numpy().astype(np.float64),
        reduction["language_expert"].attrs[BAR],
        max(1, round(settings.forbidden_fraction * frequency[0].size)),
        of_layer - card.slots,
    )
    chosen = frequency.copy(data=of_all).sel(language=settings.languages)
    texts = read_held_out(
        inputs.model,
        inputs.held_out,
        inputs.chosen_on,
        settings.perplexity,
        settings.languages,
    )
    judged = _WithoutExperts(inputs, settings, texts, card)
    widths = [of_layer] * frequency.sizes["layer"]
    data = judged.judge(
        chosen.to_numpy(), widths, settings.random_seeds, settings.replicates, "routing"
    )
    data = data.rename(neurons="experts", firing_frequency="expert_frequency")
    for name in ("experts", *SHARES):
        data[name].attrs["units"] = "experts" if name == "experts" else "share of experts"
    off = chosen.rename(language="deactivated").assign_attrs(units="true or false")
    return data.assign(forbidden=off)


class _WithoutExperts(Judged):
    """Losses of all segments when routers may not choose some experts."""

    def __init__(
        self,
        inputs: PerplexityInputs,
        settings: PerplexityStepSettings,
        texts: Sequence[HeldOut],
        card: ModelCard,
    ) -> None:
        """Begin with nothing read; ``card`` is the model's."""
        super().__init__(inputs, settings, texts, fingerprint(__name__))
        self._card = card

    def plain(self) -> Piece:
        """Read all texts with the model as it is; see ``ExpertActivity``."""

        def measure() -> Piece:
            activity = ExpertActivity(self._model, self._language)
            return {
                "nll": self._likelihood(self._segments, activity=activity),
                "frequency": activity.frequency(),
                "contribution": activity.contribution(),
            }

        return self._piece("as it is", measure)

    def without(self, units: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give each segment's loss, ``[segment]``, with experts forbidden."""

        def measure() -> Piece:
            if units.ndim == 2:
                return {"nll": self._forbidden(units, self._segments)}
            losses = np.empty(len(self._segments))
            for language, of_language in enumerate(units):
                own = np.flatnonzero(self._language == language)
                losses[own] = self._forbidden(of_language, [self._segments[at] for at in own])
            return {"nll": losses}

        return self._piece([units.shape, np.flatnonzero(units).tolist()], measure)["nll"]

    def _forbidden(
        self, experts: NDArray[np.bool_], segments: list[NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Losses of segments with experts [routed layer, expert] forbidden."""
        of_model = np.zeros((self._card.layers, experts.shape[1]), bool)
        of_model[[*self._card.routed]] = experts
        with forbidden(self._model, of_model):
            return self._likelihood(segments)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Perplexities of all texts; each language's own text; the contrasts; what is forbidden."""
    segments = ["predicted_tokens", "segments"]
    contrasts = [*with_bounds("excess"), "excess_p_value", *SHARES, *segments, "fewest_segments"]
    forbidden_experts = tidy(data[["forbidden"]])
    return {
        "perplexity": tidy(data[[*with_bounds("perplexity", "change", "baseline"), *segments]]),
        "controls": tidy(data[[*with_bounds("own_change"), "experts", "expert_frequency"]]),
        "contrasts": tidy(data[contrasts]),
        "forbidden_experts": forbidden_experts[forbidden_experts["forbidden"]].drop(
            columns="forbidden"
        ),
    }
