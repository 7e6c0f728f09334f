"""Code shared by the benchmarks: the default model, real text, and paired ratios."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from neuroglot.models.load import load
from neuroglot.tokens import Tokens, read_tokens

RESULTS = Path(__file__).parent.parent / "results"
MODEL = RESULTS / "models" / "gemma-3-270m"
TOKENS = RESULTS / "tokens" / "gemma-3-270m" / "udhr" / "en.zarr"


@pytest.fixture(scope="session")
def model() -> torch.nn.Module:
    if not (MODEL / "card.json").is_file():
        pytest.exit("the benchmarks use the default run's model and tokens: run make first", 1)
    return load(MODEL, "cpu")


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    return read_tokens(TOKENS)


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
    pairs = [(seconds(ours), seconds(other)) for _ in range(rounds)]
    found = [b / a for a, b in pairs]
    return {
        "ratio": statistics.median(found),
        "least": min(found),
        "greatest": max(found),
        "seconds": statistics.median(a for a, _ in pairs),
        "other_seconds": statistics.median(b for _, b in pairs),
    }


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the ratios below pytest-benchmark's own table."""
    session = getattr(config, "_benchmarksession", None)
    for benchmark in getattr(session, "benchmarks", []):
        if "ratio" in benchmark.extra_info:
            shown = {k: round(v, 3) for k, v in benchmark.extra_info.items()}
            terminalreporter.write_line(f"{benchmark.name}: {shown}")
