"""Neurons that move a language's states into the shared latent space, and out of it again.

Tezuka and Inoue, "The transfer neurons hypothesis: an underlying mechanism for language latent
space transitions in multilingual LLMs".
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Naming, Run, Scope, Sizes, Step, Wish
from neuroglot.analyses.planning import (
    known_neurons,
    labels,
    picked,
    recordings,
    running,
    tokens,
)
from neuroglot.analyses.training import training_step
from neuroglot.analyses.transfer.settings import (
    CorrelationInputs,
    CorrelationSettings,
    DeactivationInputs,
    DeactivationSettings,
    HarnessInputs,
    HarnessStepSettings,
    LapeInputs,
    NeuronsInputs,
    NeuronsSettings,
    PairedSettings,
    SpaceInputs,
    SpaceSettings,
    TasksInputs,
    TasksSettings,
    TransferSettings,
    most_neighbours,
    too_near,
)
from neuroglot.capture.settings import StatesGroup
from neuroglot.errors import NeuroglotError, unknown_name


def paired_languages(run: Run, section: TransferSettings, *texts: str) -> list[str]:
    """List the languages of some corpora or tasks that are paired with the pivot."""
    paired = run.corpus_languages(section.corpus)
    read = run.corpus_languages(*texts)
    return [language for language in read if language in paired and language != run.pivot]


def _languages(run: Run, section: TransferSettings) -> list[str]:
    """List the languages that get transfer neurons: those of the corpus but the pivot."""
    return paired_languages(run, section, section.corpus)


def _recordings(_run: Run, section: TransferSettings) -> Iterator[Wish]:
    yield Wish(section.corpus, StatesGroup())


def _problems(run: Run, section: TransferSettings) -> Iterator[str]:
    read = run.corpus_languages(section.corpus)
    if not run.corpora[section.corpus].parallel:
        yield (
            f"transfer.corpus: {section.corpus!r} is not parallel, and transfer pairs segments of "
            "two languages; name a parallel corpus"
        )
        return
    if run.pivot not in read:
        yield (
            f"pivot: transfer pairs every language with {run.pivot!r}, and transfer.corpus "
            f"{section.corpus!r} is read in {', '.join(read)}; add the pivot to its languages"
        )
        return
    if len(read) < 2:
        yield (
            f"transfer.corpus: {section.corpus!r} is read in {run.pivot!r} alone, and "
            "transfer pairs other languages with it; add one"
        )
        return
    segments = run.corpora[section.corpus].max_segments
    if segments is not None and max(section.k) > most_neighbours(segments):
        yield (
            f"transfer.k: {too_near(max(section.k), segments)} (max_segments of corpus "
            f"{section.corpus!r})"
        )
    for index, task in enumerate(section.tasks):
        if not paired_languages(run, section, task):
            yield (
                f"transfer.tasks[{index}]: {task!r} and transfer.corpus {section.corpus!r} "
                "have no language in common but the pivot"
            )
    with_neurons = _languages(run, section)
    for task, language in (section.harness.tasks if section.harness else {}).items():
        if language not in with_neurons:
            yield (
                f"transfer.harness.tasks.{task}: {language!r} has no neurons of its own; "
                f"{unknown_name('language', language, with_neurons)}"
            )


def _too_small(run: Run, section: TransferSettings, sizes: Sizes) -> Iterator[str]:
    segments = sizes.segments.get(section.corpus)
    if segments is not None and max(section.k) > most_neighbours(segments):
        where = f"segments that all languages of corpus {section.corpus!r} have"
        yield f"transfer.k: {too_near(max(section.k), segments)} ({where})"
    for model, neurons in known_neurons(run, "transfer", sizes):
        yield from _too_few_neurons(section, model, neurons)


def _too_few_neurons(
    section: TransferSettings, model: str, neurons: Sequence[int]
) -> Iterator[str]:
    from neuroglot.analyses.transfer.measures.transfer import layer_ranges

    try:
        searched = layer_ranges(len(neurons), section.type1_layers)
    except NeuroglotError as error:
        yield f"transfer.models: {model!r}: {error}"
        return
    fewest = min(sum(neurons[layer] for layer in layers) for layers in searched)
    if section.top_n is not None and section.top_n > fewest:
        yield (
            f"transfer.top_n: {section.top_n} neurons are asked for, and {model!r} has {fewest} in "
            "the layers that are searched for one of the types; set it to that or less"
        )


def _states(run: Run, section: TransferSettings, scope: Scope) -> Mapping[str, Path]:
    return recordings(run, scope.model, [section.corpus], "states")[section.corpus]


def _lists(scope: Scope) -> Path:
    return layout.reduction("transfer", "neurons", scope.model)


def _comparing(
    run: Run, section: TransferSettings, scope: Scope, told: type[PairedSettings]
) -> dict[str, Any]:
    """Give the settings of a step that compares all languages' states."""
    languages = run.corpus_languages(section.corpus)
    paired = {"model": scope.model, "pivot": run.pivot}
    return {**paired, **labels(run, languages), **picked(section, told)}


