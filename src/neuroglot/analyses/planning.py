"""Helpers for the declarations of several analyses: texts, settings and problems."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from neuroglot import layout
from neuroglot.analyses.base import Inputs, Run, RunningSettings, Sizes, StepSettings, Told
from neuroglot.settings import PerplexitySettings


@dataclass(frozen=True, kw_only=True)
class HeldOutInputs(Inputs):
    """The model, and by language the tokens of held-out text and of recorded text.

    ``chosen_on``, the text that neurons or experts were selected on, must share no segment with the
    held-out text.
    """

    model: Path
    held_out: Mapping[str, Path]
    chosen_on: Mapping[str, Path]


class HeldOutSettings(RunningSettings):
    """How a model is judged by held-out text without neurons or experts."""

    random_seeds: int
    replicates: int
    perplexity: PerplexitySettings


def labels(run: Run, languages: Iterable[str]) -> dict[str, Any]:
    """Give a step's ``languages`` and ``language_table``, which has no rows of other languages."""
    ids = list(languages)
    return {"languages": ids, "language_table": run.facts(ids)}


def picked(section: BaseModel, told: type[StepSettings]) -> dict[str, Any]:
    """Select a step's settings from a section: the fields with the same name."""
    wanted = set(told.model_fields) - set(StepSettings.model_fields)
    return {name: getattr(section, name) for name in type(section).model_fields if name in wanted}


def running(run: Run, model: str) -> dict[str, Any]:
    """Give ``device``, ``dtype`` and ``batch_tokens`` of a step that runs a model."""
    return run.running(model).model_dump()


def step_settings(
    settings: type[Told], run: Run, section: BaseModel, languages: Iterable[str], **others: Any
) -> Told:
    """Fill in a step's settings: the section's fields of the same name, and what the run says.

    Args:
        settings: class of the step's settings. Where it says how the model is run, or has
            ``perplexity``, these come from the run.
        run: the run.
        section: the analysis' section.
        languages: the languages that the step reads.
        others: further fields, such as ``model``; they replace those of the section.
    """
    told = picked(section, settings) | labels(run, languages)
    if issubclass(settings, RunningSettings):
        told |= running(run, others["model"])
    if "perplexity" in settings.model_fields:
        told["perplexity"] = held_out_settings(run)
    return settings(**told | others)


def recordings(
    run: Run, model: str, texts: Iterable[str], group: str
) -> dict[str, dict[str, Path]]:
    """Paths of one group of recordings of corpora or tasks, by text and language."""
    return {
        text: {
            language: layout.recording(model, text, language, group)
            for language in run.corpus_languages(text)
        }
        for text in texts
    }


def tokens(run: Run, model: str, corpus: str, languages: Iterable[str]) -> dict[str, Path]:
    """Paths of a corpus as a model's tokens, by language, for the languages that it has."""
    read = run.corpus_languages(corpus)
    return {
        language: layout.tokens(model, corpus, language)
        for language in languages
        if language in read
    }


def held_out_tokens(
    run: Run, model: str, chosen_on: str | None, languages: Iterable[str]
) -> dict[str, Any]:
    """Give ``held_out``, tokens of text for judging, and ``chosen_on``, which must not overlap."""
    languages = list(languages)
    held_out = run.perplexity.corpus if run.perplexity else None
    return {
        name: tokens(run, model, corpus, languages) if corpus else {}
        for name, corpus in (("held_out", held_out), ("chosen_on", chosen_on))
    }


def held_out_settings(run: Run) -> PerplexitySettings:
    """How held-out text is cut, for a step that is wanted only if there is held-out text."""
    if run.perplexity is None:
        raise TypeError("the configuration has no held-out text; ask has_held_out first")
    return run.perplexity


def has_held_out(run: Run, _section: Any) -> bool:
    """Whether there is held-out text, which steps with perplexity need."""
    return run.perplexity is not None


def held_out_problems(run: Run, analysis: str, corpus: str) -> Iterator[str]:
    """Give problems of held-out text, for an analysis that chooses neurons on a corpus."""
    if run.perplexity is None:
        return
    if corpus == run.perplexity.corpus:
        yield (
            f"perplexity.corpus: {corpus!r} is also {analysis}.corpus, so it is not "
            "held out; name another corpus, such as the same source with skip_segments"
        )
    elif not run.held_out_languages(corpus):
        yield (
            f"perplexity.corpus: {run.perplexity.corpus!r} and {analysis}.corpus "
            f"{corpus!r} have no language in common"
        )


def known_neurons(run: Run, analysis: str, sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the models of an analysis whose layers' numbers of neurons are known, with these."""
    for model in run.models_of(analysis):
        if model in sizes.neurons:
            yield model, sizes.neurons[model]
