"""Runs the tiny workflow, kills it again and again, and compares its results with a quiet run's.

`PYTHONPATH=tests python -m tools.kills --kills 20` prints the figures for docs/reliability.md.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import psutil

from neuroglot import layout
from support.tiny_workflow import Workplace, add_analyses, make_workplace

# Results that hold a measured time, and so differ from run to run.
TIMED = (
    "experts/one/inference.zarr/tokens_per_second/c/*",  # tokens per second, measured
    "experts/one/inference.zarr/complete.json",  # whose fingerprint counts that file's size
    "experts/one/inference.zarr/origin.json",  # which keeps a copy of that record
    "experts/one/inference.pieces/*",  # the parts that they come from
    "experts/one/speed.csv",  # the same measurement
    "experts/one/perplexity.csv",  # a column of it
    "experts/one/figures/sliced_speed.svg",  # drawn from it
    "experts/one/figures/sliced_speed.png",
    "report.html",  # shows the files above
    "logs/*",  # what steps said, and how long they took
    "plan.json",  # what was still to be read and recorded when the last run began
    ".digests.json",  # when files were last changed
    "models/.*.checked.json",  # the same of models
    ".code.json",  # the same of modules
)

# In the copy of the library: blocks of 2 KiB of rows, not 128 MiB, and of however few tokens, so
# that a tiny text has several.
SMALL_SHARDS = ("capture/engine.py", "risk << 19", "risk << 3")
FEW_TOKENS = ("capture/engine.py", "LEAST_TOKENS = 1024", "LEAST_TOKENS = 1")
# A log of every shard that is begun, and of every one that is done.
BEGUN = (
    "capture/engine.py",
    "                for block in stretch:\n",
    '                _note("begun", store, stretch[-1].stop)\n'
    "                for block in stretch:\n",
)
DONE = (
    "capture/saved.py",
    "    for other in folder.glob",
    '    _note("done", folder.parents[1], stop)\n    for other in folder.glob',
)
NOTE = """

def _note(what, store, stop):
    with (Path(__file__).parents[3] / "shards.log").open("a") as log:
        log.write(f"{what} {store} {stop}\\n")
"""
# Every file of a Zarr store takes 5 ms to write, so that kills fall in between.
SLOW_WRITES = """

import time as _time

import zarr.storage._local as _local


