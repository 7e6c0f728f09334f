"""Jobs that share a machine get different GPUs, and wait where there are not enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neuroglot import devices
from neuroglot.errors import NeuroglotError
from neuroglot.models import load
from support.tiny_checkpoints import write_checkpoint

CLAIM = """
import sys
from neuroglot.devices import claim
print(*claim(int(sys.argv[1])), flush=True)
sys.stdin.readline()
"""


class Job:
    """A process that claims GPUs and holds them until it is told to end."""

    def __init__(self, count: int, folder: Path, visible: str = "0,1,GPU-8f", **environment: str):
        own = {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(folder), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(count)],
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def claimed(self) -> set[str]:
        return set(self.process.stdout.readline().split())

    def end(self, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.communicate("\n", timeout=10)
        self.process.wait(10)


@pytest.fixture
def jobs():
    started: list[Job] = []
    yield started
    for job in started:
        job.end(kill=True)


def test_concurrent_jobs_get_different_gpus(jobs: list[Job], tmp_path: Path) -> None:
    jobs += [Job(1, tmp_path) for _ in range(3)]
    claimed = [job.claimed() for job in jobs]
    assert set.union(*claimed) == {"0", "1", "GPU-8f"}
    assert all(len(one) == 1 for one in claimed)


@pytest.mark.parametrize("kill", [False, True])
def test_a_job_waits_until_enough_gpus_are_given_back(
    jobs: list[Job], tmp_path: Path, kill: bool
) -> None:
    jobs.append(Job(2, tmp_path))
    first = jobs[0].claimed()
    jobs.append(Job(2, tmp_path))
    with pytest.raises(subprocess.TimeoutExpired):
        jobs[1].process.wait(2)
    jobs.append(Job(1, tmp_path))  # which the waiting one must not keep from its GPU
    assert jobs[2].claimed().isdisjoint(first)
    jobs[0].end(kill)
    assert jobs[1].claimed() == first


def test_jobs_of_slurm_have_gpus_of_their_own(jobs: list[Job], tmp_path: Path) -> None:
    jobs += [Job(1, tmp_path, visible="0", SLURM_JOB_ID=number) for number in ("7", "8")]
    assert [job.claimed() for job in jobs] == [{"0"}, {"0"}]


def test_torch_is_shown_what_was_claimed(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    assert devices.claim(2) == ["3", "5"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
    devices._HELD.clear()
    assert devices.claim(0) == ["3", "5"]
    assert devices._HELD == {}


@pytest.mark.parametrize("visible", ["", "-1", "0"])
def test_too_few_gpus_are_an_error_at_once(monkeypatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(NeuroglotError, match="needs 2 GPUs, but [01] are visible"):
        devices.claim(2)


@pytest.mark.parametrize(
    ("device", "gpus", "free", "place"),
    [
        ("cpu", 2, 100, "cpu"),
        ("auto", 0, 0, "cpu"),
        ("auto", 1, 5000, "cuda"),
        ("cuda", 2, 1201, "cuda"),
        ("cuda", 2, 1199, "auto"),
        ("auto", 2, 1199, "auto"),
        ("auto", 1, 1199, "cuda"),
    ],
)
def test_a_model_spreads_over_the_gpus_of_its_job_where_one_is_too_small(
    monkeypatch, tmp_path: Path, device: str, gpus: int, free: int, place: str
) -> None:
    for number, size in enumerate((400, 600)):
        (tmp_path / f"model-{number}.safetensors").write_bytes(b"x" * size)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10_000))
    assert load._place(tmp_path, device) == place
    if place != "cpu":
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (999 / gpus, 10_000))
        with pytest.raises(NeuroglotError, match="weights do not fit the free memory of the GPUs"):
            load._place(tmp_path, device)


def test_a_model_of_which_a_part_would_stay_outside_the_gpus_is_refused(
    monkeypatch, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "one")
    monkeypatch.setattr(load, "_place", lambda *_: {"": "cpu"})
    with pytest.raises(NeuroglotError, match="weights do not fit the free memory of the GPUs"):
        load.load(folder, "auto")
