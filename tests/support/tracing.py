"""Records which of the package's definitions are executed, to compare with those code can reach."""

import ast
import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import neuroglot
from neuroglot import definitions, provenance

ROOT = Path(neuroglot.__file__).parent


@contextmanager
def executed() -> Iterator[set[str]]:
    """Collect every top-level definition, ``module:name``, whose code runs, in any thread.

    All modules are imported before: what importing runs is not what a step reaches.
    """
    for module in pkgutil.walk_packages([str(ROOT)], "neuroglot."):
        with suppress(ModuleNotFoundError):  # of a package that only some analyses need
            importlib.import_module(module.name)
    codes: set[CodeType] = set()
    with _monitored(codes) if hasattr(sys, "monitoring") else _profiled(codes):
        found: set[str] = set()
        yield found
    found.update(name for name in map(_definition, codes) if name)


def unreached(found: set[str], *targets: str) -> set[str]:
    """Of the definitions that were executed, those that count and that ``targets`` do not reach."""
    return {one for one in found - provenance.reached(*targets) if definitions.counts(one)}


@contextmanager
def _profiled(codes: set[CodeType]) -> Iterator[None]:
    """Up to Python 3.11."""

    def note(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


@contextmanager
def _monitored(codes: set[CodeType]) -> Iterator[None]:
    """From Python 3.12 on."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]

    def note(code: CodeType, _offset: int) -> Any:
        codes.add(code)
        return monitoring.DISABLE

    tool = next(one for one in range(6) if monitoring.get_tool(one) is None)
    monitoring.use_tool_id(tool, "neuroglot tests")
    monitoring.register_callback(tool, monitoring.events.PY_START, note)
    monitoring.set_events(tool, monitoring.events.PY_START)
    monitoring.restart_events()
    try:
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


def _definition(code: CodeType) -> str | None:
    """The definition in whose lines some code lies; None for a module's own and other packages'."""
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT) or code.co_name == "<module>":
        return None
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(["neuroglot", *(part for part in parts if part != "__init__")])
    for first, last, defined in _lines(path):
        if first <= code.co_firstlineno <= last:
            return f"{name}:{defined}"
    raise AssertionError(f"{path}:{code.co_firstlineno} lies in no definition")


@cache
def _lines(path: Path) -> list[tuple[int, int, str]]:
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                name = node.name
            case ast.Assign(targets=[ast.Name(id=name), *_]):
                pass
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case _:
                continue
        found.append((first, node.end_lineno or first, name))
    return found
