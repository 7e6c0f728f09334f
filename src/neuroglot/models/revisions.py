"""Reads from the names of revisions how many steps a model was trained for."""

import re
from collections.abc import Sequence

_STEPS = re.compile(r"(?<![a-z])(?:global_?)?(?:step|iter)s?[-_]?(\d+)([km]?)(?![a-z\d])", re.I)
_STAGE = re.compile(r"(?<![a-z])(?:stage|ingredient)[-_]?(\d+)", re.I)
_TIMES = {"": 1, "k": 1000, "m": 1_000_000}


def training_steps(revisions: Sequence[str]) -> list[int] | None:
    """Give each revision's number of training steps, such as 1000 for ``stage1-step1000-tokens4B``.

    None if a name does not tell it, if two tell the same, or if names are of several stages or
    ingredients, which count their steps anew.
    """
    found = [_STEPS.search(revision) for revision in revisions]
    steps = [int(one[1]) * _TIMES[one[2].lower()] for one in found if one]
    told = len(steps) == len(set(steps)) == len(revisions)
    stages = {tuple(_STAGE.findall(revision)) for revision in revisions}
    return steps if told and len(stages) == 1 else None
