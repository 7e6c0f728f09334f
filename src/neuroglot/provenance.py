"""Fingerprints of settings and of the code a step really runs: only what changed is rerun."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = __package__
ROOT = Path(__file__).parent


def digest(value: Any) -> str:
    """Hash anything JSON can hold; mappings are compared without regard to the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(*modules: str) -> str:
    """Hash the code of ``modules`` and of every package module they import, near or far.

    Comments, docstrings and layout do not count: editing them changes no result. Imports inside
    functions do. Third-party packages are left out; their versions are pinned with the environment.

    Args:
        modules: full names, such as ``"neuroglot.analyses.roles.measures.flatness"``.

    Returns:
        16 hexadecimal digits.
    """
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting.extend(_imports(module))
    return digest({module: _code(module) for module in sorted(reached)})


def _path(module: str) -> Path | None:
    """Locate a module of this package without importing it; None if it is not a module."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    stem = ROOT.joinpath(*parts[1:])
    if (stem / "__init__.py").is_file():
        return stem / "__init__.py"
    return stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else None


@cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"no module {module} to fingerprint")
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return tree


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@cache
def _code(module: str) -> str:
    return hashlib.sha256(ast.dump(_tree(module)).encode()).hexdigest()


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Name the package's own modules that ``module`` imports, at its top or inside functions."""
    return tuple(sorted({name for name in _imported_names(module) if _path(name)}))


def _imported_names(module: str) -> Iterator[str]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                path = _path(module)
                is_package = path is not None and path.name == "__init__.py"
                parts = module.split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    """A module runs its packages' ``__init__`` first, so those count too."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end])
