"""Answers in each language without its transfer neurons, and without as many random neurons."""

from neuroglot.analyses.transfer.figures.looks import TYPES
from neuroglot.figures import answers

WITHOUT = TYPES.labelled(lambda _, label: f"without {label}")
CHANGES = [
    answers.Change(f"without_{name}", f"random_{name}", look)
    for name, look in WITHOUT.looks.items()
]

FIGURES = answers.drawings(
    ("task_accuracy", "task_log_probability"), CHANGES, "without transfer neurons"
)
