"""How much each kind of neuron speaks for the gold answer (tables 1 and 4, figure 10)."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot.analyses.sharing.bounds import OF_LANGUAGES, named_ends, with_bounds
from neuroglot.analyses.sharing.measures.contribution import (
    SCORES,
    ScoreStatistics,
    effective_score,
    score_statistics,
)
from neuroglot.analyses.sharing.measures.kinds import KINDS
from neuroglot.analyses.sharing.measures.maxima import maximum_interval, resampled_maxima
from neuroglot.analyses.sharing.prompts import (
    Prompts,
    by_task,
    encoded,
    kinds_of,
    open_prompts,
    read_task,
)
from neuroglot.capture.questions import Question
from neuroglot.measures.bootstrap import ratio_interval
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.tables import tidy

HIGHEST = "max_by_layer"
Scores: TypeAlias = dict[str, list[ScoreStatistics]]
"""By language, layer after layer."""


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
        scores = _scores(one, layers, rows, gold, settings["threshold"])
        found[one.task] = xr.merge([_task(scores, gold, settings["replicates"]), one.layers])
    return by_task(found).reindex(language=settings["languages"])


def _first_tokens(questions: Sequence[Question]) -> NDArray[np.int64]:
    """The first token of each gold answer, -1 for none."""
    return np.array([question.gold[0][0] if question.gold[0] else -1 for question in questions])


def _scores(
    prompts: Prompts,
    ffns_: Sequence[FFN],
    rows: dict[str, NDArray[np.float32]],
    gold: dict[str, NDArray[np.int64]],
    threshold: float,
) -> Scores:
    """Each language's statistics in every layer, of the items that have a gold token."""
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


def _task(scores: Scores, gold: dict[str, NDArray[np.int64]], replicates: int) -> xr.Dataset:
    """Summaries over all layers, and the highest score in each, with intervals over items."""
    axis = xr.Variable("language", np.array(list(scores), str))
    whole = xr.concat([reduce(add, found).dataset() for found in scores.values()], axis)
    by_layer = xr.concat(
        [xr.concat([one.dataset()["max"] for one in found], "layer") for found in scores.values()],
        axis,
    )
    average = by_layer.mean("language")
    items = _by_item(scores, {language: first >= 0 for language, first in gold.items()})
    in_layers = resampled_maxima(items["max"], replicates)
    above = resampled_maxima(items["max"].max("layer"), replicates)
    below = resampled_maxima(-items["min"].min("layer"), replicates)
    pairs = items[["sum", "count"]].sum("layer").rename(item="fold")
    bounds = {
        "max": maximum_interval(whole["max"], above),
        "min": (whole["min"], -maximum_interval(-whole["min"], below)[0]),
        "mean": ratio_interval(pairs["sum"], pairs["count"], replicates),
        HIGHEST: maximum_interval(by_layer, in_layers),
        HIGHEST + OF_LANGUAGES: maximum_interval(average, in_layers.mean("language")),
    }
    found = {HIGHEST: by_layer, HIGHEST + OF_LANGUAGES: average} | named_ends(bounds)
    return whole.assign({name: values.assign_attrs(SCORES) for name, values in found.items()})


def _by_item(scores: Scores, judged: dict[str, NDArray[np.bool_]]) -> xr.Dataset:
    """What ``ScoreStatistics`` counts by item, (language, layer, item, kind).

    Items that are not judged, and those without a neuron of the kind, have no ``max`` and ``min``.
    """
    first = next(iter(judged.values()))
    dims = ("language", "layer", "item", "kind")
    found = {}
    for name, nothing in {"sum": 0, "count": 0, "max": np.nan, "min": np.nan}.items():
        by_language = []
        for language, own in scores.items():
            values = np.stack([getattr(one, name) for one in own])  # [layer, item, kind]
            full = np.full((len(own), len(first), len(KINDS)), nothing, np.float64)
            full[:, judged[language]] = np.where(np.isinf(values), np.nan, values)
            by_language.append(full)
        found[name] = (dims, np.stack(by_language))
    return xr.Dataset(found, {"language": list(scores), "kind": list(KINDS)})


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Maximum, minimum and mean by task, language and kind; maxima by layer."""
    return {
        "effective_scores": tidy(data[with_bounds("max", "min", "mean")]),
        "effective_by_layer": tidy(data[with_bounds(HIGHEST)]),
    }
