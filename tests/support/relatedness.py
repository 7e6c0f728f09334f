"""Synthetic results of ``measures.matrix_regression``: similarity goes by the family."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroglot.measures.matrix_regression import PREDICTORS

LEVELS = {"correlation": (0.6, 0.4, 0.3), "coefficient": (0.5, -0.1, 0.1)}


def related(
    languages: int, outcomes: Mapping[str, int], layers: tuple[str, int] | None = None
) -> xr.Dataset:
    """A star for the family in every outcome; no numbers without three languages.

    Args:
        languages: number of languages.
        outcomes: names and sizes of the outcomes' dimensions.
        layers: name and size of the dimension of layers or states, if there is one.
    """
    rng = np.random.default_rng(7)
    none = np.nan if languages < 3 else 1.0

    def around(level: tuple[float, ...], sizes: Mapping[str, int]) -> tuple[Any, Any]:
        values = np.array(level) + 0.05 * rng.normal(size=(*sizes.values(), 3))
        return (*sizes, "predictor"), none * values

    variables: dict[str, Any] = {"compared_languages": ((), languages)}
    for name, level in LEVELS.items():
        variables[name] = around(level, outcomes)
        p = np.broadcast_to([0.004, 0.5, 0.4], variables[name][1].shape)
        variables[f"{name}_p_value"] = (variables[name][0], none * p)
        if layers:
            variables[f"layer_{name}"] = around(level, {**outcomes, layers[0]: layers[1]})
    return xr.Dataset(variables, {"predictor": list(PREDICTORS)})
