"""A copy of the workflow and library with a tiny configuration, to run and to change at will."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import xarray as xr
import yaml

from neuroglot.analyses import ANALYSES
from neuroglot.measures.bootstrap import ENDS
from support import ROOT, planted_routes, tiny_checkpoints, warm

INSTALLED = Path(sys.executable).parent  # where the commands are

SENTENCES = {
    "en": [
        "The house stands on a hill above the town.",
        "She reads a book about old ships every night.",
        "Nobody knows where the river begins in spring.",
        "We bought bread and cheese at the market today.",
        "The old bridge was built before the war.",
        "My brother sings when it rains.",
    ],
    "de": [
        "Das Haus steht auf einem Hügel über der Stadt.",
        "Sie liest jeden Abend ein Buch über alte Schiffe.",
        "Niemand weiß wo der Fluss im Frühling beginnt.",
        "Wir haben heute auf dem Markt Brot und Käse gekauft.",
        "Die alte Brücke wurde vor dem Krieg gebaut.",
        "Mein Bruder singt wenn es regnet.",
    ],
    "fr": [
        "La maison se dresse sur une colline dans la ville.",
        "Elle lit un livre sur les vieux bateaux chaque soir.",
        "Personne ne sait où la rivière commence au printemps.",
        "Nous avons acheté du pain et du fromage au marché.",
        "Le vieux pont fut construit avant la guerre.",
        "Mon frère chante quand il pleut.",
    ],
}


OF_WEIGHTS = ("partition", "projection")  # reductions that read no text


def message_of(analysis: str, step: str, model: str = "one") -> str:
    """What a job of a step says of itself."""
    return f"{analysis}: {ANALYSES[analysis].step(step).message.format(model=model)}"


@dataclass(frozen=True)
class Finished:
    """How a run ended: its exit status, what it printed and which jobs it ran."""

    status: int
    output: str

    @property
    def jobs(self) -> set[str]:
        """The jobs' messages, which name rule, model, corpus and language."""
        return set(re.findall(r"^(?:Localrule|Job) \d+: (.+)$", self.output, re.MULTILINE))


