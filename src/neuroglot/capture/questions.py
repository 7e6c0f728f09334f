"""Turns task items into token ids of prompts and answers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING

from neuroglot.errors import NeuroglotError
from neuroglot.models.chat import Chat
from neuroglot.models.chat_tokens import ChatTokens
from neuroglot.tasks.base import Item, Scoring

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Question:
    """An item as token ids.

    Attributes:
        prompt: the prompt, with the special tokens around it.
        gold: the right answer, then its other spellings.
        candidates: the answers to choose from, including the right answer.
        before, after: numbers of special tokens at the prompt's start and at its end.
        opening: what a decoder behind an encoder reads before an answer; by default its start token
            alone.
        special: ids of special tokens within the prompt, which a chat template wrote.
    """

    prompt: list[int]
    gold: list[list[int]]
    candidates: list[list[int]]
    before: int = 0
    after: int = 0
    opening: list[int] = field(default_factory=list)
    special: list[int] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the prompt and every answer have tokens; only then can the item be judged."""
        return bool(self.gold) and all([self.prompt, *self.gold, *self.candidates])

    def judgeable(self, scoring: Scoring) -> bool:
        """Whether the right answer can be told from wrong answers.

        It cannot if the prompt or an answer has no token. If first tokens are ranked, it also
        cannot if all candidates begin with the same token.
        """
        return self.complete and (scoring != "rank" or len(self._first_tokens) > 1)

    def scores(self, scoring: Scoring) -> dict[tuple[int, ...], float]:
        """Map every answer that can be given to its score, see ``Task.scoring``.

        Where first tokens are ranked, they are the answers: a right candidate shares its point with
        the wrong ones that begin with the same token. Where the model writes its answer freely,
        only right answers are given; all others score 0.
        """
        if scoring == "exact":
            return {tuple(answer): 1.0 for answer in self.gold}
        end = 1 if scoring == "rank" else None
        right = {tuple(answer[:end]) for answer in self.candidates if answer in self.gold}
        wrong = Counter(
            tuple(answer[:end]) for answer in self.candidates if answer not in self.gold
        )
        return {
            answer: 1 / (1 + wrong[answer]) if answer in right else 0.0
            for answer in right | wrong.keys()
        }

    def guess(self, scoring: Scoring) -> float:
        """Mean score of an answer that is chosen at random; 0 if answers are written freely."""
        if scoring == "exact":
            return 0.0
        return mean(self.scores(scoring).values())

    @property
    def _first_tokens(self) -> set[int]:
        return {answer[0] for answer in self.candidates}


def encode(
    tokenizer: "Tokenizer",
    before: Sequence[int],
    items: Sequence[Item],
    window: int | None,
    after: Sequence[int] | None = None,
    opening: Sequence[int] = (),
    chat: Chat | None = None,
) -> list[Question]:
    """Turn items into token ids.

    In a causal model, an answer's ids are the ids that it adds to the prompt's. If the answer
    changes the prompt's last tokens, they are the ids of the answer tokenised alone. In an
    encoder-decoder, the encoder reads the prompt with all special tokens around it, and the answer
    is a text of its own, without the blank before it. An answer may have no ids.

    In a chat, a prompt is a user's turn as the model's template writes it, all its special tokens
    included, and an answer is what follows, without the blank before it.

    Args:
        tokenizer: the model's tokenizer.
        before: special tokens that the tokenizer puts before a text, as ``Tokens.before``.
        items: items of one language.
        window: the most tokens that the model can read at once, special tokens included.
        after: for an encoder-decoder, special tokens that the tokenizer puts after a text.
        opening: for an encoder-decoder, as in ``Question``.
        chat: the model's chat template, if there are items that are asked in a chat.

    Raises:
        NeuroglotError: a prompt and its longest answer do not fit into the window; in an
            encoder-decoder, one of them alone.
    """
    tokenizer.no_truncation()  # a tokenizer's file may set both
    tokenizer.no_padding()
    turns = chat and ChatTokens(chat, tokenizer)
    questions = [
        _in_chat(turns, item, opening)
        if item.chat and turns
        else _question(tokenizer, before, item)
        if after is None
        else _separate(tokenizer, before, after, item, opening)
        for item in items
    ]
    for item, question in zip(items, questions, strict=True):
        length = len(question.prompt)
        longest = max(map(len, [*question.gold, *question.candidates]))
        read = (
            length + longest if after is None else max(length, max(len(opening), 1) + longest - 1)
        )
        if window is not None and read > window:
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
    prompt, *others = (encoding.ids for encoding in encodings)
    alone, together = others[: len(answers)], others[len(answers) :]
    ids = {
        answer: after_prompt[len(prompt) :] if after_prompt[: len(prompt)] == prompt else by_itself
        for answer, by_itself, after_prompt in zip(answers, alone, together, strict=True)
    }
    return Question(
        [*before, *prompt],
        [ids[answer] for answer in item.gold],
        [ids[answer] for answer in item.candidates],
        len(before),
    )


def _in_chat(turns: ChatTokens, item: Item, opening: Sequence[int]) -> Question:
    """A user's turn, and what the assistant's turn begins with."""
    prompt = turns.encode(item.prompt).ids
    ids = {}
    for answer in dict.fromkeys([*item.gold, *item.candidates]):
        text = answer.lstrip()
        ids[answer] = turns.tokenizer.encode(text, add_special_tokens=False).ids
        together = turns.encode(item.prompt, text).ids
        if not opening and together[: len(prompt)] == prompt:
            ids[answer] = together[len(prompt) :]
    return Question(
        prompt,
        [ids[answer] for answer in item.gold],
        [ids[answer] for answer in item.candidates],
        opening=list(opening),
        special=turns.special,
    )


def _separate(
    tokenizer: "Tokenizer",
    before: Sequence[int],
    after: Sequence[int],
    item: Item,
    opening: Sequence[int],
) -> Question:
    """An encoder's prompt, and a decoder's answers."""
    answers = list(dict.fromkeys([*item.gold, *item.candidates]))
    texts = [item.prompt, *(answer.lstrip() for answer in answers)]
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    prompt, *alone = (encoding.ids for encoding in encodings)
    ids = dict(zip(answers, alone, strict=True))
    return Question(
        [*before, *prompt, *after],
        [ids[answer] for answer in item.gold],
        [ids[answer] for answer in item.candidates],
        len(before),
        len(after),
        list(opening),
    )


def constant_scores(questions: Sequence[Question], scoring: Scoring) -> list[float]:
    """Score each question by the one answer that scores most if it is given to all of them."""
    scores = [question.scores(scoring) for question in questions]
    totals: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for of_question in scores:
        for answer, score in of_question.items():
            totals[answer] += score
    best = max(totals, key=totals.__getitem__, default=())
    return [of_question.get(best, 0.0) for of_question in scores]
