"""Reads from a model's configuration whether the model can be used, and its sizes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypedDict

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.entry import Architecture, Stack

EXPERT_KEYS = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "num_routed_experts",
)
# Architectures of transformers that no entry can describe, and why.
REFUSED = dict.fromkeys(
    ("gemma3n", "gemma3n_text"),
    "it keeps several residual streams, which its layers mix by what they read, so there is no one "
    "stream that an FFN writes to, and what a neuron contributes is not defined",
) | {
    **dict.fromkeys(
        ("llama4", "llama4_text"),
        "its routers' scores multiply what an expert reads, not what it writes, and its experts "
        "are not computed through the interface that is recorded here",
    ),
    "nllb-moe": "its experts are modules of their own, which are not computed through the "
    "interface that is recorded here; the dense NLLB models can be used",
}
# Keys of configurations by which a decoder reads both ways, and the values that say so.
BOTH_WAYS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("is_causal", (False,)),
    ("use_bidirectional_attention", (True, "all")),  # "vision" is of images alone
)


class Description(TypedDict):
    """A model's sizes: ``layers`` over all stacks, and ``neurons`` of each layer.

    ``experts`` are the routed experts of each layer, () in a dense model; each has
    ``expert_neurons``, which count in ``neurons``, and a token passes through ``slots`` of them.
    """

    stacks: dict[str, int]
    layers: int
    neurons: tuple[int, ...]
    hidden: int
    activation: str
    gated: bool
    experts: tuple[int, ...]
    expert_neurons: int
    slots: int


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
    return _with_variants(ARCHITECTURES[config.model_type], config)


def _with_variants(entry: Architecture, config: Any) -> Architecture:
    language = language_config(config)
    for variant in entry.variants:
        if variant.when(language):
            entry = replace(entry, **variant.changes)
    return entry


def causal(config: Any) -> bool:
    """Whether a model reads from left to right, without an encoder."""
    return architecture(config).causal


def recurrent(config: Any) -> bool:
    """Whether a model has layers that padding before a text would change, see ``Architecture``."""
    return architecture(config).recurrent


def check_supported(config: Any) -> None:
    """Refuse a model whose neurons cannot be located.

    Args:
        config: a Hugging Face model configuration; no weights are needed.

    Raises:
        NeuroglotError: the model is a mixture of experts and the table does not say where it keeps
            them; the architecture is refused or not in the table, or its entry refuses the
            configuration; a decoder reads both ways.
    """
    name = config.model_type
    if name in REFUSED:
        raise NeuroglotError(f"{name!r} models cannot be used: {REFUSED[name]}.")
    known = ARCHITECTURES.get(name)
    mixture = known and _with_variants(known, config).mixture
    if not mixture and (experts := _experts(config)):
        raise NeuroglotError(
            f"{name!r} is a mixture of experts ({experts}), and no entry says where it keeps them "
            "and how it chooses among them. Choose another model."
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


def _reads_both_ways(config: Any) -> str | None:
    """The key and value by which a decoder's configuration says so, or None."""
    if not ARCHITECTURES[config.model_type].causal:
        return None
    for part in (config, language_config(config)):
        for key, values in BOTH_WAYS:
            value = getattr(part, key, None)
            if isinstance(value, bool | str) and value in values:
                return f"{key}: {str(value).lower()} in its config.json"
    return None


def has_experts(written: Any) -> bool:
    """Whether a part of ``config.json`` says that the model is a mixture of experts."""
    if not isinstance(written, dict):
        return False
    return any(isinstance(count := written.get(key), int) and count > 1 for key in EXPERT_KEYS)


def _experts(config: Any) -> str | None:
    """The sign that a configuration is a mixture of experts, or None."""
    for part in (config, getattr(config, "text_config", None), getattr(config, "ffn_config", None)):
        for key in EXPERT_KEYS:
            count = getattr(part, key, None)
            if isinstance(count, int) and count > 1:
                return f"{key} = {count}"
    named = "moe" in config.model_type and config.model_type not in ARCHITECTURES
    return "by its name" if named else None


def describe(config: Any) -> Description:
    """Read a model's sizes from its configuration, for the model card.

    Args:
        config: a Hugging Face model configuration.

    Returns:
        ``stacks`` (name to number of layers, encoder first), ``layers`` (their sum), ``neurons``
        of each layer, ``hidden`` size, ``activation`` (the function's name) and ``gated``; and of
        a mixture of experts what ``Description`` says.

    Raises:
        NeuroglotError: as ``check_supported``.

    Example:
        >>> from transformers import GPT2Config
        >>> describe(GPT2Config())["neurons"][:2]
        (3072, 3072)
    """
    entry, language = architecture(config), language_config(config)
    stacks = {stack.name: int(stack.depth(language)) for stack in entry.stacks}
    neurons = [width for stack in entry.stacks for width in _widths(stack, language)]
    experts, expert_neurons, slots = _routed(entry, language)
    for layer, count in enumerate(experts):
        if count:
            assert entry.mixture
            if entry.mixture.shared is None:
                neurons[layer] = 0
            elif entry.mixture.shared_neurons:
                neurons[layer] = int(entry.mixture.shared_neurons(language))
            neurons[layer] += count * expert_neurons
    return Description(
        stacks=stacks,
        layers=sum(stacks.values()),
        neurons=tuple(neurons),
        hidden=int(language.hidden_size),
        activation=str(entry.activation_name(language)),
        gated=entry.gated,
        experts=experts,
        expert_neurons=expert_neurons,
        slots=slots,
    )


def _widths(stack: Stack, language: Any) -> list[int]:
    """Neurons of each layer of a stack."""
    width = stack.width(language)
    each = width if isinstance(width, Sequence) else [width] * int(stack.depth(language))
    return [int(neurons) for neurons in each]


def _routed(entry: Architecture, language: Any) -> tuple[tuple[int, ...], int, int]:
    """Routed experts of each layer, the neurons of one, and how many a token passes through."""
    if (mixture := entry.mixture) is None:
        return (), 0, 0
    count = int(mixture.count(language))
    experts = tuple(count * bool(routed) for routed in mixture.routed(language))
    return experts, int(mixture.neurons(language)), int(mixture.slots(language))
