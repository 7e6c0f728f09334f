"""The benchmarks run: on a tiny model and at the smallest sizes, so that nothing is measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT
from support.tiny_workflow import Workplace

pytestmark = pytest.mark.slow  # `make bench` runs them before it measures


def run(command: list[str], finished: Workplace, folder: Path = ROOT) -> str:
    """Run a Python command on the tiny model, and give what it prints."""
    model = finished.folder / "results/models/one"
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"NEUROGLOT_SMOKE": str(model)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (["-m", "pytest", "-x", "--benchmark-disable", "bench"], " passed"),
        (["bench/memory.py", "1"], " MB at most"),
    ],
)
def test_runs(command: list[str], printed: str, finished: Workplace) -> None:
    assert printed in run(command, finished)


def test_what_a_gpu_does_is_rehearsed(finished: Workplace, tmp_path: Path) -> None:
    printed = run(["bench/gpu.py", "--small", "--out", str(tmp_path)], finished)
    table = (tmp_path / "gpu.md").read_text("utf-8")
    assert table.strip() in printed
    assert table.count("\n|") > 15
    assert " passed" in table


def test_growth_is_measured(finished: Workplace, tmp_path: Path) -> None:
    model = str(finished.folder / "results/models/one")
    command = ["bench/growth.py", "--out", str(tmp_path), "--model", model, "--smoke"]
    printed = run([*command, "--only", "tokens", "plan"], finished)
    assert "10 times the text: {'tokens': " in printed
    assert "dry run with 20 languages: {'wall': " in printed


def test_the_start_of_a_job_is_measured(finished: Workplace) -> None:
    command = [str(ROOT / "bench/start.py"), "one", "plain/roles"]
    assert "ours: " in run(command, finished, finished.folder)


def test_rounding_is_measured(finished: Workplace, tmp_path: Path) -> None:
    printed = run(["bench/keep_bits.py", str(finished.folder)], finished)
    assert "4 bits of float16, sample/act" in printed
    assert "4 bits, roles/one/distance.zarr, distance_mean: " in printed
