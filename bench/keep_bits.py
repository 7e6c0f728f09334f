"""What `capture.keep_bits` saves of raw rows, how fast, and what rounding does to every measure.

Run after `make`: OMP_NUM_THREADS=1 python bench/keep_bits.py [FOLDER WITH results]. The raw rows
are copied and rounded; then every step that reads them, directly or not, and runs no model is
repeated.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Scope, Step
from neuroglot.capture.settings import GROUPS
from neuroglot.commands import make_reduction
from neuroglot.config import Config, load_file

BITS = (10, 6, 4)
Job = tuple[str, Step[Any, Any, Any], Scope]


def raw_groups(results: Path) -> list[Path]:
    """The folders of all groups with raw rows."""
    found = (path.parent for path in results.glob("*/*/*/*.zarr/*/complete.json"))
    return sorted(path for path in found if path.name in GROUPS and GROUPS[path.name].stored)


def round_group(group: Path, bits: int) -> None:
    """Write a group's raw rows again with so many bits, where their precision has more."""
    for path in sorted(each for each in group.iterdir() if each.name in store.SITES):
        array = zarr.open_array(path, mode="r")
        dtype, over = (array.attrs[name] for name in ("dtype", "over"))
        if bits < store.MANTISSA[dtype]:
            values, per_shard = array[:], array.shards[1]
            create = store.create_rows
            written = create(group, path.name, values.shape, per_shard, dtype, over, bits)
            written[:] = values
    with store.quiet():
        zarr.consolidate_metadata(group)
    held = store.read_completion(group)
    store.complete(group, held.content, held.origin, held.counts, held.key)


def measure(groups: Sequence[Path], site: str, bits: int | None) -> str:
    """Say how a site's rows of all languages, as one array, are written and read with so many bits.

    Times are processor seconds of one thread; what is written stays in the system's memory.
    """
    arrays = [zarr.open_array(group / site, mode="r") for group in groups]
    values, dtype = np.concatenate([array[:] for array in arrays], 1), arrays[0].attrs["dtype"]
    rows = store.shard_rows(values.shape[1], values[:, 0].nbytes, 1 << 27)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        create = store.create_rows
        array = create(Path(folder), site, values.shape, rows, dtype, "every token", bits)
        for first in range(0, values.shape[1], rows):
            array[:, first : first + rows] = values[:, first : first + rows]
        middle = time.process_time()
        array[:]
        end = time.process_time()
        files = (path for path in Path(folder, site, "c").rglob("*") if path.is_file())
        stored = sum(path.stat().st_size for path in files)
    megabytes = values.nbytes / 1e6
    return (
        f"{bits or 'all'} bits of {dtype}, {groups[0].name}/{site}, {megabytes:.0f} MB: "
        f"{stored / values.nbytes:.3f} of them, written at "
        f"{megabytes / (middle - start):.0f} MB/s, read at {megabytes / (end - middle):.0f} MB/s"
    )


def sizes(results: Path) -> Iterator[str]:
    """Say this of all sites of each model, and of each number of bits."""
    by_site: dict[tuple[str, str, str], list[Path]] = {}
    for group in raw_groups(results):
        for path in group.iterdir():
            if path.name in store.SITES:
                model = group.parts[-4]
                by_site.setdefault((model, group.name, path.name), []).append(group)
    for (model, *_, site), groups in sorted(by_site.items()):
        for bits in (None, *BITS):
            if bits is None or bits < store.MANTISSA[store_dtype(groups[0], site)]:
                yield f"{model}: {measure(groups, site, bits)}"


def store_dtype(group: Path, site: str) -> str:
    """The precision of a site's rows."""
    return str(zarr.open_array(group / site, mode="r").attrs["dtype"])


def readers(config: Config) -> list[Job]:
    """The jobs without a model that read raw rows, directly or through each other, in order."""
    found: list[Job] = []
    made: set[Path] = set()
    while True:
        before = len(made)
        for name in config.analyses:
            for step in wanted.steps(config, ANALYSES[name]):
                section = config.section(name)
                runs = step.runs_model(section) if callable(step.runs_model) else step.runs_model
                for job in wanted.jobs(config, ANALYSES[name], step):
                    model = None if step.compares_models else job.model
                    place = layout.reduction(name, step.name, model, job.part)
                    read = step.inputs(config, section, job).paths()
                    if runs or place in made:
                        continue
                    if any(map(is_raw, read)) or made.intersection(read):
                        made.add(place)
                        found.append((name, step, job))
        if len(made) == before:
            return found


def is_raw(path: Path) -> bool:
    """Whether a path is that of a group with raw rows."""
    return path.name in GROUPS and bool(GROUPS[path.name].stored)


def reduce(config: Config, jobs: Sequence[Job]) -> dict[str, xr.Dataset]:
    """Run jobs and give their datasets, by path."""
    datasets = {}
    for name, step, job in jobs:
        model = None if step.compares_models else job.model
        place = layout.reduction(name, step.name, model, job.part)
        for old in (place, place.with_suffix(".pieces")):
            shutil.rmtree(old, ignore_errors=True)
        make_reduction(config, name, step.name, model, job.part)
        datasets[place.relative_to(layout.RESULTS).as_posix()] = store.open_dataset(
            place, "reduction"
        )
    return datasets


def changes(exact: xr.Dataset, coarse: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Say of each variable how much it changed: numbers, or the share of choices that did."""
    for name in exact.data_vars:
        a, b = exact[name].values, coarse[name].values
        if a.shape != b.shape:
            yield str(name), f"shape {a.shape} -> {b.shape}"
        elif a.dtype.kind == "f":
            there = np.isfinite(a) & np.isfinite(b)
            off = np.abs(a - b)[there].max(initial=0.0)
            spread = np.ptp(a[there]) if there.any() else 0.0
            lost = np.count_nonzero(np.isfinite(a) != np.isfinite(b))
            yield str(name), f"{off:.3g} of a range of {spread:.3g}" + f", {lost} gone" * bool(lost)
        elif a.size:
            yield str(name), f"{(a != b).mean():.3%} changed"


def main(folder: Path) -> None:
    """Print sizes and speeds, and then the changes of each variable with each number of bits."""
    kept = Path(tempfile.mkdtemp())
    try:
        results = folder / "results"
        ignored = shutil.ignore_patterns("models")
        shutil.copytree(results, kept / "results", ignore=ignored)
        (kept / "results" / "models").symlink_to(results / "models")
        for path in folder.iterdir():  # local models and texts, which the configuration names
            if path.name != "results" and not path.name.startswith("."):
                (kept / path.name).symlink_to(path)
        os.chdir(kept)
        for line in sizes(layout.RESULTS):
            print(line, flush=True)
        config = load_file(layout.CONFIGURATION)
        jobs = readers(config)
        exact = reduce(config, jobs)
        whole = Path("whole")
        layout.RESULTS.rename(whole)
        for bits in BITS:
            shutil.copytree(whole, layout.RESULTS, symlinks=True)
            for group in raw_groups(layout.RESULTS):
                round_group(group, bits)
            for place, data in reduce(config, jobs).items():
                for name, change in changes(exact[place], data):
                    print(f"{bits} bits, {place}, {name}: {change}", flush=True)
            shutil.rmtree(layout.RESULTS)
    finally:
        shutil.rmtree(kept)


if __name__ == "__main__":
    main(Path(*sys.argv[1:]).resolve())
