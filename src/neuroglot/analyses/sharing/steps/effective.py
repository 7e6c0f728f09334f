"""Effective scores of each kind of neuron for the gold answer (tables 1 and 4, figure 10)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.answers import encoded
from neuroglot.analyses.sharing.measures.effective import (
    HIGHEST,
    ScoreStatistics,
    effective_score,
    score_statistics,
    scores_bounded,
)
from neuroglot.analyses.sharing.measures.kinds import KIND
from neuroglot.analyses.sharing.prompts import Prompts, kinds_of, open_prompts, recorded_items
from neuroglot.analyses.sharing.settings import EffectiveInputs, EffectiveSettings
from neuroglot.capture.questions import Question
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.models.card import read_card
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.tables import tidy

Scores: TypeAlias = dict[str, list[ScoreStatistics]]
"""Statistics of each layer, by language."""

VARIABLES: Mapping[str, str] = {
    "kind": KIND,
    "max": "highest effective score for the gold answer, over all items and neurons of the kind",
    "min": "lowest effective score for the gold answer, over all items and neurons of the kind",
    "mean": "mean effective score for the gold answer, over all items and neurons of the kind",
    "max_by_layer": "highest effective score for the gold answer, over all items and the layer's "
    "neurons of the kind",
    "max_by_layer_of_languages": "highest effective score for the gold answer, over all items and "
    "the layer's neurons of the kind, mean over languages",
}


def compute(inputs: EffectiveInputs, settings: EffectiveSettings) -> xr.Dataset:
    """Summarise effective scores of every item, layer and neuron by kind.

    As in the paper, the unembedding multiplies value vectors directly, without the norms between a
    layer and the head. Items whose gold answer has no token are left out.
    """
    prompts = open_prompts(inputs.prompts, settings.tasks, settings.languages)
    model: Any = load(inputs.model, "cpu", read_card(inputs.model).dtype)
    layers, unembedding = ffns(model), model.get_output_embeddings().weight.detach()
    found = {}
    for one in prompts:
        questions = encoded(inputs.model, one.task, recorded_items(inputs.items[one.task], one))
        gold = {language: _first_tokens(own) for language, own in questions.items()}
        rows = {
            language: unembedding[first[first >= 0]].float().numpy()
            for language, first in gold.items()
        }
        scores = _scores(one, layers, rows, gold, settings.threshold)
        judged = {language: first >= 0 for language, first in gold.items()}
        summary = scores_bounded(scores, judged, settings.replicates)
        found[one.task] = xr.merge([summary, one.layers])
    return along("task", found).reindex(language=settings.languages)


def _first_tokens(questions: Sequence[Question]) -> NDArray[np.int64]:
    """The first token of each gold answer, -1 if the answer has no token."""
    return np.array([question.gold[0][0] if question.gold[0] else -1 for question in questions])


def _scores(
    prompts: Prompts,
    ffns_: Sequence[FFN],
    rows: dict[str, NDArray[np.float32]],
    gold: dict[str, NDArray[np.int64]],
    threshold: float,
) -> Scores:
    """Each language's statistics in every layer, over the items with a gold token."""
    by_language: Scores = {language: [] for language in prompts.recorded}
    for layers in prompts.blocks():
        act = prompts.read("act", layers)
        found = kinds_of(prompts.read(prompts.site, layers), threshold)
        for place, layer in enumerate(range(layers.start, layers.stop)):
            values = ffns_[layer].output_matrix().float().numpy()
            for language, own in act.items():
                judged = gold[language] >= 0
                score = effective_score(own[judged, place], rows[language], values)
                statistics = score_statistics(score, found[judged][:, place])
                by_language[language].append(statistics)
    return by_language


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Maximum, minimum and mean by task, language and kind; maxima by layer."""
    return {
        "effective_scores": tidy(data[with_bounds("max", "min", "mean")]),
        "effective_by_layer": tidy(data[with_bounds(HIGHEST)]),
    }
