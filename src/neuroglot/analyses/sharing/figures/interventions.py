"""Tables 2, 3, 5 and 6: answers without a kind of neurons, or with it converted to all-shared."""

from functools import partial
from typing import Any

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import answers, style
from neuroglot.figures.answers import Change

BOTH = {"label": "specific and partial-shared", "color": "#332288", "marker": "v"}


def without(kind: str) -> Change:
    """Set the kind's neurons to zero, or as many random ones."""
    look = looked(looks.KINDS[kind], "without ")
    return Change(f"without_{kind}", f"random_{kind}", look)


def converted(kind: str) -> Change:
    """Set the kind's inactive neurons to just above the threshold, or as many random ones."""
    look = looked(looks.KINDS.get(kind, BOTH), "converted ")
    return Change(f"converted_{kind}", f"random_converted_{kind}", look)


def looked(look: dict[str, Any], before: str) -> dict[str, Any]:
    """The points of a kind, with ``before`` before its name."""
    return {"color": look["color"], "marker": look["marker"], "label": before + look["label"]}


WITHOUTS = tuple(map(without, ("all_shared", "partial_shared", "specific")))
CONVERSIONS = tuple(map(converted, ("specific", "partial_shared", "both")))


AS_WITHOUT: dict[str, Any] = {"changes": WITHOUTS, "subject": "without a kind of neurons"}
AS_CONVERTED: dict[str, Any] = {
    "changes": CONVERSIONS,
    "subject": "with neurons converted to all-shared",
}

FIGURES: dict[str, style.Draw] = {
    "tables_02_05_06_accuracy": partial(answers.accuracy, **AS_WITHOUT),
    "table_03_converted": partial(answers.accuracy, **AS_CONVERTED),
    "log_probability_without": partial(answers.log_probability, **AS_WITHOUT),
    "log_probability_converted": partial(answers.log_probability, **AS_CONVERTED),
}
