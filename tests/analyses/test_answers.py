"""Questions that no model can be asked."""

from pathlib import Path

import pytest

from neuroglot.analyses.answers import Asked, Examiner
from neuroglot.capture.questions import Question
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_tokenizer
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from support.tiny_checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    normalise(ModelSettings(source=str(write_checkpoint(folder / "source"))), folder / "one")
    return folder / "one"


def refused(model: Path, *questions: Question) -> str:
    asked = Asked("facts", "rank", {"en": questions[:1], "de": questions[1:]})
    examiner = Examiner(model=model, device="cpu", dtype="auto", positions="last", batch_tokens=1)
    with pytest.raises(NeuroglotError) as refusal:
        examiner.ask(asked, ["baseline"], [("baseline", None)])
    return str(refusal.value)


def test_a_task_of_which_nothing_can_be_judged_is_refused(model: Path) -> None:
    """All candidates begin with the same token: a blank that the tokenizer splits off."""
    blank = read_tokenizer(model).token_to_id("Ġ")
    same = Question(prompt=[1, 2], gold=[[blank, 6]], candidates=[[blank, 6], [blank, 7]])
    empty = Question(prompt=[], gold=[[5]], candidates=[[5], [6]])
    start = "task 'facts': no item can be judged with the tokenizer of one: "
    alike = "all candidates begin with the same token (in the first of them 'Ġ')"
    assert refused(model, same, same).startswith(f"{start}in 2 of 2 {alike}")
    assert refused(model, empty, empty).startswith(f"{start}in 2 of 2 the prompt or an answer")
    both = refused(model, empty, same)
    assert both.startswith(f"{start}in 1 of 2 the prompt or an answer has no token and in 1 of 2")
    assert alike in both
