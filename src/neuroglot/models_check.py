"""Finds configured models that an analysis or a task cannot take, as far as they are known yet."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import JudgingSettings
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.card import read_card
from neuroglot.models.chat import read_chat
from neuroglot.models.entry import Architecture
from neuroglot.models.source import NO_TEMPLATE, has_template

if TYPE_CHECKING:
    from neuroglot.config import Config


class Known(NamedTuple):
    """What is known of a model: its type, its entry in the table, and whether it has experts."""

    model_type: str
    entry: Architecture
    mixture: bool


def unfit_models(config: "Config") -> Iterator[str]:
    """Word one message for each analysis, or task, and the first model that it cannot take.

    Known are models in local folders and those that were made before; of others their jobs say so.
    """
    for name in config.analyses:
        models = config.models_of(name)
        known = _known(config, models)
        analysis = ANALYSES[name]
        encoders = [model for model, told in known.items() if told.entry.encoder_alone]
        if encoders and not analysis.encoders:
            yield (
                f"{name}.models: {encoders[0]!r} is an encoder alone "
                f"({known[encoders[0]].model_type}), and {name} needs models that write text; "
                f"set models: {_without(models, encoders)}"
            )
        else:
            yield from _not_causal(config, name)
        takes_mixtures, takes_dense = analysis.takes(config.section(name))
        dense = [model for model, told in known.items() if not told.mixture]
        if dense and not takes_dense:
            fit = _without(models, dense)
            instead = f"leave {name} out" if fit == "[]" else f"set models: {fit}"
            yield (
                f"{name}.models: {dense[0]!r} is dense ({known[dense[0]].model_type}), and {name} "
                f"is of mixtures of experts; {instead}"
            )
        mixtures = [model for model, told in known.items() if told.mixture]
        if mixtures and not takes_mixtures:
            able = ", ".join(other for other in ANALYSES if ANALYSES[other].mixtures)
            yield (
                f"{name}.models: {mixtures[0]!r} is a mixture of experts "
                f"({known[mixtures[0]].model_type}), and {name} needs models whose neurons all "
                f"read every token (analyses of mixtures: {able}); "
                f"set models: {_without(models, mixtures)}"
            )
        deep = [model for model, told in known.items() if told.entry.deep_head]
        if deep and name == "lexicon":
            yield (
                f"lexicon.models: {deep[0]!r} ({known[deep[0]].model_type}) has layers of its own "
                "between the last state and the unembedding, so no neuron has a weight on a "
                f"token; set models: {_without(models, deep)}"
            )
    yield from _without_chat(config)


def _not_causal(config: "Config", name: str) -> Iterator[str]:
    """Messages for judged models that are not causal, where steps need causal ones."""
    section = config.section(name)
    steps = [step for step in ANALYSES[name].steps if step.causal and step.wanted(config, section)]
    if not isinstance(section, JudgingSettings) or not steps:
        return
    models = config.models_of(name, judged=True)
    known = _known(config, models)
    others = [model for model, told in known.items() if not told.entry.causal]
    for model in others:
        kind = "an encoder" if known[model].entry.encoder_alone else "an encoder-decoder"
        yield (
            f"{name}.judged_models: {model!r} is {kind} ({known[model].model_type}), and "
            f"{', '.join(step.name for step in steps)} of {name} needs models that read "
            f"from left to right; set judged_models: {_without(models, others)}"
        )


def _without_chat(config: "Config") -> Iterator[str]:
    """Messages for models that are known to lack the chat template that a task needs."""
    for model in config.models:
        for task in config.chat_tasks(model):
            if reason := _no_chat(config, model):
                yield (
                    f"tasks.{task}: chat: true asks model {model!r} through its chat template, "
                    f"and {reason}; take chat out of the task, or leave the model out of the "
                    "analysis"
                )


def _no_chat(config: "Config", model: str) -> str | None:
    """Why a model cannot be asked in a chat; None if it can, or if that is not known yet."""
    settings, folder = config.models[model], layout.model(model)
    if settings.source_type == "folder" and not has_template(settings.folder):
        return NO_TEMPLATE
    try:
        read_card(folder)
    except NeuroglotError:  # it is made later, and then its job says so
        return None
    try:
        read_chat(folder)
    except NeuroglotError as error:
        return str(error)
    return None


def _known(config: "Config", models: list[str]) -> Mapping[str, Known]:
    """What is known of some models, in their order; others, and unlisted types, are left out."""
    known = {}
    for model in models:
        settings = config.models[model]
        try:
            if settings.source_type == "folder":
                model_type, mixture = settings.model_type, settings.mixture
            else:
                card = read_card(layout.model(model))
                model_type, mixture = card.model_type, bool(card.routed)
        except NeuroglotError:  # it is made later, and then its jobs say so
            continue
        if entry := ARCHITECTURES.get(model_type):
            known[model] = Known(model_type, entry, mixture)
    return known


def _without(models: list[str], unfit: list[str]) -> str:
    return f"[{', '.join(model for model in models if model not in unfit)}]"
