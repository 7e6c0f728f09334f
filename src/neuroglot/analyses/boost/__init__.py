"""Effect of multiplying a language's neurons on the text that a model writes and reads.

This analysis follows no paper. Any analysis that declares a ``Naming`` can name the neurons.
"""

from collections.abc import Iterator

from neuroglot import layout
from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Sizes, Step
from neuroglot.analyses.boost.settings import BoostInputs, BoostSettings, BoostStepSettings
from neuroglot.analyses.named import (
    Method,
    find_method,
    known_methods,
    languages_of,
    modules_of,
    naming_of,
    reductions_of,
)
from neuroglot.analyses.planning import held_out_tokens, step_settings
from neuroglot.errors import unknown_name


def boosted_languages(run: Run, section: BoostSettings) -> list[str]:
    """List the languages with held-out text and neurons to multiply."""
    held_out = run.corpus_languages(run.perplexity.corpus) if run.perplexity else []
    named = languages_of(run, find_method(section.method))
    return [language for language in named if language in held_out]


def _chosen_on(run: Run, method: Method) -> str | None:
    """The corpus that a method's neurons are chosen on, if any."""
    return naming_of(method).chosen_on(run.section(method.analysis))


def _reads(run: Run, section: BoostSettings) -> Iterator[str]:
    method = known_methods().get(section.method)
    if method is not None and run.section(method.analysis) is not None:
        yield method.analysis


def _problems(run: Run, section: BoostSettings) -> Iterator[str]:
    known = known_methods()
    if section.method not in known:
        name = unknown_name("method that names neurons", section.method, known)
        yield f"boost.method: {name}"
        return
    method = known[section.method]
    if run.section(method.analysis) is None:
        yield (
            f"boost.method: {method.name!r} needs the section {method.analysis!r}, which the "
            "configuration has not; add it or name another method"
        )
    elif run.perplexity is None:
        yield (
            "boost: prompts and perplexity are taken from held-out text; add a section "
            "perplexity that names its corpus"
        )
    elif (corpus := run.perplexity.corpus) == _chosen_on(run, method):
        yield (
            f"perplexity.corpus: {corpus!r} is also {method.analysis}.corpus, so it is not held "
            "out; name another corpus, such as the same source with skip_segments"
        )
    elif run.pivot not in run.corpus_languages(corpus):
        yield (
            f"perplexity.corpus: {corpus!r} is not read in the pivot {run.pivot!r}, whose "
            "prompts boost starts from; add the pivot to its languages"
        )
    elif not boosted_languages(run, section):
        yield (
            f"perplexity.corpus: {corpus!r} is read in no language whose neurons "
            f"boost.method {method.name!r} names"
        )


def _too_small(run: Run, section: BoostSettings, sizes: Sizes) -> Iterator[str]:
    corpus = run.perplexity.corpus if run.perplexity else ""
    segments = sizes.segments.get(corpus)
    read = {*boosted_languages(run, section), run.pivot}  # others may have fewer segments in common
    if (
        segments is not None
        and segments < section.prompts
        and read >= {*run.corpus_languages(corpus)}
    ):
        yield (
            f"boost.prompts: {section.prompts} prompts are asked for, and the held-out text "
            f"{corpus!r} has {segments} segments in all languages; lower it, or give more text"
        )


def _inputs(run: Run, section: BoostSettings, scope: Scope) -> BoostInputs:
    method, languages = find_method(section.method), boosted_languages(run, section)
    return BoostInputs(
        model=layout.model(scope.model),
        reductions=reductions_of(run, method, scope.model),
        **held_out_tokens(
            run, scope.model, _chosen_on(run, method), dict.fromkeys([*languages, run.pivot])
        ),
    )


def _settings(run: Run, section: BoostSettings, scope: Scope) -> BoostStepSettings:
    languages, method = boosted_languages(run, section), find_method(section.method)
    told = {"model": scope.model, "pivot": run.pivot, "method": method}
    return step_settings(BoostStepSettings, run, section, languages, **told)


def _passes(run: Run, section: BoostSettings) -> int:
    return 2 * len(section.factors) * len(boosted_languages(run, section))


BOOST = Analysis(
    name="boost",
    mixtures=True,
    title="text that is written with a language's neurons multiplied",
    section=BoostSettings,
    problems=_problems,
    too_small=_too_small,
    reads=_reads,
    steps=(
        Step(
            "boost",
            "{model} with a language's neurons multiplied",
            _inputs,
            _settings,
            tables=("boost", "contrasts", "continuations"),
            judges=True,
            causal=True,
            runs_model=True,
            passes=_passes,
            runtime=240,
            modules=lambda settings: modules_of([settings.method]),
        ),
    ),
    figures=(FigureSet("factors", ("share_of_text", "perplexity_boosted"), ("boost",)),),
)
