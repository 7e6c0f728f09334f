"""Questions that no model can be asked."""

from pathlib import Path

import pytest

from neuroglot.analyses.answers import Asked, Examiner
from neuroglot.capture.questions import Question
from neuroglot.errors import NeuroglotError


def test_a_task_of_which_nothing_can_be_judged_is_refused() -> None:
    """All candidates begin with the same token: a blank that the tokenizer splits off."""
    question = Question(prompt=[1, 2], gold=[[5, 6]], candidates=[[5, 6], [5, 7]])
    asked = Asked("facts", "rank", {"en": [question]})
    examiner = Examiner(
        model=Path("one"), device="cpu", dtype="auto", positions="last", batch_tokens=None
    )
    with pytest.raises(NeuroglotError, match="'facts': no item can be judged with .* of one"):
        examiner.ask(asked, ["baseline"], [("baseline", None)])
