"""What a GPU does, in one command: python bench/gpu.py --out DIR; on an H100, under six minutes.

It needs no network and no results. First the tests marked `gpu` compare a GPU with the CPU. Then a
Llama of 7 billion random parameters in bfloat16 is recorded, dumped by plain hooks, asked and
edited; a batch is halved; two processes share the GPU (`gpu_parts.py`). Writes gpu.json and gpu.md,
and exits with status 1 if a test or a check fails. `--small` rehearses everything at a small size,
on any machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
WANTED = 0.90  # of the bare pass's speed, with all collectors
BOUND = 0.7  # of the bus's speed: rows that reach it are bound by the bus


def tests(small: bool) -> dict[str, Any]:
    """Run the tests marked ``gpu``."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n0", "tests/capture/test_gpu.py"]
    environment = os.environ | ({"NEUROGLOT_REHEARSE": "1"} if small else {})
    done = subprocess.run(
        command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    skipped = " skipped" in lines[-1]
    return {
        "result": lines[-1],
        "ok": not done.returncode and not skipped,
        **({"output": done.stdout[-4000:]} if done.returncode else {}),
    }


def table(found: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    record, rows, bus = found["recording"], found["rows"], found["bus"]["gigabytes_per_second"]
    speed = rows["rows"]["gigabytes_per_second"]
    bound = "bound by the bus" if speed >= BOUND * bus else "not bound by the bus"
    answers, transfer = found["answers"], found["transfer"]
    halved, shared = found["halved_batch"], found["two_jobs"]
    lines = [
        ("tests marked `gpu`", found["tests"]["result"]),
        ("bare pass", f"{record['bare']['tokens_per_second']:,.0f} tokens/s"),
        ("all collectors", f"{_share(record, 'collectors')} of it; wanted {WANTED}"),
        (
            "raw rows of `act` and `out`, every token",
            f"{_share(rows, 'rows')} of it: {speed:.2f} GB/s, {bound} ({bus:.1f} GB/s)",
        ),
        ("both", f"{_share(rows, 'both')} of it"),
        ("the same rows by plain hooks", f"{_share(rows, 'plain_hooks')} of it"),
        *(
            (
                f"peak memory, {name.replace('_', ' ')}",
                f"{one['device_gigabytes']:.1f} GB on the GPU, {one['host_gigabytes']:.1f} GB of "
                "main memory",
            )
            for name, one in {**record, **rows}.items()
        ),
        (
            "answers, in ten variants",
            f"{answers['answers_per_second']:,.0f}/s; {answers['against_whole_passes']:.2f} times "
            "whole passes",
        ),
        ("a pass with edited neurons", f"{answers['edited_pass']:.2f} of the plain pass"),
        (
            "states under edits of last tokens",
            f"{transfer['states_per_second']:,.0f} segments and variants/s",
        ),
        *(
            (
                f"{what}, numpy on the CPU, and the same products on the GPU",
                f"{transfer[key]:.2f} s, {transfer[f'{key}_on_device']:.3f} s",
            )
            for key, what in (
                ("scores", "transfer scores of a layer"),
                ("neighbours", "nearest neighbours of a language"),
            )
        ),
        (
            "a batch that does not fit",
            f"float32: {halved['tokens']:,} tokens of {halved['wanted']:,}, "
            f"{halved['changed']:.2%} of firings differ; half precision: "
            + ("refused" if halved["refused_in_half_precision"] else "not refused"),
        ),
        (
            "two processes on one GPU",
            f"{shared['together']:.2f} of one process's tokens/s, together",
        ),
        ("in all", f"{found['seconds']:.0f} s"),
    ]
    head = [f"{found['device']}, {found['cores']} cores, torch {found['torch']}.", "", "| | |"]
    return "\n".join([*head, "| --- | --- |", *(f"| {a} | {b} |" for a, b in lines)]) + "\n"


def _share(part: dict[str, Any], name: str) -> str:
    return f"{part[name]['tokens_per_second'] / part['bare']['tokens_per_second']:.2f}"


def main() -> None:
    """Measure everything, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json and gpu.md")
    parser.add_argument("--small", action="store_true", help="a small model, on any machine")
    parser.add_argument("--scratch", type=Path, help="where rows are dumped: 16 GB")
    parser.add_argument("--process", type=Path, help=argparse.SUPPRESS)  # one of two that share
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    import gpu_parts as parts

    if not options.small and not torch.cuda.is_available():
        sys.exit("torch finds no GPU here; --small rehearses without one")
    if options.process:
        parts.Bench(options.small, Path()).process(options.process)
        return
    start, found = time.perf_counter(), {}
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    found |= {"cores": os.cpu_count(), "torch": version("torch"), "small": options.small}
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        bench = parts.Bench(options.small, Path(scratch))
        sections: dict[str, Callable[[], dict[str, Any]]] = {
            "tests": lambda: tests(options.small),
            "recording": bench.recording,
            "rows": bench.rows,
            "bus": bench.bus,
            "answers": bench.answers,
            "transfer": bench.transfer,
            "halved_batch": bench.halved_batch,
            "two_jobs": lambda: bench.two_jobs(Path(__file__)),
        }
        for name, measure in sections.items():
            before = time.perf_counter()
            found[name] = measure()
            took = time.perf_counter() - before
            print(f"{name} ({took:.0f} s): {json.dumps(found[name])}", flush=True)
            found["seconds"] = time.perf_counter() - start
            (options.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "gpu.md").write_text(table(found))
    print(table(found))
    failed = [name for name in sections if found[name].get("ok") is False]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
