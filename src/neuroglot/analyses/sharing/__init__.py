"""Neurons that languages share when a model answers the same question, and their effects.

Wang et al., "Sharing matters: analysing neurons across languages and tasks in LLMs".
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Naming, Run, Scope, Step, Wish
from neuroglot.analyses.planning import recordings, step_settings
from neuroglot.analyses.sharing.settings import (
    AnswersInputs,
    AnswersSettings,
    ComparisonInputs,
    ComparisonSettings,
    ContributionsInputs,
    ContributionsSettings,
    EffectiveInputs,
    EffectiveSettings,
    InterventionsInputs,
    InterventionsSettings,
    KindsInputs,
    KindsSettings,
    SharingSettings,
)
from neuroglot.analyses.training import compared_models, training_step
from neuroglot.capture.settings import PromptsGroup
from neuroglot.tasks.base import Task


def _recordings(_run: Run, section: SharingSettings) -> Iterator[Wish]:
    for task in section.shown_tasks:
        yield Wish(task, PromptsGroup(site=section.site))


def _problems(run: Run, section: SharingSettings) -> Iterator[str]:
    for task in section.few_shot:
        first, asked = run.corpus_languages(section.few_shot[0]), run.corpus_languages(task)
        if asked != first:
            yield (
                f"sharing.few_shot: {section.few_shot[0]!r} is asked in {', '.join(first)} and "
                f"{task!r} in {', '.join(asked)}; kinds of neurons depend on how many languages "
                "are compared: give both the same languages"
            )
    yield from _other_questions({task: run.tasks[task] for task in section.few_shot})


def _other_questions(few_shot: Mapping[str, Task]) -> Iterator[str]:
    """Word one message for each task that does not ask what the first one asks."""
    asked = {
        name: {**task.model_dump(exclude={"languages", "shots"}), "reserve": task.reserved}
        for name, task in few_shot.items()
    }
    for name, settings in asked.items():
        first = next(iter(asked))
        others = sorted(
            key for key, value in settings.items() if asked[first].get(key, value) != value
        )
        if others == ["reserve"]:
            most = max(task.reserved for task in few_shot.values())
            yield (
                f"sharing.few_shot: {first!r} keeps {asked[first]['reserve']} facts for examples "
                f"and {name!r} keeps {settings['reserve']}, so they ask other questions: set "
                f"reserve: {most} in every one of these tasks"
            )
        elif others:
            yield (
                f"sharing.few_shot: {first!r} and {name!r} differ in {', '.join(others)}: they may "
                "differ in shots only"
            )


def _prompts(run: Run, model: str, tasks: Iterable[str]) -> Mapping[str, Mapping[str, Path]]:
    return recordings(run, model, tasks, "prompts")


def _items(run: Run, tasks: Iterable[str]) -> Mapping[str, Mapping[str, Path]]:
    return {
        task: {language: layout.items(task, language) for language in run.corpus_languages(task)}
        for task in tasks
    }


def _kinds_inputs(run: Run, section: SharingSettings, scope: Scope) -> KindsInputs:
    tasks = section.shown_tasks
    return KindsInputs(prompts=_prompts(run, scope.model, tasks), items=_items(run, tasks))


def _kinds_settings(run: Run, section: SharingSettings, scope: Scope) -> KindsSettings:
    tasks = section.shown_tasks
    languages = run.corpus_languages(*tasks)
    return step_settings(KindsSettings, run, section, languages, model=scope.model, tasks=tasks)


def _contributions_inputs(run: Run, section: SharingSettings, scope: Scope) -> ContributionsInputs:
    return ContributionsInputs(
        model=layout.model(scope.model),
        prompts=_prompts(run, scope.model, section.tasks),
        items=_items(run, section.tasks),
    )


def _contributions_settings(
    run: Run, section: SharingSettings, scope: Scope
) -> ContributionsSettings:
    languages = run.corpus_languages(*section.tasks)
    return step_settings(ContributionsSettings, run, section, languages, model=scope.model)


def _effective_inputs(run: Run, section: SharingSettings, scope: Scope) -> EffectiveInputs:
    return EffectiveInputs(
        model=layout.model(scope.model),
        prompts=_prompts(run, scope.model, section.tasks),
        items=_items(run, section.tasks),
    )


def _effective_settings(run: Run, section: SharingSettings, scope: Scope) -> EffectiveSettings:
    languages = run.corpus_languages(*section.tasks)
    return step_settings(EffectiveSettings, run, section, languages, model=scope.model)


def _answers_inputs(run: Run, _section: SharingSettings, scope: Scope) -> AnswersInputs:
    task = scope.one_part
    return AnswersInputs(
        model=layout.model(scope.model),
        prompts=_prompts(run, scope.model, [task])[task],
        items=_items(run, [task])[task],
    )


def _answers_settings(run: Run, section: SharingSettings, scope: Scope) -> AnswersSettings:
    task = scope.one_part
    told = {"model": scope.model, "task": task, "scoring": run.tasks[task].scoring}
    return step_settings(AnswersSettings, run, section, run.corpus_languages(task), **told)


def _interventions_inputs(_run: Run, section: SharingSettings, scope: Scope) -> InterventionsInputs:
    return InterventionsInputs(
        answers={
            task: layout.reduction("sharing", "answers", scope.model, task)
            for task in section.tasks
        }
    )


def _interventions_settings(
    run: Run, section: SharingSettings, scope: Scope
) -> InterventionsSettings:
    languages = run.corpus_languages(*section.tasks)
    return step_settings(InterventionsSettings, run, section, languages, model=scope.model)


def _comparison_inputs(run: Run, _section: SharingSettings, scope: Scope) -> ComparisonInputs:
    models = compared_models(run, scope.models)
    return ComparisonInputs(
        kinds={model: layout.reduction("sharing", "kinds", model) for model in models}
    )


def _comparison_settings(run: Run, section: SharingSettings, scope: Scope) -> ComparisonSettings:
    tasks = section.shown_tasks
    told = {
        "models": compared_models(run, scope.models),  # the section may name more
        "shots": {task: run.tasks[task].shots for task in tasks},
    }
    return step_settings(ComparisonSettings, run, section, run.corpus_languages(*tasks), **told)


def _passes(_run: Run, section: SharingSettings) -> int:
    # Upper bound: six changes, six controls per seed, the unedited model, and the prompts.
    return 8 * (1 + section.random_seeds)


SHARING = Analysis(
    name="sharing",
    mixtures=True,
    title="neurons that languages share when a model answers the same question",
    section=SharingSettings,
    recordings=_recordings,
    problems=_problems,
    steps=(
        Step(
            "kinds",
            "kinds of neurons of {model}",
            _kinds_inputs,
            _kinds_settings,
            tables=(
                "kinds",
                "active",
                "kinds_by_threshold",
                "kinds_by_languages",
                "specific_repeating",
            ),
        ),
        Step(
            "contributions",
            "contributions of neurons of {model}",
            _contributions_inputs,
            _contributions_settings,
            tables=("contributions", "contributions_of_languages"),
        ),
        Step(
            "effective",
            "effective scores of neurons of {model}",
            _effective_inputs,
            _effective_settings,
            tables=("effective_scores", "effective_by_layer"),
        ),
        Step(
            # One job per task: one job for all tasks would be the longest of the workflow.
            "answers",
            "answers of {model} to {part} without neurons",
            _answers_inputs,
            _answers_settings,
            parts=lambda _run, section: section.tasks,
            judges=True,
            runs_model=True,
            passes=_passes,
        ),
        Step(
            "interventions",
            "{model} without and with converted neurons",
            _interventions_inputs,
            _interventions_settings,
            tables=("accuracy", "log_probability"),
            judges=True,
        ),
        Step(
            "comparison",
            "kinds of neurons between all models",
            _comparison_inputs,
            _comparison_settings,
            tables=("comparison",),
            compares_models=True,
        ),
        training_step(
            "sharing",
            "kinds",
            "kinds of neurons",
            lambda run, section: run.corpus_languages(*section.shown_tasks),
        ),
    ),
    figures=(
        FigureSet(
            "kinds",
            (
                "figures_02_04_11_18_kinds",
                "figure_05_behaviour_repeating",
                "figure_06_dead",
                "figure_19_language_count",
                "figure_22_threshold",
            ),
            ("kinds",),
        ),
        FigureSet(
            "contributions",
            ("figures_08_23_26_top", "figure_09_contribution"),
            ("contributions", "kinds"),
            front=("figures_08_23_26_top",),
        ),
        FigureSet(
            "effective", ("figures_10_27_29_effective", "tables_01_04_effective"), ("effective",)
        ),
        FigureSet(
            "interventions",
            (
                "tables_02_05_06_accuracy",
                "table_03_converted",
                "log_probability_without",
                "log_probability_converted",
            ),
            ("interventions",),
        ),
        FigureSet(
            "comparison",
            ("figures_07_20_models", "figure_21_few_shot"),
            ("comparison",),
            between_models=("figures_07_20_models",),
        ),
        FigureSet("training", ("kinds_in_training",), ("training",)),
    ),
    naming=(
        Naming(
            "sharing",
            steps=("kinds",),
            languages=lambda run, section: run.corpus_languages(*section.shown_tasks),
        ),
    ),
)
