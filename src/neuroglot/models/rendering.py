"""Renders a checkpoint's chat template in a process of its own, with little time and memory.

A template is a program that strangers wrote. transformers' sandbox keeps it from Python's objects,
but not from endless loops and huge texts.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from neuroglot.errors import NeuroglotError

SECONDS = 10
MEGABYTES = 512
LONGEST = 1 << 20  # characters that a template may write
PATIENCE = 120  # seconds, in which the process starts too
TODAY = datetime(2025, 1, 1)
"""The day that every template is told, so that a prompt is the same tomorrow."""


class Turns(NamedTuple):
    """A chat to render.

    Attributes:
        messages: each has a ``role`` and a ``content``.
        opens: whether the template opens the assistant's turn after them.
    """

    messages: Sequence[Mapping[str, str]]
    opens: bool


def render(template: str, tokens: Mapping[str, str], chats: Sequence[Turns]) -> list[str | None]:
    """Render chats with transformers' sandboxed renderer.

    A template that can leave out a model's thinking is asked to do so.

    Args:
        template: a chat template in Jinja2.
        tokens: names and texts of special tokens, such as ``bos_token``, that it may use.
        chats: what to render.

    Returns:
        The text of each chat; None where the template raises an error, except for the first.

    Raises:
        NeuroglotError: the template is none, raises an error in the first chat, or takes too long
            or too much memory.
    """
    limits = {"seconds": SECONDS, "megabytes": MEGABYTES}
    asked = json.dumps({"template": template, "tokens": dict(tokens), "chats": chats, **limits})
    try:
        ended = subprocess.run(
            [sys.executable, "-m", __name__],
            input=asked.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        rendered = json.loads(ended.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise NeuroglotError(
            f"takes more than {SECONDS} seconds or {MEGABYTES} MB to render a line of text"
        ) from None
    if "error" in rendered[0]:
        raise NeuroglotError(f"cannot be rendered: {rendered[0]['error']}")
    return [chat.get("text") for chat in rendered]


class _Today(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:  # noqa: ARG003 (as datetime.now)
        return TODAY


def _limit(seconds: int, megabytes: int) -> None:
    """Leave this process so much time and memory beyond what it has used."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    with open("/proc/self/statm") as pages:  # noqa: PTH123 (no file of a user's)
        size = int(pages.read().split()[0]) * resource.getpagesize()
    limit = size + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _render(asked: Mapping[str, Any], messages: Sequence[Any], opens: bool) -> dict[str, str]:
    from transformers.utils import chat_template_utils

    try:
        rendered: Any = chat_template_utils.render_jinja_template(
            [list(messages)],
            chat_template=asked["template"],
            add_generation_prompt=opens,
            enable_thinking=False,
            **asked["tokens"],
        )
        text = rendered[0][0]  # annotated as text, but returns texts and what makes them
        if len(text) > LONGEST:
            raise ValueError(f"it writes {len(text)} characters around a line of text")
    except Exception as error:  # a template can raise errors of any type
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    return {"text": text}


def _main() -> None:
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = _Today  # type: ignore[attr-defined]
    asked = json.load(sys.stdin)
    _limit(asked["seconds"], asked["megabytes"])
    rendered = [_render(asked, *chat) for chat in asked["chats"]]
    json.dump(rendered, sys.stdout)


if __name__ == "__main__":
    _main()
