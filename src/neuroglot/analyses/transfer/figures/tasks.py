"""Answers in each language without its transfer neurons, and without as many random neurons."""

from dataclasses import replace
from functools import partial

from neuroglot.analyses.transfer.figures.looks import TYPES
from neuroglot.figures import answers, style

CHANGES = tuple(
    answers.Change(
        f"without_{kind}", f"random_{kind}", replace(look, label=f"without {look.label}")
    )
    for kind, look in TYPES.looks.items()
)
SUBJECT = "without transfer neurons"

FIGURES: dict[str, style.Drawing] = {
    "task_accuracy": style.Drawing(
        partial(answers.accuracy, changes=CHANGES, subject=SUBJECT),
        partial(answers.finding_of_accuracy, changes=CHANGES),
    ),
    "task_log_probability": style.Drawing(
        partial(answers.log_probability, changes=CHANGES, subject=SUBJECT),
        partial(answers.finding_of_log_probability, changes=CHANGES),
    ),
}
