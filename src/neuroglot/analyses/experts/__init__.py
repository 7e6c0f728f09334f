"""Neurons clustered into experts, the languages that use them, and models with few experts.

Liu et al., "Unraveling Babel: Exploring multilingual activation patterns within large language
models".
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Naming, Run, Scope, Sizes, Step, Wish
from neuroglot.analyses.experts.settings import (
    REAL,
    ExpertsSettings,
    FrequencyInputs,
    FrequencySettings,
    InferenceInputs,
    InferenceSettings,
    PartitionInputs,
    PartitionSettings,
    RoutingInputs,
    RoutingSettings,
    too_many,
)
from neuroglot.analyses.planning import (
    has_held_out,
    held_out_problems,
    held_out_tokens,
    known_neurons,
    step_settings,
    tokens,
)
from neuroglot.analyses.training import training_step
from neuroglot.capture.settings import RowsGroup


def _recordings(_run: Run, section: ExpertsSettings) -> Iterator[Wish]:
    if not _reads_again(section):
        yield Wish(section.corpus, RowsGroup())


def _reads_again(section: ExpertsSettings) -> bool:
    """Whether the step reads the text with the model, instead of recorded activations."""
    return section.scores_from == "forward"


def _blocks(_run: Run, section: ExpertsSettings) -> list[str]:
    return [str(block) for block in range(section.clustering_jobs)]


def _languages(run: Run, section: ExpertsSettings) -> list[str]:
    return run.corpus_languages(section.corpus)


def _partition(run: Run, section: ExpertsSettings, model: str) -> dict[str, Path]:
    return {
        block: layout.reduction("experts", "partition", model, block)
        for block in _blocks(run, section)
    }


def _routing(model: str, languages: Iterable[str]) -> dict[str, Path]:
    return {
        language: layout.reduction("experts", "routing", model, language) for language in languages
    }


def _partition_inputs(_run: Run, _section: ExpertsSettings, scope: Scope) -> PartitionInputs:
    return PartitionInputs(model=layout.model(scope.model))


def _partition_settings(run: Run, section: ExpertsSettings, scope: Scope) -> PartitionSettings:
    told = {"block": int(scope.one_part), "blocks": section.clustering_jobs}
    return step_settings(PartitionSettings, run, section, [], model=scope.model, **told)


def _routing_inputs(run: Run, section: ExpertsSettings, scope: Scope) -> RoutingInputs:
    model, language = scope.model, scope.one_part
    partition = _partition(run, section, model)
    if _reads_again(section):
        return RoutingInputs(
            partition=partition,
            model=layout.model(model),
            tokens=layout.tokens(model, section.corpus, language),
        )
    rows = layout.recording(model, section.corpus, language, "rows")
    return RoutingInputs(partition=partition, rows=rows)


def _routing_settings(run: Run, section: ExpertsSettings, scope: Scope) -> RoutingSettings:
    return step_settings(RoutingSettings, run, section, [], model=scope.model)


def _frequency_inputs(run: Run, section: ExpertsSettings, scope: Scope) -> FrequencyInputs:
    languages = _languages(run, section)
    return FrequencyInputs(
        routing=_routing(scope.model, languages),
        tokens=tokens(run, scope.model, section.corpus, languages),
    )


def _frequency_settings(run: Run, section: ExpertsSettings, scope: Scope) -> FrequencySettings:
    languages = _languages(run, section)
    return step_settings(FrequencySettings, run, section, languages, model=scope.model)


def _inference_inputs(run: Run, section: ExpertsSettings, scope: Scope) -> InferenceInputs:
    languages = run.held_out_languages(section.corpus)
    return InferenceInputs(
        model=layout.model(scope.model),
        partition=_partition(run, section, scope.model),
        routing=_routing(scope.model, languages),
        **held_out_tokens(run, scope.model, section.corpus, languages),
    )


def _inference_settings(run: Run, section: ExpertsSettings, scope: Scope) -> InferenceSettings:
    languages = run.held_out_languages(section.corpus)
    return step_settings(InferenceSettings, run, section, languages, model=scope.model)


def _too_small(run: Run, section: ExpertsSettings, sizes: Sizes) -> Iterator[str]:
    if section.experts_per_layer == REAL:
        return
    for model, neurons in known_neurons(run, "experts", sizes):
        if section.experts_per_layer > min(neurons):
            yield too_many(section.experts_per_layer, min(neurons), model)


def _problems(run: Run, section: ExpertsSettings) -> Iterator[str]:
    yield from held_out_problems(run, "experts", section.corpus)
    if _real(section) and section.scores_from == "rows":
        yield "experts.scores_from: real experts are counted during a forward pass; set forward"


def _real(section: ExpertsSettings) -> bool:
    return section.experts_per_layer == REAL


def _clustered(section: ExpertsSettings) -> bool:
    return not _real(section)


def _sliced(run: Run, section: ExpertsSettings) -> bool:
    """Whether models are cut to some experts, which can be done with clusters alone."""
    return has_held_out(run, section) and _clustered(section)


def _passes(_run: Run, section: ExpertsSettings) -> int:
    return section.speed_rounds * (2 + 2 * section.random_seeds)


EXPERTS = Analysis(
    name="experts",
    encoders=True,
    mixtures=_real,
    dense=_clustered,
    title="languages over clustered neurons",
    section=ExpertsSettings,
    recordings=_recordings,
    problems=_problems,
    too_small=_too_small,
    steps=(
        Step(
            "partition",
            "neurons of {model} clustered, block {part}",
            _partition_inputs,
            _partition_settings,
            parts=_blocks,
            runtime=720,
        ),
        Step(
            "routing",
            "active experts of {model} reading {part}",
            _routing_inputs,
            _routing_settings,
            parts=_languages,
            runs_model=_reads_again,
        ),
        Step(
            "frequency",
            "frequency and similarity of languages in {model}",
            _frequency_inputs,
            _frequency_settings,
            tables=(
                "frequency",
                "similarity",
                "related_languages",
                "shared_experts",
                "specific_experts",
                "specific_by_layer",
            ),
        ),
        Step(
            "inference",
            "{model} with high-frequency experts only",
            _inference_inputs,
            _inference_settings,
            tables=("perplexity", "controls", "speed", "continuations"),
            wanted=_sliced,
            judges=True,
            causal=True,
            runs_model=True,
            passes=_passes,
        ),
        training_step(
            "experts",
            "frequency",
            "experts of one language alone",
            _languages,
        ),
    ),
    figures=(
        FigureSet("frequency", ("figure_01_expert_frequency",), ("frequency",)),
        FigureSet(
            "similarity",
            (
                "figure_02_euclidean",
                "figure_05_kl_divergence",
                "jensen_shannon",
                "figure_06_pearson",
            ),
            ("frequency",),
        ),
        FigureSet("related", ("related_languages",), ("frequency",)),
        FigureSet(
            "shared",
            ("figure_03_shared_experts",),
            ("frequency",),
            front=("figure_03_shared_experts",),
        ),
        FigureSet("specific", ("specific_experts",), ("frequency",)),
        FigureSet("inference", ("table_04_perplexity", "sliced_speed"), ("inference",)),
        FigureSet("training", ("experts_in_training",), ("training",)),
    ),
    naming=(
        Naming(
            "experts",
            steps=("frequency", "partition"),
            languages=_languages,
            chosen_on=lambda section: section.corpus,
        ),
    ),
)
