"""Tokenises the segments of one language: a row per token, the prefixes to record, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from neuroglot.corpora.punctuation import words
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import FOLDS, dealt
from neuroglot.settings import Strict
from neuroglot.store import open_dataset

if TYPE_CHECKING:
    import xarray as xr
    from tokenizers import Encoding, Tokenizer

    from neuroglot.models.chat import Chat
    from neuroglot.models.chat_tokens import Encoded

Prefix = Literal["word", "subword", "last"]


class Tokenising(Strict):
    """How a text is tokenised.

    Attributes:
        prefix: where recorded prefixes end.
        long_segments: what to do with segments longer than the model's window.
    """

    prefix: Prefix
    long_segments: Literal["truncate", "refuse"]


ROW = {
    "token_id": {"units": "1", "long_name": "the token's number in the vocabulary"},
    "token": {"units": "1", "long_name": "the token's text, a space as ␣"},
    "segment": {"units": "1", "long_name": "id of the segment that the token is of"},
    "segment_index": {"units": "1", "long_name": "the segment's place in the text, from 0"},
    "segment_place": {
        "units": "1",
        "long_name": "the segment's place among those drawn, from 0, the same in every language",
    },
    "position": {
        "units": "tokens",
        "long_name": "tokens before this one in what the model reads, special tokens counted",
    },
    "end": {"units": "characters", "long_name": "length of the segment up to the token's end"},
    "ends_prefix": {"units": "1", "long_name": "whether the token ends a prefix that is recorded"},
}
"""Units and descriptions of the variables of each token."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one language of a corpus, from one model's tokenizer.

    Attributes:
        token_id: ``[row]``, one row per token that is not special, as in the next four.
        segment: the index of the token's segment.
        position: the token's place in the sequence that the model reads, with special tokens.
        end: number of the segment's characters up to the token's end.
        ends_prefix: whether the token ends a prefix that is recorded.
        segment_ids: ``[segment]``.
        places: ``[segment]``, each segment's place among those drawn, the same in every language;
            in a corpus that is not parallel, its place in the text.
        drawn: number of segments drawn for all languages; 0 in a corpus that is not parallel.
        before, after: special tokens that the tokenizer puts around every segment.
        opening: what a decoder behind an encoder reads before a segment; by default its start token
            alone.
        special: ids of special tokens that stand within segments, which a chat template wrote.
    """

    token_id: NDArray[np.int32]
    segment: NDArray[np.int32]
    position: NDArray[np.int32]
    end: NDArray[np.int32]
    ends_prefix: NDArray[np.bool_]
    segment_ids: list[str]
    before: list[int]
    after: list[int]
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    drawn: int = 0
    opening: list[int] = field(default_factory=list)
    special: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Without a draw, segments have the places of their order."""
        if not self.drawn:
            object.__setattr__(self, "places", np.arange(len(self.segment_ids)))

    @property
    def folds(self) -> NDArray[np.int64]:
        """Each segment's fold, ``[segment]``; in a parallel corpus each is one of its own."""
        segments = np.arange(len(self.segment_ids))
        return segments if self.drawn else dealt(len(segments))

    @property
    def fold_count(self) -> int:
        """Number of folds."""
        return len(self.segment_ids) if self.drawn else min(FOLDS, len(self.segment_ids))

    def sequences(self) -> list[NDArray[np.int64]]:
        """The token ids that the model reads for each segment, special tokens included."""
        starts = np.flatnonzero(np.diff(self.segment, prepend=-1))
        return [
            np.concatenate([self.before, ids, self.after]).astype(np.int64)
            for ids in np.split(self.token_id, starts[1:])
        ]


def read_tokens(store: Path) -> Tokens:
    """Read a complete token store."""
    return as_tokens(open_dataset(store, "tokens", without=["token"]))


