"""Tables 2, 3, 5 and 6: answers with a kind of neurons deactivated or converted to all-shared."""

from dataclasses import replace
from functools import partial

from neuroglot.analyses.sharing.figures.looks import KINDS
from neuroglot.figures import answers, style
from neuroglot.figures.answers import Change
from neuroglot.figures.series import Look

BOTH = Look("specific and partial-shared", "#009E73", marker="v")
LOOKS = {**KINDS.looks, "both": BOTH}


def change(word: str, control: str, kind: str) -> Change:
    """The change that is named after a kind of neurons, and its control."""
    look = replace(LOOKS[kind], label=f"{word} {LOOKS[kind].label}")
    return Change(f"{word}_{kind}", f"{control}_{kind}", look)


WITHOUT = tuple(
    change("without", "random", kind) for kind in ("all_shared", "partial_shared", "specific")
)
CONVERTED = tuple(
    change("converted", "random_converted", kind) for kind in ("specific", "partial_shared", "both")
)
SUBJECTS = {WITHOUT: "without a kind of neurons", CONVERTED: "with neurons made all-shared"}
ACCURACY = answers.accuracy, answers.finding_of_accuracy
LOG_PROBABILITY = answers.log_probability, answers.finding_of_log_probability

FIGURES: dict[str, style.Drawing] = {
    stem: style.Drawing(
        partial(draw, changes=changes, subject=SUBJECTS[changes]), partial(finding, changes=changes)
    )
    for stem, (draw, finding), changes in (
        ("tables_02_05_06_accuracy", ACCURACY, WITHOUT),
        ("table_03_converted", ACCURACY, CONVERTED),
        ("log_probability_without", LOG_PROBABILITY, WITHOUT),
        ("log_probability_converted", LOG_PROBABILITY, CONVERTED),
    )
}
