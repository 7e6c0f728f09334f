"""Where the mixtures of experts in the table of architectures keep their experts."""

from dataclasses import replace
from operator import attrgetter

from neuroglot.models import readings
from neuroglot.models.entry import Mixture


def _shared(path: str) -> dict[str, str]:
    """The paths of a Llama FFN at ``path`` that every token passes through."""
    return {
        "w_in": f"{path}.up_proj",
        "w_gate": f"{path}.gate_proj",
        "w_out": f"{path}.down_proj",
        "activation": f"{path}.act_fn",
    }


QWEN3 = Mixture(routed=readings.sparse_steps)
QWEN3_NEXT = Mixture(
    shared=_shared("mlp.shared_expert"),
    shared_neurons=attrgetter("shared_expert_intermediate_size"),
    shared_gate="mlp.shared_expert_gate",
)
MIXTRAL = Mixture(neurons=attrgetter("intermediate_size"))
PHIMOE = replace(MIXTRAL, router="mlp.router", count=attrgetter("num_local_experts"))
GPT_OSS = replace(PHIMOE, gating="clamped")
DEEPSEEK_V2 = Mixture(
    routed=readings.after_dense_layers,
    count=attrgetter("n_routed_experts"),
    shared=_shared("mlp.shared_experts"),
    shared_neurons=readings.shared_experts,
)
DEEPSEEK_V3 = replace(DEEPSEEK_V2, scores="sigmoid", choice_bias="e_score_correction_bias")
COHERE2 = replace(MIXTRAL, routed=readings.sparse_layers)
COHERE2_SHARED = replace(
    COHERE2,
    outputs=("mlp.experts", "mlp.shared_experts"),
    shared=_shared("mlp.shared_experts"),
    shared_neurons=readings.averaged_experts,
    scale=readings.halved_where_averaged,
)
COHERE2_SIGMOID = replace(COHERE2, scores="sigmoid")
COHERE2_SHARED_SIGMOID = replace(COHERE2_SHARED, scores="sigmoid")
GRANITE_SHARED = {
    "w_in": "shared_mlp.input_linear",
    "w_gate": "shared_mlp.input_linear",
    "w_out": "shared_mlp.output_linear",
    "activation": "shared_mlp.activation",
}
GRANITE = Mixture(
    experts="block_sparse_moe.experts",
    router="block_sparse_moe.router",
    outputs=("block_sparse_moe", "shared_mlp"),
    count=attrgetter("num_local_experts"),
    neurons=attrgetter("intermediate_size"),
    shared=GRANITE_SHARED,
    scale=readings.residual_multiplier,
)
GEMMA4 = Mixture(
    experts="experts",
    router="router",
    outputs=("post_feedforward_layernorm_1", "post_feedforward_layernorm_2"),
    norms=("post_feedforward_layernorm_1", "post_feedforward_layernorm_2"),
    scores="probabilities",
    slots=attrgetter("top_k_experts"),
    shared=_shared("mlp"),
)
