"""Tiny tokenizers that put a language's tag beside each text, as encoder-decoders have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.tiny_checkpoints import train_tokenizer, write_checkpoint

NLLB = ("eng_Latn", "deu_Latn", "arb_Arab", "zho_Hans", "zho_Hant", "nob_Latn", "swh_Latn")
MBART = ("en_XX", "de_DE", "ar_AR", "zh_CN", "pt_XX")
M2M = ("__en__", "__de__", "__ar__", "__zh__", "__no__", "__ns__")


def tagged(tags: Sequence[str], template: str = "{} $A </s>") -> Any:
    """A tokenizer whose template has the first of the tags, which is English."""
    from tokenizers import processors

    tokenizer = train_tokenizer()
    tokenizer.add_special_tokens(list(tags))
    special = [(token, tokenizer.token_to_id(token)) for token in (tags[0], "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template.format(tags[0]), special_tokens=special
    )
    return tokenizer


def write_tagged(
    folder: Path, tags: Sequence[str] = NLLB, model_type: str = "m2m_100", **settings: Any
) -> Path:
    """Write a tiny encoder-decoder with such a tokenizer, and return the folder."""
    write_checkpoint(folder, model_type, rows=410, **settings)
    tagged(tags).save(str(folder / "tokenizer.json"))
    return folder
