"""Checks a configuration against the models, texts and tasks that are here, before any job runs."""

from collections.abc import Generator
from typing import TYPE_CHECKING

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import Sizes
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import CARD, read_card
from neuroglot.models.source import ModelSettings, checkpoint_files, checkpoint_settings
from neuroglot.texts_check import check_texts

if TYPE_CHECKING:
    from neuroglot.config import Config


def check_inputs(config: "Config") -> Generator[str, None, None]:
    """Check models in local folders, texts and tasks, and that settings fit their sizes.

    What would have to be downloaded is not checked.

    Yields:
        Lines to print.

    Raises:
        NeuroglotError: a model, a text or a task cannot be used, or is too small for a setting.
    """
    neurons = yield from _check_models(config)
    segments = yield from check_texts(config)
    sizes = Sizes(segments, neurons)
    problems = [
        problem
        for name in config.analyses
        for problem in ANALYSES[name].too_small(config, config.section(name), sizes)
    ]
    if problems:
        raise NeuroglotError("\n".join(problems))


def _check_models(
    config: "Config",
) -> Generator[str, None, dict[str, tuple[int, ...]]]:
    """Check models in folders; return each layer's number of neurons of the models that are known.

    A model that was made of a folder as it is now has been checked.
    """
    neurons: dict[str, tuple[int, ...]] = {}
    for name, settings in config.models.items():
        if settings.source_type == "folder" and not _is_made(name, settings):
            from neuroglot.models.checkpoint import check_folder

            try:
                sizes, warnings = check_folder(settings, bool(config.chat_tasks(name)))
            except NeuroglotError as error:
                raise NeuroglotError(f"models.{name}: {error}") from error
            yield from (f"models.{name}: {warning}" for warning in warnings)
            neurons[name] = sizes["neurons"]
        elif (layout.model(name) / CARD).is_file():
            neurons[name] = read_card(layout.model(name)).neurons
    return neurons


def _is_made(name: str, settings: ModelSettings) -> bool:
    """Whether a model was made after the last change of the files in its folder."""
    card = layout.model(name) / CARD
    if not card.is_file():
        return False
    trained = settings.reinitialise is None
    files = (checkpoint_files if trained else checkpoint_settings)(settings.folder)
    return max(file.stat().st_mtime for file in files) < card.stat().st_mtime
