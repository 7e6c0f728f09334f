"""The workflow on a real Slurm: what jobs ask for and get, and that a lost one is done again."""

import os
from pathlib import Path

import pytest

from support.tiny_workflow import Workplace, add_analyses, make_workplace
from tools import kills, slurm

REQUIRED = bool(os.environ.get("NEUROGLOT_REQUIRE_SLURM"))

pytestmark = pytest.mark.skipif(
    not (slurm.INSTALLED or REQUIRED), reason="needs slurm-wlm and munge"
)

# For a cluster without an accounting database, and for not waiting 40 s before the first look.
HERE = (
    "--slurm-no-account",
    "--slurm-status-command=squeue",
    "--slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=1",
    "--latency-wait=5",
)


@pytest.fixture
def cluster():
    with slurm.running_cluster() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workflow that computes on the CPU and asks for GPUs all the same."""
    place = make_workplace(tmp_path / "place")
    place.configure(capture={"device": "cpu"})
    profile = place.folder / "workflow" / "profiles" / "slurm" / "config.yaml"
    edited = profile.read_text().replace("slurm_partition: gpu ", "slurm_partition: debug ")
    profile.write_text("\n".join(line for line in edited.splitlines() if "my-account" not in line))
    return place


def submit(place: Workplace, cluster: slurm.Cluster, *targets: str):
    return place.start(
        "--profile", "workflow/profiles/slurm", *HERE, *targets, **cluster.environment
    )


def activations(*languages: str) -> list[str]:
    return [f"results/activations/one/plain/{one}.zarr/roles/complete.json" for one in languages]


def restarted(job: dict[str, str], jobs: list[dict[str, str]]) -> dict[str, str]:
    """Find the job that was submitted for the same step after this one."""
    [other] = [
        one for one in jobs if one["Comment"] == job["Comment"] and one["JobId"] != job["JobId"]
    ]
    return other


def megabytes(job: dict[str, str]) -> int:
    return int(job["MinMemoryNode"].removesuffix("M"))


def test_a_cancelled_recording_is_repeated_with_more_memory_and_a_gpu(
    place: Workplace, cluster: slurm.Cluster
) -> None:
    run = submit(place, cluster, *activations("en", "de"))
    cancelled = cluster.wait_for_job("RUNNING")
    cluster.say("scancel", cancelled["JobId"])
    output, _ = run.communicate(timeout=400)
    assert run.returncode == 0, output
    jobs = cluster.jobs()
    assert sorted(job["JobState"] for job in jobs) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert all("record_" in job["Comment"] for job in jobs), "texts are made here"
    assert {job["TresPerJob"] for job in jobs} == {"gres:gpu:1"}
    assert cancelled["GRES"] == "gpu:1(IDX:0)"
    # A step that asked for GPUs and sees none fails, so that those that ended well had theirs.
    assert megabytes(restarted(cancelled, jobs)) == 2 * megabytes(cancelled)


@pytest.mark.slow
def test_jobs_of_a_node_that_dies_are_repeated_on_another(
    place: Workplace, cluster: slurm.Cluster
) -> None:
    run = submit(place, cluster, *activations("en", "de"))
    lost = cluster.wait_for_job("RUNNING")
    cluster.kill_node(lost["NodeList"])
    output, _ = run.communicate(timeout=400)
    assert run.returncode == 0, output
    jobs = cluster.jobs()
    repeated = restarted(lost, jobs)
    assert repeated["JobState"] == "COMPLETED"
    assert repeated["NodeList"] != lost["NodeList"]
    for path in activations("en", "de"):
        assert (place.folder / path).is_file()


@pytest.mark.slow
def test_a_generic_resource_is_asked_for_by_its_name(
    place: Workplace, cluster: slurm.Cluster
) -> None:
    profile = place.folder / "workflow" / "profiles" / "slurm" / "config.yaml"
    profile.write_text(profile.read_text().replace("gpu_request: gpu ", "gpu_request: gres:gpu "))
    run = submit(place, cluster, *activations("en"))
    output, _ = run.communicate(timeout=400)
    assert run.returncode == 0, output
    assert [job["TresPerNode"] for job in cluster.jobs()] == ["gres:gpu:1"]


@pytest.mark.slow
def test_the_whole_workflow_gives_what_it_gives_without_slurm(
    place: Workplace, cluster: slurm.Cluster, tmp_path: Path
) -> None:
    """And submits what runs a model or reduces it, once for each; short steps run here."""
    add_analyses(place)
    alone = place.copy(tmp_path / "alone")
    run = submit(place, cluster)
    output, _ = run.communicate(timeout=1500)
    assert run.returncode == 0, output
    assert alone.run().status == 0
    assert kills.differences(place, alone) == []
    comments = [job["Comment"].partition("_wildcards")[0] for job in cluster.jobs()]
    rules = [comment.removeprefix("rule_") for comment in comments]
    short = ("corpus_", "task_", "model", "report")
    assert not [rule for rule in rules if rule.startswith(short) or "figures" in rule]
    for stage in ("record_", "routing"):
        assert sum(stage in rule for rule in rules) == 2, f"{stage}: one in each language"
