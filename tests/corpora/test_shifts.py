"""Lines that are shifted against their translations are found by their lengths."""

import numpy as np
import pytest

from neuroglot.corpora.shifts import find_shift


def translations(seed: int, lines: int, noise: float = 0.15) -> tuple[list[str], list[str]]:
    """Lines of lognormal lengths, and their translations, a fifth longer and of noisy lengths."""
    rng = np.random.default_rng(seed)
    length = rng.lognormal(4, 0.5, lines)
    translated = 1.2 * length * rng.lognormal(0, noise, lines)
    return ["x" * (1 + int(n)) for n in length], ["y" * (1 + int(n)) for n in translated]


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.3])
def test_aligned_lines_are_left_alone(noise: float) -> None:
    for seed in range(20):
        assert find_shift(*translations(seed, 500, noise)) is None


@pytest.mark.parametrize(("first", "last"), [(0, 60), (100, 140), (250, 300)])
@pytest.mark.parametrize("lag", [-2, -1, 1, 3])
def test_a_shifted_run_is_found_where_it_is(first: int, last: int, lag: int) -> None:
    theirs, ours = translations(1, 300)
    if lag < 0:  # lines are split at the run's start, and as many are missing at its end
        shifted = [*ours[:first], *["y" * 40] * -lag, *ours[first:last], *ours[last - lag :]]
        run = first - lag, last - 1 - lag
    else:
        shifted = [*ours[:first], *ours[first + lag : last], *["y" * 40] * lag, *ours[last:]]
        run = first, last - lag - 1
    shifted = shifted[:300]
    run = run[0], min(run[1], 299)
    found = find_shift(shifted, theirs)
    assert found is not None
    assert found.lag == lag
    assert abs(found.first - run[0]) <= 4
    assert abs(found.last - run[1]) <= 4


def test_empty_and_equal_lines_speak_for_nothing() -> None:
    assert find_shift(["a"] * 100, ["b"] * 100) is None
    assert find_shift([""] * 100, ["b"] * 100) is None
    assert find_shift([], []) is None
