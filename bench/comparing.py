"""Code shared by the benchmarks: the default model's folder, a text, and paired ratios.

If the environment variable ``NEUROGLOT_SMOKE`` names the folder of a tiny model, everything is as
small as can be: this only shows whether the benchmarks still run.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.tokens import Tokens, as_tokens, tokenise

HERE = Path(__file__).parent
SMOKE = os.environ.get("NEUROGLOT_SMOKE", "")
MODEL = Path(SMOKE or HERE.parent / "results" / "models" / "gemma-3-270m")


def sized(size: int, smoke: int) -> int:
    """Give a size of what is measured, or the smallest at which it can be run."""
    return smoke if SMOKE else size


def text() -> Tokens:
    """Tokenise the benchmarks' own text, one segment a line."""
    card = read_card(MODEL)
    lines = (HERE / "text.txt").read_text("utf-8").splitlines()[: sized(1000, 3)]
    segments = [(f"{number:03d}", line) for number, line in enumerate(lines)]
    window, vocabulary = card.context_window, card.vocabulary
    return as_tokens(
        tokenise(read_tokenizer(MODEL), segments, "word", window, vocabulary, "truncate")
    )


def ratios(
    ours: Callable[[], object], other: Callable[[], object], rounds: int = 7
) -> dict[str, float]:
    """Time two calls in turn and compare them in pairs, so that noise affects both.

    Returns:
        Median, minimum and maximum of the speed-up (``other``'s seconds divided by ``ours``'s), and
        both medians in seconds.
    """

    def seconds(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    ours(), other()  # warm up
    pairs = [(seconds(ours), seconds(other)) for _ in range(sized(rounds, 1))]
    speed_ups = [b / a for a, b in pairs]
    return {
        "ratio": statistics.median(speed_ups),
        "least": min(speed_ups),
        "greatest": max(speed_ups),
        "seconds": statistics.median(a for a, _ in pairs),
        "other_seconds": statistics.median(b for _, b in pairs),
    }


def compared(
    benchmark: Any, ours: Callable[[], object], other: Callable[[], object], rounds: int = 7
) -> dict[str, float]:
    """Measure the ``ratios`` of two calls and print them below the benchmark's table."""
    measured: dict[str, float] = benchmark.pedantic(lambda: ratios(ours, other, rounds), rounds=1)
    benchmark.extra_info.update(measured)
    return measured


def at_least(measured: float, least: float) -> None:
    """Fail if what was measured is too small, unless the sizes are not those to be measured."""
    assert SMOKE or measured >= least


def at_most(measured: float, most: float) -> None:
    """Fail if what was measured is too large, unless the sizes are not those to be measured."""
    assert SMOKE or measured <= most
