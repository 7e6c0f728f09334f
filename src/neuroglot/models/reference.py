"""Generates the page of supported models from the table of architectures."""

from collections.abc import Iterator

from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.describe import REFUSED
from neuroglot.models.entry import Architecture, Stack

# Models that people use, by model type.
EXAMPLES = {
    "apertus": "Apertus 8B, 70B",
    "arcee": "AFM 4.5B",
    "aya_vision": "Aya Vision 8B, 32B",
    "bart": "BART",
    "bert": "BERT, mBERT, LaBSE, multilingual E5 small",
    "bloom": "BLOOM, BLOOMZ",
    "cohere": "Command R, Aya 23, Aya Expanse 32B",
    "cohere2": "Command R7B, Command A",
    "cohere2_moe": "Command A MoE",
    "cohere2_vision": "Command A Vision",
    "deepseek_v2": "DeepSeek V2, V2 Lite, Coder V2",
    "deepseek_v3": "DeepSeek V3, R1",
    "ernie4_5": "ERNIE 4.5 0.3B",
    "eurobert": "EuroBERT 210M, 610M, 2.1B",
    "exaone4": "EXAONE 4.0 1.2B, 32B",
    "falcon": "Falcon 7B, 40B, 180B",
    "falcon_h1": "Falcon-H1 0.5B to 34B",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3 4B, 12B, 27B",
    "gemma3_text": "Gemma 3 270M, 1B",
    "gemma4": "Gemma 4 E2B, E4B, 26B-A4B, 31B",
    "gemma4_text": "the language models of Gemma 4",
    "glm": "GLM-4 9B of 2024, GLM-Edge",
    "glm4": "GLM-4-0414 9B, 32B",
    "glm4_moe": "GLM-4.5, 4.6",
    "gpt2": "GPT-2, mGPT",
    "gpt_bigcode": "StarCoder, SantaCoder, Granite Code 20B, 34B",
    "gpt_neo": "GPT-Neo, TinyStories",
    "gpt_neox": "Pythia, GPT-NeoX, Polyglot-Ko",
    "gpt_oss": "gpt-oss 20B, 120B",
    "gptj": "GPT-J",
    "granite": "Granite 3.0 to 3.3 2B, 8B",
    "granitemoehybrid": "Granite 4.0 H 350M to Small",
    "hunyuan_v1_dense": "Hunyuan 0.5B to 7B, Hunyuan-MT 7B",
    "jais2": "Jais 2 8B, 70B",
    "lfm2": "LFM2 350M to 2.6B",
    "llama": "Llama 1 to 3.3, SmolLM 1 and 2, EuroLLM, Salamandra, TinyLlama, Yi",
    "m2m_100": "M2M100, NLLB-200 (dense)",
    "marian": "Opus-MT",
    "mbart": "mBART, mBART-50",
    "ministral3": "the language models of Ministral 3",
    "mistral": "Mistral 7B, Mistral Nemo, Ministral 8B of 2024",
    "mistral3": "Ministral 3 3B to 14B, Mistral Small 3.1 and 3.2",
    "mixtral": "Mixtral 8x7B, 8x22B",
    "modernbert": "ModernBERT, mmBERT",
    "mpt": "MPT 7B, 30B",
    "mt5": "mT5, Aya 101",
    "nemotron": "Nemotron 4, Minitron 4B, 8B",
    "olmo": "OLMo",
    "olmo2": "OLMo 2",
    "olmo3": "OLMo 3 7B, 32B",
    "olmoe": "OLMoE 1B-7B",
    "opt": "OPT",
    "phi": "Phi-1, Phi-1.5, Phi-2",
    "phi3": "Phi-3, Phi-4",
    "phimoe": "Phi-3.5 MoE, Phi-tiny-MoE",
    "qwen2": "Qwen 1.5, Qwen 2, Qwen 2.5",
    "qwen2_5_vl": "Qwen 2.5 VL",
    "qwen3": "Qwen 3",
    "qwen3_5": "Qwen 3.5 0.8B to 27B",
    "qwen3_5_moe": "Qwen 3.5 35B-A3B to 397B-A17B",
    "qwen3_5_moe_text": "the language models of Qwen 3.5 MoE",
    "qwen3_5_text": "the language models of Qwen 3.5",
    "qwen3_moe": "Qwen 3 30B-A3B, 235B-A22B",
    "qwen3_next": "Qwen 3 Next 80B-A3B, Qwen 3 Coder Next",
    "qwen3_vl": "Qwen 3 VL 2B to 32B",
    "seed_oss": "Seed-OSS 36B",
    "smollm3": "SmolLM3",
    "stablelm": "StableLM 2, Stable LM 3B",
    "starcoder2": "StarCoder2",
    "t5": "T5, T5 1.1, Flan-T5",
    "umt5": "UMT5",
    "xglm": "XGLM",
    "xlm-roberta": "XLM-R, BGE-M3, multilingual E5",
}

INTRODUCTION = """\
# Supported models

Generated from the table of architectures (`neuroglot/models/architectures.py`) by `make docs`; do
not edit. The *model type* is `model_type` in a model's `config.json`; what is not in this table is
refused by name. [Checkpoints](checkpoints.md) says which files a model may come in and what is
checked. [Adding an architecture](adding-an-architecture.md) takes a page.

Neurons are the inputs of the module in the third column, `{l}` being the number of the layer. In a
*gated* FFN, `act = f(W_gate x) * (W_up x)`; in a *plain* one, `act = f(W_in x + b)`. The last
column says what a layer does to the FFN's output before it reaches the residual stream, and what
else differs from a plain decoder.
"""

