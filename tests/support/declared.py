"""Every analysis, step and family of figures that is declared, for tests of each of them."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import Analysis, Step


def each(of: Callable[[Analysis[Any]], tuple[Any, ...]]) -> list[Any]:
    """Every analysis with each of its steps or families of figures."""
    return [
        pytest.param(analysis, one, id=f"{analysis.name}/{one.name}")
        for analysis in ANALYSES.values()
        for one in of(analysis)
    ]


every_analysis = pytest.mark.parametrize("analysis", ANALYSES.values(), ids=list(ANALYSES))
every_step = pytest.mark.parametrize(("analysis", "step"), each(lambda analysis: analysis.steps))
every_family = pytest.mark.parametrize(
    ("analysis", "family"), each(lambda analysis: analysis.figures)
)


def step_module(analysis: Analysis[Any], step: Step[Any, Any, Any]) -> ModuleType:
    return importlib.import_module(f"{analysis.package}.steps.{step.name}")
