"""Stands in for the commands `neuroglot` and `snakemake`, which tests run hundreds of times.

A job of a tiny workflow spends nearly all of its time on importing libraries. Here one process
imports them once, and each command is a fork of it that reads neuroglot itself from its own
PYTHONPATH. Run as a script, this is that process. What tests and jobs start is a small script that
hands over its arguments, folder, environment and output, and ends as the command did.
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
from importlib import import_module
from pathlib import Path

MODULES = {"neuroglot": "neuroglot.cli", "snakemake": "snakemake.cli"}  # whose `main` they are
LIBRARIES = (
    *("babel", "google_crc32c", "langcodes", "lingua", "matplotlib.backends.backend_agg"),
    "matplotlib.backends.backend_svg",
    *("matplotlib.figure", "pandas", "pyarrow.parquet", "pydantic", "safetensors.torch", "scipy"),
    *("scipy.cluster.hierarchy", "scipy.stats", "sklearn.linear_model", "sklearn.metrics"),
    *("snakemake.cli", "snakemake.dag", "snakemake.workflow", "snakemake.executors.local"),
    *("tokenizers", "torch", "tqdm", "transformers", "transformers.models.llama", "typer"),
    *("transformers.models.llama.modeling_llama", "xarray", "yaml", "zarr"),
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
    """Fork a process for every job that asks, for ever."""
    for library in LIBRARIES:
        import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(16)
        os.write(told, b"ready")
        os.close(told)
        while True:
            client, _ = server.accept()
            with client:
                if os.fork() == 0:
                    server.close()
                    client.sendall(bytes([run(client)]))
                    os._exit(0)


def run(client: socket.socket) -> int:
    """Run one job as the client asks, and return its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as asked:
        arguments, folder, environment = json.loads(asked.read(int.from_bytes(size, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    threading.Thread(target=end_with, args=[client], daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
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
