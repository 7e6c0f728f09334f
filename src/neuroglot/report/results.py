"""The figures and tables of a run, as the report shows them."""

import base64
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import xarray as xr
from PIL import Image

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Analysis, FigureSet, Scope, Step
from neuroglot.analyses.captions import Usage, caption, number, usages_of
from neuroglot.analyses.run import data_of, drawing
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.report.overview import as_yaml, counter

SHOWN_ROWS = 20
# Lossless WebP: more effort takes forty times as long to save 2 %.
SMALL: dict[str, Any] = {"lossless": True, "method": 3, "quality": 50}


class Picture(NamedTuple):
    """A figure: its file as a data URI, and the size of the page that it takes."""

    uri: str
    width: int
    height: int


class Shown(NamedTuple):
    """A figure with its caption.

    Attributes:
        place: id of its element; unique in the report.
        alternative: what it shows, in words for readers who do not see it.
        caption: HTML.
        link: the SVG, from the report's folder.
        front: whether the first section shows it too.
    """

    place: str
    title: str
    picture: Picture
    alternative: str
    caption: str
    link: str
    front: bool


class Column(NamedTuple):
    """A column of a table, and what its numbers are."""

    name: str
    meaning: str
    units: str


class Table(NamedTuple):
    """The first rows of a table.

    Attributes:
        length: number of all rows.
        link: the CSV file, from the report's folder.
    """

    title: str
    columns: list[Column]
    rows: list[list[str]]
    length: str
    link: str


class Part(NamedTuple):
    """The results of an analysis for one model, or of its comparisons between models.

    Attributes:
        place: id of its element; unique in the report.
        about_tables: HTML, a caption for all tables.
        files: names and links of files that are neither figures nor tables.
    """

    place: str
    title: str
    figures: list[Shown]
    tables: list[Table]
    about_tables: str
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
        """Read the results of ``config``, for a report in ``folder``."""
        self._config = config
        self._folder = folder
        self._counted = counter(config)
        self._faults: dict[str, None] = {}

    def sections(self) -> list[Section]:
        """Every configured analysis with all of its figures and tables.

        Raises:
            NeuroglotError: a result is missing, or captions cannot be rendered; names them all.
        """
        sections = [self._section(ANALYSES[name]) for name in self._config.analyses]
        if self._faults:
            raise NeuroglotError("\n".join(self._faults))
        return sections

    def _section(self, analysis: Analysis[Any]) -> Section:
        places = (*self._config.models_of(analysis.name), None)
        parts = [self._part(analysis, model) for model in places]
        settings = self._config.section(analysis.name).model_dump(mode="json")
        return Section(
            name=analysis.name,
            title=analysis.title,
            settings=as_yaml(settings),
            parts=[part for part in parts if part.figures or part.tables or part.files],
        )

    def _part(self, analysis: Analysis[Any], model: str | None) -> Part:
        """The results of one model or, without one, of comparisons between models."""
        sets = [
            (figure_set, scope)
            for figure_set in wanted.figure_sets(self._config, analysis)
            if (scope := self._scope(analysis, figure_set.steps, model))
        ]
        steps = {
            step: scope
            for step in wanted.steps(self._config, analysis)
            if (scope := self._scope(analysis, [step.name], model))
        }
        figures = [
            figure
            for figure_set, scope in sets
            for figure in self._figures(analysis, figure_set, model, scope)
        ]
        tables, about_tables = self._tables(analysis, steps, model)
        return Part(
            place=f"{analysis.name}.{model or ''}",
            title=model or "all models",
            figures=figures,
            tables=tables,
            about_tables=about_tables,
            files=[
                (file, self._link(_dataset(analysis, step, model).with_name(file)))
                for step in steps
                for file in step.files
            ],
        )

    def _scope(
        self, analysis: Analysis[Any], steps: Iterable[str], model: str | None
    ) -> Scope | None:
        """The scope of steps for one or no model; None if they are not made for it."""
        return wanted.scopes(self._config, analysis, steps).get(model)

    def _figures(
        self, analysis: Analysis[Any], figure_set: FigureSet, model: str | None, scope: Scope
    ) -> Iterator[Shown]:
        data = data_of(analysis, figure_set, scope)
        usages = usages_of(self._config, analysis, figure_set.steps, scope)
        folder = layout.figures(analysis.name, model)
        first = model in (None, self._config.models_of(analysis.name)[0])
        for stem in wanted.drawn(self._config, analysis, figure_set):
            title = stem.replace("_", " ")
            finding = drawing(analysis, figure_set, stem).finding(data)
            yield Shown(
                place=f"{analysis.name}.{model or ''}.{stem}",
                title=title,
                picture=picture(folder / f"{stem}.png"),
                alternative=f"{title} of {model or 'all models'}. {finding}".strip(),
                caption=self._caption(analysis, stem, usages, model, data, finding),
                link=self._link(folder / f"{stem}.svg"),
                front=first and stem in figure_set.front,
            )

    def _tables(
        self, analysis: Analysis[Any], steps: Mapping[Step[Any, Any, Any], Scope], model: str | None
    ) -> tuple[list[Table], str]:
        """The tables of some steps, and a caption for all of them."""
        tables: list[Table] = []
        about = ""
        usages: dict[str, Usage] = {}
        for step, scope in steps.items():
            if step.tables:
                path = _dataset(analysis, step, model)
                data = store.open_dataset(path, "reduction")
                files = [path.with_name(f"{name}.csv") for name in step.tables]
                tables += [table(file, data, self._link(file)) for file in files]
                usages |= usages_of(self._config, analysis, [step.name], scope)
        if tables:
            about = self._caption(analysis, "table", usages, model, data)
        return tables, about

    def _caption(
        self,
        analysis: Analysis[Any],
        stem: str,
        usages: Mapping[str, Usage],
        model: str | None,
        data: xr.Dataset,
        finding: str = "",
    ) -> str:
        """A caption as HTML; "" if it cannot be rendered, and the reason is kept."""
        run, counted = self._config, self._counted
        try:
            return caption(
                run, analysis, stem, usages, counted, model=model, data=data, finding=finding
            )
        except NeuroglotError as error:
            self._faults[str(error)] = None
            return ""

    def _link(self, path: Path) -> str:
        return quote(Path(os.path.relpath(path, self._folder)).as_posix())


