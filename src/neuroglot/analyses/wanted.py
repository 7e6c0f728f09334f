"""What a configuration asks of an analysis: steps and figures, and on which models."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Step


def steps(run: Run, analysis: Analysis[Any]) -> list[Step[Any, Any, Any]]:
    """The steps that the configuration asks for and that have models."""
    section = run.section(analysis.name)
    return [
        step
        for step in analysis.steps
        if step.wanted(run, section) and models(run, analysis, [step])
    ]


def models(run: Run, analysis: Analysis[Any], chosen: Sequence[Step[Any, Any, Any]]) -> list[str]:
    """The models on which all of some steps of an analysis run."""
    others = {step.beside for step in chosen if step.beside is not None}
    return [
        model
        for model in run.models_of(analysis.name, any(step.judges for step in chosen))
        if all(run.section(other) is not None and model in run.models_of(other) for other in others)
    ]


def figure_sets(run: Run, analysis: Analysis[Any]) -> list[FigureSet]:
    """The sets whose steps are all wanted and that have figures for this number of models."""
    names = {step.name for step in steps(run, analysis)}
    return [
        figure_set
        for figure_set in analysis.figures
        if names.issuperset(figure_set.steps) and drawn(run, analysis, figure_set)
    ]


def drawn(run: Run, analysis: Analysis[Any], figure_set: FigureSet) -> tuple[str, ...]:
    """The figures of a set that are drawn for this number of models."""
    return figure_set.drawn(len(run.models_of(analysis.name)))


def captions(run: Run, analysis: Analysis[Any]) -> list[Path]:
    """The templates of the captions of all figures, and of the tables if there are any."""
    stems = [
        stem
        for figure_set in figure_sets(run, analysis)
        for stem in drawn(run, analysis, figure_set)
    ]
    tables = ["table"] if any(step.tables for step in steps(run, analysis)) else []
    return [analysis.caption(stem) for stem in stems + tables]


def jobs(run: Run, analysis: Analysis[Any], step: Step[Any, Any, Any]) -> Iterator[Scope]:
    """The jobs of a step."""
    asked = models(run, analysis, [step])
    parts = step.parts(run, run.section(analysis.name)) if step.parts else [None]
    for of_job in [tuple(asked)] if step.compares_models else [(model,) for model in asked]:
        for part in parts:
            yield Scope(of_job, part)


def scopes(run: Run, analysis: Analysis[Any], names: Iterable[str]) -> dict[str | None, Scope]:
    """The jobs of some steps, or of figures of them, by model; None for one that compares models.

    Either all of the named steps compare models, or none does.
    """
    chosen = [analysis.step(name) for name in names]
    asked = models(run, analysis, chosen)
    if chosen[0].compares_models:
        return {None: Scope(tuple(asked))}
    return {model: Scope((model,)) for model in asked}
