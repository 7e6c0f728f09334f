"""Which experts of a mixture the languages are routed to, and models that may not choose them.

The divergence of languages' routing from the pivot's, layer by layer, is that of Bandarkar et al.,
"Multilingual Routing in Mixture-of-Experts" (arXiv 2510.04694).
"""

from collections.abc import Iterator

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Step, Wish
from neuroglot.analyses.planning import (
    has_held_out,
    held_out_problems,
    held_out_tokens,
    recordings,
    step_settings,
    tokens,
)
from neuroglot.analyses.routing.settings import (
    ExpertsInputs,
    ExpertsStepSettings,
    PerplexityInputs,
    PerplexityStepSettings,
    RoutingAnalysisSettings,
    SharesInputs,
    SharesSettings,
)
from neuroglot.analyses.training import training_step
from neuroglot.capture.settings import RoutingGroup


def _languages(run: Run, section: RoutingAnalysisSettings) -> list[str]:
    return run.corpus_languages(section.corpus)


def _recordings(_run: Run, section: RoutingAnalysisSettings) -> Iterator[Wish]:
    yield Wish(section.corpus, RoutingGroup())


def _problems(run: Run, section: RoutingAnalysisSettings) -> Iterator[str]:
    if not run.corpora[section.corpus].parallel:
        yield (
            f"routing.corpus: {section.corpus!r} is not parallel, and routing compares the same "
            "segments in every language; name a parallel corpus"
        )
    if run.pivot not in _languages(run, section):
        yield (
            f"routing.corpus: {section.corpus!r} lacks the pivot {run.pivot!r}, with which the "
            "other languages are compared; name a corpus that has it"
        )
    yield from held_out_problems(run, "routing", section.corpus)


def _shares_inputs(run: Run, section: RoutingAnalysisSettings, scope: Scope) -> SharesInputs:
    recorded = recordings(run, scope.model, [section.corpus], "routing")
    return SharesInputs(
        routing=recorded[section.corpus],
        tokens=tokens(run, scope.model, section.corpus, _languages(run, section)),
    )


def _shares_settings(run: Run, section: RoutingAnalysisSettings, scope: Scope) -> SharesSettings:
    languages = _languages(run, section)
    return step_settings(
        SharesSettings, run, section, languages, model=scope.model, pivot=run.pivot
    )


def _experts_inputs(run: Run, section: RoutingAnalysisSettings, scope: Scope) -> ExpertsInputs:
    recorded = recordings(run, scope.model, [section.corpus], "routing")
    return ExpertsInputs(routing=recorded[section.corpus])


def _experts_settings(
    run: Run, section: RoutingAnalysisSettings, scope: Scope
) -> ExpertsStepSettings:
    languages = _languages(run, section)
    return step_settings(ExpertsStepSettings, run, section, languages, model=scope.model)


def _perplexity_inputs(
    run: Run, section: RoutingAnalysisSettings, scope: Scope
) -> PerplexityInputs:
    languages = run.held_out_languages(section.corpus)
    return PerplexityInputs(
        model=layout.model(scope.model),
        experts=layout.reduction("routing", "experts", scope.model),
        **held_out_tokens(run, scope.model, section.corpus, languages),
    )


def _perplexity_settings(
    run: Run, section: RoutingAnalysisSettings, scope: Scope
) -> PerplexityStepSettings:
    languages = run.held_out_languages(section.corpus)
    return step_settings(PerplexityStepSettings, run, section, languages, model=scope.model)


def _passes(run: Run, section: RoutingAnalysisSettings) -> int:
    # The model as it is; without each language's experts; without others that are chosen as often,
    # the experts with partners, and the partners; without random ones.
    return 1 + len(run.held_out_languages(section.corpus)) + 3 + section.random_seeds


ROUTING = Analysis(
    name="routing",
    mixtures=True,
    dense=False,
    title="which experts the languages are routed to",
    section=RoutingAnalysisSettings,
    recordings=_recordings,
    problems=_problems,
    steps=(
        Step(
            "shares",
            "routing of languages in {model}",
            _shares_inputs,
            _shares_settings,
            tables=("frequency", "divergence", "confidence", "overlap", "related_languages"),
        ),
        Step(
            "experts",
            "experts of one language in {model}",
            _experts_inputs,
            _experts_settings,
            tables=("experts", "language_experts"),
        ),
        Step(
            "perplexity",
            "{model} without a language's experts",
            _perplexity_inputs,
            _perplexity_settings,
            tables=("perplexity", "controls", "contrasts", "forbidden_experts"),
            wanted=has_held_out,
            judges=True,
            causal=True,
            runs_model=True,
            passes=_passes,
        ),
        training_step("routing", "shares", "divergence of languages' routing", _languages),
    ),
    figures=(
        FigureSet(
            "divergence",
            ("divergence_from_pivot", "divergence_and_floor"),
            ("shares",),
            front=("divergence_from_pivot",),
        ),
        FigureSet("frequency", ("chosen_experts", "expert_entropy"), ("shares",)),
        FigureSet("confidence", ("router_confidence", "router_margin"), ("shares",)),
        FigureSet("overlap", ("routing_overlap",), ("shares",)),
        FigureSet("related", ("related_routing",), ("shares",)),
        FigureSet("experts", ("own_experts",), ("experts",)),
        FigureSet("perplexity", ("perplexity_without_experts",), ("perplexity",)),
        FigureSet("training", ("routing_in_training",), ("training",)),
    ),
)
