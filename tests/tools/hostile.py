"""Counts what the tests of hostile input try, and runs them at length.

`PYTHONPATH=tests python -m tools.hostile` prints the counts for docs/reliability.md. Beside that,
this holds what those tests share: how many examples hypothesis makes, what may come of one try, and
commands run with little memory and time.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings, strategies
from hypothesis.strategies import SearchStrategy

from neuroglot.errors import NeuroglotError
from support import ROOT

EXAMPLES = int(os.environ.get("NEUROGLOT_HOSTILE_EXAMPLES", "0"))
COUNTS = os.environ.get("NEUROGLOT_HOSTILE_COUNTS")
QUICK_EXAMPLES = 10
LONG_EXAMPLES = 200
LONGEST_MESSAGE = 20_000
SECONDS = 30
PYTHON = Path(sys.executable)
COMMAND = Path(sys.executable).parent / "neuroglot"

tried: Counter[str] = Counter()


def many(share: float = 1.0) -> settings:
    """How many examples a test makes: few and always the same ones, unless a number is asked for.

    Args:
        share: of the number; below 1 for tests whose examples take long.
    """
    return settings(
        max_examples=max(4, int((EXAMPLES or QUICK_EXAMPLES) * share)),
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def one_of(values: Sequence[Any]) -> SearchStrategy[Any]:
    """One of some values, which hypothesis would write out, however large, for `sampled_from`."""
    return strategies.integers(0, len(values) - 1).map(values.__getitem__)


def count(kind: str, outcome: str) -> None:
    """Count one try of a kind of input and what came of it."""
    tried[f"{kind}|{outcome}"] += 1


@contextmanager
def attempt(kind: str, *named: str) -> Iterator[None]:
    """One try with bad input: it goes well, or is refused with one message, and soon.

    Args:
        kind: of input, a row of the table.
        named: what a message must name, such as the file.
    """
    started = time.process_time()
    with _alarm():
        try:
            yield
        except NeuroglotError as error:
            check_message(str(error), *named)
            outcome = "refused"
        else:
            outcome = "accepted"
    assert time.process_time() - started < SECONDS
    count(kind, outcome)


def check_message(message: str, *named: str) -> None:
    """Look at one message: neither empty nor endless, without a traceback, with what it names."""
    assert message.strip()
    assert "Traceback" not in message
    assert len(message) <= LONGEST_MESSAGE, message[:200]
    for name in named:
        assert name in message, f"{name!r} is not in {message[:2000]!r}"


class TooLongError(BaseException):
    """No Exception, which libraries and the code under test catch."""


@contextmanager
def _alarm() -> Iterator[None]:
    """Interrupt what takes too long; inert outside of the main thread's Python code."""

    def stop(*_: Any) -> None:
        raise TooLongError(f"took longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# A small process in between: the peak of a forked process counts the memory of the one it left.
LAUNCH = """
import json, os, resource, sys
limits, end, program, *arguments = sys.argv[1:]
for name, value in json.loads(limits).items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
pid = os.posix_spawn(program, [program, *arguments], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(end, "w") as file:
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=file)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, what it wrote, and the most memory it took, in bytes."""

    status: int
    output: str
    errors: str
    memory: int


def limited(
    *command: object,
    cwd: Path,
    memory: int = 8 << 30,
    file_size: int = 1 << 30,
    seconds: int = 120,
    program: Path = COMMAND,
) -> Ended:
    """Run a command under limits of address space, of written files and of time.

    Args:
        command: arguments of the program.
        cwd: where it runs.
        memory: bytes of address space, of which torch alone reserves some gigabytes.
        file_size: bytes that one file may have.
        seconds: of processor time.
        program: what is run, neuroglot unless another is named.
    """

    limits = {"AS": memory, "FSIZE": file_size, "CPU": seconds}
    with TemporaryDirectory() as folder:
        out, err, end = (Path(folder, name) for name in ("out", "err", "end"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    *(PYTHON, "-I", "-S", "-c", LAUNCH, json.dumps(limits), end, program),
                    *map(str, command),
                ],
                cwd=cwd,
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            try:
                process.wait(2 * seconds)
            finally:
                if process.poll() is None:  # it sleeps, or the test was interrupted
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        written = [file.read_text("utf-8", "backslashreplace") for file in (out, err)]
        status, memory = map(int, end.read_text().split())
    return Ended(status, *written, memory * 1024)


def configure(folder: Path, **sections: Any) -> Path:
    """Write a small configuration with other sections, or more, and return its file.

    Its model is of the Hub and its languages are German and English.
    """
    config = {
        "languages": ["de", "en"],
        "models": {"one": {"source": "owner/name"}},
        "corpora": {"odd": {"source": "udhr"}},
        "lape": {"corpus": "odd"},
        **sections,
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(config), "utf-8")
    return file


def refused(kind: str, ended: Ended, *named: str) -> str:
    """See that a command ended with status 1 and one message, and return it."""
    assert ended.status == 1, f"{ended.status}: {ended.errors[-2000:]}"
    assert ended.errors.startswith("error: "), ended.errors[:2000]
    check_message(ended.errors, *named)
    count(kind, "refused")
    return ended.errors


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder: contents by path, None for what is no plain file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in sorted(folder.rglob("*"))
    }


class Canary:
    """Something that, were it unpickled, called or run by a shell, would leave a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.file}",)

    @property
    def sings(self) -> bool:
        """Whether the file is there."""
        return self.file.exists()


def table(counts: Counter[str]) -> str:
    """Write the counts as a Markdown table."""
    kinds = sorted({key.partition("|")[0] for key in counts})
    lines = ["| input | tried | read or inert | refused with a message |", "|---|---|---|---|"]
    for kind in kinds:
        accepted, refusals = counts[f"{kind}|accepted"], counts[f"{kind}|refused"]
        lines.append(f"| {kind} | {accepted + refusals} | {accepted} | {refusals} |")
    total = sum(counts.values())
    accepted = sum(counts[f"{kind}|accepted"] for kind in kinds)
    lines.append(f"| all | {total} | {accepted} | {total - accepted} |")
    return "\n".join(lines)


if COUNTS:
    # Beside the names of other processes of a parallel run.
    atexit.register(lambda: Path(f"{COUNTS}.{os.getpid()}").write_text(json.dumps(tried)))


def main() -> int:
    """Run the tests with many examples, or as many as the argument says, and print the counts."""
    examples = sys.argv[1] if len(sys.argv) > 1 else str(LONG_EXAMPLES)
    with TemporaryDirectory() as folder:
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"),
                "tests/hostile",
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "NEUROGLOT_HOSTILE_EXAMPLES": examples,
                "NEUROGLOT_HOSTILE_COUNTS": str(Path(folder, "counts")),
            },
            check=False,
        )
        counts: Counter[str] = Counter()
        for file in Path(folder).glob("counts.*"):
            counts.update(json.loads(file.read_text()))
    print(table(counts))
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())
