"""Tables 2, 3, 5 and 6: answers with a kind of neurons deactivated or converted to all-shared."""

from functools import partial
from typing import Any

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import answers, style
from neuroglot.figures.answers import Change

BOTH = {"label": "specific and partial-shared", "color": "#332288", "marker": "v"}


def without(kind: str) -> Change:
    """Describe setting the kind's neurons to zero; the control sets as many random neurons."""
    look = looked(looks.KINDS[kind], "without ")
    return Change(f"without_{kind}", f"random_{kind}", look)


def converted(kind: str) -> Change:
    """Describe setting the kind's inactive neurons to just above the threshold, and the control."""
    look = looked(looks.KINDS.get(kind, BOTH), "converted ")
    return Change(f"converted_{kind}", f"random_converted_{kind}", look)


def looked(look: dict[str, Any], before: str) -> dict[str, Any]:
    """Take the colour and marker of a kind, and put ``before`` in front of its label."""
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
