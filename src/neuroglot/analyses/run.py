"""Runs one job of a step, and draws one set of figures, as an analysis declares them."""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from neuroglot import layout, store
from neuroglot.analyses.base import Analysis, FigureSet, Inputs, Scope, Step, StepSettings, Work
from neuroglot.analyses.described import described, made_from
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.measures.axes import as_units
from neuroglot.models.card import CARD, read_card
from neuroglot.packages import file_sha256
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

if TYPE_CHECKING:
    from neuroglot.figures.style import Drawing


def code_of(analysis: Analysis[Any], step: Step[Any, Any, Any], settings: StepSettings) -> str:
    """Fingerprint of the code that a step can reach."""
    module = f"{analysis.package}.steps.{step.name}"
    return fingerprint("neuroglot.analyses.run:run_step", module, *step.modules(settings))


def code_of_figures(analysis: Analysis[Any], figure_set: FigureSet) -> str:
    """Fingerprint of the code that draws a set of figures."""
    module = f"{analysis.package}.figures.{figure_set.name}"
    return fingerprint("neuroglot.analyses.run:draw_figures", module)


def run_step(
    analysis: Analysis[Any],
    step: Step[Any, Any, Any],
    inputs: Inputs,
    settings: StepSettings,
    output: Path,
    execution: ExecutionSettings,
) -> None:
    """Compute one job of a step and write its dataset to ``output``, and its tables and files.

    Raises:
        NeuroglotError: inputs were made with different models, or the step raises it.
    """
    cards = _cards(inputs)
    if len(cards) > 1 and not step.compares_models:
        raise NeuroglotError(
            f"{analysis.name} {step.name}: its inputs were made with {len(cards)} different "
            "models; make them again with one"
        )
    sources = made_from(inputs.paths())
    origin = {
        "reduction": f"{analysis.name}/{step.name}",
        "inputs": digest(
            {name: [_identity(path) for path in paths] for name, paths in inputs.named().items()}
        ),
        "cards": cards,
        "made_from": sources,
        "settings": settings.model_dump(mode="json"),
        "code": code_of(analysis, step, settings),
    }
    if store.begin(output, "reduction", origin):
        return
    pieces = output.with_suffix(".pieces")
    work = Work(execution, pieces, pieces / digest(origin))
    module = importlib.import_module(f"{analysis.package}.steps.{step.name}")
    data: xr.Dataset = module.compute(replace(inputs, work=work), settings)
    data = described(data, getattr(module, "VARIABLES", {}))
    data = data.assign_attrs(
        analysis=analysis.name,
        reduction=step.name,
        **_labels(settings),
        **{section: ids for section, ids in sources.items() if ids},
    )
    store.write_dataset(output, as_units(data))
    for stem, table in _tables(module, step, data).items():
        _write_table(table, output.with_name(f"{stem}.csv"))
    if step.files:
        module.export(data, output.parent)
    store.complete(output, "reduction", origin, {str(k): int(v) for k, v in data.sizes.items()})
    shutil.rmtree(work.progress, ignore_errors=True)


def draw_figures(
    analysis: Analysis[Any], figure_set: FigureSet, scope: Scope, folder: Path
) -> None:
    """Write every figure of a set into a folder, as SVG and PNG."""
    from neuroglot.figures.style import save

    data = data_of(analysis, figure_set, scope)
    folder.mkdir(parents=True, exist_ok=True)
    for stem in figure_set.drawn(len(scope.models)):
        save(drawing(analysis, figure_set, stem).draw(data), folder / stem)


def drawing(analysis: Analysis[Any], figure_set: FigureSet, stem: str) -> "Drawing":
    """How one figure of a set is drawn, and what it shows."""
    module = importlib.import_module(f"{analysis.package}.figures.{figure_set.name}")
    figure: Drawing = module.FIGURES[stem]
    return figure


def data_of(analysis: Analysis[Any], figure_set: FigureSet, scope: Scope) -> xr.Dataset:
    """Read and merge the datasets that a set of figures draws."""
    steps = [analysis.step(name) for name in figure_set.steps]
    model = None if steps[0].compares_models else scope.model
    paths = [layout.reduction(analysis.name, step.name, model) for step in steps]
    return merged([store.open_dataset(path, "reduction") for path in paths])


def merged(parts: list[xr.Dataset]) -> xr.Dataset:
    """Merge reductions into one dataset; of several values, that of the first reduction wins.

    Each dimension has the labels of the first reduction in their order, for example tasks or
    languages, and then the further labels of other reductions. Missing values are NaN.
    """
    order: dict[str, pd.Index] = {}
    for part in parts:
        for name, index in part.indexes.items():
            known = order.setdefault(str(name), index)
            if not known.equals(index):
                order[str(name)] = known.append(index.difference(known, sort=False))
    aligned = [part.reindex({name: order[str(name)] for name in part.indexes}) for part in parts]
    whole, *others = aligned
    for part in others:
        filled = {name: whole[name].fillna(part[name]) for name in whole if name in part}
        whole = xr.merge(
            [whole.assign(filled), part], compat="override", join="exact", combine_attrs="override"
        )
    return whole


def _identity(path: Path) -> str:
    """Fingerprint of an input: of a model's or file's content, or of what a store was made from."""
    if (path / CARD).is_file():
        return read_card(path).sha256
    if path.suffix == ".parquet":
        return file_sha256(path)
    return store.read_completion(path).fingerprint


def _cards(inputs: Inputs) -> list[str]:
    """Digests of the models that the inputs are or were made with."""
    cards = set()
    for path in inputs.paths():
        if (path / CARD).is_file():
            cards.add(read_card(path).sha256)
        elif path.suffix != ".parquet":
            origin = store.read_completion(path).origin
            cards |= {*origin.get("cards", []), *filter(None, [origin.get("card")])}
    return sorted(cards)


def _labels(settings: StepSettings) -> dict[str, str]:
    """Attributes with the names of the model and the languages, for figures."""
    labels = {"model": settings.model, "pivot": settings.pivot}
    if settings.language_table:
        for label, fact in (("language_names", "name"), ("language_families", "family")):
            by_language = {
                language: getattr(settings.language_table[language], fact)
                for language in settings.languages
            }
            labels[label] = json.dumps(by_language, ensure_ascii=False)
    return {name: label for name, label in labels.items() if label is not None}


def _tables(module: ModuleType, step: Step[Any, Any, Any], data: xr.Dataset) -> Any:
    if not step.tables:
        return {}
    if hasattr(module, "tables"):
        return module.tables(data)
    [name] = step.tables
    return {name: tidy(data[list(module.TABLE)])}


def _write_table(table: pd.DataFrame, path: Path) -> None:
    text = table.to_csv(index=False, float_format="%.6g")
    write_whole(path, text.encode())
