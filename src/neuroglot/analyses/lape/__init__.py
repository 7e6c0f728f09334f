"""Language-specific neurons by activation-probability entropy, and models without them.

Tang et al., "Language-specific neurons: the key to multilingual capabilities in large language
models".
"""

from collections.abc import Iterator

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Naming, Run, Scope, Step, Wish
from neuroglot.analyses.lape.settings import (
    LapeSettings,
    NeuronsInputs,
    NeuronsSettings,
    PerplexityInputs,
    PerplexityStepSettings,
)
from neuroglot.analyses.planning import (
    has_held_out,
    held_out_problems,
    held_out_settings,
    held_out_tokens,
    labels,
    picked,
    recordings,
    running,
)
from neuroglot.analyses.training import training_step
from neuroglot.capture.settings import FiringGroup


def _recordings(_run: Run, section: LapeSettings) -> Iterator[Wish]:
    yield Wish(section.corpus, FiringGroup())


def _neurons_inputs(run: Run, section: LapeSettings, scope: Scope) -> NeuronsInputs:
    recorded = recordings(run, scope.model, [section.corpus], "firing")
    return NeuronsInputs(firing=recorded[section.corpus])


def _neurons_settings(run: Run, section: LapeSettings, scope: Scope) -> NeuronsSettings:
    languages = run.corpus_languages(section.corpus)
    return NeuronsSettings(
        model=scope.model, **labels(run, languages), **picked(section, NeuronsSettings)
    )


def _perplexity_inputs(run: Run, section: LapeSettings, scope: Scope) -> PerplexityInputs:
    languages = run.held_out_languages(section.corpus)
    return PerplexityInputs(
        model=layout.model(scope.model),
        neurons=layout.reduction("lape", "neurons", scope.model),
        **held_out_tokens(run, scope.model, section.corpus, languages),
    )


def _perplexity_settings(run: Run, section: LapeSettings, scope: Scope) -> PerplexityStepSettings:
    return PerplexityStepSettings(
        model=scope.model,
        perplexity=held_out_settings(run),
        **labels(run, run.held_out_languages(section.corpus)),
        **running(run, scope.model),
        **picked(section, PerplexityStepSettings),
    )


def _passes(run: Run, section: LapeSettings) -> int:
    # The model as it is; without each language's neurons; without others that fire as often, the
    # neurons with partners, and the partners; without random ones.
    return 1 + len(run.held_out_languages(section.corpus)) + 3 + section.random_seeds


LAPE = Analysis(
    name="lape",
    encoders=True,
    mixtures=True,
    title="the neurons that are a language's own",
    section=LapeSettings,
    recordings=_recordings,
    problems=lambda run, section: held_out_problems(run, "lape", section.corpus),
    steps=(
        Step(
            "neurons",
            "language-specific neurons of {model}",
            _neurons_inputs,
            _neurons_settings,
            tables=("neurons", "language_neurons"),
            files=("language_neurons.json", "language_neurons.pt"),
        ),
        Step(
            "perplexity",
            "{model} without a language's neurons",
            _perplexity_inputs,
            _perplexity_settings,
            tables=("perplexity", "controls", "contrasts"),
            wanted=has_held_out,
            judges=True,
            causal=True,
            runs_model=True,
            passes=_passes,
        ),
        training_step(
            "lape",
            "neurons",
            "numbers of language-specific neurons",
            lambda run, section: run.corpus_languages(section.corpus),
        ),
    ),
    figures=(
        FigureSet("neurons", ("language_neurons", "several_languages"), ("neurons",)),
        FigureSet(
            "perplexity",
            ("perplexity_without",),
            ("perplexity",),
            front=("perplexity_without",),
        ),
        FigureSet("training", ("neurons_in_training",), ("training",)),
    ),
    naming=(
        Naming(
            "lape",
            steps=("neurons",),
            languages=lambda run, section: run.corpus_languages(section.corpus),
            chosen_on=lambda section: section.corpus,
        ),
    ),
)
