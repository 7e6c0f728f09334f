"""Kinds of neurons from packed bits at the paper's size: seconds, memory, and memory bandwidth.

The files hold random bits of 1,000 items and 589,824 neurons: one memory-mapped file of 74 MB for
each of ten languages. Effective scores are compared with building a vector per neuron. ``conftest``
is imported only where it is used: it needs torch, which would count in the measured memory.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neuroglot.analyses.sharing.measures.effective import effective_score
from neuroglot.analyses.sharing.measures.kind_shares import overlap
from neuroglot.analyses.sharing.measures.kinds import kind_counts, kinds

SMOKE = "NEUROGLOT_SMOKE" in os.environ
LANGUAGES, ITEMS, LAYERS, NEURONS = (3, 5, 2, 64) if SMOKE else (10, 1000, 36, 16_384)
SECONDS, MEGABYTES = 60, 2048


def mapped(folder: Path) -> Iterator[NDArray[np.uint8]]:
    shape = (ITEMS, LAYERS, NEURONS // 8)
    return (
        np.memmap(folder / f"{language}.bits", np.uint8, "r", shape=shape)
        for language in range(LANGUAGES)
    )


def classify(folder: Path) -> None:
    of_bits = kinds(mapped(folder), NEURONS)
    overlap(of_bits)
    if (kind_counts(of_bits).sum(axis=-1) != NEURONS).any():
        raise AssertionError("a neuron is of no kind or of two")


def read_all(folder: Path) -> None:
    """The cheapest possible pass over the bits: one operation on every byte."""
    every = np.full((ITEMS, LAYERS, NEURONS // 8), 255, np.uint8)
    for active in mapped(folder):
        np.bitwise_and(every, active, out=every)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bits")
    generator = np.random.default_rng(0)
    for language in range(LANGUAGES):
        (path / f"{language}.bits").write_bytes(generator.bytes(ITEMS * LAYERS * NEURONS // 8))
    return path


def test_kinds_at_the_memorys_bandwidth(benchmark, folder: Path) -> None:
    """Kinds, counts and overlap, compared with one bitwise operation on the same bytes."""
    from comparing import at_most, compared

    measured = compared(benchmark, lambda: classify(folder), lambda: read_all(folder), rounds=3)
    at_most(measured["seconds"], SECONDS)


def test_kinds_in_a_fresh_process(benchmark, folder: Path) -> None:
    """Seconds and peak resident memory of a new process, including the mapped bits."""
    from comparing import at_most

    command = [sys.executable, __file__, str(folder)]
    output = benchmark.pedantic(lambda: subprocess.check_output(command, text=True), rounds=1)
    seconds, megabytes = map(float, output.split())
    benchmark.extra_info.update(ratio=megabytes / MEGABYTES, seconds=seconds, megabytes=megabytes)
    at_most(seconds, SECONDS)
    at_most(megabytes, MEGABYTES)


@pytest.mark.parametrize("answers", [3, 50], ids=["labels", "every_answer_differs"])
def test_effective_scores_against_a_vector_per_neuron(benchmark, answers: int) -> None:
    """50 items of a layer of Gemma 3 270M's shape; with labels, all items share three answers."""
    from comparing import compared, sized

    items, neurons, hidden = 50, sized(2048, 32), sized(640, 16)
    generator = np.random.default_rng(0)
    act = generator.standard_normal((items, neurons), dtype=np.float32)
    values = generator.standard_normal((hidden, neurons), dtype=np.float32)
    rows = generator.standard_normal((answers, hidden), dtype=np.float32)
    rows = rows[np.arange(items) % answers]

    def literal() -> NDArray[np.float64]:
        vectors = (np.multiply(values, row, dtype=np.float64) for row in act)  # [hidden, neuron]
        return np.stack([e.astype(np.float64) @ v for e, v in zip(rows, vectors, strict=True)])

    def ours() -> NDArray[np.float64]:
        return effective_score(act, rows, values, np.ones(items))

    np.testing.assert_allclose(ours(), literal(), rtol=1e-9, atol=1e-9)
    with threadpool_limits(1):
        compared(benchmark, ours, literal, rounds=5)


if __name__ == "__main__":
    start = time.perf_counter()
    classify(Path(sys.argv[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    print(time.perf_counter() - start, peak)
