"""Writes tiny random checkpoints with a tokenizer of their own, as a user's folder holds them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TEXTS = (
    "All human beings are born free and equal in dignity and rights.",
    "They are endowed with reason and conscience.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "人人生而自由，在尊严和权利上一律平等。",
)
VOCABULARY = 400
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

_ATTENTION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
_TRANSLATES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 128,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_SIZES: dict[str, dict[str, Any]] = {
    "llama": _ATTENTION,
    "gemma3_text": {**_ATTENTION, "sliding_window": 16},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128},
    "deepseek_v3": {
        **_ATTENTION,
        "num_key_value_heads": 2,
        "moe_intermediate_size": 12,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
        "kv_lora_rank": 8,
        "q_lora_rank": None,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
    },
    "gpt_oss": {**_ATTENTION, "intermediate_size": 12, **_LOCAL_EXPERTS},
    "mixtral": {**_ATTENTION, "intermediate_size": 12, **_LOCAL_EXPERTS},
    "olmoe": {**_ATTENTION, "intermediate_size": 12, **_EXPERTS},
    "qwen3_moe": {**_ATTENTION, "moe_intermediate_size": 12, "mlp_only_layers": [0], **_EXPERTS},
    "m2m_100": _TRANSLATES | {"decoder_start_token_id": 2},
    "mbart": _TRANSLATES,
    "mt5": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_decoder_layers": 3,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
}


def train_tokenizer(texts: Iterable[str] = TEXTS, adds: str = "<s> $A") -> Any:
    """A byte-level BPE tokenizer of at most 400 tokens, whose first four are special.

    Args:
        texts: what its merges are learned from.
        adds: the tokens it adds around a text ``$A``.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=adds, special_tokens=[(token, SPECIAL.index(token)) for token in ("<s>", "</s>")]
    )
    return tokenizer


def write_checkpoint(
    folder: Path,
    model_type: str = "llama",
    texts: Iterable[str] = TEXTS,
    seed: int = 0,
    max_shard_size: str = "1GB",
    rows: int | None = None,
    **sizes: Any,
) -> Path:
    """Write a tiny random model of ``model_type`` with its tokenizer, and return ``folder``.

    Args:
        folder: where to; made if it does not exist.
        model_type: one of ``_SIZES``, or any other of ``tiny_models.NAMES``, which has the sizes
            that it has there.
        texts: what the tokenizer is trained on.
        seed: of the weights; the same seed writes the same bytes.
        max_shard_size: above it, weights are cut into shards with an index.
        rows: of the embedding; by default the tokenizer's.
        sizes: entries of the configuration to change.
    """
    import torch
    from transformers import AutoConfig, PreTrainedTokenizerFast
    from transformers.utils import logging

    from support.tiny_models import checkpoint_config, loader_of

    logging.disable_progress_bar()
    if model_type in _SIZES:
        has_encoder = model_type in ("m2m_100", "mbart", "mt5")
    else:
        has_encoder = checkpoint_config(model_type, VOCABULARY).is_encoder_decoder
    tokenizer = train_tokenizer(texts, "$A </s>" if has_encoder else "<s> $A")
    count = rows or tokenizer.get_vocab_size()
    if model_type in _SIZES:
        config = AutoConfig.for_model(
            model_type,
            **{**_SIZES[model_type], **sizes},
            vocab_size=count,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    else:
        config = checkpoint_config(model_type, count)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = loader_of(config).from_config(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


def write_gguf(
    file: Path, checkpoint: Path, split: str = "smollm", change: Callable[[Any], None] | None = None
) -> Path:
    """Write a tiny Llama checkpoint as a GGUF file in float32, and return ``file``.

    Args:
        file: where to.
        checkpoint: folder written by ``write_checkpoint``.
        split: ``tokenizer.ggml.pre``, the name of the split before the tokenizer's merges.
        change: called with the writer, to add to the file.
    """
    import json

    import gguf
    from safetensors.numpy import load_file
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    model = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_types([3 if i < len(SPECIAL) else 1 for i in range(config.vocab_size)])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        for kind, heads in (("q", config.num_attention_heads), ("k", config.num_key_value_heads)):
            if f"{kind}_proj" in name:
                # GGUF interleaves the two halves that transformers' rotary embedding pairs.
                halves = weight.reshape(heads, 2, config.head_dim // 2, -1)
                weight = halves.swapaxes(1, 2).reshape(weight.shape).copy()
        writer.add_tensor(f"{names.get_name(name.removesuffix('.weight'))}.weight", weight)
    if change:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
