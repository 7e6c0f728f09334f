"""Runs the jobs of a configuration in this process, which takes a fraction of Snakemake's time."""

from collections.abc import Callable
from typing import Any

from neuroglot import commands, layout
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Step
from neuroglot.config import Config
from neuroglot.keys import Keys
from neuroglot.recordings import Recordings


def run_jobs(config: Config, asked: Callable[[str, str], bool] = lambda *_: True) -> None:
    """Make models, texts, tokens and recordings, and the steps that are asked for.

    Args:
        config: the configuration; paths are those of the working folder.
        asked: says of an analysis and a step whether it is.
    """
    for model in config.models:
        commands.make_model(config, model)
    for corpus in config.corpora:
        commands.make_texts(config, corpus, config.corpus_languages(corpus))
    for task in config.tasks:
        commands.make_items(config, task, config.corpus_languages(task))
    for job in Recordings(config, Keys(config)).missing(config.analyses):
        for language in job.languages:
            commands.make_recordings(config, job.model, language, [*map(str, job.targets)])
    for name in config.analyses:
        for step in wanted.steps(config, ANALYSES[name]):
            if asked(name, step.name):
                _run(config, name, step)


def _run(config: Config, name: str, step: Step[Any, Any, Any]) -> None:
    """Run all jobs of a step, which stands after those of its analysis that it reads."""
    for scope in wanted.jobs(config, ANALYSES[name], step):
        paths = step.inputs(config, config.section(name), scope).paths()
        assert all(layout.done(path).is_file() for path in paths)
        model = None if step.compares_models else scope.model
        commands.make_reduction(config, name, step.name, model, scope.part)
