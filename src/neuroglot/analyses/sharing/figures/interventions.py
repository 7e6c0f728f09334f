"""Tables 2, 3, 5 and 6: answers with a kind of neurons deactivated or converted to all-shared."""

from dataclasses import replace
from functools import partial
from typing import Any

from neuroglot.analyses.sharing.figures.looks import KINDS
from neuroglot.figures import answers, style
from neuroglot.figures.answers import Change
from neuroglot.figures.series import Look

CONVERTED = KINDS.looks | {"both": Look("specific and partial-shared", "#009E73", marker="v")}


def change(word: str, control: str, kind: str) -> Change:
    """The change that is named after a kind of neurons, and its control."""
    look = replace(CONVERTED[kind], label=f"{word} {CONVERTED[kind].label}")
    return Change(f"{word}_{kind}", f"{control}_{kind}", look)


WITHOUTS: dict[str, Any] = {
    "changes": tuple(
        change("without", "random", kind) for kind in ("all_shared", "partial_shared", "specific")
    ),
}
CONVERSIONS: dict[str, Any] = {
    "changes": tuple(
        change("converted", "random_converted", kind)
        for kind in ("specific", "partial_shared", "both")
    ),
}
WITHOUT = "without a kind of neurons"
WITH = "with neurons converted to all-shared"

FIGURES: dict[str, style.Drawing] = {
    stem: style.Drawing(partial(draw, **told, subject=subject), partial(finding, **told))
    for stem, draw, finding, told, subject in (
        (
            "tables_02_05_06_accuracy",
            answers.accuracy,
            answers.finding_of_accuracy,
            WITHOUTS,
            WITHOUT,
        ),
        ("table_03_converted", answers.accuracy, answers.finding_of_accuracy, CONVERSIONS, WITH),
        (
            "log_probability_without",
            answers.log_probability,
            answers.finding_of_log_probability,
            WITHOUTS,
            WITHOUT,
        ),
        (
            "log_probability_converted",
            answers.log_probability,
            answers.finding_of_log_probability,
            CONVERSIONS,
            WITH,
        ),
    )
}
