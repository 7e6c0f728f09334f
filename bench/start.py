"""What a recording job does before its first token: python bench/start.py [MODEL [TEXT/GROUP ...]].

Run after `make`, in its folder. Each of five processes records one language of a short text again,
in a temporary folder, and stops at the first token. Times are processor seconds, which depend
little on what else the machine does. What is not ours is done early and timed by itself: the
imports of torch, of transformers and of the model's code. Loading the weights is timed within the
job.
"""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 5
LANGUAGE = "en"
MODEL, TARGETS = "gemma-3-270m", ["udhr/roles", "udhr/sample"]


def child(model: str, targets: list[str]) -> None:
    """Record until the first token, and print where the time went."""
    begun = time.process_time()
    from neuroglot import cli

    gc.set_threshold(cli.NEW_OBJECTS)
    of_cli = time.process_time()
    import torch  # noqa: F401

    of_torch = time.process_time()
    import transformers

    card = json.loads(Path("results/models", model, "card.json").read_text())
    getattr(transformers, card["architectures"][0])
    of_transformers = time.process_time()

    from neuroglot import commands, provenance

    loading = [0.0]

    def first_token(*_: Any) -> None:
        parts = {
            "python": begun,
            "torch": of_torch - of_cli,
            "transformers and the model's code": of_transformers - of_torch,
            "weights": loading[0],
            "ours": time.process_time() - of_transformers - loading[0] + of_cli - begun,
        }
        print(json.dumps(parts), flush=True)
        provenance.remember()  # as a run does for its jobs
        os._exit(0)

    def watched() -> None:
        """Time ``from_pretrained``, and stop at the first pass."""
        from neuroglot.capture import engine

        engine.Engine._forward = first_token
        read = transformers.PreTrainedModel.from_pretrained.__func__

        def from_pretrained(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            made = read(*arguments, **options)
            loading[0] += time.process_time() - start
            return made

        transformers.PreTrainedModel.from_pretrained = classmethod(from_pretrained)

    make = commands.make_recordings

    def make_recordings(*arguments: Any) -> None:
        watched()
        make(*arguments)

    commands.make_recordings = make_recordings
    sys.argv = ["neuroglot", "record", model, LANGUAGE, *targets]
    sys.argv += ["--config", "results/configuration.json"]
    cli.main()


def main(model: str, targets: list[str]) -> None:
    """Run the processes, and print the median of each part."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in Path.cwd().iterdir():  # local models and texts, which the configuration names
            if path.name != "results" and not path.name.startswith("."):
                Path(folder, path.name).symlink_to(path)
        results = Path(folder, "results")
        results.mkdir()
        for path in Path("results").resolve().iterdir():  # what is read, but for recordings
            if path.name in ("models", "corpora", "tokens", "tasks"):
                results.joinpath(path.name).symlink_to(path)
            elif path.is_file():
                shutil.copy(path, results)
        for _ in range(ROUNDS + 1):
            command = [sys.executable, Path(__file__).resolve(), "--child", model, *targets]
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
            )
            for part, seconds in json.loads(done.stdout).items():
                found.setdefault(part, []).append(seconds)
    for part, seconds in found.items():  # the first process warms up
        print(f"{part}: {statistics.median(seconds[1:]):.2f} s of processor time")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1] if sys.argv[1:] else MODEL, sys.argv[2:] or TARGETS)
