"""Counts a function's calls, and kills a run at one of them."""

from typing import Any

import pytest


class Killed(BaseException):
    """Stands for a kill in the middle of a run."""


def count_calls(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, kill_at: int = 0
) -> list[tuple[Any, ...]]:
    """List the arguments of each call from now on, of a function of a class or module.

    The run is killed at call number ``kill_at``, if that is not 0. Later calls go on.
    """
    whole, calls = getattr(owner, name), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == kill_at:
            raise Killed
        return whole(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)
    return calls
