"""How a run's cost grows with languages, tokens, models and tasks: writes a JSON file and a figure.

Run after `make`: python bench/growth.py --out DIR. It runs the workflow itself, in a temporary
folder, on a small model (SmolLM2 135M, or the folder of `--model`) and few segments of the UDHR,
again and again with more languages, models and tasks. What is there is kept, as in any run. So the
cost of a configuration is the sum over its jobs, of each as it last ran, and of those that make
only what is missing, all that they ran. Costs are processor seconds of the jobs (user and system),
which depend little on what else the machine does.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LANGUAGES = [
    *(
        "en",
        "de",
        "fr",
        "es",
        "cs",
        "hi",
        "th",
        "zh",
        "nl",
        "sv",
        "da",
        "nb",
        "is",
        "af",
        "pt",
        "it",
    ),
    *(
        "ro",
        "ca",
        "ru",
        "uk",
        "pl",
        "bg",
        "sk",
        "hr",
        "lt",
        "lv",
        "el",
        "sq",
        "hu",
        "fi",
        "et",
        "tr",
    ),
]
SIZES, MODELS, TIMES = (2, 4, 8, 9, 16, 32), (1, 2, 4), (1, 10, 100)
TASKS = {
    "facts": {"source": "facts", "paraphrases": 1, "max_items": 4},
    "edits": {"source": "edits", "max_items": 4},
    "edits-to-en": {"source": "edits", "direction": "to_pivot", "max_items": 4},
    "nli": {"source": "nli", "max_items": 4},
}
LINES = 12  # of the benchmarks' text, repeated to measure growth with tokens
PLANNED = 500  # languages of a dry run
KEEPING = ("model", "package", "corpus", "task", "record")  # commands that make what is missing

# Runs a command as neuroglot, and notes its arguments, processor seconds and peak megabytes.
SHIM = """#!{python} -SE
import json, os, sys
child = os.posix_spawn({real!r}, [{real!r}, *sys.argv[1:]], os.environ)
_, status, used = os.wait4(child, 0)
with open({log!r}, "a") as log:
    cost = [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
    log.write(json.dumps([sys.argv[1:], *cost]) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Job(NamedTuple):
    """What a command took: processor seconds, and peak resident megabytes."""

    arguments: tuple[str, ...]
    seconds: float
    megabytes: float

    @property
    def command(self) -> str:
        """The first argument that is no option: the name of neuroglot's command."""
        return next(one for one in self.arguments if one.isalpha())


class Place:
    """A temporary folder in which the workflow runs."""

    def __init__(self, folder: Path, model: Path) -> None:
        """Link the workflow, and put a command in front that notes what each job takes."""
        self.folder, self._model, self._log = folder, model, folder / "jobs.jsonl"
        for name in ("Snakefile", "workflow", "profiles"):
            (folder / name).symlink_to(ROOT / name)
        shim, real = folder / "bin" / "neuroglot", shutil.which("neuroglot")
        shim.parent.mkdir()
        shim.write_text(SHIM.format(python=sys.executable, real=real, log=str(self._log)))
        shim.chmod(0o755)

    def configure(self, languages: Sequence[str], models: int = 1, **changed: Any) -> None:
        """Write a configuration: the corpus analyses on the UDHR, or what ``changed`` says."""
        config: dict[str, Any] = {
            "languages": [*languages],
            "models": {f"m{number}": {"source": str(self._model)} for number in range(models)},
            "corpora": {
                "udhr": {"source": "udhr", "segment_ids": "article-*", "max_segments": 12},
                "held-out": {"source": "udhr", "skip_segments": 40},
            },
            "perplexity": {"corpus": "held-out", "segments": 4, "tokens_per_segment": 5},
            "roles": {"corpora": ["udhr"]},
            "experts": {
                "corpus": "udhr",
                "experts_per_layer": 64,
                "scores_from": "rows",
                "random_seeds": 1,
                "speed_rounds": 2,
                "continuation_tokens": 8,
            },
            "lape": {"corpus": "udhr"},
            "transfer": {"corpus": "udhr", "k": [2], "random_seeds": 1, "positions": "last"},
        }
        config |= changed
        (self.folder / "config.yaml").write_text(
            yaml.safe_dump({key: value for key, value in config.items() if value is not None})
        )

    def run(self, *command: str) -> list[Job]:
        """Run a command and give the jobs that it ran, and itself as the job ``snakemake``."""
        self._log.unlink(missing_ok=True)
        before = os.times()
        process = subprocess.run(
            command,
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            sys.exit(process.stdout[-4000:] + process.stderr[-4000:])
        after = os.times()
        total = sum(after[2:4]) - sum(before[2:4])
        jobs = [
            Job(tuple(arguments), *cost)
            for arguments, *cost in map(json.loads, self._log.read_text().splitlines())
        ]
        return [*jobs, Job(("snakemake",), total - sum(job.seconds for job in jobs), 0)]

    def snakemake(self) -> list[Job]:
        """Run the workflow."""
        return self.run("snakemake", "--cores", "1", "--configfile", "config.yaml")


class Ledger:
    """The jobs of a configuration that grew from run to run."""

    def __init__(self) -> None:
        """Begin with none."""
        self._jobs: dict[tuple[str, ...], Job] = {}

    def enter(self, jobs: Sequence[Job]) -> None:
        """Add a run's jobs: those that make what is missing to what they took before."""
        for job in jobs:
            known = self._jobs.get(job.arguments)
            if known and job.command in KEEPING:
                job = job._replace(
                    seconds=job.seconds + known.seconds,
                    megabytes=max(job.megabytes, known.megabytes),
                )
            self._jobs[job.arguments] = job

    def costs(self) -> dict[str, Any]:
        """Processor seconds, peak megabytes and number of jobs, by command."""
        return costs(self._jobs.values())


def costs(jobs: Iterator[Job] | Sequence[Job] | Any) -> dict[str, Any]:
    """Processor seconds, peak megabytes and number of jobs, by command."""
    by_command: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_command[job.command].append(job)
    return {
        command: {
            "seconds": round(sum(job.seconds for job in of_command), 2),
            "megabytes": round(max(job.megabytes for job in of_command)),
            "jobs": len(of_command),
        }
        for command, of_command in sorted(by_command.items())
    }


def seconds(of: Mapping[str, Any]) -> float:
    """Processor seconds of all commands."""
    return round(sum(one["seconds"] for one in of.values()), 1)


def with_languages(place: Place, sizes: Sequence[int]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Costs by number of languages, and what each run added to the one before."""
    ledger, found, added = Ledger(), {}, {}
    for size in sizes:
        place.configure(LANGUAGES[:size])
        jobs = place.snakemake()
        ledger.enter(jobs)
        found[size], added[size] = ledger.costs(), costs(jobs)
        print(f"{size} languages: {seconds(found[size])} s, added {added[size]}", flush=True)
    return found, added


def with_models(place: Place, numbers: Sequence[int]) -> dict[int, Any]:
    """Costs by number of models, in two languages."""
    ledger, found = Ledger(), {}
    for number in numbers:
        place.configure(LANGUAGES[:2], models=number)
        ledger.enter(place.snakemake())
        found[number] = ledger.costs()
        print(f"{number} models: {seconds(found[number])} s", flush=True)
    return found


def with_tasks(place: Place, tasks: Mapping[str, Any]) -> dict[int, Any]:
    """Costs by number of tasks of `sharing`, in two languages."""
    ledger, found = Ledger(), {}
    for number in (1, 2, 4):
        chosen = dict(list(tasks.items())[:number])
        without = dict.fromkeys(("corpora", "perplexity", "roles", "experts", "lape", "transfer"))
        place.configure(LANGUAGES[:2], tasks=chosen, sharing={"tasks": [*chosen]}, **without)
        ledger.enter(place.snakemake())
        found[number] = ledger.costs()
        print(f"{number} tasks: {seconds(found[number])} s", flush=True)
    return found


def with_tokens(place: Place, times: Sequence[int]) -> dict[int, Any]:
    """Tokens, processor seconds and peak memory of one language's recording, by length of text."""
    lines = (HERE / "text.txt").read_text("utf-8").splitlines()[:LINES]
    for number in times:
        text = "".join(
            f"s{again}-{line}\t{content}\n"
            for again in range(number)
            for line, content in enumerate(lines)
        )
        for language in ("en", "de"):
            path = place.folder / "texts" / f"times-{number}" / f"{language}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    names = {number: f"times-{number}" for number in times}
    corpora = {
        name: {"source": "text", "path": f"texts/{name}/{{language}}.tsv"}
        for name in names.values()
    }
    sections = {"experts": None, "lape": None, "transfer": None, "perplexity": None}
    found = {}
    for number, name in names.items():
        sections["experts"] = {"corpus": name, "scores_from": "rows"}
        sections["lape"] = {"corpus": name}
        place.configure(["en", "de"], corpora=corpora, roles={"corpora": [name]}, **sections)
        groups = [f"{name}/{group}" for group in ("tokens", "roles", "firing", "sample", "rows")]
        place.run("neuroglot", "corpus", name, "en")
        [job, _] = place.run("neuroglot", "record", "m0", "en", *groups)
        counts = place.folder / f"results/tokens/m0/{name}/en.zarr/complete.json"
        found[number] = {
            "tokens": json.loads(counts.read_text())["counts"]["rows"],
            "seconds": round(job.seconds, 2),
            "megabytes": round(job.megabytes),
        }
        print(f"{number} times the text: {found[number]}", flush=True)
    return found


def planned(place: Place, number: int) -> dict[str, float]:
    """Seconds and peak megabytes of a dry run with so many languages of two texts."""
    import csv

    table = ROOT / "src/neuroglot/data/languages.csv"
    with table.open(encoding="utf-8") as rows:
        tags = [row["tag"].lower() for row in csv.DictReader(rows)]
    languages = ["en", *[tag for tag in tags if tag != "en"][: number - 1]]
    for name in ("plain", "other"):
        (place.folder / "texts" / name).mkdir(parents=True)
        for language in languages:
            path = place.folder / "texts" / name / f"{language}.tsv"
            path.write_text(
                f"s0\tone two three {language}\ns1\tfour five six {language}\n", "utf-8"
            )
    place.configure(
        languages,
        corpora={
            name: {"source": "text", "path": f"texts/{name}/{{language}}.tsv"}
            for name in ("plain", "other")
        },
        perplexity={"corpus": "other", "segments": 1, "tokens_per_segment": 2},
        roles={"corpora": ["plain"]},
        experts={"corpus": "plain", "scores_from": "rows"},
        lape={"corpus": "plain"},
        lexicon={"corpus": "plain"},
        transfer={"corpus": "plain", "k": [1]},
    )
    shutil.rmtree(place.folder / "results", ignore_errors=True)
    timed = (
        "import os, resource, subprocess, sys, time;"
        "start = time.time();"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(done.returncode, time.time() - start, used.ru_utime + used.ru_stime,"
        " used.ru_maxrss / 1024)"
    )
    command = ["snakemake", "-n", "--configfile", "config.yaml"]
    printed = subprocess.run(
        [sys.executable, "-c", timed, *command],
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if printed[0] != "0":
        sys.exit(f"the dry run ended with status {printed[0]}")
    found = dict(zip(("wall", "seconds", "megabytes"), map(float, printed[1:]), strict=True))
    print(f"dry run with {number} languages: {found}", flush=True)
    return found


def main() -> None:
    """Measure what is asked for, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of growth.json and figure")
    parser.add_argument("--model", type=Path, default=ROOT / "results" / "models" / "smollm2-135m")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--smoke", action="store_true", help="sizes as small as can be")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "growth.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for part in options.only:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), options.model.resolve())
            found |= PARTS[part](place, options.smoke)
        path.write_text(json.dumps(found, indent=1) + "\n")
    if set(found) >= {"languages", "models", "tasks", "tokens"}:
        from growth_figure import draw

        draw(json.loads(path.read_text()), options.out / "growth")


def _languages(place: Place, smoke: bool) -> dict[str, Any]:
    found, added = with_languages(place, SIZES[:2] if smoke else SIZES)
    return {"languages": found, "added": added}


def _tokens(place: Place, smoke: bool) -> dict[str, Any]:
    place.configure(["en", "de"])
    place.run("neuroglot", "model", "m0")
    return {"tokens": with_tokens(place, TIMES[:2] if smoke else TIMES)}


PARTS = {
    "languages": _languages,
    "models": lambda place, smoke: {"models": with_models(place, MODELS[:2] if smoke else MODELS)},
    "tasks": lambda place, _: {"tasks": with_tasks(place, TASKS)},
    "tokens": _tokens,
    "plan": lambda place, smoke: {"plan": planned(place, 20 if smoke else PLANNED)},
}


if __name__ == "__main__":
    main()
