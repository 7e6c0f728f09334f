"""What analyses declare: it is there, typed from rule to step, and nothing is declared in vain."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

import xarray as xr

from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import (
    Analysis,
    FigureSet,
    Inputs,
    RunningSettings,
    StepSettings,
    WeightsSettings,
)
from neuroglot.analyses.roles.settings import ResampledSettings
from support.declared import every_analysis, every_family, every_step, step_module

SLOW = ("torch", "matplotlib", "xarray", "zarr", "pandas")
GIVEN = ("settings", "_settings")


def given(declared: Callable[..., Any]) -> Any:
    """The type that a function of a declaration says it returns."""
    return get_type_hints(declared)["return"]


def unread(settings: type[StepSettings], module: str, package: str) -> set[str]:
    """Fields of a step's own that neither its module nor what that imports of the package reads."""
    own = {*settings.model_fields} - {*RunningSettings.model_fields}
    return own - {name for tree in syntax(module, package) for name in read_settings(tree)}


def syntax(module: str, package: str) -> Iterator[ast.Module]:
    """A module's source and that of all it imports from a package, parsed."""
    waiting, seen = [module], {module}
    while waiting:
        tree = ast.parse(Path(str(find_spec(waiting.pop()).origin)).read_text("utf-8"))
        yield tree
        found = {one for one in imported(tree) if one.startswith(f"{package}.")} - seen
        seen |= found
        waiting += sorted(found)


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports, or imports names from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name.startswith("neuroglot.") and is_module(name):
                    yield name


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module itself
        return False


def read_settings(tree: ast.Module) -> Iterator[str]:
    """The attributes that are read of ``settings``, ``self.settings`` or ``self._settings``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if (isinstance(owner, ast.Name) and owner.id in GIVEN) or (
                isinstance(owner, ast.Attribute) and owner.attr in GIVEN
            ):
                yield node.attr


class TestSteps:
    @every_step
    def test_it_takes_what_the_declaration_gives(self, analysis, step) -> None:
        declared = {
            "inputs": given(step.inputs),
            "settings": given(step.settings),
            "return": xr.Dataset,
        }
        assert get_type_hints(step_module(analysis, step).compute) == declared
        assert issubclass(declared["inputs"], Inputs)
        assert issubclass(declared["settings"], StepSettings)

    @every_step
    def test_every_setting_is_read(self, analysis, step) -> None:
        module = f"{analysis.package}.steps.{step.name}"
        assert not unread(given(step.settings), module, analysis.package)

    @every_step
    def test_one_that_runs_a_model_is_told_where(self, analysis, step) -> None:
        if not callable(step.runs_model):  # else it depends on the configuration
            told = issubclass(given(step.settings), WeightsSettings)
            assert told == step.runs_model, analysis.name

    @every_step
    def test_tables_and_files_are_made(self, analysis, step) -> None:
        module = step_module(analysis, step)
        one, many = hasattr(module, "TABLE"), hasattr(module, "tables")
        assert (one or many) == bool(step.tables)
        assert not (one and many)
        assert not one or len(step.tables) == 1
        assert hasattr(module, "export") == bool(step.files)

    def test_a_setting_that_no_step_reads_is_found(self) -> None:
        class Declared(ResampledSettings):
            never: int

        package = ANALYSES["roles"].package
        module = f"{package}.steps.flatness"
        assert unread(Declared, module, package) == {"never"}
        assert not unread(ResampledSettings, module, package)

    def test_what_is_read_further_on_counts(self, tmp_path: Path, monkeypatch) -> None:
        for name, text in {
            "__init__": "",
            "step": "from sown.further import Reads\nimport json\nother.at_once",
            "further": "class Reads:\n    def f(self): return self._settings.later",
        }.items():
            (tmp_path / "sown").mkdir(exist_ok=True)
            (tmp_path / "sown" / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

        class Declared(StepSettings):
            later: int
            at_once: int

        assert unread(Declared, "sown.step", "sown") == {"at_once"}


class TestFigures:
    @every_family
    def test_the_module_draws_what_is_declared(
        self, analysis: Analysis[Any], family: FigureSet
    ) -> None:
        module = importlib.import_module(f"{analysis.package}.figures.{family.name}")
        assert tuple(module.FIGURES) == family.stems

    @every_family
    def test_its_steps_are_declared(self, analysis: Analysis[Any], family: FigureSet) -> None:
        steps = [analysis.step(name) for name in family.steps]
        assert len({step.compares_models for step in steps}) == 1
        assert not any(step.parts for step in steps)

    @every_analysis
    def test_every_figure_and_the_tables_have_a_caption(self, analysis: Analysis[Any]) -> None:
        stems = [stem for family in analysis.figures for stem in family.stems]
        assert len(stems) == len(set(stems))
        expected = {*stems, *(["table"] if any(step.tables for step in analysis.steps) else [])}
        captions = list((analysis.folder / "captions").glob("*.rst"))
        assert {path.stem for path in captions} == expected
        assert all(path.read_text("utf-8").strip() for path in captions)


class TestRegistry:
    @every_analysis
    def test_names_are_told_apart(self, analysis: Analysis[Any]) -> None:
        assert ANALYSES[analysis.name] is analysis
        assert importlib.import_module(analysis.package).__file__ == str(
            analysis.folder / "__init__.py"
        )
        files = [name for step in analysis.steps for name in (*step.tables, *step.files)]
        for names in (files, [step.name for step in analysis.steps]):
            assert len(names) == len(set(names))

    @every_analysis
    def test_a_way_of_naming_says_what_it_reads(self, analysis: Analysis[Any]) -> None:
        for naming in analysis.naming:
            assert [analysis.step(name).name for name in naming.steps] == list(naming.steps)

    def test_declarations_are_read_in_no_time(self) -> None:
        code = f"import sys, neuroglot.analyses; print(*({set(SLOW)!r} & {{*sys.modules}}))"
        process = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        assert process.stdout == "\n"
