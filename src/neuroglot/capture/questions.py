"""Turns task items into token ids: prompts, and what their answers add to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import Item, Scoring

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Question:
    """An item as token ids.

    Attributes:
        prompt: what the model reads, special tokens before it included.
        gold: the right answer first, then its other spellings.
        candidates: the answers to choose from, the right one among them.
    """

    prompt: list[int]
    gold: list[list[int]]
    candidates: list[list[int]]

    @property
    def complete(self) -> bool:
        """Whether the prompt and every answer have tokens: without them none can be judged."""
        return bool(self.gold) and all([self.prompt, *self.gold, *self.candidates])

    def judgeable(self, scoring: Scoring) -> bool:
        """Say whether a right answer can be told from wrong ones.

        Not where a prompt or an answer has no token, nor, where first tokens are ranked, if the
        right answer begins with the same token as all other candidates.
        """
        return self.complete and (scoring != "rank" or len(self._first_tokens) > 1)

    def chance(self, scoring: Scoring) -> float:
        """How often a guess among the candidates is right; 0 where the answer is written freely."""
        if scoring == "exact":
            return 0.0
        return 1 / len(self._first_tokens if scoring == "rank" else self.candidates)

    @property
    def _first_tokens(self) -> set[int]:
        return {answer[0] for answer in self.candidates}


def encode(
    tokenizer: "Tokenizer", before: Sequence[int], items: Sequence[Item], window: int | None
) -> list[Question]:
    """Turn items into token ids.

    An answer's ids are those that it adds to the prompt's; where the prompt's last tokens change
    with what follows, they are the ids of the answer alone. An answer may come out without ids.

    Args:
        tokenizer: of the model.
        before: special tokens that the tokenizer puts before a text, as ``Tokens.before``.
        items: of one language.
        window: tokens the model can read at once, special tokens included.

    Raises:
        NeuroglotError: a prompt and its longest answer do not fit into the window.
    """
    tokenizer.no_truncation()  # both may be left over in a tokenizer's file
    tokenizer.no_padding()
    questions = [_question(tokenizer, before, item) for item in items]
    for item, question in zip(items, questions, strict=True):
        length = len(question.prompt)
        longest = max(map(len, [*question.gold, *question.candidates]))
        if window is not None and length + longest > window:
            raise NeuroglotError(
                f"item {item.id!r}: its prompt has {length} tokens and its longest answer "
                f"{longest}, and the model's context window holds {window}; shorten the prompt or "
                "give fewer shots"
            )
    return questions


def _question(tokenizer: "Tokenizer", before: Sequence[int], item: Item) -> Question:
    answers = list(dict.fromkeys([*item.gold, *item.candidates]))
    texts = [item.prompt, *answers, *(item.prompt + answer for answer in answers)]
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    prompt, *rest = (encoding.ids for encoding in encodings)
    alone, together = rest[: len(answers)], rest[len(answers) :]
    ids = {
        answer: whole[len(prompt) :] if whole[: len(prompt)] == prompt else own
        for answer, own, whole in zip(answers, alone, together, strict=True)
    }
    return Question(
        [*before, *prompt],
        [ids[answer] for answer in item.gold],
        [ids[answer] for answer in item.candidates],
    )