@dataclass(frozen=True)
class Workplace:
    """A folder with its own library, workflow, texts, checkpoints and results."""

    folder: Path

    @property
    def config(self) -> dict:
        return yaml.safe_load((self.folder / "config.yaml").read_text("utf-8"))

    def configure(self, **changes) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**self.config, **changes}))

    def run(self, *targets: str) -> Finished:
        """Run Snakemake, which starts at once, as its jobs do."""
        return self._finish("--cores", "2", *targets)

    def plan(self, *arguments: str) -> Finished:
        """Ask Snakemake which jobs it would run."""
        return self._finish("-n", *arguments)

    def _finish(self, *arguments: str) -> Finished:
        process = self.start(*arguments, command=warm.commands() / "snakemake")
        output, _ = process.communicate(timeout=1800)
        return Finished(process.returncode, output)

    def start(
        self, *arguments: str, command: Path = INSTALLED / "snakemake", **environment: str
    ) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a process group of its own; its jobs start at once."""
        return subprocess.Popen(
            [command, "--max-jobs-per-timespan=1000/1s", *arguments],  # no wait at the end
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder / "src"),
                "PATH": f"{warm.commands()}:{INSTALLED}:{os.environ['PATH']}",
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text("utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1), "utf-8")

    def reductions(self) -> dict[str, xr.Dataset]:
        """The datasets of all steps, opened as a user would, by path without the suffix."""
        results = self.folder / "results"
        found = {}
        for record in sorted(results.rglob("complete.json")):
            if json.loads(record.read_text("utf-8"))["content"] == "reduction":
                name = record.parent.relative_to(results).with_suffix("").as_posix()
                found[name] = xr.open_zarr(record.parent)
        return found

    def draw_nothing(self) -> None:
        """Make its figures empty, where only matters which jobs run or what steps compute."""
        file = "src/neuroglot/analyses/run.py"
        self.edit(file, "figures.style import save", "figures.style import Figure, save")
        self.edit(file, "drawing(analysis, figure_set, stem).draw(data)", "Figure()")

    def copy(self, folder: Path) -> "Workplace":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workplace(folder)


def make_workplace(folder: Path) -> Workplace:
    """Two tiny models, two parallel corpora of text files, languages en and de."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for part in ("workflow", "src"):
        shutil.copytree(
            ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    (folder / "profiles").symlink_to("workflow/profiles")
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    for seed, name in enumerate(["one", "two"]):
        tiny_checkpoints.write_checkpoint(
            folder / "checkpoints" / name, "llama", texts=texts, seed=seed
        )
    for corpus, chosen in {"plain": slice(0, 6), "other": slice(1, 4)}.items():
        (folder / "texts" / corpus).mkdir(parents=True)
        for language, sentences in SENTENCES.items():
            lines = [f"s{i}\t{text}" for i, text in enumerate(sentences)][chosen]
            file = folder / "texts" / corpus / f"{language}.tsv"
            file.write_text("\n".join(lines) + "\n", "utf-8")
    config = {
        "languages": ["en", "de"],
        "models": {"one": {"source": "./checkpoints/one"}},
        "corpora": {
            corpus: {"source": "text", "path": f"texts/{corpus}/{{language}}.tsv"}
            for corpus in ("plain", "other")
        },
        "roles": {"corpora": ["plain", "other"], "rsa_stimuli": 30},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return Workplace(folder)


def add_analyses(place: Workplace) -> None:
    """Configure the other analyses beside roles, on the text of roles and on tasks."""
    folder = place.folder / "texts" / "held-out"
    folder.mkdir()
    for language, sentences in SENTENCES.items():
        lines = [f"h{i}\t{' '.join(reversed(text.split()))}" for i, text in enumerate(sentences)]
        (folder / f"{language}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    corpora = place.config["corpora"]
    place.configure(
        corpora={
            **corpora,
            "held-out": {"source": "text", "path": "texts/held-out/{language}.tsv"},
        },
        perplexity={"corpus": "held-out", "segments": 2, "tokens_per_segment": 8},
        lexicon={"corpus": "plain", "top_tokens": 5, "minimum_coverage": 0.0},
        experts={
            "corpus": "plain",
            "experts_per_layer": 4,
            "clustering_jobs": 2,
            "random_seeds": 2,
            "speed_rounds": 2,
            "prompt_tokens": 4,
            "continuation_tokens": 4,
        },
        lape={"corpus": "plain", "top_fraction": 0.2},
        tasks={
            "facts": {"source": "facts", "paraphrases": 1, "reserve": 1, "max_items": 4},
            "edits": {"source": "edits", "max_items": 3},
            "facts-1-shot": {"source": "facts", "paraphrases": 1, "shots": 1, "max_items": 4},
        },
        sharing={
            "tasks": ["facts", "edits"],
            "few_shot": ["facts", "facts-1-shot"],
            "thresholds": [0.0, 0.1],
            "language_counts": [2, 5],
        },
        transfer={
            "corpus": "plain",
            "top_n": 6,
            "k": [1],
            "tops": [2, 6],
            "random_seeds": 2,
            "tasks": ["facts"],
        },
        agreement={"top_fraction": 0.2, "minimum_methods": 1},
        boost={"prompts": 2, "prompt_tokens": 4, "new_tokens": 4, "factors": [2]},
    )


def take_mixture(place: Workplace) -> None:
    """Configure routing alone, of a mixture with planted experts and of texts in its languages."""
    planted_routes.write_planted(place.folder / "checkpoints" / "planted")
    for seed, (corpus, segments) in enumerate({"shared": 9, "judged": 6}.items(), start=1):
        folder = place.folder / "texts" / corpus
        folder.mkdir()
        for language, texts in planted_routes.texts(segments, seed=seed).items():
            lines = [f"{corpus}{at}\t{text}" for at, text in enumerate(texts)]
            (folder / f"{language}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    place.configure(
        languages=[*planted_routes.ALPHABETS],
        models={"planted": {"source": "./checkpoints/planted"}},
        corpora={
            corpus: {"source": "text", "path": f"texts/{corpus}/{{language}}.tsv"}
            for corpus in ("shared", "judged")
        },
        perplexity={"corpus": "judged", "segments": 6, "tokens_per_segment": 12},
        routing={
            "corpus": "shared",
            "top_fraction": 0.25,
            "forbidden_fraction": 0.0625,
            "replicates": 20,
            "permutations": 20,
        },
        **{name: None for name in ANALYSES if name != "routing"},
    )


OF_MIXTURES = {"activation_probability_reached"}
"""Variables that only mixtures of experts have."""


def unsaid(data: xr.Dataset) -> set[str]:
    """What a dataset leaves a reader to guess: of its variables, and of what it was made from."""
    missing = {
        f"{name}: {key}"
        for name, variable in data.variables.items()
        for key, least in (("units", 1), ("long_name", 3))
        if len(str(variable.attrs.get(key, "")).split()) < least
    }
    told = {
        "text" if key in ("corpora", "tasks") else key for key, ids in data.attrs.items() if ids
    }
    read = {"text", "languages"} if data.attrs["reduction"] not in OF_WEIGHTS else set()
    return missing | ({"models", *read} - told)


def said_in_vain(data: xr.Dataset) -> set[str]:
    """What the module of a dataset's step has a sentence for, and the dataset does not have."""
    analysis, step = data.attrs["analysis"], data.attrs["reduction"]
    module = import_module(f"neuroglot.analyses.{analysis}.steps.{step}")
    bounded = {str(name).removesuffix(end) for name in data.variables for end in ("", *ENDS)}
    return set(getattr(module, "VARIABLES", {})) - bounded - OF_MIXTURES