def _neurons_inputs(run: Run, section: TransferSettings, scope: Scope) -> NeuronsInputs:
    return NeuronsInputs(model=layout.model(scope.model), states=_states(run, section, scope))


def _neurons_settings(run: Run, section: TransferSettings, scope: Scope) -> NeuronsSettings:
    return NeuronsSettings(**_comparing(run, section, scope, NeuronsSettings))


def _space_inputs(run: Run, section: TransferSettings, scope: Scope) -> SpaceInputs:
    languages = run.corpus_languages(section.corpus)
    return SpaceInputs(
        states=_states(run, section, scope),
        tokens=tokens(run, scope.model, section.corpus, languages),
    )


def _space_settings(run: Run, section: TransferSettings, scope: Scope) -> SpaceSettings:
    return SpaceSettings(**_comparing(run, section, scope, SpaceSettings))


def _deactivation_inputs(run: Run, section: TransferSettings, scope: Scope) -> DeactivationInputs:
    return DeactivationInputs(
        model=layout.model(scope.model),
        neurons=_lists(scope),
        states=_states(run, section, scope),
        tokens=tokens(run, scope.model, section.corpus, _languages(run, section)),
    )


def _deactivation_settings(
    run: Run, section: TransferSettings, scope: Scope
) -> DeactivationSettings:
    return DeactivationSettings(
        **_comparing(run, section, scope, DeactivationSettings), **running(run, scope.model)
    )


def _correlation_inputs(run: Run, section: TransferSettings, scope: Scope) -> CorrelationInputs:
    return CorrelationInputs(neurons=_lists(scope), states=_states(run, section, scope))


def _correlation_settings(run: Run, section: TransferSettings, scope: Scope) -> CorrelationSettings:
    return CorrelationSettings(**_comparing(run, section, scope, CorrelationSettings))


def _lape_inputs(run: Run, section: TransferSettings, scope: Scope) -> LapeInputs:
    return LapeInputs(
        model=layout.model(scope.model),
        neurons=_lists(scope),
        states=_states(run, section, scope),
        tokens=tokens(run, scope.model, section.corpus, _languages(run, section)),
        correlation=layout.reduction("transfer", "correlation", scope.model),
        lape=layout.reduction("lape", "neurons", scope.model),
    )


def _tasks_inputs(run: Run, section: TransferSettings, scope: Scope) -> TasksInputs:
    return TasksInputs(
        model=layout.model(scope.model),
        neurons=_lists(scope),
        items={
            task: {
                language: layout.items(task, language)
                for language in paired_languages(run, section, task)
            }
            for task in section.tasks
        },
    )


def _tasks_settings(run: Run, section: TransferSettings, scope: Scope) -> TasksSettings:
    return TasksSettings(
        model=scope.model,
        scorings={task: run.tasks[task].scoring for task in section.tasks},
        **labels(run, paired_languages(run, section, *section.tasks)),
        **running(run, scope.model),
        **picked(section, TasksSettings),
    )


