"""Reads from a model's configuration whether the model can be used, and its sizes."""

from dataclasses import replace
from typing import Any, TypedDict

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.models.architectures import ARCHITECTURES, Architecture

EXPERT_KEYS = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "num_routed_experts",
)
# Keys of configurations by which a decoder reads both ways, and the values that say so.
BOTH_WAYS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("is_causal", (False,)),
    ("use_bidirectional_attention", (True, "all")),  # "vision" is of images alone
)


class Description(TypedDict):
    """A model's sizes: ``layers`` over all stacks, and ``neurons`` of each layer."""

    stacks: dict[str, int]
    layers: int
    neurons: tuple[int, ...]
    hidden: int
    activation: str
    gated: bool


def language_config(config: Any) -> Any:
    """The part of a model's configuration that describes its language model."""
    entry = ARCHITECTURES.get(config.model_type)
    return getattr(config, entry.text_config) if entry and entry.text_config else config


def architecture(config: Any) -> Architecture:
    """The table's entry for a model's configuration, with its variants applied.

    Args:
        config: a Hugging Face model configuration.

    Raises:
        NeuroglotError: as ``check_supported``.
    """
    check_supported(config)
    entry = ARCHITECTURES[config.model_type]
    language = language_config(config)
    for variant in entry.variants:
        if variant.when(language):
            entry = replace(entry, **variant.changes)
    return entry


def check_supported(config: Any) -> None:
    """Refuse a model whose neurons cannot be located.

    Args:
        config: a Hugging Face model configuration; no weights are needed.

    Raises:
        NeuroglotError: the model is a mixture of experts; the architecture is not in the table, or
            its entry refuses the configuration; a decoder reads both ways; stacks have different
            widths.
    """
    name = config.model_type
    if experts := _experts(config):
        raise NeuroglotError(
            f"{name!r} is a mixture of experts ({experts}): each token passes through a few of "
            "many FFNs, so a layer has no one set of neurons that every token activates. "
            "Choose a dense model."
        )
    if name not in ARCHITECTURES:
        raise NeuroglotError(
            f"{unknown_name('architecture', name, ARCHITECTURES)}. "
            "To add it, write its entry in ARCHITECTURES (neuroglot/models/architectures.py)."
        )
    entry, language = ARCHITECTURES[name], language_config(config)
    for refused, reason in entry.refusals:
        if refused(language):
            raise NeuroglotError(f"this {name!r} model cannot be used: {reason}.")
    if flag := _reads_both_ways(config):
        raise NeuroglotError(
            f"this {name!r} model cannot be used: it reads texts both ways ({flag}), as models of "
            "embeddings do. What is recorded at a token, perplexity and generation are of the text "
            "up to that token, so a decoder must read from left to right."
        )
    widths = {stack.name: stack.width(language) for stack in entry.stacks}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{stack} {width}" for stack, width in widths.items())
        raise NeuroglotError(
            f"this {name!r} model cannot be used: its stacks have different numbers of neurons per "
            f"layer ({listed}), and neurons are stored as one layer x neuron array."
        )


def _reads_both_ways(config: Any) -> str | None:
    """The key and value by which a decoder's configuration says so, or None."""
    if config.is_encoder_decoder:
        return None
    for part in (config, language_config(config)):
        for key, values in BOTH_WAYS:
            value = getattr(part, key, None)
            if isinstance(value, bool | str) and value in values:
                return f"{key}: {str(value).lower()} in its config.json"
    return None


def _experts(config: Any) -> str | None:
    """The sign that a configuration is a mixture of experts, or None."""
    for part in (config, getattr(config, "text_config", None), getattr(config, "ffn_config", None)):
        for key in EXPERT_KEYS:
            count = getattr(part, key, None)
            if isinstance(count, int) and count > 1:
                return f"{key} = {count}"
    return "by its name" if "moe" in config.model_type else None


def describe(config: Any) -> Description:
    """Read a model's sizes from its configuration, for the model card.

    Args:
        config: a Hugging Face model configuration.

    Returns:
        ``stacks`` (name to number of layers, encoder first), ``layers`` (their sum), ``neurons``
        of each layer, ``hidden`` size, ``activation`` (the function's name) and ``gated``.

    Raises:
        NeuroglotError: as ``check_supported``.

    Example:
        >>> from transformers import GPT2Config
        >>> describe(GPT2Config())["neurons"][:2]
        (3072, 3072)
    """
    entry, language = architecture(config), language_config(config)
    stacks = {stack.name: int(stack.depth(language)) for stack in entry.stacks}
    widths = {stack.name: int(stack.width(language)) for stack in entry.stacks}
    return Description(
        stacks=stacks,
        layers=sum(stacks.values()),
        neurons=tuple(widths[name] for name, depth in stacks.items() for _ in range(depth)),
        hidden=int(language.hidden_size),
        activation=str(entry.activation_name(language)),
        gated=entry.gated,
    )
