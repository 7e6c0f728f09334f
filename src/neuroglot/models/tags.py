"""The tag of a text's language that multilingual encoder-decoders read beside the text.

Their tokenizers put one language's tag, mostly that of English, around every text: NLLB-200
``eng_Latn``, M2M100 ``__en__``, mBART ``en_XX``. Here each language gets its own, in the encoder
and in the decoder.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import langcodes

from neuroglot.errors import NeuroglotError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# NLLB's script is part of the language; mBART's country is not: its ar_AR is all of Arabic.
_FORMS = (
    re.compile(r"(?P<code>[a-z]{3}_[A-Z][a-z]{3})"),
    re.compile(r"(?P<code>[a-z]{2})_[A-Z]{2}"),
    re.compile(r"__(?P<code>[a-z]{2,3})__"),
)
NEAREST = 1
"""The largest distance (CLDR's, see langcodes) at which two tags are one language: nb and no."""


def with_own_tag(
    ids: Sequence[int], tokenizer: "Tokenizer", language: str, chosen: Mapping[str, str]
) -> list[int]:
    """Replace a language tag among special tokens by that of the text's language.

    Args:
        ids: special tokens that the tokenizer puts before or after a text.
        tokenizer: the model's tokenizer.
        language: the text's language.
        chosen: tags by language, which go before those that are recognised.

    Raises:
        NeuroglotError: there is a tag, and none is known for the language.
    """
    tags = set(tags_of(tokenizer, ids))
    return [_own(tokenizer, language, chosen, token) if token in tags else token for token in ids]


def opening(
    tokenizer: "Tokenizer",
    start: int,
    beside: Iterable[int],
    language: str,
    chosen: Mapping[str, str],
) -> list[int]:
    """What a decoder behind an encoder reads before a text: its start token and a language's tag.

    NLLB-200, M2M100 and mBART-50 start with ``</s>``, then read the tag. mBART starts with the tag.
    A model whose tokenizer puts no tag beside a text has its start token alone.

    Args:
        tokenizer: the model's tokenizer.
        start: the decoder's start token.
        beside: special tokens that the tokenizer puts beside a text for the encoder.
        language: the language of what the decoder reads or writes.
        chosen: as in ``with_own_tag``.

    Raises:
        NeuroglotError: there are tags, and none is known for the language.
    """
    tags = [] if tags_of(tokenizer, [start]) else tags_of(tokenizer, beside)[:1]
    return with_own_tag([start, *tags], tokenizer, language, chosen)


def tags_of(tokenizer: "Tokenizer", ids: Iterable[int]) -> list[int]:
    """Those of some special tokens that are language tags."""
    return [token for token in ids if _code(tokenizer.id_to_token(token) or "")]


def _own(tokenizer: "Tokenizer", language: str, chosen: Mapping[str, str], usual: int) -> int:
    added = tokenizer.get_added_tokens_decoder()
    tags = {token.content: number for number, token in added.items() if _code(token.content)}
    if language in chosen:
        number = tokenizer.token_to_id(chosen[language])
        if number is None:
            raise NeuroglotError(f"language_tags: the tokenizer has no token {chosen[language]!r}")
        return number
    nearest = min(tags, key=lambda tag: (_distance(language, tag), tag))
    if _distance(language, nearest) <= NEAREST:
        return tags[nearest]
    raise NeuroglotError(
        f"the tokenizer puts a tag of one language ({tokenizer.id_to_token(usual)}) beside every "
        f"text, and no tag of {language!r} is recognised; choose one with language_tags: "
        f"{{{language}: TAG}} in the model's entry, of {', '.join(sorted(tags))[:400]}"
    )


@cache
def _distance(language: str, tag: str) -> int:
    return langcodes.tag_distance(language, str(_code(tag)).replace("_", "-"))


@cache
def _code(tag: str) -> str | None:
    """The language code in a tag; None if a token is no language tag."""
    for form in _FORMS:
        match = form.fullmatch(tag)
        if match and langcodes.tag_is_valid(match["code"].replace("_", "-")):
            return match["code"]
    return None