def _harness_inputs(_run: Run, _section: TransferSettings, scope: Scope) -> HarnessInputs:
    return HarnessInputs(model=layout.model(scope.model), neurons=_lists(scope))


def _harness_settings(run: Run, section: TransferSettings, scope: Scope) -> HarnessStepSettings:
    return HarnessStepSettings(
        model=scope.model, **running(run, scope.model), **picked(section, HarnessStepSettings)
    )


TRANSFER = Analysis(
    name="transfer",
    mixtures=True,
    title="neurons that move representations between latent spaces",
    section=TransferSettings,
    recordings=_recordings,
    problems=_problems,
    too_small=_too_small,
    steps=(
        Step(
            "neurons",
            "neurons of {model} between latent spaces",
            _neurons_inputs,
            _neurons_settings,
            tables=("neurons", "halves"),
            files=("neurons.json",),
        ),
        Step(
            "space",
            "latent spaces of {model}",
            _space_inputs,
            _space_settings,
            tables=(
                "distances",
                "related_languages",
                "related_languages_by_state",
                "components",
                "similarity",
            ),
        ),
        Step(
            "deactivation",
            "{model} without its transfer neurons",
            _deactivation_inputs,
            _deactivation_settings,
            tables=("deactivation", "deactivation_knn"),
            runs_model=True,
            passes=lambda _run, section: 1 + 4 * (3 + 2 * section.random_seeds),
        ),
        Step(
            "correlation",
            "how specific to a language the transfer neurons of {model} are",
            _correlation_inputs,
            _correlation_settings,
            tables=("correlation",),
        ),
        Step(
            "lape",
            "LAPE's neurons of {model} as transfer neurons",
            _lape_inputs,
            _deactivation_settings,
            tables=("lape", "lape_deactivation", "lape_deactivation_knn"),
            beside="lape",
            runs_model=True,
            passes=lambda _run, section: 1 + 2 * (3 + 2 * section.random_seeds),
        ),
        Step(
            "tasks",
            "answers of {model} without either type of neuron",
            _tasks_inputs,
            _tasks_settings,
            tables=("tasks",),
            wanted=lambda _run, section: bool(section.tasks),
            judges=True,
            causal=True,
            runs_model=True,
            passes=lambda _run, section: 1 + 2 * (3 + 2 * section.task_random_seeds),
        ),
        Step(
            "harness",
            "tasks of the harness by {model} without neurons",
            _harness_inputs,
            _harness_settings,
            tables=("harness",),
            wanted=lambda _run, section: section.harness is not None,
            judges=True,
            causal=True,
            runs_model=True,
            runtime=720,
        ),
        training_step(
            "transfer",
            "space",
            "neighbours shared with the pivot",
            lambda run, section: run.corpus_languages(section.corpus),
        ),
    ),
    figures=(
        FigureSet("neurons", ("neurons_by_layer",), ("neurons",)),
        FigureSet(
            "latent_spaces",
            ("principal_coordinates", "principal_components", "centroid_similarity"),
            ("space",),
        ),
        FigureSet("related", ("related_languages",), ("space",)),
        FigureSet("alignment", ("mutual_knn", "parallel_similarity"), ("space",)),
        FigureSet(
            "deactivation",
            ("similarity_without_type1", "mutual_knn_without_type1", "effect_of_type1"),
            ("deactivation",),
        ),
        FigureSet("correlation", ("correlation_ratio",), ("correlation",)),
        FigureSet("lape", ("without_each_set", "lape_neurons"), ("lape", "deactivation")),
        FigureSet("tasks", ("task_accuracy", "task_log_probability"), ("tasks",)),
        FigureSet("training", ("neighbours_in_training",), ("training",)),
    ),
    naming=tuple(
        Naming(
            method,
            steps=("neurons",),
            languages=_languages,
            chosen_on=lambda section: section.corpus,
        )
        for method in ("type1", "type2")
    ),
)
