"""Answers in each language without its transfer neurons, and without as many random neurons."""

from neuroglot.analyses.transfer.figures.looks import TYPES
from neuroglot.figures import answers

WITHOUT = TYPES.labelled(lambda _, label: f"without {label}")
CHANGES = [
    answers.Change(f"without_{name}", f"random_{name}", look)
    for name, look in WITHOUT.looks.items()
]

SUBJECT = "without transfer neurons"

FIGURES = {
    "task_accuracy": answers.of_accuracy(CHANGES, SUBJECT),
    "task_log_probability": answers.of_log_probability(CHANGES, SUBJECT),
}
