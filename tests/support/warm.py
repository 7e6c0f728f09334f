"""Stands in for the commands `neuroglot` and `snakemake`, which tests run hundreds of times.

A job of a tiny workflow spends nearly all of its time on imports. Here one process imports
libraries once. For each neuroglot that a PYTHONPATH names, a fork of it imports that neuroglot
once, until one of its files changes, and each command is a fork of that. Run as a script, this is
the first process. What tests and jobs start is a small script that hands over its arguments,
folder, environment and output, and ends as the command did.
"""

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODULES = {"neuroglot": "neuroglot.cli", "snakemake": "snakemake.cli"}  # whose `main` they are
LIBRARIES = (
    *("array_api_compat.numpy", "array_api_compat.torch", "babel.numbers", "docutils.core"),
    *("docutils.parsers.rst", "fontTools.unicodedata.OTTags", "google_crc32c"),
    *("k_means_constrained", "langcodes", "lingua", "matplotlib.backends.backend_agg"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "pandas.io.formats.csvs"),
    *("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PpmImagePlugin"),
    *("pyarrow.pandas_compat", "pyarrow.parquet", "pydantic", "pygments.formatters.html"),
    *("pygments.lexers", "requests", "safetensors.torch", "scipy.cluster.hierarchy"),
    *("scipy.stats", "seaborn", "sklearn.linear_model", "sklearn.metrics", "snakemake.cli"),
    *("snakemake.dag", "snakemake.executors.local", "snakemake.report", "snakemake.workflow"),
    *("tokenizers", "torch", "tqdm", "transformers.models.llama.modeling_llama", "typer"),
    *("xarray.computation.nanops", "yaml", "zarr"),
)
OURS = (  # what most jobs read
    *("neuroglot.analyses.run", "neuroglot.cli", "neuroglot.commands", "neuroglot.figures.style"),
    *("neuroglot.keys", "neuroglot.models.load", "neuroglot.summary"),
)

CLIENT = """#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    job = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(job).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(job)
    status = server.recv(1)
sys.exit(status[0] if status else 1)
"""


@functools.cache
def commands() -> Path:
    """Start the process, and return a folder with the commands; both are gone after the tests."""
    folder = Path(tempfile.mkdtemp(prefix="neuroglot-"))
    atexit.register(shutil.rmtree, folder)
    address = folder / "socket"
    ready, told = os.pipe()
    process = subprocess.Popen(
        [sys.executable, __file__, str(address), str(told)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        pass_fds=[told],
    )
    atexit.register(process.wait)
    atexit.register(process.terminate)
    os.close(told)
    with os.fdopen(ready, "rb") as answer:
        assert answer.read() == b"ready"
    for name in MODULES:
        script = folder / name
        script.write_text(CLIENT.format(python=sys.executable, address=str(address)), "utf-8")
        script.chmod(0o755)
    return folder


def serve(address: str, told: int) -> None:
    """Hand every job that asks to a process that has imported its neuroglot, for ever."""
    for library in LIBRARIES:
        import_module(library)
    # The first call of a process compiles a thousand regular expressions, for all architectures.
    import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("llama")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    ready: dict[str, tuple[Any, socket.socket]] = {}  # by path: neuroglot's files, and the process
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(16)
        os.write(told, b"ready")
        os.close(told)
        while True:
            client, _ = server.accept()
            with client, suppress(ConnectionError):
                size, output, _, _ = socket.recv_fds(client, 8, 3)
                job = receive(client, int.from_bytes(size, "big"))
                path = json.loads(job)[2].get("PYTHONPATH", "")
                files = state_of(path)
                if path not in ready or ready[path][0] != files:
                    if path in ready:
                        ready.pop(path)[1].close()  # which ends that process
                    sockets = [server, client, *(process for _, process in ready.values())]
                    open_here = [*output, *(each.fileno() for each in sockets)]
                    ready[path] = files, prepare(path, open_here)
                socket.send_fds(ready[path][1], [size], [client.fileno(), *output])
                ready[path][1].sendall(job)
                for file in output:
                    os.close(file)


def receive(sender: socket.socket, size: int) -> bytes:
    message = b""
    while len(message) < size:
        piece = sender.recv(size - len(message))
        if not piece:
            raise ConnectionError
        message += piece
    return message


def state_of(path: str) -> list[tuple[str, int, int]]:
    """The files of the neuroglot that a PYTHONPATH finds first, with times and sizes."""
    folders = [Path(folder) / "neuroglot" for folder in path.split(os.pathsep) if folder]
    installed = find_spec("neuroglot")
    assert installed
    assert installed.origin
    folder = next((each for each in folders if each.is_dir()), Path(installed.origin).parent)
    states = []
    for file in folder.rglob("*"):
        if file.suffix != ".pyc" and file.name != "__pycache__":
            with suppress(FileNotFoundError):
                stat = file.stat()
                states.append((str(file), stat.st_mtime_ns, stat.st_size))
    return sorted(states)


def prepare(path: str, inherited: list[int]) -> socket.socket:
    """Start a process with the neuroglot of a PYTHONPATH, and return the socket that it reads.

    It closes the files that it inherits: who waits for their end waits for all who hold them.
    """
    ours, its = socket.socketpair()
    if os.fork():
        its.close()
        return ours
    try:
        for file in (ours.fileno(), *inherited):
            os.close(file)
        sys.path[:0] = path.split(os.pathsep) if path else []
        with suppress(Exception):  # the job says what is wrong
            for module in OURS:
                import_module(module)
        answer(its)
    finally:
        os._exit(0)


def answer(jobs: socket.socket) -> None:
    """Fork a process for every job, until nobody can send one any more."""
    while True:
        size, files, _, _ = socket.recv_fds(jobs, 8, 4)
        if not size:
            return
        job = receive(jobs, int.from_bytes(size, "big"))
        if os.fork() == 0:
            jobs.close()
            client = socket.socket(fileno=files[0])
            client.sendall(bytes([run(client, files[1:], *json.loads(job))]))
            os._exit(0)
        for file in files:
            os.close(file)


def run(
    client: socket.socket,
    output: list[int],
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
) -> int:
    """Run one job as the client asks, and return its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(output):
        os.dup2(file, number)
        os.close(file)
    threading.Thread(target=end_with, args=[client], daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    try:
        import_module(MODULES[Path(arguments[0]).name]).main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def end_with(client: socket.socket) -> None:
    """Kill this process when the client that waits for it was killed."""
    if not client.recv(1):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
