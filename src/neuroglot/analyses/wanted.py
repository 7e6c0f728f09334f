"""What a configuration asks of an analysis: steps and figures, and on which models."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neuroglot.analyses.base import Analysis, Figures, Run, Scope, Step


def steps(run: Run, analysis: Analysis[Any]) -> list[Step[Any, Any, Any]]:
    """The steps that the configuration asks for and that have models."""
    section = run.section(analysis.name)
    return [
        step
        for step in analysis.steps
        if step.wanted(run, section) and run.models_of(analysis.name, step.causal)
    ]


def families(run: Run, analysis: Analysis[Any]) -> list[Figures]:
    """The families whose steps are all wanted and that have figures for this number of models."""
    names = {step.name for step in steps(run, analysis)}
    return [
        family
        for family in analysis.figures
        if names.issuperset(family.steps) and drawn(run, analysis, family)
    ]


def drawn(run: Run, analysis: Analysis[Any], family: Figures) -> tuple[str, ...]:
    """The figures of a family that are drawn for this number of models."""
    return family.drawn(len(run.models_of(analysis.name)))


def captions(run: Run, analysis: Analysis[Any]) -> list[Path]:
    """The templates of the captions of all figures, and of the tables if there are any."""
    stems = [stem for family in families(run, analysis) for stem in drawn(run, analysis, family)]
    tables = ["table"] if any(step.tables for step in steps(run, analysis)) else []
    return [analysis.caption(stem) for stem in stems + tables]


def scopes(run: Run, analysis: Analysis[Any], names: Iterable[str]) -> dict[str | None, Scope]:
    """The jobs of some steps, or of figures of them, by model; None for one that compares models.

    Args:
        run: the configuration.
        analysis: the analysis of the steps.
        names: names of the steps, all of which compare models or none of which does.
    """
    chosen = [analysis.step(name) for name in names]
    models = run.models_of(analysis.name, any(step.causal for step in chosen))
    if chosen[0].compares_models:
        return {None: Scope(tuple(models))}
    return {model: Scope((model,)) for model in models}
