"""Agreement between the methods that name a language's neurons.

This analysis follows no paper. It compares all configured analyses that declare a ``Naming``.
"""

from collections.abc import Iterator
from pathlib import Path

from neuroglot import layout
from neuroglot.analyses.agreement.settings import (
    AgreementInputs,
    AgreementSettings,
    AgreementStepSettings,
)
from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Step
from neuroglot.analyses.named import (
    analyses_of,
    configured_methods,
    known_methods,
    languages_of,
    modules_of,
    reductions_of,
)
from neuroglot.analyses.planning import labels, picked


def compared_languages(run: Run) -> list[str]:
    """List the languages for which two or more analyses name neurons, in drawing order."""
    named: dict[str, set[str]] = {}
    for method in configured_methods(run):
        named.setdefault(method.analysis, set()).update(languages_of(run, method))
    return [
        language
        for language in run.all_languages
        if sum(language in languages for languages in named.values()) > 1
    ]


def _reads(run: Run, _section: AgreementSettings) -> list[str]:
    return analyses_of(configured_methods(run))


def _problems(run: Run, section: AgreementSettings) -> Iterator[str]:
    configured = sorted(_reads(run, section))
    if len(configured) < 2:
        known = ", ".join(analyses_of(known_methods().values()))
        yield (
            "agreement: it compares analyses that name a language's neurons, of which "
            f"{configured or 'none'} is configured; configure two of {known}"
        )
    elif not compared_languages(run):
        yield (
            f"agreement: no language is read by two of {', '.join(configured)}; "
            "give their corpora or tasks languages in common"
        )
    methods = [method.name for method in configured_methods(run)]
    if section.minimum_methods > len(methods) > 1:
        yield (
            f"agreement.minimum_methods: {section.minimum_methods} methods are asked for, and "
            f"{len(methods)} are configured ({', '.join(methods)}); set it to that or less"
        )


def _inputs(run: Run, _section: AgreementSettings, scope: Scope) -> AgreementInputs:
    reductions: dict[str, dict[str, Path]] = {}
    for method in configured_methods(run):
        read = reductions_of(run, method, scope.model)
        reductions.setdefault(method.analysis, {}).update(read)
    return AgreementInputs(model=layout.model(scope.model), reductions=reductions)


def _settings(run: Run, section: AgreementSettings, scope: Scope) -> AgreementStepSettings:
    return AgreementStepSettings(
        model=scope.model,
        methods=configured_methods(run),
        **labels(run, compared_languages(run)),
        device=run.running(scope.model).device,
        **picked(section, AgreementStepSettings),
    )


AGREEMENT = Analysis(
    name="agreement",
    title="whether methods name the same neurons for a language",
    section=AgreementSettings,
    problems=_problems,
    reads=_reads,
    steps=(
        Step(
            "agreement",
            "neurons of {model} that methods name alike",
            _inputs,
            _settings,
            tables=("agreement", "neurons"),
            runs_model=True,
            modules=lambda settings: modules_of(settings.methods),
        ),
    ),
    figures=(
        FigureSet("overlap", ("agreement_by_language", "agreement_by_layer"), ("agreement",)),
    ),
)
