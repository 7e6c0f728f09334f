"""Tokenises what chat templates write: their special tokens are special, a prompt's are text."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from neuroglot.errors import NeuroglotError
from neuroglot.models.chat import TRIMS, Chat

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Encoded(NamedTuple):
    """Tokens of a rendered chat, as tokenizers' ``Encoding`` gives them.

    Attributes:
        ids: ``[token]``.
        offsets: the characters of the rendered chat that each token covers.
        special_tokens_mask: 0 for every token: what the template writes is part of the prompt.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]


@dataclass(frozen=True, eq=False)
class ChatTokens:
    """Tokenises texts as users' turns.

    Attributes:
        chat: what the model's chat template writes.
        tokenizer: the model's tokenizer.
    """

    chat: Chat
    tokenizer: "Tokenizer"

    def encode(self, text: str, answer: str = "") -> Encoded:
        """Tokenise a user's text, and the begin of an answer to it, as the template writes them.

        Raises:
            NeuroglotError: the text or the answer spells a special token, and the tokenizer cannot
                tell it from the token.
        """
        chat = self.chat
        text, answer = TRIMS[chat.trim](text), (chat.blank if answer else "") + answer
        start = len(chat.before)
        opened = start + len(text) + len(chat.after)
        whole = chat.before + text + chat.after + answer
        foreign = [(start, start + len(text)), (opened, len(whole))]
        spelt = [
            match.span()
            for match in self._pattern.finditer(whole)
            if any(match.start() < end and begin < match.end() for begin, end in foreign)
        ]
        with _special_tokens(self.tokenizer):
            return _encode(self.tokenizer, whole, spelt)

    @cached_property
    def special(self) -> list[int]:
        """The special tokens that the template writes, ascending."""
        there = [token for token in self._control if token in self._written]
        return sorted(self.tokenizer.token_to_id(token) or 0 for token in there)

    @property
    def _written(self) -> str:
        return self.chat.before + self.chat.after

    @cached_property
    def _control(self) -> list[str]:
        """Special tokens, and others that the tokenizer was given and the template writes."""
        return [
            token.content
            for token in self.tokenizer.get_added_tokens_decoder().values()
            if token.special or (token.content in self._written and not token.content.isspace())
        ]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._control, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


@contextmanager
def _special_tokens(tokenizer: "Tokenizer") -> Iterator[None]:
    """Let a tokenizer read spelled special tokens as these tokens."""
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = False
    try:
        yield
    finally:
        tokenizer.encode_special_tokens = before


def _encode(tokenizer: "Tokenizer", whole: str, spelt: Sequence[tuple[int, int]]) -> Encoded:
    """Tokenise a chat in which the special tokens at ``spelt`` are text.

    The chat is cut there, as transformers does with ``sanitize_control_tokens``.
    """
    cuts = [0, *(place for span in spelt for place in span), len(whole)]
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        if start == end:
            continue
        of_piece, spans = _piece(tokenizer, whole[start:end], number % 2 == 1, start > 0)
        ids += of_piece
        offsets += [(start + first, start + last) for first, last in spans]
    return Encoded(ids, offsets, [0] * len(ids))


def _piece(
    tokenizer: "Tokenizer", piece: str, as_text: bool, within: bool
) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokenise a piece of a chat, ``as_text`` without the tokenizer's added tokens.

    Within a chat a piece is read after a line feed, which is taken away again, because
    SentencePiece puts a blank before a text's begin.
    """
    read = _without_added if as_text else _with_added
    ids, spans = read(tokenizer, piece)
    if within:
        feed, _ = read(tokenizer, "\n")
        fed, over = read(tokenizer, "\n" + piece)
        if fed[: len(feed)] == feed:
            ids, spans = fed[len(feed) :], [(a - 1, b - 1) for a, b in over[len(feed) :]]
    if as_text and tokenizer.token_to_id(piece) in ids:
        raise NeuroglotError(
            f"a prompt or an answer spells {piece!r}, which the tokenizer cannot tell from its own "
            "token of this name; change the text"
        )
    return ids, spans


def _with_added(tokenizer: "Tokenizer", text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


def _without_added(tokenizer: "Tokenizer", text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokenise a text without added tokens, special or not; each token is said to cover it all."""
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    splits = [normal]
    if tokenizer.pre_tokenizer:
        splits = [split for split, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]
    ids = [token.id for split in splits for token in tokenizer.model.tokenize(split)]
    return ids, [(0, len(text))] * len(ids)
