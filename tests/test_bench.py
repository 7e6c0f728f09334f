"""The benchmarks run: on a tiny model and at the smallest sizes, so that nothing is measured."""

import os
import subprocess
import sys

import pytest

from support import ROOT
from support.tiny_workflow import Workplace


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (["-m", "pytest", "-x", "--benchmark-disable", "bench"], " passed"),
        (["bench/memory.py", "1"], " MB at most"),
    ],
)
def test_runs(command: list[str], printed: str, finished: Workplace) -> None:
    environment = os.environ | {"NEUROGLOT_SMOKE": str(finished.folder / "results/models/one")}
    run = subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert printed in run.stdout