def _put_slowly(path, value, exclusive=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    view = memoryview(value.as_buffer_like()).cast("B")
    with _local._atomic_write(path, "wb", exclusive=exclusive) as file:
        file.write(view[: len(view) // 2])
        file.flush()
        _time.sleep(0.03)
        file.write(view[len(view) // 2 :])
    return len(view)


_local._put = _put_slowly
"""


def prepare(folder: Path, analyses: bool) -> Workplace:
    """A workplace whose recordings have many shards, which it logs, and whose writes take time."""
    place = make_workplace(folder)
    if analyses:
        add_analyses(place)
    else:
        place.configure(roles={**place.config["roles"], "corpora": ["plain"]})
    for file, old, new in (SMALL_SHARDS, FEW_TOKENS, BEGUN, DONE):
        place.edit(f"src/neuroglot/{file}", old, new)
    appended = {"capture/engine.py": NOTE, "capture/saved.py": NOTE, "store.py": SLOW_WRITES}
    for file, code in appended.items():
        with (place.folder / "src" / "neuroglot" / file).open("a") as module:
            module.write(code)
    return place


# --- killing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """What a kill interrupted.

    Attributes:
        aim: ``time`` or ``write``.
        inside: whether a file of a Zarr store was left half written.
        complete: results that were complete.
        lost: by store, the shards that were begun and had not been done.
    """

    aim: str
    inside: bool
    complete: int
    lost: dict[str, int]


@dataclass
class Killed:
    """What it took to complete the work in spite of kills.

    Attributes:
        kills: in their order.
        runs: of Snakemake.
        shards: that were computed in all.
        again: those, as ``store start``, that were computed although they had been done before.
    """

    kills: list[Kill] = field(default_factory=list)
    runs: int = 0
    shards: int = 0
    again: list[str] = field(default_factory=list)

    def count(self, place: Workplace) -> None:
        """Add up the log of a workplace whose results are complete."""
        done: set[str] = set()
        for what, shard in read_log(place):
            if what == "done":
                done.add(shard)
                self.shards += 1
            elif shard in done:
                self.again.append(shard)


class Run:
    """One run of Snakemake whose output is kept, and which can be killed with all its jobs."""

    def __init__(self, place: Workplace, *arguments: str) -> None:
        self.place = place
        self.process = place.start("--cores", "2", *arguments)
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._output.append(self.process.stdout.read())

    @property
    def going(self) -> bool:
        return self.process.poll() is None

    @property
    def at_work(self) -> bool:
        """Whether a job runs."""
        with contextlib.suppress(psutil.Error):
            jobs = psutil.Process(self.process.pid).children(recursive=True)
            return any(str(layout.CONFIGURATION) in job.cmdline() for job in jobs)
        return False

    def kill(self) -> None:
        """SIGKILL the whole process group and see that nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.finish(60)
        end = time.monotonic() + 30  # a killed process takes a moment to give its memory back
        while outliving := list(_working_in(self.place.folder)):
            assert time.monotonic() < end, f"outlived the kill: {outliving}"
            time.sleep(0.05)

    def finish(self, seconds: float = 600) -> tuple[int, str]:
        """Wait for the end, and return the status and all that was printed."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self._reader.join(seconds)
        return status, "".join(self._output)


def _working_in(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def unlock(place: Workplace) -> None:
    """Do what Snakemake's message about a lock that was left behind tells the user to."""
    locks = place.folder / ".snakemake" / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        unlocked = place.run("--unlock")
        assert unlocked.status == 0, unlocked.output


def half_written(place: Workplace) -> list[Path]:
    """Files that zarr has begun to write, of stores that are not complete."""
    begun = (place.folder / "results").rglob("origin.json")
    stores = [origin.parent for origin in begun if not (origin.parent / "complete.json").exists()]
    return [path for store in stores for path in store.rglob("*.partial")]


def completed(place: Workplace) -> list[Path]:
    """The records of stores that are complete."""
    return list((place.folder / "results").rglob("complete.json"))


def after(seconds: float) -> Callable[[Run], bool]:
    """A moment some time after the first job began."""

    def wait(run: Run) -> bool:
        while run.going and not run.at_work:
            time.sleep(0.01)
        end = time.monotonic() + seconds
        while run.going and time.monotonic() < end:
            time.sleep(0.01)
        return run.going

    return wait


def within_write(times: int) -> Callable[[Run], bool]:
    """The moment when a half-written file of a store is seen for the given time."""

    def wait(run: Run) -> bool:
        seen: set[Path] = set()
        while run.going and len(seen) < times:
            with contextlib.suppress(OSError):  # files that come and go
                seen.update(half_written(run.place))
        return run.going

    return wait


def disturb(
    place: Workplace, kills: int, seed: int, targets: Sequence[str] = (), longest: float = 15
) -> Killed:
    """Run the workflow to its end, but kill it on the way; every other kill is aimed at a write.

    Where it completes before all kills are done, its results are removed and it starts again.

    Returns:
        What was killed. The workplace holds complete results.
    """
    chance, found = random.Random(seed), Killed()
    while True:
        assert found.runs < 10 * (kills + 1), "runs end before they are killed"
        aimed = len(found.kills) % 2 == 0
        moment = within_write(chance.randint(1, 12)) if aimed else after(chance.uniform(1, longest))
        before = len(read_log(place))
        run = Run(place, *targets)
        found.runs += 1
        if len(found.kills) < kills and moment(run):
            run.kill()
            lost = unfinished(read_log(place)[before:])
            inside, complete = bool(half_written(place)), len(completed(place))
            found.kills.append(Kill("write" if aimed else "time", inside, complete, lost))
            unlock(place)
            continue
        status, output = run.finish()
        assert status == 0, output
        found.count(place)
        if len(found.kills) == kills:
            return found
        shutil.rmtree(place.folder / "results")
        log_of(place).unlink()


def log_of(place: Workplace) -> Path:
    return place.folder / "shards.log"


def read_log(place: Workplace) -> list[tuple[str, str]]:
    """What was noted, ``begun`` or ``done``, and of which shard, ``store start``."""
    if not log_of(place).exists():
        return []
    lines = log_of(place).read_text("utf-8").splitlines()
    return [(what, shard) for what, _, shard in (line.partition(" ") for line in lines)]


def unfinished(log: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How many shards of each store were begun and not done."""
    open_ones: set[str] = set()
    for what, shard in log:
        (open_ones.add if what == "begun" else open_ones.discard)(shard)
    return dict(Counter(shard.rpartition(" ")[0] for shard in open_ones))


# --- comparing ------------------------------------------------------------------------------


def results(place: Workplace) -> dict[str, Path]:
    """Every file of the results, but for those that hold times, by its name."""
    folder = place.folder / "results"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path
        for name, path in sorted(files.items())
        if path.is_file() and not any(fnmatch(name, one) for one in TIMED)
    }


def differences(place: Workplace, quiet: Workplace) -> list[str]:
    """Name the results that are not bit for bit those of another workplace.

    What a kill left half written has a hidden name, under which nobody reads it.
    """
    found = {n: p for n, p in results(place).items() if not p.name.startswith(".")}
    expected = results(quiet)
    changed = [name for name in found.keys() & expected if not same(found[name], expected[name])]
    return sorted([*changed, *(found.keys() ^ expected)])


def same(one: Path, other: Path) -> bool:
    """Compare two files by their bytes."""
    return one.read_bytes() == other.read_bytes()


# --- figures for the documentation ----------------------------------------------------------


def main() -> None:
    """Kill a run with every analysis and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet, place = (prepare(Path(folder) / name, analyses=True) for name in ("quiet", "killed"))
        status, output = Run(quiet).finish()
        assert status == 0, output
        killed = disturb(place, options.kills, options.seed)
        different = differences(place, quiet)
        compared, stores = len(results(quiet)), len(completed(quiet))
    lost = [sum(kill.lost.values()) for kill in killed.kills]
    most = max((n for kill in killed.kills for n in kill.lost.values()), default=0)
    print(
        f"kills: {len(killed.kills)}, of which inside a Zarr write: "
        f"{sum(kill.inside for kill in killed.kills)}"
    )
    complete = [kill.complete for kill in killed.kills]
    print(f"stores complete at a kill: {min(complete)} to {max(complete)} of {stores}")
    print(f"runs of Snakemake until all was done: {killed.runs}")
    print(f"results that differ from an undisturbed run's: {len(different)} of {compared}")
    print(
        f"shards computed: {killed.shards}; begun and lost by kills: {sum(lost)}, "
        f"by one kill at most {max(lost, default=0)}, of one recording at most {most}"
    )
    print(f"shards computed again that had been done: {len(killed.again)}")
    for name in [*different, *killed.again]:
        print(f"  {name}")
    raise SystemExit(bool(different or killed.again))


if __name__ == "__main__":
    main()
