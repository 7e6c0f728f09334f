"""What a model's chat template writes around a user's text.

A template is rendered once, when the model is made, with texts that stand for any other. So what a
prompt spells is never part of a template.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from neuroglot.errors import NeuroglotError
from neuroglot.models.card import check_files
from neuroglot.models.rendering import Turns, render
from neuroglot.models.source import NO_TEMPLATE

CHAT = "chat.json"
PROBE, ANSWER = "neuroglot asks", "neuroglot answers"
# Texts in which a template shows what it does with blanks, lines and marks.
_PROBES = (
    PROBE,
    f" \n {PROBE}\n two\n\n\nlines \n ",
    f"{PROBE} \"a\" 'b' \\n {{{{ c }}}} {{% d %}} <e> &amp; é 中",
)
TRIMS: dict[str, Callable[[str], str]] = {
    "none": str,
    "both": str.strip,
    "end": str.rstrip,
    "start": str.lstrip,
}


class Chat(BaseModel):
    """What a chat template makes of a user's text: ``before + text + after``.

    Attributes:
        before, after: what it writes around the text; ``after`` opens the assistant's turn, and
            has the line feed that some templates only write together with the assistant's text.
        trim: which ends of the text it strips.
        blank: what it writes between ``after`` and the assistant's text, if that is blank.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str
    after: str
    trim: Literal["none", "both", "start", "end"]
    blank: str = ""


class _Written(BaseModel):
    """What stands in the file: what a template writes, or why it cannot be used."""

    chat: Chat | None = None
    refused: str = ""


def read_chat(folder: Path) -> Chat:
    """Read what a normalised model's chat template writes.

    Raises:
        NeuroglotError: as ``chat_in``; or the file is damaged.
    """
    chat = chat_in(folder)
    check_files(folder, CHAT)
    return chat


def chat_in(folder: Path) -> Chat:
    """Read what a template writes, from a folder that may lack its card.

    Raises:
        NeuroglotError: there is no template, or it cannot be used.
    """
    path = folder / CHAT
    if not path.is_file():
        raise NeuroglotError(NO_TEMPLATE)
    written = _Written.model_validate_json(path.read_bytes())
    if written.chat is None:
        raise NeuroglotError(f"the chat template {written.refused}")
    return written.chat


def write_chat(folder: Path, tokenizer: Any) -> None:
    """Render the template of a transformers tokenizer, if it has one, and write what it writes.

    A template that cannot be used is no fault of a model of which no chat is asked, so it is only
    noted.
    """
    if not tokenizer.chat_template:
        return
    tokens = {
        name: token
        for name, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str) and name.endswith("_token")
    }
    try:
        try:
            template = tokenizer.get_chat_template()
        except ValueError:
            raise NeuroglotError("is one of several, none of which is the default") from None
        written = _Written(chat=of_template(template, tokens))
    except NeuroglotError as error:
        written = _Written(refused=str(error))
    (folder / CHAT).write_text(written.model_dump_json(indent=2) + "\n", "utf-8")


def of_template(template: str, tokens: dict[str, str]) -> Chat:
    """Find out what a template writes around any text.

    Args:
        template: a chat template in Jinja2.
        tokens: names and texts of special tokens that it may use.

    Raises:
        NeuroglotError: it cannot be rendered, or does not write a user's text once, as it is or
            without blanks at its ends.
    """
    asked = [[{"role": "user", "content": text}] for text in _PROBES]
    answered = [*asked[0], {"role": "assistant", "content": ANSWER}]
    *turns, whole = render(
        template, tokens, [*(Turns(chat, True) for chat in asked), Turns(answered, False)]
    )
    before, *rest = str(turns[0]).split(PROBE)
    if len(rest) != 1:
        raise NeuroglotError(f"writes a user's text {len(rest)} times, not once")
    after = rest[0]
    fitting = [
        name
        for name, trimmed in TRIMS.items()
        if turns == [before + trimmed(text) + after for text in _PROBES]
    ]
    if not fitting:
        raise NeuroglotError("changes a user's text, or what stands around it, with the text")
    opened, _, answer = (whole or "").partition(before + PROBE + after)
    blank, found, _ = answer.partition(ANSWER)
    blank = blank if found and not opened and blank.isspace() else ""
    lines, blank = blank[: blank.rfind("\n") + 1], blank[blank.rfind("\n") + 1 :]
    trim: Any = fitting[0]
    return Chat(before=before, after=after + lines, trim=trim, blank=blank)
