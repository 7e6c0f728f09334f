"""Gives jobs that share a machine different GPUs."""

import os
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from neuroglot.errors import NeuroglotError

POLL_SECONDS = 1.0


def claim(count: int) -> list[str]:
    """Take GPUs that no other job of this user has taken, and show torch no others.

    Waits until enough are free. They are given back when the process ends, however it ends. Call
    it before torch looks for GPUs. Jobs of Slurm, which gives each its own GPUs, do not wait for
    one another; several processes in one of them do.

    Args:
        count: how many; with 0 nothing is taken, and what is visible stays so.

    Returns:
        What ``CUDA_VISIBLE_DEVICES`` now names.

    Raises:
        NeuroglotError: fewer GPUs are visible than ``count``.
    """
    devices = visible()
    if not count:
        return devices
    if len(devices) < count:
        raise NeuroglotError(
            f"this job needs {count} GPUs, but {len(devices)} are visible on this machine "
            f"({', '.join(devices) or 'none'}); set capture.device to cpu, or "
            "execution.gpu_request and execution.gpu_gigabytes to what the machine has"
        )
    folder = Path(tempfile.gettempdir()) / f"neuroglot-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    job = os.environ.get("SLURM_JOB_ID", "here")
    while True:
        with FileLock(folder / f"{job}.lock"):  # one chooses at a time: none waits holding some
            taken = _free(folder, job, devices, count)
        if taken:
            break
        time.sleep(POLL_SECONDS)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    _HELD.update(taken)
    return list(taken)


_HELD: dict[str, FileLock] = {}  # a lock that is collected is released


def visible() -> list[str]:
    """Name the GPUs that this process may use, without asking a driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device not in ("", "-1")]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _free(folder: Path, job: str, devices: list[str], count: int) -> dict[str, FileLock]:
    """Lock so many of the devices; none if fewer are free."""
    taken: dict[str, FileLock] = {}
    for device in devices:
        lock = FileLock(folder / f"{job}-{device.replace('/', '_')}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        taken[device] = lock
        if len(taken) == count:
            return taken
    for lock in taken.values():
        lock.release()
    return {}
