"""Assigns different GPUs to jobs that share a machine."""

import os
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from neuroglot.errors import NeuroglotError

POLL_SECONDS = 1.0


def claim(count: int) -> list[str]:
    """Reserve GPUs that no other job of this user has reserved, and hide all others from torch.

    Waits until enough GPUs are free. They are released when the process ends, however it ends. Call
    this before torch looks for GPUs. Slurm gives each job its own GPUs, so Slurm jobs do not wait
    for one another; several processes within one Slurm job do.

    Args:
        count: number of GPUs; with 0 no GPU is reserved, and none is hidden.

    Returns:
        The names now in ``CUDA_VISIBLE_DEVICES``; with 0, the visible GPUs.

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
        with FileLock(folder / f"{job}.lock"):  # so that no waiting process holds some GPUs
            taken = _free(folder, job, devices, count)
        if taken:
            break
        time.sleep(POLL_SECONDS)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    _HELD.update(taken)
    return list(taken)


_HELD: dict[str, FileLock] = {}  # keeps the locks: garbage collection would release them


def visible() -> list[str]:
    """The names of the GPUs that this process may use, without asking the driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device not in ("", "-1")]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _free(folder: Path, job: str, devices: list[str], count: int) -> dict[str, FileLock]:
    """Lock ``count`` devices; lock none if fewer are free."""
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
