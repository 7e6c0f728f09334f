"""Scores of a model in lm-evaluation-harness tasks with and without a language's neurons."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.controls import BASELINE, controlled, variants_of
from neuroglot.analyses.transfer.measures.lists import ALL, TYPES, listed
from neuroglot.analyses.transfer.settings import HarnessInputs, HarnessStepSettings
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures.matching import Mask
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.packages import file_sha256
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

_FEW_SHOT_SEED = 1234  # the harness's default
_REPLICATES = 1000  # bootstrap samples for standard errors without a formula

Masks = list[tuple[str, Mask | None]]
VARIANTS = variants_of(TYPES)

VARIABLES: Mapping[str, str] = {
    "variant": "the model as it is; without the neurons of a type (without), as many random ones "
    "of the same layers (random), or others that fire about as often (active), or the part of the "
    "neurons that has partners of like contribution (matched), or these (partner), if enough have",
    "metric": "the harness's metric, and its filter if it has one",
    "asked_in": "BCP 47 tag of the language whose neurons are deactivated",
    "harness": "score over the task's items; of random neurons the mean over draws",
    "harness_error": "standard error of the score over the task's items; of random neurons the "
    "mean over draws",
}


def compute(inputs: HarnessInputs, settings: HarnessStepSettings) -> xr.Dataset:
    """Run the harness on the unedited model, and with neurons of a task's language set to zero.

    Neurons are deactivated while the model reads a prompt, but not while it reads an answer. The
    scores and the standard errors of a control are means over its draws.
    """
    _check_installed()
    lists = store.open_dataset(inputs.neurons, "reduction")
    tasks = settings.harness.tasks
    examiner = _Examiner(inputs, settings)
    by_task = {}
    with progress(len(tasks), "tasks", f"{inputs.model.name} harness") as bar:
        for task, language in tasks.items():
            masks: Masks = [(BASELINE, None)]
            for name in TYPES:
                chosen = {ALL: listed(lists, name, language)}
                edited = controlled(chosen, lists, language, settings.random_seeds).masks
                masks += [
                    (f"{done}_{name}", draw[0]) for done, draws in edited.items() for draw in draws
                ]
            by_task[task] = _averaged(examiner.piece(task, masks))
            bar.update()
    data = xr.concat(by_task.values(), xr.Variable("task", [*by_task]), join="outer")
    return data.assign_coords(asked_in=("task", list(tasks.values()))).assign_attrs(
        random_seeds=settings.random_seeds,
        lm_eval=version("lm_eval"),
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Scores and their standard errors by task, metric and variant."""
    return {"harness": tidy(data.reset_coords("asked_in").rename(asked_in="language"))}


def scores_of(results: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Read a task's score and standard error, by metric and any filter but ``none``.

    Example:
        >>> scores_of({"alias": "x", "acc,none": 0.5, "acc_stderr,none": "N/A", "em,strict": 0})
        {'acc': (0.5, nan), 'em,strict': (0.0, nan)}
    """
    numbers = {
        key: float(number)
        for key, number in results.items()
        if "," in key and isinstance(number, int | float)
    }
    scores = {}
    for key, score in numbers.items():
        metric, _, kept = key.partition(",")
        if not metric.endswith("_stderr"):
            name = metric if kept == "none" else key
            scores[name] = score, numbers.get(f"{metric}_stderr,{kept}", np.nan)
    return scores


def _check_installed() -> None:
    if find_spec("lm_eval") is None:
        raise NeuroglotError(
            "transfer.harness: lm-evaluation-harness is not installed; install "
            "'neuroglot[harness]', or leave transfer.harness out"
        )


def _averaged(task: Piece) -> xr.Dataset:
    """Average the draws of each control into one variant."""
    units = {"units": "of the metric"}
    runs = xr.Dataset(
        {
            "harness": (("run", "metric"), task["score"], units),
            "harness_error": (("run", "metric"), task["error"], units),
        },
        {"run": task["variant"], "metric": task["metric"]},
    )
    means = runs.groupby("run").mean(skipna=False, keep_attrs=True).rename(run="variant")
    return means.reindex(variant=VARIANTS).transpose("metric", "variant")


@dataclass(frozen=True, eq=False)
class _Examiner:
    """The model, loaded when the first task without earlier results needs it."""

    inputs: HarnessInputs
    settings: HarnessStepSettings

    @cached_property
    def _model(self) -> Any:
        return load(self.inputs.model, self.settings.device, self.settings.dtype)

    def piece(self, task: str, masks: Masks) -> Piece:
        """Run one task for each set of neurons, or read earlier results."""
        harness = self.settings.harness
        origin = digest(
            [
                read_card(self.inputs.model).sha256,
                [
                    [name, [] if mask is None else np.argwhere(mask).tolist()]
                    for name, mask in masks
                ],
                self.settings.model_dump(include=RUNNING),
                [task, harness.limit, version("lm_eval"), _contents(harness.folder)],
                fingerprint(__name__),
            ]
        )

        def examine() -> Piece:
            runs = [scores_of(self._run(task, mask)) for _, mask in masks]
            metrics = list(runs[0])
            scores = np.array([[run[metric] for metric in metrics] for run in runs])
            variants = np.array([name for name, _ in masks])
            return {
                "variant": variants,
                "metric": np.array(metrics),
                "score": scores[..., 0],
                "error": scores[..., 1],
            }

        return piece(self.inputs.work.pieces / f"{digest(task)}.npz", origin, examine)

    def _run(self, task: str, mask: Mask | None) -> dict[str, Any]:
        from lm_eval import evaluate  # type: ignore[import-not-found,import-untyped]

        from neuroglot.analyses.transfer.examinee import Examinee

        examinee = Examinee(
            self._model,
            read_tokenizer(self.inputs.model),
            [] if mask is None else [Edit(mask)],
            self.inputs.work.execution.batch_tokens,
        )
        results: dict[str, dict[str, Any]] = evaluate(
            examinee,
            self._loaded(task),
            limit=self.settings.harness.limit,
            log_samples=False,
            bootstrap_iters=_REPLICATES,
        )["results"]
        if task not in results:
            raise NeuroglotError(
                f"transfer.harness.tasks: {task!r} is a group without a score of its own; name "
                f"its tasks: {', '.join(results)}"
            )
        return results[task]

    def _loaded(self, task: str) -> Any:
        """Load a task with the defaults of the harness's own command."""
        if task not in self._manager.all_tasks:
            raise NeuroglotError(
                f"transfer.harness.tasks: {unknown_name('task', task, self._manager.all_tasks)}"
            )
        loaded = self._manager.load([task])
        for loaded_task in loaded["tasks"].values():
            loaded_task.set_fewshot_seed(seed=_FEW_SHOT_SEED)
            if loaded_task.get_config("num_fewshot") is None:
                loaded_task.set_config("num_fewshot", 0)
        return loaded

    @cached_property
    def _manager(self) -> Any:
        """Index of all tasks; building it searches thousands of files."""
        from lm_eval.tasks import TaskManager  # type: ignore[import-not-found,import-untyped]

        return TaskManager(include_path=self.settings.harness.folder)


def _contents(folder: str | None) -> dict[str, str]:
    """Hash the files in a folder of tasks, by path."""
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise NeuroglotError(f"transfer.harness.folder: there is no folder {folder}")
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}
