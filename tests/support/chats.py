"""Chat templates in the manners of families of tuned models, and tiny models that have one."""

from pathlib import Path
from typing import Any

from support.tiny_checkpoints import write_checkpoint

OPEN, CLOSE = "<|im_start|>", "<|im_end|>"
ADDED = (OPEN, CLOSE, "<|user|>", "<|assistant|>", "<start_of_turn>", "<end_of_turn>")
PLAIN_ADDED = ("<think>", "</think>")  # which tokenizers do not call special

# What is special in each: a system's turn of its own; blanks at the ends of texts stripped; the
# begin of text written by the template; no special tokens around turns, and a blank before
# answers; a special token at the end; a line feed that only the assistant's text has before it; a
# thought that can be left out; the day, and roles that must take turns.
TEMPLATES = {
    "turns": "{% for m in messages %}{% if loop.first and m.role != 'system' %}" + OPEN
    + "system\nYou are of help." + CLOSE + "\n{% endif %}" + OPEN
    + "{{ m.role + '\n' + m.content }}" + CLOSE + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + OPEN + "assistant\n{% endif %}",
    "stripped": "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "brackets": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content.strip() + ' [/INST]' }}{% else %}"
    "{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
    "ends-special": "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "late-feed": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token }}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "thinks": "{% set empty = '<think>\n\n</think>\n\n' %}{% for m in messages %}" + OPEN
    + "{{ m.role + '\n' + (empty if m.role == 'assistant' else '') + m.content }}" + CLOSE
    + "\n{% endfor %}{% if add_generation_prompt %}" + OPEN + "assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}{{ empty }}{% endif %}{% endif %}",
    "dated": "{{ bos_token + 'Today: ' + strftime_now('%d %b %Y') + '\n' }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}" + OPEN
    + "{{ m.role + '\n\n' + m.content }}" + CLOSE + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + OPEN + "assistant\n\n' }}{% endif %}",
}  # fmt: skip


def with_template(folder: Path, template: Any, **settings: Any) -> Path:
    """Give a checkpoint's tokenizer special tokens of chats and a template; return the folder."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    from neuroglot.models.checkpoint import reading_sentencepiece

    with reading_sentencepiece():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    added = [AddedToken(token, special=True, normalized=False) for token in ADDED]
    tokenizer.add_tokens(added, special_tokens=True)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in PLAIN_ADDED])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder, **settings)
    return folder


def tuned(folder: Path, template: Any = TEMPLATES["turns"], model_type: str = "llama") -> Path:
    """Write a tiny model with a chat template."""
    return with_template(write_checkpoint(folder, model_type, rows=420), template)
