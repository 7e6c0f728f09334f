"""Recorded hidden states of parallel segments, and the segments' tokens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.transfer.measures.lists import HALVES
from neuroglot.analyses.transfer.settings import most_neighbours, too_near
from neuroglot.capture.settings import Pool
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.provenance import digest
from neuroglot.tokens import Tokens, read_tokens

SITES: dict[Pool, str] = {"last": "state", "mean": "mean"}


@dataclass(frozen=True)
class States:
    """One language's recorded segments.

    Attributes:
        path: path of the recorded group.
        language: id.
        segments: ids of the segments; languages opened together have the same segments.
        rows: ``[segment]``, the segments' rows in the store.
        stack, stack_layer: ``[layer]``, ``encoder`` or ``decoder``, and the layer's number in it;
            the encoder's layers come first.
    """

    path: Path
    language: str
    segments: list[str]
    rows: NDArray[np.int64]
    stack: NDArray[np.str_]
    stack_layer: NDArray[np.int64]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the recording."""
        return store.read_completion(self.path, "activations").fingerprint

    def act(self, layers: int | slice) -> NDArray[np.float32]:
        """Read ``act`` at the last token: ``[segment, neuron]`` of a layer, or ``[layer, ...]``.

        The width is the widest layer's; padding neurons of narrower layers are NaN.
        """
        return self._read("act", layers)

    def fires(self, layer: int) -> NDArray[np.float32]:
        """Read where neurons fire at the last token, ``[segment, neuron]``: 1, 0, or NaN (padding).

        The gate decides in gated models, where the sign of ``act`` is chance.
        """
        site = store.read_completion(self.path, "activations").origin["group"]["site"]
        values = self._read(site, layer)
        return np.where(np.isnan(values), np.nan, values > 0).astype(np.float32)

    def mid(self, layers: int | slice) -> NDArray[np.float32]:
        """Read the stream before the FFN, at the last token: ``[segment, hidden]`` of a layer."""
        return self._read("mid", layers)

    def states(self, pool: Pool, states: int | slice = slice(None)) -> NDArray[np.float32]:
        """Read the residual stream at the last token, or its mean over tokens.

        ``[segment, hidden]`` of one state, or ``[state, segment, hidden]`` of several states.
        """
        return self._read(SITES[pool], states)

    def tokens(self, tokens: Path) -> Tokens:
        """Read the recorded segments' tokens, in the order of ``segments``, from their store.

        Raises:
            NeuroglotError: other tokens were recorded.
        """
        origin = store.read_completion(self.path, "activations").origin
        if origin["tokens"] != store.read_completion(tokens, "tokens").fingerprint:
            raise NeuroglotError(
                f"{self.path} was recorded of other tokens than {tokens}; make it again"
            )
        return _chosen(read_tokens(tokens), self.rows)

    def _read(self, site: str, layers: int | slice) -> NDArray[np.float32]:
        return store.read_rows(self.path, site, layers)[..., self.rows, :]


def open_states(
    paths: Mapping[str, Path], languages: Sequence[str], pivot: str
) -> dict[str, States]:
    """Open the languages' recorded states, with the segments common to all languages.

    Args:
        paths: the languages' recorded groups, for one model.
        languages: ids, in the order of the result.
        pivot: the language that determines the order of the segments.

    Returns:
        States by language; all have the same segments in the same order.

    Raises:
        NeuroglotError: a language's states are missing or damaged, two were recorded differently,
            or fewer than two segments are common to all.
    """
    if pivot not in languages:
        raise NeuroglotError(unknown_name("pivot", pivot, languages))
    if missing := [language for language in languages if language not in paths]:
        raise NeuroglotError(
            f"the states of {', '.join(map(repr, missing))} are not among the inputs; record them"
        )
    completions = {
        paths[language]: store.read_completion(paths[language], "activations")
        for language in languages
    }
    store.require_same(completions, ["model", "corpus", "card", "settings"])
    labels = {
        language: store.open_dataset(
            paths[language], "activations", without=[*store.SITES, "token"]
        )
        for language in languages
    }
    ids = {language: rows["segment"].values.tolist() for language, rows in labels.items()}
    common = set.intersection(*map(set, ids.values()))
    if len(common) < 2:
        raise NeuroglotError(
            f"{len(common)} segment(s) stand in all of {', '.join(languages)}, and states are "
            "compared between parallel segments; give a corpus with the same segment ids"
        )
    segments = [segment for segment in ids[pivot] if segment in common]
    return {
        language: States(
            path=paths[language],
            language=language,
            segments=segments,
            rows=pd.Index(ids[language]).get_indexer(segments),
            stack=labels[language]["stack"].values,
            stack_layer=labels[language]["stack_layer"].values,
        )
        for language in languages
    }


def check_neighbours(k: Sequence[int], segments: Sequence[str]) -> None:
    """Refuse a number of neighbours ``k`` that is over a quarter of the other segments."""
    if max(k) > most_neighbours(len(segments)):
        raise NeuroglotError(f"transfer.k: {too_near(max(k), len(segments))}")


def halves(segments: Sequence[str]) -> NDArray[np.str_]:
    """Divide segments at random into two halves, by the hash of their ids: ``[segment]`` of HALVES.

    A segment is in the same half in every language. If the number is odd, the second half has one
    segment more.
    """
    order = sorted(range(len(segments)), key=lambda row: digest(["half", segments[row]]))
    half = np.full(len(segments), HALVES[1])
    half[order[: len(segments) // 2]] = HALVES[0]
    return half


def state_axis(states: States) -> dict[str, Any]:
    """Give the coordinates ``state``, ``stack(state)`` and ``stack_state(state)``.

    ``stack_state`` counts a stack's states. Its state 0 is the embeddings; its last state, the
    number of its layers, is the state after its last layer and before the final norm.
    """
    depths = Counter(states.stack.tolist())
    stack = [name for name, depth in depths.items() for _ in range(depth + 1)]
    stack_state = [state for depth in depths.values() for state in range(depth + 1)]
    return {
        "state": np.arange(len(stack)),
        "stack": ("state", stack),
        "stack_state": ("state", stack_state),
    }


def states_after(states: States) -> list[int]:
    """Give the number of the state after each layer, ``[layer]``; see ``state_axis``."""
    stacks = list(dict.fromkeys(states.stack.tolist()))  # each has a state before its first layer
    return [layer + stacks.index(stack) + 1 for layer, stack in enumerate(states.stack.tolist())]


def _chosen(text: Tokens, segments: NDArray[np.int64]) -> Tokens:
    """Select the segments of a text, in the order of ``segments``."""
    lengths = np.bincount(text.segment, minlength=len(text.segment_ids))
    starts = np.cumsum(lengths) - lengths
    rows = np.concatenate([np.arange(starts[s], starts[s] + lengths[s]) for s in segments])
    columns = ("token_id", "position", "end", "ends_prefix")
    return replace(
        text,
        **{name: getattr(text, name)[rows] for name in columns},
        segment=np.repeat(np.arange(len(segments), dtype=np.int32), lengths[segments]),
        segment_ids=[text.segment_ids[s] for s in segments],
    )
