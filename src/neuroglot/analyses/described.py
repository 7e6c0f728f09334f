"""Descriptions in a step's dataset: a sentence for each variable, and the origin of its inputs.

No number depends on these words. A change of words reruns nothing.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import xarray as xr

from neuroglot import layout, store
from neuroglot.measures.axes import LAYERS
from neuroglot.measures.bootstrap import ENDS
from neuroglot.measures.folds import FOLDS
from neuroglot.models.card import CARD

AXES: Mapping[str, str] = {
    **LAYERS,
    "layer_a": f"{LAYERS['layer']}: of the first model",
    "layer_b": f"{LAYERS['layer']}: of the second model",
    "state": "state of the residual stream, counted from 0 over all stacks",
    "stack_state": "layers of its stack that the state has passed: 0 enters the first",
    "expert": "routed expert that the neuron is in; -1 if every token passes through it",
    "expert_neuron": "number of the neuron within its expert, or among those that every token "
    "passes through",
    "language": "BCP 47 tag of the language",
    "language_a": "BCP 47 tag of the first language",
    "language_b": "BCP 47 tag of the second language",
    "language_other": "BCP 47 tag of the language that it is compared with",
    "family": "family of the language",
    "genus": "genus of the language within its family",
    "script": "script that the language is written in",
    "corpus": "id of the corpus",
    "corpus_a": "id of the first corpus",
    "corpus_b": "id of the second corpus",
    "segment": "id of the segment, the same in every language",
    "task": "id of the task",
    "scoring": "how answers to the task are judged",
    "model": "id of the model",
    "model_a": "id of the first model",
    "model_b": "id of the second model",
    "site": "act: the neurons' activations, input of the FFN's output matrix; out: its output",
    "fold": f"fold of segments: segment i lies in fold i modulo {FOLDS}",
}
"""The sentences of coordinates that several steps have."""

SECTIONS = ("models", "corpora", "tasks", "languages")

MadeFrom = dict[str, list[str]]
"""The ids that a store or dataset was made from, by SECTIONS."""


def described(data: xr.Dataset, sentences: Mapping[str, str]) -> xr.Dataset:
    """Give variables their sentences as ``long_name``; coordinates without units get "1".

    Args:
        data: dataset of a step; it is not changed.
        sentences: sentences by variable or coordinate. ``x_low`` and ``x_high`` take the sentence
            of ``x``. Coordinates in AXES need no sentence.

    Returns:
        A copy with the same values. Variables without a sentence get no ``long_name``.
    """
    data = data.copy()
    for name, variable in data.variables.items():
        known = {**AXES, **sentences} if name in data.coords else sentences
        if sentence := _sentence(str(name), known):
            variable.attrs["long_name"] = sentence
        if name in data.coords:
            variable.attrs.setdefault("units", "1")
    return data


def _sentence(name: str, sentences: Mapping[str, str]) -> str | None:
    if name in sentences:
        return sentences[name]
    for end, which in zip(ENDS, ("lower", "upper"), strict=True):
        bounded = name.removesuffix(end)
        if bounded != name and bounded in sentences:
            return f"{which} end of the 95 % interval of: {sentences[bounded]}"
    return None


def made_from(paths: Iterable[Path]) -> MadeFrom:
    """List the models, corpora, tasks and languages that a step's inputs are or were made from.

    Args:
        paths: folders of models, stores, and Parquet files of texts or tasks, whose paths name
            their contents.
    """
    all_ids: dict[str, dict[str, None]] = {section: {} for section in SECTIONS}
    for path in paths:
        for section, ids in _named_by(path).items():
            all_ids[section].update(dict.fromkeys(ids))
    return {section: list(ids) for section, ids in all_ids.items()}


def _named_by(path: Path) -> MadeFrom:
    if (path / CARD).is_file():
        return {"models": [path.name]}
    if path.suffix == ".parquet":
        return _read_from(path)
    completion = store.read_completion(path)
    origin = completion.origin
    if completion.content == "reduction":
        earlier: MadeFrom = origin.get("made_from", {})
        return earlier
    sources = "tasks" if origin.get("name") == "prompts" else "corpora"
    labels = {"models": "model", sources: "corpus", "languages": "language"}
    return {section: [origin[label]] for section, label in labels.items() if label in origin}


def _read_from(path: Path) -> MadeFrom:
    """Read the corpus or task, and the language, from a path of ``layout.corpus`` or ``items``."""
    match path.parts[-4:]:
        case (layout.RESULTS.name, "corpora" | "tasks" as section, name, _):
            return {section: [name], "languages": [path.stem]}
    return {}