def as_tokens(data: "xr.Dataset") -> Tokens:
    """Make ``Tokens`` of the dataset that ``tokenise`` returns."""
    index = data["segment_index"].values
    firsts = np.flatnonzero(np.diff(index, prepend=-1))
    special = {
        name: [int(token) for token in data.attrs[name]]
        for name in ("before", "after", "opening", "special")
    }
    return Tokens(
        **{name: data[name].values for name in ("token_id", "position", "end", "ends_prefix")},
        segment=index,
        segment_ids=[str(segment) for segment in data["segment"].values[firsts]],
        before=special["before"],
        after=special["after"],
        opening=special["opening"],
        special=special["special"],
        places=data["segment_place"].values[firsts].astype(np.int64),
        drawn=int(data.attrs["drawn"]),
    )


def token_counts(texts: Mapping[str, Tokens]) -> dict[str, NDArray[np.int64]]:
    """Count how often each token id occurs in languages' texts, by one tokenizer.

    Args:
        texts: the languages' texts. Those of a parallel corpus are counted over the segments that
            all of them have.

    Returns:
        ``[token id]`` by language, all of one length.
    """
    common = set.intersection(*(set(text.segment_ids) for text in texts.values()))
    size = 1 + max(int(text.token_id.max()) for text in texts.values())
    counts = {}
    for language, text in texts.items():
        counted = np.array([not text.drawn or name in common for name in text.segment_ids])
        counts[language] = np.bincount(text.token_id[counted[text.segment]], minlength=size)
    return counts


def tokenise(
    tokenizer: "Tokenizer",
    segments: Sequence[tuple[str, str]],
    prefix: Prefix,
    context_window: int | None,
    vocabulary: int,
    long_segments: Literal["truncate", "refuse"],
    places: Sequence[int] = (),
    drawn: int = 0,
    chat: "Chat | None" = None,
) -> "xr.Dataset":
    """Tokenise segments and choose the rows to record.

    With ``prefix="word"`` the last subword of every prefix that ends at a word boundary is
    recorded. With ``"subword"`` every token is recorded; if several end within one character, only
    the last of them. Prefixes of a single subword are left out (roles paper, section 3.1). With
    ``"last"`` only the text's last token is recorded, at which a model answers a prompt.

    Args:
        tokenizer: the model's tokenizer.
        segments: pairs of id and text.
        prefix: which prefixes are recorded.
        context_window: the most tokens that the model can read at once, special tokens included.
        vocabulary: number of the model's token ids.
        long_segments: whether segments longer than the window are truncated or refused.
        places: as in ``Tokens``; by default the segments' order.
        drawn: as in ``Tokens``.
        chat: segments are users' turns in this chat template, with which the tokens are those of
            the rendered chat.

    Returns:
        ``token_id, position, end, ends_prefix [row]`` with the coordinates ``token`` (its text),
        ``segment`` (the segment's id), ``segment_index`` and ``segment_place``;
        ``counts [vocabulary]`` over the whole text, including truncated parts; ``attrs``: the
        special tokens ``before`` and ``after``, ``opening`` (none), ``special``, ``prefix``,
        ``drawn``, the number of ``truncated``
        segments, and that of segments whose text is ``read_as_special`` tokens, because it spells
        them and the tokenizer cannot tell them apart.

    Raises:
        NeuroglotError: a segment has no tokens, or is longer than the window if that is refused; a
            token id is outside the vocabulary; a prompt (``"last"``) is longer than the window.
    """
    import xarray as xr

    from neuroglot.models.chat_tokens import ChatTokens

    tokenizer.no_truncation()  # a tokenizer's file may set both
    tokenizer.no_padding()
    in_chat = chat and ChatTokens(chat, tokenizer)
    encodings: Sequence[Encoding | Encoded] = (
        [in_chat.encode(text) for _, text in segments]
        if in_chat
        else tokenizer.encode_batch([text for _, text in segments])
    )
    before, after = special_tokens(encodings[0])
    room = None if context_window is None else context_window - len(before) - len(after)
    counts = np.zeros(vocabulary, np.int64)
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("token_id", "segment", "end", "position", "ends_prefix")
    }
    special = {
        index: token.content
        for index, token in tokenizer.get_added_tokens_decoder().items()
        if token.special
    }
    truncated = read_as_special = 0
    for index, ((name, text), encoding) in enumerate(zip(segments, encodings, strict=True)):
        plain = ~np.array(encoding.special_tokens_mask, bool)
        ids = np.array(encoding.ids, np.int32)[plain]
        spans = np.array(encoding.offsets, np.int32).reshape(-1, 2)[plain]
        if not len(ids):
            raise NeuroglotError(f"segment {name} ({text!r}) has no tokens; remove it")
        if ids.max() >= vocabulary:
            raise NeuroglotError(
                f"segment {name}: token {ids.max()} is outside the model's vocabulary of "
                f"{vocabulary}; the tokenizer belongs to another model"
            )
        read_as_special += not chat and any(
            special.get(token, "\0") in text for token in set(ids.tolist())
        )
        counts += np.bincount(ids, minlength=vocabulary)
        if room is not None and len(ids) > room:
            if prefix == "last":
                raise NeuroglotError(
                    f"the prompt of item {name} has {len(ids)} tokens, the model's context window "
                    f"holds {room}; shorten it, or give the task fewer shots"
                )
            if long_segments == "refuse":
                raise NeuroglotError(
                    f"segment {name} has {len(ids)} tokens, the model's context window holds "
                    f"{room}; split it, or set long_segments: truncate"
                )
            truncated += 1
            ids, spans = ids[:room], spans[:room]
        columns["token_id"].append(ids)
        columns["segment"].append(np.full(len(ids), index, np.int32))
        columns["end"].append(spans[:, 1])
        columns["position"].append(np.arange(len(ids), dtype=np.int32) + len(before))
        columns["ends_prefix"].append(_prefix_ends(text, spans, prefix))
    by_row = {name: np.concatenate(parts) for name, parts in columns.items()}
    segment_ids = np.array([name for name, _ in segments], object)
    of_token = by_row.pop("segment")
    by_segment = np.array(places if drawn else range(len(segments)), np.int64)
    labels = {
        "token": token_labels(tokenizer, by_row["token_id"]),
        "segment": segment_ids[of_token],
        "segment_index": of_token,
        "segment_place": by_segment[of_token],
    }
    return xr.Dataset(
        {
            **{name: ("row", values, ROW[name]) for name, values in by_row.items()},
            "counts": (
                "vocabulary",
                counts,
                {"units": "tokens", "long_name": "how often each token id occurs in the text"},
            ),
        },
        coords={name: ("row", values, ROW[name]) for name, values in labels.items()},
        attrs={
            "before": before,
            "after": after,
            "opening": [],
            "special": in_chat.special if in_chat else [],
            "prefix": prefix,
            "drawn": drawn,
            "truncated": truncated,
            "read_as_special": read_as_special,
        },
    )


