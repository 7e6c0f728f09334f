"""Reads the configuration, and saves it with the results."""

import sys
import time

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError

from neuroglot import (
    layout,
    ownership,
    plan,
    provenance,
    readings,
    running,
    summary,
)
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Scope
from neuroglot.analyses.run import code_of, code_of_figures
from neuroglot.config import load
from neuroglot.devices import visible
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys
from neuroglot.recordings import TOKENS, Recordings
from neuroglot.resources import Needs

STARTED = time.time()

files = [Path(file) for file in workflow.configfiles]


def asked(analyses):
    """The analyses that the command line asks for, by name or by a file; all if it is not sure."""
    if (
        Path(sys.argv[0]).parent.name != "snakemake"
        and Path(sys.argv[0]).name != "snakemake"
    ):
        return analyses
    targets = get_argument_parser().parse_known_args(sys.argv[1:])[0].targets
    named = [
        Path(target).parts[1] if target.startswith(f"{layout.RESULTS}/") else target
        for target in targets
    ]
    return named if named and set(named).issubset(analyses) else analyses


try:
    settings = load(config, files)
    by_id = {
        "models": settings.models,
        "corpora": settings.corpora,
        "tasks": settings.tasks,
    }
    keys = Keys(settings)
    needed = Recordings(settings, keys)
    if workflow.is_main_process:
        refused = ownership.clashes(layout.RESULTS, files, by_id)
        in_files = workflow.workflow_settings.persistence_backend.name == "FILE"
        if in_files and not {"--touch", "-t"}.intersection(sys.argv):
            refused += ownership.lost_history(layout.RESULTS)
        if refused:
            raise NeuroglotError("\n".join(refused))
        due = plan.make_plan(settings, keys, asked(settings.analyses))
    else:
        due = plan.remembered()
except NeuroglotError as error:
    raise WorkflowError(str(error)) from None


onstart:
    # Jobs read these files, here or on another machine. They also document the results.
    ownership.remember(layout.RESULTS, config, files, by_id)
    plan.remember(due)
    for model in settings.models:
        running.remember(model, settings.capture, settings.execution)
    provenance.remember()


GPUS_HERE = len(visible())
needs = Needs(settings)

# On this machine, jobs together use no more GPUs than there are; Slurm assigns its own.
if not workflow.non_local_exec and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", max(1, GPUS_HERE))


wildcard_constraints:
    m="|".join(settings.models),
    c="|".join(settings.corpora) or "no corpus",
    t="|".join(settings.tasks) or "no task",
    l="|".join(settings.all_languages),


# What a job asks a cluster for. A dry run shows it before anything is submitted; memory and time
# follow from the model, and are known once the model is there.
ON_CLUSTER = "slurm_partition" in (workflow.resource_settings.default_resources or {})
ASKS = (
    " ({resources.mem_mb} MB, {resources.runtime} min, GPUs: {resources.gpu})"
    if ON_CLUSTER
    else ""
)

# All commands read the configuration with which the run began; command lines have no settings.
NEUROGLOT = "neuroglot"
CONFIGURATION = f"--config {layout.CONFIGURATION}"


SHOWN_LANGUAGES = 12


def done(path):
    """The file that marks a result as done."""
    return str(layout.done(path))


def key_of(text, language):
    """Key of one language of a corpus or task; the error names a missing file."""
    try:
        return keys.source(text, language)
    except NeuroglotError as error:
        raise WorkflowError(str(error)) from None


def listed(languages):
    """Languages for a message: all if they are few, else the first ones and their number."""
    few = languages[:SHOWN_LANGUAGES]
    more = f" … ({len(languages)} languages)" if len(languages) > len(few) else ""
    return " ".join(few) + more
