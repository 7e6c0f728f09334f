"""Fixtures of the benchmarks, and the table of their ratios."""

import pytest
import torch

from comparing import MODEL, text
from neuroglot.models.load import load
from neuroglot.tokens import Tokens


@pytest.fixture(scope="session")
def model() -> torch.nn.Module:
    if not (MODEL / "card.json").is_file():
        pytest.exit("the benchmarks use the default run's model: run make first", 1)
    return load(MODEL, "cpu")


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    return text()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the ratios below pytest-benchmark's own table."""
    session = getattr(config, "_benchmarksession", None)
    for benchmark in getattr(session, "benchmarks", []):
        if "ratio" in benchmark.extra_info:
            shown = {name: round(number, 3) for name, number in benchmark.extra_info.items()}
            terminalreporter.write_line(f"{benchmark.name}: {shown}")
