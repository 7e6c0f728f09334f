"""Tables 2, 3, 5 and 6: answers with a kind of neurons deactivated or converted to all-shared."""

from dataclasses import replace

from neuroglot.analyses.sharing.figures.looks import KINDS
from neuroglot.analyses.sharing.measures.kinds import ACTIVE_KINDS
from neuroglot.figures import answers
from neuroglot.figures.answers import Change
from neuroglot.figures.series import Look

LOOKS = {**KINDS.looks, "both": Look("specific and partial-shared", "#009E73", marker="v")}


def change(word: str, control: str, kind: str) -> Change:
    """The change that is named after a kind of neurons, and the control that is drawn above."""
    look = replace(LOOKS[kind], label=f"{word} {LOOKS[kind].label}")
    return Change(f"{word}_{kind}", f"{control}_{kind}", look)


WITHOUT = [change("without", "random", kind) for kind in ACTIVE_KINDS]
CONVERTED = [
    change("converted", "inactive", kind) for kind in ("specific", "partial_shared", "both")
]

DEACTIVATED, MADE_ALL_SHARED = "without a kind of neurons", "with neurons made all-shared"

FIGURES = {
    "tables_02_05_06_accuracy": answers.of_accuracy(WITHOUT, DEACTIVATED),
    "table_03_converted": answers.of_accuracy(CONVERTED, MADE_ALL_SHARED),
    "log_probability_without": answers.of_log_probability(WITHOUT, DEACTIVATED),
    "log_probability_converted": answers.of_log_probability(CONVERTED, MADE_ALL_SHARED),
}
