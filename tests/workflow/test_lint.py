"""The workflow passes Snakemake's linter but for what is waived here, with the reason."""

import re
import subprocess
import sys
from pathlib import Path

from support import ROOT

WAIVED = {
    "Specify a conda environment": "all rules run in one environment, pinned under envs/: an "
    "environment per rule would be the same one twenty times",
    "Mixed rules and functions": "an input function stands beside the one rule it plans for",
    "Shell command directly uses variable": "the command and where the configuration lies change "
    "no number, and a param that differs would rerun the job",
}


def test_nothing_is_found_that_is_not_waived() -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / "snakemake", "--lint"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^    \* (.+)$", finished.stdout + finished.stderr, re.MULTILINE)
    assert [lint for lint in found if not lint.startswith(tuple(WAIVED))] == []
    unused = [reason for reason in WAIVED if not any(lint.startswith(reason) for lint in found)]
    assert unused == [], "waived but no longer found"
