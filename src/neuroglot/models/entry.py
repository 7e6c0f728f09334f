"""What an entry of the table of architectures says: where a layer keeps its FFN, and how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from neuroglot.models import readings


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
class Mixture:
    """Where the layers of a mixture of experts keep their routed experts. Paths start at the layer.

    Beside its routed experts a layer may have neurons that every token passes through: shared
    experts, or an FFN of its own.

    Attributes:
        experts: the module with the experts' weights, which computes them through transformers'
            interface for experts.
        router: the module that chooses experts. It returns scores [token, expert], and the weights
            and numbers of the chosen experts [token, slot].
        outputs: the modules whose outputs, added up, are the FFN's output.
        scores: what the router's scores are: logits of a softmax, logits of a sigmoid, or
            probabilities.
        gating: how experts make gate and up of what their input matrix gives; see
            ``experts.GATINGS``.
        routed: whether each layer has routed experts, from the configuration.
        count: routed experts of such a layer.
        slots: how many of them a token passes through.
        neurons: neurons of one of them.
        shared: the paths ``w_in``, ``w_gate``, ``w_out`` and ``activation`` of what every token
            passes through, by field of ``Architecture``; None if there is none.
        shared_neurons: its neurons; None: as many as a dense layer has.
        norms: norms on the outputs of shared neurons and of routed experts, before these are added
            up; None without.
        shared_gate: the module whose output's sigmoid multiplies its output; None: 1.
        choice_bias: the router's attribute with a bias of scores that only decides which experts
            are chosen.
        scale: as in ``Architecture``, of layers with routed experts.
    """

    experts: str = "mlp.experts"
    router: str = "mlp.gate"
    outputs: tuple[str, ...] = ("mlp",)
    scores: Literal["softmax", "sigmoid", "probabilities"] = "softmax"
    gating: Literal["halves", "clamped"] = "halves"
    routed: Callable[[Any], Sequence[bool]] = readings.every_layer
    count: Callable[[Any], int] = attrgetter("num_experts")
    slots: Callable[[Any], int] = attrgetter("num_experts_per_tok")
    neurons: Callable[[Any], int] = attrgetter("moe_intermediate_size")
    shared: Mapping[str, str] | None = None
    shared_neurons: Callable[[Any], int] | None = None
    norms: tuple[str, str] | None = None
    shared_gate: str | None = None
    choice_bias: str | None = None
    scale: Callable[[Any], float] | None = None


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
            language models or for encoder-decoders. An encoder may be saved without a head.
        deep_head: the head has layers of its own between the last state and the unembedding.
        mixture: where layers with routed experts keep them; the other paths are those of the
            model's dense layers. None in dense models.
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
    mixture: Mixture | None = None
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
