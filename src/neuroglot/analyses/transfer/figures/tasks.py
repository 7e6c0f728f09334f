"""Answers in each language without its transfer neurons, and without as many random neurons."""

from functools import partial
from typing import Any

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import answers, style
from neuroglot.figures.answers import Change

WITHOUTS = tuple(
    Change(f"without_{kind}", f"random_{kind}", look | {"label": f"without {look['label']}"})
    for kind, look in looks.TYPES.items()
)
DRAWN: dict[str, Any] = {"changes": WITHOUTS, "subject": "without transfer neurons"}

FIGURES: dict[str, style.Draw] = {
    "task_accuracy": partial(answers.accuracy, **DRAWN),
    "task_log_probability": partial(answers.log_probability, **DRAWN),
}
