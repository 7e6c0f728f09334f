"""The figures and tables of a run, as the report shows them."""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import xarray as xr
from markupsafe import Markup
from PIL import Image

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Analysis, Figures, Scope, Step
from neuroglot.analyses.captions import caption, number, readings
from neuroglot.analyses.run import data_of, drawing
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import ENDS
from neuroglot.report.overview import as_yaml, counter

SHOWN_ROWS = 20
EFFORT = 4  # of Pillow's, from 0 to 6, to make a picture small


class Picture(NamedTuple):
    """A figure: its file as a data URI, and the size of the page that it takes."""

    uri: str
    width: int
    height: int


class Shown(NamedTuple):
    """A figure with its caption.

    Attributes:
        place: id of its element; unique in the report.
        alternative: what it shows, for who does not see it.
        link: the SVG, from the report's folder.
        front: whether the first section shows it too.
    """

    place: str
    title: str
    picture: Picture
    alternative: str
    caption: Markup
    link: str
    front: bool


class Column(NamedTuple):
    """A column of a table, and what its numbers are."""

    name: str
    meaning: str
    units: str


class Table(NamedTuple):
    """The first rows of a table; ``link`` is its CSV file, from the report's folder."""

    title: str
    columns: list[Column]
    rows: list[list[str]]
    count: str
    link: str


class Part(NamedTuple):
    """The results of an analysis for one model, or of its comparisons between models.

    Attributes:
        place: id of its element; unique in the report.
        files: names and links of files that are neither figures nor tables.
    """

    place: str
    title: str
    figures: list[Shown]
    tables: list[Table]
    about_tables: Markup
    files: list[tuple[str, str]]


class Section(NamedTuple):
    """An analysis with its settings, and its results model by model."""

    name: str
    title: str
    settings: str
    parts: list[Part]


class Results:
    """Reads the results of a run, and renders its captions."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Show results of ``config`` in a report in ``folder``."""
        self._config = config
        self._folder = folder
        self._counted = counter(config)
        self._faults: dict[str, None] = {}

    def analyses(self) -> Iterator[Section]:
        """Every configured analysis with all of its figures and tables."""
        for name in self._config.analyses:
            analysis = ANALYSES[name]
            yield Section(
                name=name,
                title=analysis.title,
                settings=as_yaml(self._config.section(name).model_dump(mode="json")),
                parts=[
                    part
                    for model in (*self._config.models_of(name), None)
                    if (part := self._part(analysis, model))
                ],
            )

    def check(self) -> None:
        """Refuse a report that lacks a caption.

        Raises:
            NeuroglotError: names all captions that could not be rendered, with the reasons.
        """
        if self._faults:
            raise NeuroglotError("\n".join(self._faults))

    def _part(self, analysis: Analysis[Any], model: str | None) -> Part | None:
        """The results of a model, or with None those of several; None if there are none."""
        families = [
            (family, scopes[model])
            for family in wanted.families(self._config, analysis)
            if model in (scopes := wanted.scopes(self._config, analysis, family.steps))
        ]
        steps = [
            (step, scopes[model])
            for step in wanted.steps(self._config, analysis)
            if model in (scopes := wanted.scopes(self._config, analysis, [step.name]))
        ]
        front = model in (None, self._config.models_of(analysis.name)[0])
        with_tables = [(step, scope) for step, scope in steps if step.tables]
        files = [
            (file, self._link(self._path(analysis, step, model, file)))
            for step, _ in steps
            for file in step.files
        ]
        if not (families or with_tables or files):
            return None
        return Part(
            place=f"{analysis.name}.{model or ''}",
            title=model or "all models",
            figures=[
                figure
                for family, scope in families
                for figure in self._figures(analysis, family, model, scope, front)
            ],
            tables=[
                self._table(analysis, step, model, table)
                for step, _ in with_tables
                for table in step.tables
            ],
            about_tables=self._about_tables(analysis, with_tables, model),
            files=files,
        )

    def _figures(
        self,
        analysis: Analysis[Any],
        family: Figures,
        model: str | None,
        scope: Scope,
        front: bool,
    ) -> Iterator[Shown]:
        data = data_of(analysis, family, scope)
        for stem in wanted.drawn(self._config, analysis, family):
            finding = drawing(analysis, family, stem).finding(data)
            title = stem.replace("_", " ")
            path = layout.figures(analysis.name, model) / stem
            yield Shown(
                place=f"{analysis.name}.{model or ''}.{stem}",
                title=title,
                picture=picture(path.with_name(f"{stem}.png")),
                alternative=f"{title} of {model or 'all models'}. {finding}".strip(),
                caption=self._caption(analysis, stem, family.steps, model, scope, data, finding),
                link=self._link(path.with_name(f"{stem}.svg")),
                front=front and stem in family.front,
            )

    def _caption(
        self,
        analysis: Analysis[Any],
        stem: str,
        steps: tuple[str, ...],
        model: str | None,
        scope: Scope,
        data: xr.Dataset,
        finding: str = "",
    ) -> Markup:
        """A caption as HTML; a fault is noted for ``check``."""
        read = readings(self._config, analysis, steps, scope)
        try:
            rendered = caption(
                self._config,
                analysis,
                stem,
                read,
                self._counted,
                model=model,
                data=data,
                finding=finding,
            )
        except NeuroglotError as error:
            self._faults[str(error)] = None
            return Markup()
        return Markup(rendered)

    def _about_tables(
        self,
        analysis: Analysis[Any],
        steps: list[tuple[Step[Any, Any, Any], Scope]],
        model: str | None,
    ) -> Markup:
        """The words on the tables of a model."""
        if not steps:
            return Markup()
        first, scope = steps[0]
        data = self._data(analysis, first, model)
        names = tuple(step.name for step, _ in steps)
        return self._caption(analysis, "table", names, model, scope, data)

    def _table(
        self, analysis: Analysis[Any], step: Step[Any, Any, Any], model: str | None, name: str
    ) -> Table:
        path = self._path(analysis, step, model, f"{name}.csv")
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        data = self._data(analysis, step, model)
        return Table(
            title=name.replace("_", " "),
            columns=[column(data, str(label)) for label in table.columns],
            rows=table.head(SHOWN_ROWS).values.tolist(),
            count=number(len(table)),
            link=self._link(path),
        )

    def _data(
        self, analysis: Analysis[Any], step: Step[Any, Any, Any], model: str | None
    ) -> xr.Dataset:
        return store.open_dataset(layout.reduction(analysis.name, step.name, model), "reduction")

    def _path(
        self, analysis: Analysis[Any], step: Step[Any, Any, Any], model: str | None, file: str
    ) -> Path:
        """A file beside the dataset of a step."""
        return layout.reduction(analysis.name, step.name, model).with_name(file)

    def _link(self, path: Path) -> str:
        return quote(Path(os.path.relpath(path, self._folder)).as_posix())


def picture(path: Path) -> Picture:
    """Read a PNG as lossless WebP, which is smaller."""
    with Image.open(path) as image:
        pixels = image.convert("RGB")
    buffer = io.BytesIO()
    pixels.save(buffer, "WEBP", lossless=True, method=EFFORT)
    content = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/webp;base64,{content}", *pixels.size)


def column(data: xr.Dataset, name: str) -> Column:
    """What a dataset says of a column of its table; "" where it has no variable of that name."""
    told = data.variables[name].attrs if name in data.variables else {}
    return Column(name, str(told.get("long_name", "")), str(told.get("units", "")))
