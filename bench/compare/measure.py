"""Code shared by the runners: sequences, batches, time, memory and the printed line."""

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sequences = list[NDArray[np.int64]]
Load = Callable[[Path], tuple[Any, Any]]
Dump = Callable[[Any, Sequences, int, Path], None]
Read = Callable[[Any, dict[str, Any]], None]


def read_sequences(path: Path) -> Sequences:
    """Read the file that ``segments.py`` wrote."""
    with np.load(path, allow_pickle=False) as data:
        return np.split(data["token_id"], np.cumsum(data["length"])[:-1])


def batches(sequences: Sequences, budget: int) -> list[list[int]]:
    """Group sequences from the longest to the shortest, up to ``budget`` tokens with padding each.

    Returns:
        Indices of the sequences of each batch.
    """
    waiting = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    groups = []
    while waiting:
        size = max(1, budget // len(sequences[waiting[0]]))
        groups.append(waiting[:size])
        waiting = waiting[size:]
    return groups


def model_inputs(sequences: Sequences, group: Sequence[int]) -> dict[str, Any]:
    """Pad a batch on the right: ``input_ids`` and ``attention_mask`` [sequence, time]."""
    import torch

    width = max(len(sequences[index]) for index in group)
    ids = torch.zeros((len(group), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, index in enumerate(group):
        ids[row, : len(sequences[index])] = torch.from_numpy(sequences[index])
        mask[row, : len(sequences[index])] = 1
    return {"input_ids": ids, "attention_mask": mask}


def run(tool: str, packages: Sequence[str], load: Load, dump: Dump, read: Read) -> None:
    """Load a model, dump a batch to warm up, time the dump of all, and print one line of JSON.

    Then the tool only reads the same batches, and this is timed too.

    Args:
        tool: the tool's name.
        packages: packages whose versions are reported.
        load: takes the model's folder; returns the object that ``dump`` needs and its PyTorch
            module.
        dump: takes that object, the sequences, the tokens in a batch and an empty output folder.
        read: takes that object and the inputs of one batch, and records nothing.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, help="folder with safetensors and config.json")
    parser.add_argument("segments", type=Path, help="written by segments.py")
    parser.add_argument("folder", type=Path, help="where to write, must not exist")
    parser.add_argument("--batch-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Threads that a tool starts itself must share these cores too.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import torch

    torch.set_num_threads(options.threads)
    sequences = read_sequences(options.segments)
    model, module = load(options.model)
    # Memory-mapped weights count as memory only after they are read.
    for parameter in module.parameters():
        parameter.detach().sum()
    loaded = _status("VmRSS")
    _forget_peak()
    with tempfile.TemporaryDirectory(dir=options.folder.parent) as scratch:
        longest = batches(sequences, options.batch_tokens)[0]
        dump(model, [sequences[i] for i in longest], options.batch_tokens, Path(scratch))
    options.folder.mkdir()
    start = time.perf_counter()
    dump(model, sequences, options.batch_tokens, options.folder)
    seconds = time.perf_counter() - start
    peak = _status("VmHWM")
    start = time.perf_counter()
    for group in batches(sequences, options.batch_tokens):
        read(model, model_inputs(sequences, group))
    bare_seconds = time.perf_counter() - start
    tokens = sum(map(len, sequences))
    line = {
        "tool": tool,
        "versions": {name: version(name) for name in packages},
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "bare_tokens_per_second": tokens / bare_seconds,
        "peak_bytes": peak,
        "growth_bytes": peak - loaded,
        "bytes_written": sum(
            path.stat().st_size for path in options.folder.rglob("*") if path.is_file()
        ),
    }
    print(json.dumps(line), flush=True)


def _status(field: str) -> int:
    """Read a size from the kernel's status of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)[1]) << 10  # type: ignore[index]


def _forget_peak() -> None:
    """Reset the kernel's peak resident size, so that loading the model does not count."""
    Path("/proc/self/clear_refs").write_text("5")
