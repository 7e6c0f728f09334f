"""Runs the tools' dumps in turn, each in a new process, and prints medians and ratios."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import batches, read_sequences
from numpy.typing import NDArray

from neuroglot.store import read_rows

HERE = Path(__file__).parent
TOOLS = ("neuroglot", "transformer_lens", "nnsight")
TOLERANCE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("segments", type=Path, help="written by segments.py")
    parser.add_argument("--tools-python", required=True, help="of transformer_lens and nnsight")
    parser.add_argument("--model", type=Path, default=Path("results/models/smollm2-135m"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=256, help="padding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="folder on the disk to write to")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for number in range(options.rounds):
            folders = {tool: Path(scratch) / tool for tool in TOOLS}
            for tool, folder in folders.items():
                runs[tool].append(run(tool, folder, options))
                if number:
                    shutil.rmtree(folder)
            if not number:
                check_agreement(folders, options)
                for folder in folders.values():
                    shutil.rmtree(folder)
    report(runs)


def run(tool: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Dump with one tool, after flushing the writes of earlier dumps to disk."""
    os.sync()
    python = sys.executable if tool == "neuroglot" else options.tools_python
    command = [python, HERE / f"run_{tool}.py", options.model, options.segments, folder]
    command += ["--batch-tokens", options.batch_tokens, "--threads", options.threads]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool} failed:\n{done.stderr}")
    line = done.stdout.splitlines()[-1]
    print(line, flush=True)
    measured: dict[str, Any] = json.loads(line)
    return measured


def check_agreement(folders: dict[str, Path], options: argparse.Namespace) -> None:
    """Stop unless all tools recorded the same values for the first batch, in every layer."""
    sequences = read_sequences(options.segments)
    group = batches(sequences, options.batch_tokens)[0]
    lengths = [len(sequence) for sequence in sequences]
    starts = np.cumsum([0, *lengths])
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in group])
    mask = np.arange(max(lengths)) < np.array(lengths)[group][:, None]
    for site in ("act", "out"):
        ours = read_rows(folders["neuroglot"] / "rows.zarr", site)[:, rows]
        for tool in TOOLS[1:]:
            theirs = first_batch(tool, folders[tool] / "00000.pt", site)[:, mask]
            if theirs.shape != ours.shape:
                sys.exit(f"{tool}, {site}: {theirs.shape} values, neuroglot {ours.shape}")
            error = np.linalg.norm(theirs - ours, axis=(1, 2)) / np.linalg.norm(ours, axis=(1, 2))
            print(f"{tool}, {site}: relative difference up to {error.max():.1e} in a layer")
            if not error.max() < TOLERANCE:
                sys.exit(f"{tool}, {site}: layer {error.argmax() + 1} differs by {error.max()}")


def first_batch(tool: str, path: Path, site: str) -> NDArray[np.float32]:
    """Read a tool's dump of the first batch, ``[layer, sequence, time, width]``."""
    saved = torch.load(path, weights_only=True)
    if tool == "nnsight":
        return torch.stack(saved[site]).float().numpy()
    hook = {"act": "hook_post", "out": "hook_out"}[site]
    layers = sum(name.endswith(hook) for name in saved)
    values = [saved[f"blocks.{layer}.mlp.{hook}"] for layer in range(layers)]
    return torch.stack(values).float().numpy()


def report(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians, and neuroglot's speed relative to each tool's, round by round."""
    mebibyte = 1 << 20
    print(
        f"\n{'':18}{'tokens/s':>10}{'bare':>8}{'peak MiB':>10}{'growth':>8}{'written':>9}"
        "   neuroglot is times as fast (least to greatest), peak relative to it"
    )
    ours = runs["neuroglot"]
    for tool, lines in runs.items():
        speed, bare, peak, growth, written = (
            statistics.median(line[key] for line in lines)
            for key in (
                *("tokens_per_second", "bare_tokens_per_second"),
                *("peak_bytes", "growth_bytes", "bytes_written"),
            )
        )
        ratios = [
            a["tokens_per_second"] / b["tokens_per_second"]
            for a, b in zip(ours, lines, strict=True)
        ]
        relative = peak / statistics.median(line["peak_bytes"] for line in ours)
        print(
            f"{tool:18}{speed:10.1f}{bare:8.1f}{peak / mebibyte:10.0f}{growth / mebibyte:8.0f}"
            f"{written / mebibyte:9.0f}   {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {relative:.2f}"
        )


if __name__ == "__main__":
    main()
