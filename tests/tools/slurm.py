"""A real Slurm of two virtual nodes with a GPU each, whose daemons run while it is used."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NODES = ("n1", "n2")
INSTALLED = all(shutil.which(program) for program in ("slurmctld", "slurmd", "munged"))

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=10
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=64000 Gres=gpu:1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]}
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
# Slurm schedules these as GPUs, and says so in CUDA_VISIBLE_DEVICES; nothing computes on them.
GENERIC_RESOURCES = "AutoDetect=off\nNodeName=n1,n2 Name=gpu File=/dev/null\n"
# Steps start srun without SLURM_CONF, which on a cluster is found under /etc.
SRUN = '#!/bin/sh\nexport SLURM_CONF="{folder}/slurm.conf"\nexec {srun} "$@"\n'


@dataclass(frozen=True)
class Cluster:
    """The daemons of a running cluster and how to speak to it."""

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def say(self, *command: str) -> str:
        """Run a client of Slurm, which would wait for minutes for a controller that is away."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job that was ever submitted, by the keys of ``scontrol show job``."""
        shown = self.say("scontrol", "show", "job", "-d", "-o").splitlines()
        parts = [[part.partition("=") for part in line.split(" ")] for line in shown if "=" in line]
        return [{key: value for key, _, value in line} for line in parts]

    def wait_for_job(self, state: str, seconds: float = 300) -> dict[str, str]:
        """Wait until some job is in a state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for job in self.jobs():
                if job["JobState"] == state:
                    return job
            time.sleep(0.2)
        raise TimeoutError(f"no job is {state}: {self.jobs()}")

    def kill_node(self, node: str) -> None:
        """End a node's daemon and all that its jobs run, as a power failure does."""
        jobs = {job["JobId"] for job in self.jobs() if job.get("NodeList") == node}
        self.daemons[node].kill()
        self.daemons[node].wait()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                ours = environment.get("SLURM_CONF") == self.environment["SLURM_CONF"]
                if ours and environment.get("SLURM_JOB_ID") in jobs:
                    process.kill()

    def _start(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        self.daemons[name] = subprocess.Popen(
            command, env={**os.environ, **self.environment}, stdout=log, stderr=log
        )


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster, and stop it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Cluster(folder)
    _configure(folder)
    try:
        munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        socket_file = folder / "munge.socket"
        cluster._start(
            "munged", shutil.which("munged") or "", "-F", f"--socket={socket_file}", *munge
        )
        _wait_until(socket_file.exists, cluster)
        configuration = str(folder / "slurm.conf")
        controller = shutil.which("slurmctld") or ""
        cluster._start("controller", controller, "-D", "-c", "-f", configuration)
        for node in NODES:
            cluster._start(
                node, shutil.which("slurmd") or "", "-D", "-N", node, "-f", configuration
            )
        _wait_until(lambda: _idle(cluster) == len(NODES), cluster)
        yield cluster
    finally:
        for daemon in reversed(cluster.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(folder)


def _configure(folder: Path) -> None:
    folder.chmod(0o755)
    for name in ("controller", "bin"):
        (folder / name).mkdir()
    facts = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(),
        "ports": _free_ports(3),
    }
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**facts))
    (folder / "gres.conf").write_text(GENERIC_RESOURCES)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    shim = folder / "bin" / "srun"
    shim.write_text(SRUN.format(folder=folder, srun=shutil.which("srun")))
    shim.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _idle(cluster: Cluster) -> int:
    with contextlib.suppress(subprocess.SubprocessError):
        return cluster.say("sinfo", "-N", "-h", "-o", "%T").split().count("idle")
    return 0


def _wait_until(ready: Callable[[], bool], cluster: Cluster, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        ended = [name for name, daemon in cluster.daemons.items() if daemon.poll() is not None]
        if ended or time.monotonic() > end:
            logs = {path.name: path.read_text()[-2000:] for path in cluster.folder.glob("*.log")}
            raise TimeoutError(f"the cluster did not start: {logs}")
        time.sleep(0.1)
