"""What an entry of the table of architectures says: where a layer keeps its FFN, and how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class Stack:
    """One stack of transformer layers, as seen from the base model.

    Attributes:
        name: ``encoder`` or ``decoder``.
        module: path from the base model to the module that holds the layers; "" is the base model.
        layers: that module's attribute that holds the list of layers.
        final_norm: that module's attribute that holds the norm after the last layer, or None.
        depth: number of layers, from the configuration.
        width: neurons per layer, from the configuration: one number, or one for each layer.
    """

    name: str = "decoder"
    module: str = ""
    layers: str = "layers"
    final_norm: str | None = "norm"
    depth: Callable[[Any], int] = attrgetter("num_hidden_layers")
    width: Callable[[Any], int | Sequence[int]] = attrgetter("intermediate_size")


@dataclass(frozen=True)
class Variant:
    """Changes to an architecture's entry for models whose configuration satisfies ``when``."""

    when: Callable[[Any], bool]
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """Where a layer keeps its FFN. Paths start at the layer; integers in them index lists.

    Attributes:
        w_in: input projection (plain FFN) or up projection (gated FFN).
        w_out: output projection; neuron i is coordinate i of its input.
        activation: the activation function's module.
        w_gate: gate projection; None in plain FFNs. It equals ``w_in`` if one module computes both
            projections, with the gate's outputs first.
        norm_before: norm on the FFN's input, outside the residual stream.
        norm_after: norm on the FFN's output before it is added to the residual stream.
        norm_sum: norm on the residual stream after the FFN's output was added (post-norm layers).
        parallel: attention and FFN read the same state, and both outputs are added to it.
        conv1d: weights are stored [in, out] instead of [out, in].
        out_overwritten: the layer adds to the FFN's output in place after computing it.
        bare: the layer calls its activation function without a module. Then ``activation`` is the
            path, beside the projections, at which ``ffns`` puts a module that the layer calls.
        scale: factor by which a layer multiplies the FFN's output, after ``norm_after``, before it
            is added to the residual stream; from the configuration. None: 1.
        recurrent: some layers keep a state that each token changes (linear attention, Mamba,
            convolutions), so no padding is read before a text.
        activation_name: the activation function's name, from the configuration.
        text_config: in a multimodal configuration, the attribute that holds the language model's
            configuration.
        loader: transformers' class that loads the model with its head; None: that for causal
            language models or for encoder-decoders.
        deep_head: the head has layers of its own between the last state and the unembedding.
        unused: pattern of the names of weights that belong to heads for other tasks.
        variants: applied in order to the entry.
        refusals: (condition on the configuration, reason) for models that cannot be recorded.
    """

    w_in: str
    w_out: str
    activation: str
    stacks: tuple[Stack, ...] = (Stack(),)
    w_gate: str | None = None
    norm_before: str | None = None
    norm_after: str | None = None
    norm_sum: str | None = None
    parallel: bool = False
    conv1d: bool = False
    out_overwritten: bool = False
    bare: bool = False
    scale: Callable[[Any], float] | None = None
    recurrent: bool = False
    activation_name: Callable[[Any], str] = attrgetter("hidden_act")
    text_config: str | None = None
    loader: str | None = None
    deep_head: bool = False
    unused: str | None = None
    variants: tuple[Variant, ...] = ()
    refusals: tuple[tuple[Callable[[Any], bool], str], ...] = ()

    @property
    def causal(self) -> bool:
        """Whether the model reads from left to right, without an encoder."""
        return [stack.name for stack in self.stacks] == ["decoder"]

    @property
    def encoder_alone(self) -> bool:
        """Whether the model is an encoder without a decoder, which writes no text."""
        return [stack.name for stack in self.stacks] == ["encoder"]

    @property
    def gated(self) -> bool:
        """Whether ``act = f(W_gate x) * (W_up x)``."""
        return self.w_gate is not None

    @property
    def fused(self) -> bool:
        """Whether one module computes gate and up projection."""
        return self.gated and self.w_gate == self.w_in
