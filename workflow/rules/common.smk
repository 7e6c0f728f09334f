"""Turns the validated configuration into plans; every later file needs these functions."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from snakemake.exceptions import WorkflowError

from neuroglot.config import load
from neuroglot.devices import visible
from neuroglot.errors import NeuroglotError
from neuroglot.provenance import fingerprint
from neuroglot.resources import Needs

try:
    settings = load(config, [Path(file) for file in workflow.configfiles])
except NeuroglotError as error:
    raise WorkflowError(str(error)) from None


GPUS_HERE = len(visible())
needs = Needs(settings, gpu_here=GPUS_HERE > 0)

# Here as many jobs use GPUs at a time as there are; Slurm shares out its own.
if not workflow.non_local_exec and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", max(1, GPUS_HERE))


wildcard_constraints:
    m="|".join(settings.models),
    c="|".join(settings.corpora) or "no corpus",
    t="|".join(settings.tasks) or "no task",
    l="|".join(settings.all_languages),
    block=r"\d+",


TEXT = "results/corpora/{c}/{l}.parquet"
PROMPTED = "results/activations/{m}/{t}/{l}.zarr/prompts/complete.json"
ITEMS = "results/tasks/{t}/{l}.parquet"
TOKENS = "results/tokens/{m}/{c}/{l}.zarr/complete.json"
ACTIVATIONS = "results/activations/{m}/{c}/{l}.zarr/{group}/complete.json"
STATES = "results/states/{m}/{c}/{l}.zarr/states/complete.json"


def as_json(section):
    """Settings as one line that changes only when a setting does."""
    return json.dumps(section, sort_keys=True, ensure_ascii=False)


def dumped(section):
    return as_json(section.model_dump(mode="json"))


def model_card(wildcards):
    return f"results/models/{wildcards.m}/card.json"


def over(corpora, pattern, **wildcards):
    """Paths of a pattern over corpora or tasks and the languages each of them is read in."""
    return [
        pattern.format(c=text, t=text, l=language, **wildcards)
        for text in corpora
        for language in settings.corpus_languages(text)
    ]


def tasks_of_languages(tasks):
    """Languages by the tasks, of these, that they are asked in."""
    found = {}
    for language in settings.corpus_languages(*tasks):
        own = tuple(
            task for task in tasks if language in settings.corpus_languages(task)
        )
        found.setdefault(own, []).append(language)
    return found


def complete(places, wildcards):
    """Completion records of stores, by their places without the ending."""
    return [f"{place}.zarr/complete.json".format(m=wildcards.m) for place in places]


def held_out_tokens(wildcards, corpus, languages):
    """Held-out text, and the text of the corpus that it must share no segment with."""
    return [
        TOKENS.format(m=wildcards.m, c=one, l=language)
        for one in (settings.perplexity.corpus, corpus)
        for language in languages
    ]


def only(section, *keys):
    """Some settings of a section: those that a reduction reads."""
    return section.model_dump(mode="json", include=set(keys))


def needs_held_out(*reductions):
    """Reductions to leave out where no held-out text is configured."""
    return () if settings.perplexity else reductions


def analysed(languages):
    """What an analysis knows of its languages; other rows of the table rerun nothing."""
    table = {
        language: {
            key: getattr(known, key) for key in ("name", "family", "genus", "script")
        }
        for language, known in ((one, settings.language(one)) for one in languages)
    }
    return {"languages": languages, "language_table": table}


def running():
    """Where and how precisely a reduction runs a model."""
    return only(settings.capture, "device", "dtype")


@dataclass(frozen=True)
class Reduction:
    """One reduction of a paper: what it reads, where it writes, and what beside its dataset.

    ``inputs`` and ``settings`` are functions of the wildcards in ``place``; ``settings`` gives
    only what the reduction reads, so that no other setting reruns it. One that runs a model reads
    its texts ``passes`` times; ``runtime`` is what it takes beside that, in minutes.
    """

    paper: str
    name: str
    place: str
    inputs: Callable
    settings: Callable
    message: str
    tables: tuple = ()
    files: tuple = ()
    runs_model: bool = False
    passes: int = 1
    runtime: int = 60

    @property
    def folder(self):
        return str(Path(self.place).parent)

    def results(self):
        """Tables and other files; the dataset itself where there are none."""
        beside = [*(f"{table}.csv" for table in self.tables), *self.files]
        paths = [f"{self.folder}/{name}" for name in beside]
        return paths or [f"{self.place}.zarr/complete.json"]


REDUCTIONS = {}
FAMILIES = {}


def plan(reductions, figures, without=()):
    """Plan a paper's reductions and figures, but for reductions that nothing is configured for."""
    for reduction in reductions:
        if reduction.name not in without:
            REDUCTIONS[reduction.paper, reduction.name] = reduction
    for family, stems in figures.FAMILIES.items():
        needed = figures.REDUCTIONS[family]
        if not set(needed) & set(without):
            FAMILIES[reductions[0].paper, family] = (stems, needed)


def family_place(paper, family):
    """Folder of a family's figures and reductions: of one model, or of all."""
    return REDUCTIONS[paper, FAMILIES[paper, family][1][0]].folder


def figure_files(paper, family):
    """A family's figures as SVG, for print, and PNG, for the report."""
    folder = f"{family_place(paper, family)}/figures"
    return [
        f"{folder}/{stem}.{kind}"
        for stem in FAMILIES[paper, family][0]
        for kind in ("svg", "png")
    ]


def results_of(paper):
    """Every figure and table of a paper, for every model; asked for when the paper is a target."""

    def results(wildcards):
        if paper not in settings.analyses:
            raise WorkflowError(
                f"{paper}: the configuration has no section {paper!r}; add it "
                "(docs/config.md describes its keys)"
            )
        patterns = [
            path
            for (one, _), reduction in REDUCTIONS.items()
            if one == paper and (reduction.tables or reduction.files)
            for path in reduction.results()
        ]
        patterns += [
            path
            for one, family in FAMILIES
            if one == paper
            for path in figure_files(one, family)
        ]
        return list(
            dict.fromkeys(
                path.format(m=model) for path in patterns for model in settings.models
            )
        )

    return results


def read_paths(wildcards, input):
    """What a step is given for its inputs: the folders of stores and models, files as they are."""
    return [
        path.removesuffix("/complete.json").removesuffix("/card.json") for path in input
    ]
