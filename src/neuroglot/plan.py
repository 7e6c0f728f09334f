"""What a run has to read and record, found once, so that its jobs on any machine see the same.

A job cannot find it again: it would find what is missing now.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from neuroglot import layout, readings, store
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys
from neuroglot.recordings import Job, Recordings, Target


@dataclass(frozen=True)
class Plan:
    """What is missing or out of date: languages by corpus or task, and recordings."""

    texts: Mapping[str, list[str]]
    recordings: list[Job]


def make_plan(config: Config, keys: Keys, analyses: Collection[str]) -> Plan:
    """Find what has to be read, and what has to be recorded for some analyses."""
    return Plan(readings.missing(config, keys), Recordings(config, keys).missing(analyses))


def remember(plan: Plan) -> None:
    """Save the plan of a run that starts."""
    layout.PLAN.parent.mkdir(parents=True, exist_ok=True)
    store.write_json(layout.PLAN, asdict(plan))


def remembered() -> Plan:
    """Read the plan of the run to which this process belongs.

    Raises:
        NeuroglotError: no run has started here.
    """
    try:
        kept = json.loads(layout.PLAN.read_text("utf-8"))
    except FileNotFoundError:
        raise NeuroglotError(f"{layout.PLAN} is missing; start the run again") from None
    jobs = [
        Job(
            job["model"],
            tuple(Target(**target) for target in job["targets"]),
            tuple(job["languages"]),
        )
        for job in kept["recordings"]
    ]
    return Plan(kept["texts"], jobs)