def token_labels(tokenizer: "Tokenizer", ids: NDArray[np.int32]) -> NDArray[np.object_]:
    """The text of each token as ``models.vocabulary.token_texts`` writes it, ``[row]``."""
    from neuroglot.models.vocabulary import token_texts

    distinct, place = np.unique(ids, return_inverse=True)
    texts = np.array([*token_texts(tokenizer, distinct.tolist()), ""], object)[:-1]
    labels: NDArray[np.object_] = texts[place]
    return labels


def special_tokens(encoding: "Encoding | Encoded") -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after a text."""
    plain = np.flatnonzero(~np.array(encoding.special_tokens_mask, bool))
    first, last = (plain[0], plain[-1]) if len(plain) else (len(encoding.ids), len(encoding.ids))
    return list(encoding.ids[:first]), list(encoding.ids[last + 1 :])


def _prefix_ends(text: str, spans: NDArray[np.int32], prefix: Prefix) -> NDArray[np.bool_]:
    """Mark the tokens that end a recorded prefix."""
    starts, ends = spans.T
    chosen = np.zeros(len(spans), bool)
    if prefix == "last":
        chosen[-1] = True
        return chosen
    if prefix == "subword":
        chosen[:-1] = ends[:-1] != ends[1:]
        chosen[-1] = True
    else:
        for start, end in words(text):
            if end <= ends.max():  # else the word's last subword was truncated
                chosen[np.flatnonzero((starts < end) & (ends > start))[-1:]] = True
    chosen[0] = False
    return chosen
