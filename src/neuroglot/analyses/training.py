"""What steps and figures of several analyses share that follow models through their training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglot import layout
from neuroglot.analyses.base import Inputs, Run, Scope, Step, StepSettings
from neuroglot.analyses.planning import labels

if TYPE_CHECKING:
    import xarray as xr

NAME = "training"
Families = Mapping[str, Mapping[str, int | None]]

FOLLOWED: Mapping[str, str] = {
    "model_family": "id of the entry whose revisions the models are",
    "training_step": "steps that the model was trained for; NaN if its revision does not tell",
}


@dataclass(frozen=True, kw_only=True)
class TrainingInputs(Inputs):
    """The same dataset of every revision, by model."""

    results: Mapping[str, Path]


class TrainingSettings(StepSettings):
    """Which models are revisions of one.

    Attributes:
        families: by family, its models in the order of training, each with its number of steps.
    """

    families: dict[str, dict[str, int | None]]


def training_step(
    analysis: str, result: str, words: str, languages: Callable[[Run, Any], list[str]]
) -> Step[Any, TrainingInputs, TrainingSettings]:
    """Declare the step that follows an analysis' result through the training of models.

    Args:
        analysis: name of the analysis.
        result: name of the step whose datasets are followed.
        words: what is followed, for the workflow's message.
        languages: function that gives the languages of these datasets.
    """

    def families(run: Run) -> dict[str, dict[str, int | None]]:
        return run.families(run.models_of(analysis))

    def inputs(run: Run, _section: Any, _scope: Scope) -> TrainingInputs:
        models = [model for members in families(run).values() for model in members]
        return TrainingInputs(
            results={model: layout.reduction(analysis, result, model) for model in models}
        )

    def settings(run: Run, section: Any, _scope: Scope) -> TrainingSettings:
        return TrainingSettings(families=families(run), **labels(run, languages(run, section)))

    return Step(
        NAME,
        f"{words} through training",
        inputs,
        settings,
        tables=(NAME,),
        wanted=lambda run, _section: bool(families(run)),
        compares_models=True,
    )


def followed(
    results: Mapping[str, Path],
    families: Families,
    measured: Callable[["xr.Dataset"], "xr.Dataset"],
) -> "xr.Dataset":
    """Measure the datasets of all revisions, by model, and put them side by side.

    ``measured`` gives what is followed of a dataset; it has no layers.
    """
    from neuroglot import store

    opened = {model: store.open_dataset(path, "reduction") for model, path in results.items()}
    return along_training({model: measured(data) for model, data in opened.items()}, families)


def along_training(data: Mapping[str, "xr.Dataset"], families: Families) -> "xr.Dataset":
    """Put measures of all revisions side by side: ``…(model, …)``.

    Args:
        data: what is followed of each model, without layers.
        families: by family, its models in the order of training, each with its number of steps.

    Returns:
        What is followed, and ``model_family(model)`` and ``training_step(model)``.
    """
    import numpy as np

    from neuroglot.measures.axes import along

    steps = {
        model: (family, np.nan if step is None else step)
        for family, members in families.items()
        for model, step in members.items()
    }
    of_family, numbers = zip(*steps.values(), strict=True)
    return (
        along("model", {model: data[model] for model in steps})
        .drop_attrs(deep=False)
        .assign(
            model_family=("model", np.array(of_family, str), {"units": "1"}),
            training_step=("model", np.array(numbers, float), {"units": "steps"}),
        )
    )


def compared_models(run: Run, models: Sequence[str]) -> list[str]:
    """Choose the models of a comparison of each with each other.

    Of revisions of one model, that is the last or, where there is no other model, the first and the
    last; the figures of the training have all.
    """
    families = run.families(models)
    earlier = {model for members in families.values() for model in [*members][:-1]}
    chosen = [model for model in models if model not in earlier]
    if len(chosen) == 1 and families:
        (members,) = families.values()
        return [next(iter(members)), *chosen]
    return chosen
