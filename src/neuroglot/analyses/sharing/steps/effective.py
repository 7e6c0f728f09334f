"""Effective scores of each kind of neuron for the gold answer (tables 1 and 4, figure 10)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.answers import encoded
from neuroglot.analyses.sharing.measures.effective import (
    HIGHEST,
    effective_score,
    score_statistics,
    scores_bounded,
)
from neuroglot.analyses.sharing.measures.kinds import KIND
from neuroglot.analyses.sharing.prompts import Prompts, open_prompts, recorded_items
from neuroglot.analyses.sharing.settings import EffectiveInputs, EffectiveSettings
from neuroglot.capture.questions import Question
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.models.card import read_card
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.models.norms import output_scale, value_vectors
from neuroglot.models.projection import STACK
from neuroglot.tables import tidy
from neuroglot.tasks.base import facts_of

if TYPE_CHECKING:
    from torch import Tensor

SCORE = (
    "effective score (what the neuron adds to the residual stream, times the unembedding of the "
    "gold answer's first token)"
)

VARIABLES: Mapping[str, str] = {
    "kind": KIND,
    "max": f"highest {SCORE}, over all items and neurons of the kind",
    "min": f"lowest {SCORE}, over all items and neurons of the kind",
    "mean": f"mean {SCORE}, over all items and neurons of the kind",
    "max_by_layer": f"highest {SCORE}, over all items and the layer's neurons of the kind",
    "max_by_layer_of_languages": f"highest {SCORE}, over all items and the layer's neurons of the "
    "kind, mean over languages",
    "items": "items whose gold answer has a token",
}


def compute(inputs: EffectiveInputs, settings: EffectiveSettings) -> xr.Dataset:
    """Summarise effective scores of every item, layer and neuron by kind.

    A norm behind the FFN belongs to what a neuron adds to the residual stream. As in the paper, the
    unembedding multiplies that directly, without later layers and the final norm. Items whose gold
    answer has no token are left out. An encoder's layers have no scores, because no unembedding
    reads them: their scores are NaN.
    """
    model: Any = load(inputs.model, "cpu", read_card(inputs.model).dtype)
    layers, unembedding = ffns(model), model.get_output_embeddings().weight.detach()
    scores = {}
    for prompts in open_prompts(inputs.prompts, settings.tasks, settings.languages):
        items = recorded_items(inputs.items[prompts.task], prompts)
        questions = encoded(inputs.model, prompts.task, items)
        gold = {language: _first_tokens(asked) for language, asked in questions.items()}
        statistics = _statistics(prompts, layers, unembedding, gold, settings.threshold)
        summary = scores_bounded(statistics, facts_of(items), settings.replicates)
        judged = [
            np.count_nonzero(gold[str(language)] >= 0) for language in summary["language"].values
        ]
        summary = summary.assign(items=("language", judged, {"units": "items"}))
        of_decoder = [ffn.index for ffn in layers if ffn.stack == STACK]
        scores[prompts.task] = xr.merge(
            [summary.assign_coords(layer=of_decoder), prompts.layers], join="outer"
        )
    return along("task", scores).reindex(language=settings.languages)


def _first_tokens(questions: Sequence[Question]) -> NDArray[np.int64]:
    """The first token of each gold answer, -1 if the answer has no token."""
    return np.array([question.gold[0][0] if question.gold[0] else -1 for question in questions])


def _statistics(
    prompts: Prompts,
    layers: Sequence[FFN],
    unembedding: "Tensor",
    gold: Mapping[str, NDArray[np.int64]],
    threshold: float,
) -> dict[str, list[xr.Dataset]]:
    """Each language's ``score_statistics`` by decoder layer, over the items with a gold token."""
    judged = {language: np.flatnonzero(tokens >= 0) for language, tokens in gold.items()}
    rows = {
        language: unembedding[gold[language][items]].float().numpy()
        for language, items in judged.items()
    }
    statistics: dict[str, list[xr.Dataset]] = {language: [] for language in gold}
    for ffn, (act, kinds) in zip(layers, prompts.by_layer(threshold), strict=True):
        if ffn.stack != STACK:
            continue
        values = value_vectors(ffn)
        for language, items in judged.items():
            of_items = act[language][items]
            scale = output_scale(ffn, of_items)
            score = effective_score(of_items, rows[language], values, scale)
            of_layer = score_statistics(score, kinds[items]).assign_coords(item=items)
            statistics[language].append(of_layer)
    return statistics


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Maximum, minimum and mean by task, language and kind; maxima by layer."""
    return {
        "effective_scores": tidy(data[[*with_bounds("max", "min", "mean"), "items"]]),
        "effective_by_layer": tidy(data[with_bounds(HIGHEST)]),
    }
