"""What entries of the table of architectures read from a configuration: widths, factors, names."""

from typing import Any


def inner_or_four_times(config: Any) -> int:
    """Neurons of GPT-2 and GPT-J: ``n_inner``, or 4 x hidden if it is null."""
    return int(config.n_inner or 4 * config.hidden_size)


def given_or_four_times(config: Any) -> int:
    """Neurons of GPT-Neo: ``intermediate_size``, or 4 x hidden if it is null."""
    return int(config.intermediate_size or 4 * config.hidden_size)


def four_times(config: Any) -> int:
    return int(4 * config.hidden_size)


def tanh_gelu(_config: Any) -> str:
    return "gelu_pytorch_tanh"


def sliced(config: Any) -> bool:
    """Whether BLOOM computes the output projection in slices, as in training."""
    return bool(config.slow_but_exact and config.pretraining_tp > 1)


def sequential(config: Any) -> bool:
    """Whether Falcon's FFN follows attention, as in its smallest models."""
    return not config.parallel_attn and not config.new_decoder_architecture


def own_norm(config: Any) -> bool:
    """Whether Falcon's attention and FFN have separate norms."""
    return bool(config.new_decoder_architecture and config.num_ln_in_parallel_attn in (None, 2))


def norm_after(config: Any) -> bool:
    """Whether OPT applies its norms after each addition, as in its 350M model."""
    return not config.do_layer_norm_before


def residual_multiplier(config: Any) -> float:
    return float(config.residual_multiplier)


def down_multiplier(config: Any) -> float:
    """The second of Falcon-H1's two factors; the first is within the activation function."""
    return float(config.mlp_multipliers[1])


def double_where_shared(config: Any) -> list[int]:
    """Neurons of Gemma 4: twice as many in layers that reuse keys and values, if it says so."""
    width = config.intermediate_size
    if not config.use_double_wide_mlp:
        return [width] * config.num_hidden_layers
    return [width * (1 + (mode == "reuse")) for mode in config.kv_sharing_modes]


def adjusted(config: Any) -> int:
    """Neurons of LFM2: two thirds of the configured number, times a factor, rounded up."""
    width = config.intermediate_size
    if config.block_auto_adjust_ff_dim:
        width = int(2 * width / 3)
        if config.block_ffn_dim_multiplier is not None:
            width = int(config.block_ffn_dim_multiplier * width)
            width = config.block_multiple_of * -(-width // config.block_multiple_of)
    return int(width)


def silu(_config: Any) -> str:
    return "silu"


def exact_gelu(_config: Any) -> str:
    return "gelu"


def none(_config: Any) -> int:
    return 0


def shared_experts(config: Any) -> int:
    """Neurons of the shared experts of DeepSeek and GLM-4.5, which are one FFN."""
    return int(config.moe_intermediate_size * config.n_shared_experts)


def averaged_experts(config: Any) -> int:
    """Neurons of the shared experts of Command A MoE, which are one FFN."""
    return int(config.intermediate_size * config.num_shared_experts)


def halved_where_averaged(config: Any) -> float:
    """Command A MoE adds up shared and routed experts, or takes the mean of both."""
    return 0.5 if config.shared_expert_combination_strategy == "average" else 1.0


def by_sigmoid(config: Any) -> bool:
    """Whether weights of Command A MoE's experts are sigmoids."""
    return bool(config.expert_selection_fn == "sigmoid")


def shared_by_sigmoid(config: Any) -> bool:
    return by_sigmoid(config) and bool(config.num_shared_experts)


def no_experts(config: Any) -> bool:
    """Whether a Granite 4 hybrid is dense."""
    return not config.num_local_experts


def sparse_layers(config: Any) -> list[bool]:
    return [kind == "sparse" for kind in config.mlp_layer_types]


def after_dense_layers(config: Any) -> list[bool]:
    """Layers of DeepSeek and GLM-4.5 with routed experts: all but the first few."""
    return [layer >= config.first_k_dense_replace for layer in range(config.num_hidden_layers)]


def prefix_width(config: Any) -> int:
    """Neurons of Command A MoE's dense layers."""
    return int(config.prefix_dense_intermediate_size or config.intermediate_size)


def every_layer(config: Any) -> list[bool]:
    return [True] * config.num_hidden_layers


def sparse_steps(config: Any) -> list[bool]:
    """Layers of Qwen 3 MoE with routed experts: every so many, but for those that are listed."""
    return [
        layer not in config.mlp_only_layers and (layer + 1) % config.decoder_sparse_step == 0
        for layer in range(config.num_hidden_layers)
    ]
