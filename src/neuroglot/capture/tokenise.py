"""Tokenises texts with a model's tokenizer."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neuroglot import store
from neuroglot.corpora.base import Reading, read_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import ModelCard, read_card, read_tokenizer
from neuroglot.models.chat import Chat
from neuroglot.models.tags import opening, with_own_tag
from neuroglot.provenance import fingerprint
from neuroglot.tokens import Prefix, Tokenising, tokenise

if TYPE_CHECKING:
    import xarray as xr
    from tokenizers import Tokenizer

CODE = f"{__name__}:write_tokens"


def tokenizer_of(model: Path) -> "Tokenizer":
    """The tokenizer of a model, read once: that of 262,144 tokens takes a second."""
    return _tokenizer(model, read_card(model).sha256)


@cache
def _tokenizer(model: Path, _content: str) -> "Tokenizer":
    return read_tokenizer(model)


def write_tokens(
    model: Path, corpus: Path, output: Path, chosen: Tokenising, key: str = ""
) -> None:
    """Write the token store of a corpus file ``results/corpora/{corpus}/{language}.parquet``.

    ``key`` is that of all that the store is made from.
    """
    card, reading = read_card(model), read_parquet(corpus)
    origin = {
        "model": model.name,
        "corpus": corpus.parent.name,
        "language": corpus.stem,
        "card": card.sha256,
        "text": reading.content,
        "settings": chosen.model_dump(),
        "code": fingerprint(CODE),
    }
    if store.begin(output, "tokens", origin, key=key):
        return
    data = tokenised(
        card, tokenizer_of(model), corpus, reading, chosen.long_segments, chosen.prefix
    )
    store.write_dataset(output, data)
    counts = {"rows": data.sizes["row"], "segments": len(reading.segments)}
    store.complete(output, "tokens", origin, counts, key)
    prefixes = int(data["ends_prefix"].sum())
    print(
        f"{corpus.parent.name} {corpus.stem}: {counts['rows']} tokens, {prefixes} prefixes in "
        f"{counts['segments']} segments"
    )


def tokenised(
    card: ModelCard,
    tokenizer: "Tokenizer",
    source: Path,
    reading: Reading,
    long_segments: Literal["truncate", "refuse"],
    prefix: Prefix = "subword",
    chat: Chat | None = None,
    answered_in: str = "",
) -> "xr.Dataset":
    """Tokenise a reading of ``source`` as ``tokens.tokenise``; warn if segments are truncated.

    Where the tokenizer puts a language's tag beside each text, it is that of ``source``'s language;
    before what a decoder reads it is that of ``answered_in``, if that is given.

    Raises:
        NeuroglotError: as ``tokens.tokenise`` and ``models.tags.with_own_tag``; names ``source``.
    """
    window, vocabulary = card.context_window, card.vocabulary
    try:
        data = tokenise(
            tokenizer,
            reading.segments,
            prefix,
            window,
            vocabulary,
            long_segments,
            reading.places,
            reading.drawn,
            chat,
        )
        of_text = data.attrs["before"], data.attrs["after"]
        data.attrs.update(beside(card, tokenizer, of_text, source.stem, answered_in))
    except NeuroglotError as error:
        raise NeuroglotError(f"{source}: {error}") from error
    if data.attrs["truncated"]:
        print(
            f"warning: {data.attrs['truncated']} segments of {source} were longer than the model's "
            f"context window of {window} tokens and were truncated"
        )
    if data.attrs["read_as_special"]:
        print(
            f"warning: {data.attrs['read_as_special']} segments of {source} spell special tokens "
            "such as <s>, and the model's tokenizer reads them as these tokens; remove them from "
            "the text"
        )
    return data


def beside(
    card: ModelCard,
    tokenizer: "Tokenizer",
    usual: tuple[Sequence[int], Sequence[int]],
    language: str,
    answered_in: str = "",
) -> dict[str, list[int]]:
    """The special tokens beside a language's texts, with the language's own tag.

    Args:
        card: the model's card.
        tokenizer: its tokenizer.
        usual: what the tokenizer puts before and after any text, see ``tokens.special_tokens``.
        language: of the texts.
        answered_in: language of what a decoder behind an encoder reads; the texts' if left out.

    Returns:
        ``before``, ``after`` and ``opening``, see ``tokens.Tokens``.

    Raises:
        NeuroglotError: a language has no tag, or the model's vocabulary lacks it.
    """
    tags, start = card.language_tags, card.decoder_start
    before, after = (with_own_tag(ids, tokenizer, language, tags) for ids in usual)
    opens: list[int] = []
    if start is not None:
        opens = opening(tokenizer, start, (*usual[0], *usual[1]), answered_in or language, tags)
    for token in (*before, *after, *opens):
        if token >= card.vocabulary:
            raise NeuroglotError(
                f"{tokenizer.id_to_token(token)}, which is put beside each text, is token {token}, "
                f"outside the model's vocabulary of {card.vocabulary}"
            )
    return {"before": before, "after": after, "opening": opens}