def _dataset(analysis: Analysis[Any], step: Step[Any, Any, Any], model: str | None) -> Path:
    return layout.reduction(analysis.name, step.name, model)


def picture(path: Path) -> Picture:
    """Read a PNG as lossless WebP, which is smaller.

    Raises:
        NeuroglotError: the file is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            pixels = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises
        raise NeuroglotError(
            f"{path}: cannot be read as a picture: {error}; delete it and run the same command"
        ) from error
    buffer = io.BytesIO()
    pixels.save(buffer, "WEBP", **SMALL)
    content = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/webp;base64,{content}", *pixels.size)


def table(path: Path, data: xr.Dataset, link: str) -> Table:
    """Read the first rows of a CSV file, with what the dataset says of the columns.

    Raises:
        NeuroglotError: the file is damaged.
    """
    try:
        read = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # of pandas: its EmptyDataError and ParserError, and UTF-8
        raise NeuroglotError(
            f"{path} cannot be read as a table ({error}); delete it and run the same command again"
        ) from error
    return Table(
        title=path.stem.replace("_", " "),
        columns=[column(data, str(label)) for label in read.columns],
        rows=read.head(SHOWN_ROWS).values.tolist(),
        length=number(len(read)),
        link=link,
    )


def column(data: xr.Dataset, name: str) -> Column:
    """What a dataset says of a column of its table; "" where it has no variable of that name."""
    attributes = data.variables[name].attrs if name in data.variables else {}
    return Column(name, str(attributes.get("long_name", "")), str(attributes.get("units", "")))
