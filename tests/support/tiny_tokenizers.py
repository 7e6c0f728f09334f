"""Writes tiny tokenizers in the files in which each family's tokenizer comes, without weights."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from support.tiny_checkpoints import SPECIAL, TEXTS, train_tokenizer

# By family: the class that tokenizer_config.json names, and the form of its files.
CLASSES = {
    "apertus": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "arcee": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "aya_vision": ("CohereTokenizerFast", "tokenizer.json"),
    "bart": ("BartTokenizer", "byte-level"),
    "bert": ("BertTokenizer", "word pieces"),
    "bloom": ("BloomTokenizerFast", "tokenizer.json"),
    "cohere": ("CohereTokenizer", "tokenizer.json"),
    "cohere2": ("CohereTokenizerFast", "tokenizer.json"),
    "cohere2_vision": ("CohereTokenizerFast", "tokenizer.json"),
    "ernie4_5": ("LlamaTokenizer", "tokenizer.model"),
    "eurobert": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "exaone4": ("GPT2Tokenizer", "byte-level"),
    "falcon": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "falcon_h1": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "gemma": ("GemmaTokenizer", "tokenizer.model"),
    "gemma2": ("GemmaTokenizer", "tokenizer.model"),
    "gemma3": ("GemmaTokenizer", "tokenizer.model"),
    "gemma3_text": ("GemmaTokenizer", "tokenizer.model"),
    "gemma4": ("GemmaTokenizer", "tokenizer.model"),
    "gemma4_text": ("GemmaTokenizer", "tokenizer.model"),
    "glm": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "glm4": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "gpt2": ("GPT2Tokenizer", "byte-level"),
    "gpt_bigcode": ("GPT2TokenizerFast", "tokenizer.json"),
    "gpt_neo": ("GPT2Tokenizer", "byte-level"),
    "gpt_neox": ("GPTNeoXTokenizer", "tokenizer.json"),
    "gptj": ("GPT2Tokenizer", "byte-level"),
    "granite": ("GPT2Tokenizer", "tokenizer.json"),
    "hunyuan_v1_dense": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "jais2": ("GPT2Tokenizer", "byte-level"),
    "lfm2": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "llama": ("LlamaTokenizer", "tokenizer.model"),
    "llama:3": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "m2m_100:nllb": ("NllbTokenizer", "sentencepiece.bpe.model"),
    "mbart": ("MBartTokenizer", "sentencepiece.bpe.model"),
    "mbart:50": ("MBart50Tokenizer", "sentencepiece.bpe.model"),
    "ministral3": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "mistral": ("LlamaTokenizer", "tokenizer.model"),
    "mistral3": ("LlamaTokenizerFast", "tokenizer.json"),
    "modernbert": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "mpt": ("GPTNeoXTokenizer", "tokenizer.json"),
    "mt5": ("T5Tokenizer", "spiece.model"),
    "nemotron": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "olmo": ("GPTNeoXTokenizer", "tokenizer.json"),
    "olmo2": ("GPT2Tokenizer", "tokenizer.json"),
    "olmo3": ("GPT2Tokenizer", "tokenizer.json"),
    "opt": ("GPT2Tokenizer", "byte-level"),
    "phi": ("CodeGenTokenizer", "byte-level"),
    "phi3": ("LlamaTokenizer", "tokenizer.model"),
    "qwen2": ("Qwen2Tokenizer", "byte-level"),
    "qwen2_5_vl": ("Qwen2Tokenizer", "byte-level"),
    "qwen3": ("Qwen2Tokenizer", "byte-level"),
    "qwen3_5": ("Qwen2Tokenizer", "tokenizer.json"),
    "qwen3_5_text": ("Qwen2Tokenizer", "tokenizer.json"),
    "qwen3_vl": ("Qwen2Tokenizer", "byte-level"),
    "seed_oss": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "smollm3": ("PreTrainedTokenizerFast", "tokenizer.json"),
    "stablelm": ("GPTNeoXTokenizerFast", "tokenizer.json"),
    "starcoder2": ("GPT2Tokenizer", "byte-level"),
    "t5": ("T5Tokenizer", "spiece.model"),
    "umt5": ("T5Tokenizer", "unigram tokenizer.json"),
    "xglm": ("XGLMTokenizer", "unigram tokenizer.json"),
    "xlm-roberta": ("XLMRobertaTokenizer", "unigram tokenizer.json"),
}
PYTHON_ALONE = {"m2m_100": "M2M100Tokenizer", "marian": "MarianTokenizer"}
"""Families whose own tokenizers exist only in Python."""

_SENTENCEPIECE_TYPES = {
    "spiece.model": "unigram",
    "tokenizer.model": "bpe",
    "sentencepiece.bpe.model": "unigram",
}


def write_tokenizer(folder: Path, family: str) -> Path:
    """Write a family's tokenizer and the settings that say whose it is, and return the folder."""
    name, form = CLASSES[family]
    kind = family.split(":")[0]
    _settings(folder, kind, name)
    if form in _SENTENCEPIECE_TYPES:
        model_type = "bpe" if name == "NllbTokenizer" else _SENTENCEPIECE_TYPES[form]
        (folder / form).write_bytes(sentencepiece_model(model_type, form == "tokenizer.model"))
    elif form == "word pieces":
        _word_pieces().save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": name, "do_lower_case": False}  # its marks are the class's
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    elif form.startswith("unigram"):
        _unigram(name).save(str(folder / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer()
        if form == "byte-level":
            _byte_level_files(folder, json.loads(tokenizer.to_str())["model"])
        else:
            tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_python_tokenizer(folder: Path, family: str) -> Path:
    """Write the files of a tokenizer that exists only in Python."""
    _settings(folder, family, PYTHON_ALONE[family])
    content = sentencepiece_model("unigram", byte_fallback=False)
    names = ["source.spm", "target.spm"] if family == "marian" else ["sentencepiece.bpe.model"]
    for name in names:
        (folder / name).write_bytes(content)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content)
    vocabulary = {pieces.id_to_piece(number): number for number in range(len(pieces))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    return folder


def sentencepiece_model(
    model_type: str, byte_fallback: bool, texts: Iterable[str] = TEXTS
) -> bytes:
    """A sentencepiece model of at most 600 pieces."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type=model_type,
        vocab_size=600,
        hard_vocab_limit=False,
        byte_fallback=byte_fallback,
        character_coverage=1.0,
        pad_id=-1 if not byte_fallback else 3,
        bos_id=1,
        eos_id=2,
        unk_id=0,
        normalization_rule_name="identity" if byte_fallback else "nmt_nfkc",
        add_dummy_prefix=True,
        minloglevel=2,
    )
    return written.getvalue()


def _word_pieces() -> Any:
    """A tokenizer of BERT's kind, which keeps case, as multilingual ones do."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    ends = [(token, special.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return tokenizer


def _unigram(name: str) -> Any:
    """The fast tokenizer of a class, with the pieces of a sentencepiece model."""
    content = sentencepiece_model("unigram", byte_fallback=False)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content)
    scored = [(pieces.id_to_piece(n), pieces.get_score(n)) for n in range(3, len(pieces))]
    pad, bos, eos, unk = SPECIAL
    first = [bos, pad, eos, unk] if name == "XGLMTokenizer" else [pad, eos, bos, unk]
    vocabulary = [*((mark, 0.0) for mark in first), *scored]
    return getattr(transformers, name)(vocab=vocabulary).backend_tokenizer


def _settings(folder: Path, kind: str, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    transformers.AutoConfig.for_model(kind).save_pretrained(folder)
    pad, bos, eos, unk = SPECIAL
    settings = {"tokenizer_class": name, "bos_token": bos, "eos_token": eos, "unk_token": unk}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": pad}))


def _byte_level_files(folder: Path, model: dict) -> None:
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    merges = "\n".join(" ".join(merge) for merge in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")
