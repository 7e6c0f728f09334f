"""The command `neuroglot`, started at once, and what its end must look like."""

import os
import subprocess
from pathlib import Path

from support import warm


def neuroglot(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [warm.commands() / "neuroglot", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ok(*arguments: object, cwd: Path) -> str:
    finished = neuroglot(*arguments, cwd=cwd)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def refused(*arguments: object, cwd: Path) -> str:
    finished = neuroglot(*arguments, cwd=cwd)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("error: ")
    return finished.stderr
