"""How much each kind of neuron speaks for the gold answer (tables 1 and 4, figure 10)."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.questions import Question
from neuroglot.measures.contribution import ScoreStatistics, effective_score, score_statistics
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.reduce import tidy
from neuroglot.steps.sharing.prompts import (
    Prompts,
    by_task,
    encoded,
    kinds_of,
    open_prompts,
    read_task,
)


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Summarise effective scores of every item, layer and neuron by kind.

    The unembedding multiplies value vectors directly, as in the paper: norms between a layer and
    the head are left out. Items whose gold answer has no token are too.
    """
    prompts = open_prompts(inputs, settings["tasks"], settings["languages"])
    model: Any = load(inputs.model, "cpu", inputs.card().dtype)
    layers, unembedding = ffns(model), model.get_output_embeddings().weight.detach()
    found = {}
    for one in prompts:
        gold = {
            language: _first_tokens(questions)
            for language, questions in encoded(inputs, one.task, read_task(inputs, one)).items()
        }
        rows = {
            language: unembedding[first[first >= 0]].float().numpy()
            for language, first in gold.items()
        }
        found[one.task] = _task(one, layers, rows, gold, settings["threshold"])
    return by_task(found).reindex(language=settings["languages"])


def _first_tokens(questions: Sequence[Question]) -> NDArray[np.int64]:
    """The first token of each gold answer, -1 for none."""
    return np.array([question.gold[0][0] if question.gold[0] else -1 for question in questions])


def _task(
    prompts: Prompts,
    ffns_: Sequence[FFN],
    rows: dict[str, NDArray[np.float32]],
    gold: dict[str, NDArray[np.int64]],
    threshold: float,
) -> xr.Dataset:
    by_language: dict[str, list[ScoreStatistics]] = {language: [] for language in prompts.recorded}
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
    axis = xr.Variable("language", np.array(list(by_language), str))
    whole = xr.concat([reduce(add, found).dataset() for found in by_language.values()], axis)
    by_layer = xr.concat(
        [
            xr.concat([one.dataset()["max"] for one in found], "layer")
            for found in by_language.values()
        ],
        axis,
    )
    return xr.merge([whole, by_layer.rename("max_by_layer"), prompts.layers])


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Maximum, minimum and mean by task, language and kind."""
    return {"effective_scores": tidy(data[["max", "min", "mean"]])}
