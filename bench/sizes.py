"""Which number of units can show which difference: simulated with the tests of the analyses.

`python bench/sizes.py` prints the table of docs/sizes.md. One of eight languages has the effect,
the other seven have none; languages differ independently.
"""

import numpy as np
import xarray as xr

from neuroglot.measures.significance import STAR, step_down_p_value

LANGUAGES = 8
UNITS = (6, 8, 12, 24, 36, 64, 200)
DRAWS = 200
POWERS = (0.5, 0.8)
CHANGED = 0.1  # share of answers that change in a language without effect


def starred(differences: np.ndarray) -> bool:
    """Whether the first language's mean difference earns a star, of ``[language, unit]``."""
    cells = xr.DataArray(differences, dims=("language", "item"))
    return bool(step_down_p_value(cells, "language")[0] < STAR)


def fewest_changes(units: int) -> int | None:
    """Fewest answers that turn wrong, and none right, for a star in at least half of the draws."""
    rng = np.random.default_rng(0)
    others = rng.choice(
        [-1, 0, 1], (DRAWS, LANGUAGES, units), p=[CHANGED / 2, 1 - CHANGED, CHANGED / 2]
    )
    for changes in range(1, units + 1):
        others[:, 0] = np.arange(units) < changes
        if np.mean([starred(draw) for draw in others[: DRAWS // 8]]) >= 0.5:
            return changes
    return None


def smallest_effect(units: int, power: float) -> float | None:
    """Smallest mean difference, in its standard deviation, that earns a star with a probability."""
    draws = np.random.default_rng(0).standard_normal((DRAWS, LANGUAGES, units))
    effect = np.zeros((LANGUAGES, 1))

    def found(size: float) -> bool:
        effect[0] = size
        return bool(np.mean([starred(draw + effect) for draw in draws]) >= power)

    low, high = 0.0, 8.0
    if not found(high):
        return None
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def main() -> None:
    print("| units | answers that turn wrong | difference ÷ SD, 1 in 2 | 4 in 5 |")
    print("| --- | --- | --- | --- |")
    for units in UNITS:
        changes = fewest_changes(units)
        share = "none is enough" if changes is None else f"{changes} ({changes / units:.0%})"
        sizes = [smallest_effect(units, power) for power in POWERS]
        told = ["–" if size is None else f"{size:.2g}" for size in sizes]
        print(f"| {units} | {share} | {told[0]} | {told[1]} |", flush=True)


if __name__ == "__main__":
    main()
