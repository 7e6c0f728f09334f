"""Detectors and combinators: how feed-forward neurons handle languages, layer by layer.

Bhattacharya and Bojar, "Understanding the role of FFNs in driving multilingual behavior in LLMs".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Step, StepSettings, Wish
from neuroglot.analyses.planning import labels, picked, recordings, tokens
from neuroglot.analyses.roles.settings import (
    ActivationFrequencySettings,
    DistanceInputs,
    DistanceSettings,
    DominantNeuronsSettings,
    HeatmapInputs,
    HeatmapSettings,
    ParallelSetsInputs,
    RankCorrelationInputs,
    RankCorrelationSettings,
    ResampledSettings,
    RolesSettings,
    RsaInputs,
    RsaSettings,
    StatisticsInputs,
)
from neuroglot.analyses.training import compared_models, training_step
from neuroglot.capture.settings import RolesGroup, SampleGroup

Told = TypeVar("Told", bound=StepSettings)


def _recordings(_run: Run, section: RolesSettings) -> Iterator[Wish]:
    for corpus in section.corpora:
        yield Wish(corpus, RolesGroup(rule=section.rule, threshold=section.threshold))
        yield Wish(corpus, SampleGroup(segments=section.sample_segments))


def _problems(run: Run, section: RolesSettings) -> Iterator[str]:
    for place, corpus in enumerate(section.corpora):
        if not run.corpora[corpus].parallel:
            yield (
                f"roles.corpora[{place}]: {corpus!r} is not parallel, and roles compares the same "
                "segments in every language; name a parallel corpus"
            )


def _statistics(run: Run, section: RolesSettings, scope: Scope) -> StatisticsInputs:
    return StatisticsInputs(roles=recordings(run, scope.model, section.corpora, "roles"))


def _rank_correlation(run: Run, section: RolesSettings, scope: Scope) -> RankCorrelationInputs:
    return RankCorrelationInputs(
        roles=recordings(run, scope.model, section.corpora, "roles"),
        sample=recordings(run, scope.model, section.corpora, "sample"),
        tokens=_tokens(run, section, scope),
    )


def _parallel_sets(run: Run, section: RolesSettings, scope: Scope) -> ParallelSetsInputs:
    return ParallelSetsInputs(
        roles=recordings(run, scope.model, section.corpora, "roles"),
        texts={
            corpus: {
                language: layout.corpus(corpus, language)
                for language in run.corpus_languages(corpus)
            }
            for corpus in section.corpora
        },
        tokens=_tokens(run, section, scope),
    )


def _tokens(run: Run, section: RolesSettings, scope: Scope) -> dict[str, dict[str, Path]]:
    return {
        corpus: tokens(run, scope.model, corpus, run.corpus_languages(corpus))
        for corpus in section.corpora
    }


def _distance(run: Run, section: RolesSettings, scope: Scope) -> DistanceInputs:
    return DistanceInputs(sample=recordings(run, scope.model, section.corpora, "sample"))


def _heatmap(run: Run, section: RolesSettings, scope: Scope) -> HeatmapInputs:
    return HeatmapInputs(sample=_first_sample(run, section, scope.model))


def _rsa(run: Run, section: RolesSettings, scope: Scope) -> RsaInputs:
    models = compared_models(run, scope.models)
    return RsaInputs(sample={model: _first_sample(run, section, model) for model in models})


def _first_sample(run: Run, section: RolesSettings, model: str) -> dict[str, Path]:
    corpus = section.corpora[0]
    return recordings(run, model, [corpus], "sample")[corpus]


def _told(
    told: type[Told], run: Run, section: RolesSettings, scope: Scope, pivot: str | None = None
) -> Told:
    languages = labels(run, run.corpus_languages(*section.corpora))
    return told(model=scope.model, pivot=pivot, **languages, **picked(section, told))


def _frequency_told(run: Run, section: RolesSettings, scope: Scope) -> ActivationFrequencySettings:
    return _told(ActivationFrequencySettings, run, section, scope)


def _dominant_told(run: Run, section: RolesSettings, scope: Scope) -> DominantNeuronsSettings:
    return _told(DominantNeuronsSettings, run, section, scope)


def _resampled_told(run: Run, section: RolesSettings, scope: Scope) -> ResampledSettings:
    return _told(ResampledSettings, run, section, scope)


def _paired_told(run: Run, section: RolesSettings, scope: Scope) -> ResampledSettings:
    return _told(ResampledSettings, run, section, scope, run.pivot)


def _rank_correlation_told(
    run: Run, section: RolesSettings, scope: Scope
) -> RankCorrelationSettings:
    return _told(RankCorrelationSettings, run, section, scope, run.pivot)


def _distance_told(run: Run, section: RolesSettings, scope: Scope) -> DistanceSettings:
    return _told(DistanceSettings, run, section, scope, run.pivot)


def _heatmap_told(run: Run, section: RolesSettings, scope: Scope) -> HeatmapSettings:
    corpus = section.corpora[0]
    return HeatmapSettings(
        model=scope.model,
        corpus=corpus,
        **labels(run, run.corpus_languages(corpus)),
        **picked(section, HeatmapSettings),
    )


def _rsa_told(run: Run, section: RolesSettings, scope: Scope) -> RsaSettings:
    corpus = section.corpora[0]
    return RsaSettings(
        compared=compared_models(run, scope.models),
        corpus=corpus,
        **labels(run, run.corpus_languages(corpus)),
        **picked(section, RsaSettings),
    )


ROLES = Analysis(
    name="roles",
    encoders=True,
    title="detectors and combinators through the layers",
    section=RolesSettings,
    recordings=_recordings,
    problems=_problems,
    steps=(
        Step(
            "activation_frequency",
            "activation frequency of {model}",
            _statistics,
            _frequency_told,
            tables=("activation_frequency",),
        ),
        Step(
            "flatness",
            "activation flatness of {model}",
            _statistics,
            _resampled_told,
            tables=("flatness",),
        ),
        Step("heatmap", "scaled activations of {model}", _heatmap, _heatmap_told),
        Step(
            "dominant_neurons",
            "dominant neurons of {model}",
            _statistics,
            _dominant_told,
            tables=("dominant_neurons",),
        ),
        Step(
            "distance",
            "distance between parallel prefixes of {model}",
            _distance,
            _distance_told,
            tables=("distance",),
        ),
        Step(
            "rank_correlation",
            "rank correlation between languages of {model}",
            _rank_correlation,
            _rank_correlation_told,
            tables=("rank_correlation", "related_languages", "related_languages_by_layer"),
        ),
        Step(
            "parallel_sets",
            "parallel sets of {model}",
            _parallel_sets,
            _paired_told,
            tables=("parallel_sets",),
        ),
        Step(
            "rsa",
            "similarity between the layers of all models",
            _rsa,
            _rsa_told,
            tables=("rsa",),
            compares_models=True,
        ),
        training_step(
            "roles",
            "rank_correlation",
            "rank correlation between languages",
            lambda run, section: run.corpus_languages(*section.corpora),
        ),
    ),
    figures=(
        FigureSet(
            "frequency",
            (
                "figure_02_detector_activation_frequency",
                "figure_03_combinator_activation_frequency",
            ),
            ("activation_frequency",),
        ),
        FigureSet(
            "flatness",
            ("figure_04_detector_flatness", "figure_06_combinator_flatness"),
            ("flatness",),
        ),
        FigureSet(
            "heatmap",
            (
                "figure_05_detector_heatmap",
                "figure_07_combinator_heatmap",
                "figure_08_combinator_early_layer",
            ),
            ("heatmap",),
        ),
        FigureSet(
            "distance",
            ("figure_09_detector_distance", "figure_10_combinator_distance"),
            ("distance",),
        ),
        FigureSet(
            "rsa",
            ("figure_11_combinator_model_similarity", "figure_11_detector_model_similarity"),
            ("rsa",),
            between_models=(
                "figure_11_combinator_model_similarity",
                "figure_11_detector_model_similarity",
            ),
        ),
        FigureSet(
            "rank_correlation",
            (
                "figure_12_detector_rank_correlation",
                "figure_12_detector_rank_correlation_pairs",
                "figure_12_detector_rank_correlation_of_halves",
                "figure_12_detector_rank_correlation_without_shared_tokens",
                "figure_13_combinator_rank_correlation",
                "figure_13_combinator_rank_correlation_pairs",
                "figure_13_combinator_rank_correlation_of_halves",
                "figure_13_combinator_rank_correlation_without_shared_tokens",
            ),
            ("rank_correlation",),
            front=("figure_12_detector_rank_correlation",),
        ),
        FigureSet("related", ("related_languages",), ("rank_correlation",)),
        FigureSet(
            "parallel_sets",
            (
                "figure_14_detector_same_language",
                "figure_15_combinator_same_language",
                "figure_16_overlap",
                "figure_17_detector_parallel_pairs",
                "figure_18_combinator_parallel_pairs",
            ),
            ("parallel_sets", "rank_correlation"),
        ),
        FigureSet("training", ("correlation_in_training",), ("training",)),
    ),
)
