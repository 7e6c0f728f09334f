"""Reads held-out text, for judging models with and without some of their neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.capture.perplexity import predicted
from neuroglot.corpora.punctuation import strip_punctuation
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import common_segments
from neuroglot.models.card import read_tokenizer
from neuroglot.provenance import digest
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokens, read_tokens


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One language's held-out text.

    Attributes:
        language: id.
        ids: ids of the judged segments; in a parallel corpus the same in every language.
        segments: the judged segments' token ids, cut to ``tokens_per_segment``, without special
            tokens.
        whole: token ids of all held-out segments that the languages have in common, uncut; the
            judged ones are the first.
        before: special tokens that the model reads before a segment.
        parallel: whether a segment has the same id in every language.
        fingerprint: fingerprint of the judged text.
    """

    language: str
    ids: list[str]
    segments: list[NDArray[np.int64]]
    whole: list[NDArray[np.int64]]
    before: list[int]
    parallel: bool
    fingerprint: str

    @property
    def labels(self) -> Sequence[str]:
        """What names a segment across languages: its id, or its number if nothing is parallel."""
        return self.ids if self.parallel else [str(number) for number in range(len(self.ids))]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Number of tokens that perplexity is over, ``[segment]``."""
        return predicted(self.segments, self.before)


def read_held_out(
    model: Path,
    held_out: Mapping[str, Path],
    chosen_on: Mapping[str, Path],
    settings: PerplexitySettings,
    languages: Sequence[str],
) -> list[HeldOut]:
    """Read every language's held-out text, in the order of ``languages``.

    Of a parallel corpus, only segments are read that all ``languages`` have, in the order in which
    they were drawn. A segment of a single token is left out, which may leave nothing to predict.

    Args:
        model: folder of the model.
        held_out: the languages' held-out tokens.
        chosen_on: tokens of the text that neurons or experts were chosen on; it may lack languages.
        settings: which segments are judged, and how much of each.
        languages: languages to read.

    Raises:
        NeuroglotError: a language's text has no segment of two tokens, or shares a segment with the
            text that neurons were chosen on; or, in a parallel corpus, as ``common_segments``.
    """
    tokenizer = read_tokenizer(model)
    texts = {language: read_tokens(held_out[language]) for language in languages}
    for language in [language for language in languages if language in chosen_on]:
        _refuse_seen(tokenizer, held_out[language], texts[language], chosen_on[language])
    chosen = {language: _in_order(tokens) for language, tokens in texts.items()}
    parallel = all(tokens.drawn for tokens in texts.values())
    if parallel:
        ids = {i: [texts[i].segment_ids[at] for at in order] for i, order in chosen.items()}
        common = common_segments(ids, settings.corpus)
        chosen = {language: order[common[language]] for language, order in chosen.items()}
    read = []
    for language, tokens in texts.items():
        if not len(chosen[language]):
            raise NeuroglotError(
                f"{held_out[language]}: no segment has two tokens or more; give more held-out text"
            )
        sequences = _by_segment(tokens)
        whole = [sequences[at] for at in chosen[language]]
        judged = [tokens.segment_ids[at] for at in chosen[language][: settings.segments]]
        completion = store.read_completion(held_out[language]).fingerprint
        read.append(
            HeldOut(
                language=language,
                ids=judged,
                segments=[part[: settings.tokens_per_segment] for part in whole[: len(judged)]],
                whole=whole,
                before=tokens.before,
                parallel=parallel,
                fingerprint=digest([completion, judged, settings.tokens_per_segment]),
            )
        )
    return read


def _in_order(tokens: Tokens) -> NDArray[np.intp]:
    """Indices of the segments of two tokens or more, in the order in which they were drawn."""
    long = np.bincount(tokens.segment, minlength=len(tokens.segment_ids)) > 1
    order: NDArray[np.intp] = np.argsort(tokens.places, kind="stable")
    return order[long[order]]


def _by_segment(tokens: Tokens) -> list[NDArray[np.int64]]:
    """Token ids of each segment, without special tokens."""
    starts = np.flatnonzero(np.diff(tokens.segment, prepend=-1))
    return np.split(tokens.token_id.astype(np.int64), starts[1:])


def _refuse_seen(tokenizer: Tokenizer, path: Path, tokens: Tokens, other: Path) -> None:
    """Raise an error if two texts share a segment, ignoring punctuation."""
    held_out = dict(zip(_bare(tokenizer, tokens), tokens.segment_ids, strict=True))
    for text in _bare(tokenizer, read_tokens(other)):
        if text in held_out:
            raise NeuroglotError(
                f"{path}: segment {held_out[text]} also stands in {other}, on which neurons "
                "were chosen, so it is not held out; set skip_segments or take another text"
            )


def _bare(tokenizer: Tokenizer, tokens: Tokens) -> list[str]:
    """The segments' text without punctuation, because only one of the corpora may have kept it."""
    texts = tokenizer.decode_batch([ids.tolist() for ids in tokens.sequences()])
    return [strip_punctuation(text) for text in texts]
