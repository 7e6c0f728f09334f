"""Runs the jobs of a configuration in this process, which takes a fraction of Snakemake's time."""

from collections.abc import Callable
from typing import Any

from neuroglot import commands, layout
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Scope, Step
from neuroglot.capture import record
from neuroglot.config import Config
from neuroglot.keys import Keys
from neuroglot.recordings import Recordings


def run_jobs(config: Config, asked: Callable[[str, str], bool] = lambda *_: True) -> None:
    """Make models, texts, tokens and recordings, and the steps that are asked for.

    Args:
        config: the configuration; paths are those of the working folder.
        asked: says of an analysis and a step whether it is.
    """
    record._tokenizer.cache_clear()  # which a new process would not have
    for model in config.models:
        commands.make_model(config, model)
    for corpus in config.corpora:
        for language in config.corpus_languages(corpus):
            commands.make_text(config, corpus, language)
            for model in config.models:
                commands.make_tokens(config, model, corpus, language)
    for task in config.tasks:
        for language in config.corpus_languages(task):
            commands.make_items(config, task, language)
    for model, groups in Recordings(config, Keys(config)).groups.items():
        for language in config.all_languages:
            of_language = [
                str(target)
                for target in groups
                if language in config.corpus_languages(target.source)
            ]
            if of_language:
                commands.make_recordings(config, model, language, of_language)
    for name in config.analyses:
        for step in wanted.steps(config, ANALYSES[name]):
            if asked(name, step.name):
                _run(config, name, step)


def _run(config: Config, name: str, step: Step[Any, Any, Any]) -> None:
    """Run all jobs of a step, which stands after those of its analysis that it reads."""
    section = config.section(name)
    models = config.models_of(name, step.causal)
    for scope in [Scope(tuple(models))] if step.compares_models else map(_alone, models):
        model = None if step.compares_models else scope.model
        for part in step.parts(config, section) if step.parts else [None]:
            assert all(
                layout.done(path).is_file()
                for path in step.inputs(config, section, Scope(scope.models, part)).paths()
            )
            commands.make_reduction(config, name, step.name, model, part)


def _alone(model: str) -> Scope:
    return Scope((model,))
