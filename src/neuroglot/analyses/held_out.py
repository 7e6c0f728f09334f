"""Reads held-out text, for judging models with and without some of their neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.capture.perplexity import predicted, windows
from neuroglot.corpora.punctuation import strip_punctuation
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_tokenizer
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokens, read_tokens


@dataclass(frozen=True)
class HeldOut:
    """One language's held-out text.

    Attributes:
        language: id.
        windows: token ids ``[window, position]``.
        before: special tokens that the model reads before a window.
        fingerprint: fingerprint of the windows.
    """

    language: str
    windows: NDArray[np.int64]
    before: list[int]
    fingerprint: str

    @property
    def predicted_tokens(self) -> int:
        """Number of tokens that perplexity is over."""
        return len(self.windows) * predicted(self.windows, self.before)


def read_held_out(
    model: Path,
    held_out: Mapping[str, Path],
    chosen_on: Mapping[str, Path],
    settings: PerplexitySettings,
    languages: Sequence[str],
) -> list[HeldOut]:
    """Cut every language's held-out text into windows, in the order of ``languages``.

    Args:
        model: folder of the model.
        held_out: the languages' held-out tokens.
        chosen_on: tokens of the text that neurons or experts were chosen on; it may lack languages.
        settings: how the text is cut.
        languages: languages to read.

    Raises:
        NeuroglotError: a language's text is shorter than one window, or shares a segment with the
            text that neurons were chosen on.
    """
    tokenizer = read_tokenizer(model)
    texts = []
    for language in languages:
        path = held_out[language]
        tokens = read_tokens(path)
        if language in chosen_on:
            _refuse_seen(tokenizer, path, tokens, chosen_on[language])
        try:
            cut = windows(tokens, settings.window, settings.windows)
        except NeuroglotError as error:
            raise NeuroglotError(f"{path}: {error}") from error
        texts.append(HeldOut(language, cut, tokens.before, store.read_completion(path).fingerprint))
    return texts


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