NOTES = """
- *All* analyses: `roles`, `lexicon`, `lape`, `experts`, `sharing`, `transfer`, `agreement` and
  `boost`. `routing` is for mixtures of experts alone.
- *Encoders* without a decoder write no text: `roles`, `lape` and `experts`, and `lexicon` where the
  masked-LM head is nothing but the unembedding. Set `judged_models` in `lape` and `experts` to
  other models, or to `[]`. One that was saved without a head, as models of embeddings are, is
  taken too, but for `lexicon`.
- *Encoder–decoders*: the steps that take perplexity, generated text or `transfer`'s answers need a
  causal model; name others in `judged_models`.
- *Multimodal* models read text alone; neurons are those of the language model.
- In plain FFNs a neuron fires where `act > 0`. With xIELU (Apertus) this is not only where its
  input is positive: far below zero xIELU is positive too.
- Gemma 4 adds a per-layer input to the stream behind the FFN and multiplies the stream by the
  layer's scalar. Both act on the stream as a whole, so a neuron's contribution is that before them.
  Layers that reuse earlier keys and values may have twice as many neurons; narrower layers end in
  missing values.
- *Mixtures of experts*, some Gemma 4 and Granite 4 among them: `lexicon`, `lape`, `sharing`,
  `transfer`, `boost`, `routing`, and `experts` with `experts_per_layer: real`. Not `roles`, whose
  ranks and flatness are of all neurons at every token, nor `agreement`, which compares clusters.
  A layer's neurons are those of all its experts. A neuron is computed where a token is routed to
  its expert; elsewhere it does not fire. Neurons of shared experts, which every token passes
  through, are the layer's first. Values are recorded and edited before the router's weight. From
  Python, `models.ffn.record` records neurons and routes, `models.intervene` edits neurons, and
  `models.routers` forbids experts.
- *Recurrent* layers (linear attention, Mamba, convolutions) may read padding as if it were text.
  Recording pads behind a text, which changes nothing before it; prompts, which would be padded in
  front, are read together only if they have equally many tokens.
"""

REFUSALS = """
## Refused

| model | why |
| --- | --- |
| mixtures of experts that are not listed | no entry says where they keep their experts and how \
they choose among them |
| quantised weights | a matrix of other numbers was trained; give the unquantised checkpoint |
| decoders with `is_causal: false` or `use_bidirectional_attention` | they read both ways, and \
what is recorded at a token is of the text up to it |
"""


def markdown() -> str:
    """The page: a table of model types, in the order of the alphabet, and what is refused."""
    lines = [
        INTRODUCTION,
        "\n| model type | models | neurons | FFN | analyses | notes |\n",
        "| --- | --- | --- | --- | --- | --- |\n",
        *(_row(name, ARCHITECTURES[name]) for name in sorted(ARCHITECTURES)),
        NOTES,
        REFUSALS,
        *(f"| `{name}` | {reason} |\n" for name, reason in REFUSED.items()),
    ]
    return "".join(lines)


def _row(name: str, entry: Architecture) -> str:
    places = "<br>".join(f"`{place(stack, entry)}`" for stack in entry.stacks)
    kind = "gated" if entry.gated else "plain"
    cells = (f"`{name}`", EXAMPLES[name], places, kind, _analyses(entry), "; ".join(_notes(entry)))
    return f"| {' | '.join(cells)} |\n"


def place(stack: Stack, entry: Architecture) -> str:
    """The path from the base model to a layer's output matrix, with ``{l}`` for the layer."""
    within = f"{entry.mixture.experts}.down_proj" if entry.mixture else entry.w_out
    return ".".join(part for part in (stack.module, stack.layers, "{l}", within) if part)


def _analyses(entry: Architecture) -> str:
    if all(_mixtures(entry)):
        return "`lexicon`, `lape`, `experts`, `sharing`, `transfer`, `boost`, `routing`"
    if entry.encoder_alone:
        return "`roles`, `lape`, `experts`" + ("" if entry.deep_head else ", `lexicon`")
    return "all" if entry.causal else "all; causal steps not"


def _mixtures(entry: Architecture) -> list[bool]:
    """Whether the entry, and it with each variant that says so, is of mixtures of experts."""
    changes = [variant.changes for variant in entry.variants]
    found = [change["mixture"] for change in changes if "mixture" in change]
    return [mixture is not None for mixture in (entry.mixture, *found)]


def _notes(entry: Architecture) -> Iterator[str]:
    if entry.text_config:
        yield "multimodal"
    if any(mixtures := _mixtures(entry)):
        yield "mixture of experts" + ("" if all(mixtures) else " in some")
    if not entry.causal:
        yield "encoder" if entry.encoder_alone else "encoder–decoder"
    if entry.norm_after:
        yield f"`{entry.norm_after}` before the addition"
    if entry.scale:
        yield "times a constant before the addition"
    if entry.norm_sum or any("norm_sum" in variant.changes for variant in entry.variants):
        yield "a norm after the addition" + ("" if entry.norm_sum else " in some")
    if entry.parallel:
        yield "attention and FFN in parallel"
    if entry.recurrent:
        yield "recurrent"
