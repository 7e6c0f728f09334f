"""A model for lm-evaluation-harness, with neurons edited while it reads prompts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import TemplateLM  # type: ignore[import-not-found,import-untyped]
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot.capture.answers import judge
from neuroglot.capture.generation import continued, end_of_text, generate
from neuroglot.capture.questions import Question
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config
from neuroglot.models.intervene import Edit
from neuroglot.tokens import special_tokens

_NEW_TOKENS = 256  # default of a task, as in the harness's own models


class Examinee(TemplateLM):  # type: ignore[misc]
    """Answers the harness's requests by greedy decoding and log-probabilities.

    A prompt that is too long for the model is cut at the start, as by the harness's own models.

    Args:
        model: a causal language model with its head.
        tokenizer: the model's tokenizer.
        edits: edits with neurons ``[layer, neuron]``, made at every token of the prompts, but not
            at tokens that are read or written after a prompt.
        batch_tokens: number of tokens per batch, as in ``capture.answers.judge``.
    """

    def __init__(
        self, model: Any, tokenizer: Tokenizer, edits: Sequence[Edit], batch_tokens: int | None
    ) -> None:
        super().__init__()
        tokenizer.no_truncation()  # a tokenizer's file may set truncation and padding
        tokenizer.no_padding()
        self._model, self._tokenizer, self._batch_tokens = model, tokenizer, batch_tokens
        self._edits = list(edits)
        self._before = special_tokens(tokenizer.encode("a"))[0]
        self._room = context_window(language_config(model.config).to_dict())

    @property
    def eot_token_id(self) -> int:
        """A token that ends a text."""
        ends = end_of_text(self._model)
        if not ends:
            raise NeuroglotError(
                "a task begins with an answer, without a prompt, and the model has no special "
                "token to begin a text with; leave the task out"
            )
        return min(ends)

    @property
    def prefix_token_id(self) -> int:
        """The token that replaces an empty prompt."""
        return self._before[0] if self._before else self.eot_token_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Encode a text, after the tokenizer's special tokens unless it continues other tokens."""
        ids: list[int] = self._tokenizer.encode(string, add_special_tokens=False).ids
        return ids if add_special_tokens is False else [*self._before, *ids]

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        questions = [
            Question(self._fitting(prompt, len(answer) - 1), [answer], [answer])
            for _, prompt, answer in requests
        ]
        answers = judge(self._model, questions, [self._of], "whole", "prompt", self._batch_tokens)
        scores = zip(answers.gold_log_probability[0], answers.written[0], strict=True)
        return [(float(score), bool(greedy)) for score, greedy in scores]

    def loglikelihood_rolling(self, *_: Any, **__: Any) -> list[float]:
        """Raise an error: perplexity has no prompt at which neurons could be edited."""
        raise NeuroglotError(
            "a task of transfer.harness measures perplexity, which has no prompt to deactivate "
            "neurons at; leave it out"
        )

    def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
        """Generate text up to the first of a task's stop strings."""
        asked = [_Writing(*request.args) for request in requests]
        texts = [""] * len(asked)
        for most in {writing.most for writing in asked}:
            places = [place for place, writing in enumerate(asked) if writing.most == most]
            prompts = [self._fitting(self.tok_encode(asked[i].prompt), most) for i in places]
            written = generate(self._model, prompts, most, self._of, "prompt", self._batch_tokens)
            for place, prompt, ids in zip(places, prompts, written, strict=True):
                texts[place] = asked[place].cut(continued(self._tokenizer, prompt, ids))
        return texts

    def _of(self, _: NDArray[np.int64]) -> list[Edit]:
        return self._edits

    def _fitting(self, prompt: list[int], after: int) -> list[int]:
        """Cut the start of a prompt so that ``after`` more tokens fit the model's context."""
        if self._room is None or len(prompt) + after <= self._room:
            return prompt
        return prompt[len(prompt) + after - self._room :]


class _Writing:
    """A request to generate: the prompt, the stop strings and the maximum number of tokens."""

    def __init__(self, prompt: str, settings: dict[str, Any]) -> None:
        if settings.get("do_sample") or settings.get("temperature", 0):
            raise NeuroglotError(
                "a task of transfer.harness asks for sampled text, but models write the likeliest "
                "text here; leave it out, or set do_sample: false in a copy of it"
            )
        until = settings.get("until") or []
        self.prompt = prompt
        self.stops = [until] if isinstance(until, str) else list(until)
        self.most = int(settings.get("max_gen_toks", _NEW_TOKENS))

    def cut(self, text: str) -> str:
        for stop in filter(None, self.stops):
            text = text.split(stop)[0]
        return text
