"""Counts the tokens of a corpus in all languages with one model's tokenizer (section 4.2)."""

from collections.abc import Mapping
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.base import StepSettings
from neuroglot.analyses.lexicon.settings import CountsInputs
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.corpora.base import read_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import FOLDS
from neuroglot.models.card import ModelCard, read_card, read_tokenizer
from neuroglot.packages import file_sha256
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH_SEGMENTS = 4096

VARIABLES: Mapping[str, str] = {
    "token": "id of the token in the model's vocabulary",
    "count": "how often the token occurs in the language's text",
    "fold_count": "how often the entry's token occurs in the entry's fold of segments",
    "fold_language": "language of the entry, as place along language",
    "fold_token": "id of the entry's token",
    "fold": "fold of segments of the entry",
}


def compute(inputs: CountsInputs, settings: StepSettings) -> xr.Dataset:
    """Give ``count [language, token]`` for the tokens of any language, with ascending ids.

    Counts by fold of segments are listed where they are not zero, about one in a thousand:
    ``fold_count [entry]`` for ``fold_language`` (index), ``fold_token`` (id) and ``fold``.

    Each language's counts are stored, and reused while its text, the model and this code are the
    same. The tokenizer is loaded once, and only if a language must be counted.
    """
    card = read_card(inputs.model)
    counter = Counter(inputs.model, card)
    counted = []
    with progress(len(settings.languages), "languages", f"tokens of {inputs.model.name}") as bar:
        for language in settings.languages:
            path = inputs.texts[language]
            made_from = digest([file_sha256(path), card.sha256, fingerprint(__name__)])
            kept = inputs.work.pieces / f"{language}.npz"
            counted.append(piece(kept, made_from, partial(counter.count, language, path)))
            bar.update()
    token, fold, fold_count = (
        np.concatenate([entries[name] for entries in counted])
        for name in ("token", "fold", "count")
    )
    of_language = np.repeat(np.arange(len(counted)), [len(entries["token"]) for entries in counted])
    seen, place = np.unique(token, return_inverse=True)
    count = np.zeros((len(counted), len(seen)), np.int64)
    np.add.at(count, (of_language, place), fold_count)
    units = {"units": "tokens", "source": "section 4.2"}
    return xr.Dataset(
        {
            "count": (("language", "token"), count, units),
            "fold_language": ("entry", of_language, {"units": "index of language"}),
            "fold_token": ("entry", token, {"units": "id of token"}),
            "fold": ("entry", fold, {"units": "index of fold"}),
            "fold_count": ("entry", fold_count, units),
        },
        coords={"language": settings.languages, "token": seen},
    )


class Counter:
    """Counts the tokens of texts; special tokens, such as language tags, are left out."""

    def __init__(self, model: Path, card: ModelCard) -> None:
        self.model = model
        self.vocabulary = card.vocabulary

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer, without truncation or padding that its file may set."""
        tokenizer = read_tokenizer(self.model)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def special(self) -> NDArray[np.int64]:
        """Ids of special tokens."""
        added = self.tokenizer.get_added_tokens_decoder()
        return np.array([index for index, token in added.items() if token.special], np.int64)

    def count(self, language: str, path: Path) -> Piece:
        """Count a language's text: ``token`` id, ascending, ``fold`` and ``count``, [entry].

        Raises:
            NeuroglotError: the text has no token to count, or a token is outside the vocabulary.
        """
        keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        texts = [segment.text for segment in read_parquet(path).segments]
        for start in range(0, len(texts), BATCH_SEGMENTS):
            encodings = self.tokenizer.encode_batch_fast(
                texts[start : start + BATCH_SEGMENTS], add_special_tokens=False
            )
            lengths = [len(encoding.ids) for encoding in encodings]
            ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int64)
            if ids.max(initial=0) >= self.vocabulary:
                raise NeuroglotError(
                    f"{path}: token {ids.max()} is outside the vocabulary of {self.vocabulary} of "
                    f"{self.model}; the tokenizer belongs to another model"
                )
            fold = (start + np.arange(len(encodings))) % FOLDS
            new = ids * FOLDS + np.repeat(fold, lengths)
            added = np.concatenate([counts, np.ones_like(new)])
            keys, place = np.unique(np.concatenate([keys, new]), return_inverse=True)
            counts = np.zeros_like(keys)
            np.add.at(counts, place, added)
        tokens, folds = np.divmod(keys, FOLDS)
        plain = ~np.isin(tokens, self.special)  # a text may contain special tokens
        if not plain.any():
            raise NeuroglotError(
                f"{path}: the text of language {language!r} has no token that can be counted, "
                f"only special or unknown ones, with the tokenizer of {self.model}; "
                "leave the language out"
            )
        return {
            "token": tokens[plain],
            "fold": folds[plain].astype(np.int16),
            "count": counts[plain],
        }
