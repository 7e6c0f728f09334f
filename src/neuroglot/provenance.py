"""Fingerprints of settings and of the code that a step can reach: only what changed is rerun.

Code counts definition by definition. From the definitions that a step names, those are followed
that they refer to, near or far, in this package; third-party packages are pinned with the
environment. Nothing is imported for it.

What counts:

- A function, a class with its bases, decorators, fields and methods, a constant with its
  expression: each as a whole. Beside its own code count the places that its names come from.
- What importing a module runs beside definitions (loops, bare calls, ``if`` blocks), for every
  module that is imported on the way; and definitions that such a module hands to what may keep
  them, such as a decorator that fills a table.
- The whole module where it cannot be told what of it is used: it is passed around or star-imported,
  lacks the name, or is imported by a literal name. By a name that is known in part, all modules
  that begin so; by any other name the whole package, unless the importer is in
  ``definitions.LOADERS``: what those load is named by their callers.

What does not: comments, docstrings, layout; annotations but for those of classes' fields and of
functions with a decorator that may read them; what words an error (the arguments of ``raise``, of
``assert`` and of calls to ``errors``), a ``print`` or ``warnings.warn`` or describes a pydantic
``Field``; the modules in ``definitions.UNCOUNTED``, and what ``definitions.WORDS`` matches; and the
entries of ``definitions.TABLES``, of which a step names the one that it uses:
``"module:TABLE[key]"``.

Limits:

- Methods are not looked up on instances. An object's class counts where it is constructed; that of
  an object which a step is given, by the annotations of the parameters of what the step names. If
  it is given a subclass, the step names that too.
- Nothing is known of classes that are found by ``__subclasses__`` or register themselves in
  ``__init_subclass__``, of code in strings or other processes, and of entry points.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from neuroglot import definitions, layout
from neuroglot.files import TICK, state_of, write_whole

_taken: dict[str, str] = {}  # fingerprints that this process took, by their targets


def digest(value: Any) -> str:
    """Hash anything JSON can hold; mappings are compared without regard to the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(*targets: str) -> str:
    """Hash the code that ``targets`` can reach.

    Args:
        targets: definitions, such as ``"neuroglot.measures.flatness:flatness"``, entries of tables
            (``"neuroglot.models.architectures:ARCHITECTURES[llama]"``) or modules, which stand for
            all their definitions.

    Returns:
        16 hexadecimal digits.

    Raises:
        ModuleNotFoundError: there is no such module.
        LookupError: the module does not define the name, or the table has no such entry.
    """
    name = " ".join(targets)
    found = _remembered(definitions.ROOT).get(name)
    if found is None:
        found = digest(_closure(targets))
    _taken[name] = found
    return found


def remember() -> None:
    """Keep this process's fingerprints for its jobs and the next run, until a module is written.

    The file is a shortcut and no result: reading all modules takes each job half a second.
    """
    state = _state(definitions.ROOT)
    written = max(max(one["mtime"], one["ctime"]) for one in state.values())
    if time.time_ns() - written > TICK:
        known = {"modules": digest(state), "fingerprints": _taken}
        write_whole(layout.CODE, json.dumps(known, indent=1, sort_keys=True).encode())


@cache
def _remembered(root: Path) -> dict[str, str]:
    """What was remembered of the modules as they are."""
    try:
        known = json.loads(layout.CODE.read_text("utf-8"))
        unchanged = known["modules"] == digest(_state(root))
        return dict(known["fingerprints"]) if unchanged else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def _state(root: Path) -> dict[str, dict[str, int]]:
    """What differs once a module was written, added or taken away."""
    return {str(path): state_of(path) for path in root.rglob("*.py")}


def reached(*targets: str) -> frozenset[str]:
    """Name the code that ``fingerprint`` hashes.

    Returns:
        Definitions as ``module:name``, and modules that run more than definitions.
    """
    return frozenset(_closure(targets))


def _closure(targets: tuple[str, ...]) -> dict[str, str]:
    """Digests of the units that are reached and have code."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [unit for target in targets for unit in _named(target)]
    while waiting:
        unit = waiting.pop()
        if unit in seen or not definitions.counts(unit):
            continue
        seen.add(unit)
        reading = definitions.reading(unit)
        if reading is not None:
            if reading.digest:
                found[unit] = reading.digest
            waiting.extend(reading.refers_to)
    return found


def _named(target: str) -> Iterator[str]:
    """The units that a target stands for, and the classes of what they are given."""
    name, _, qualified = target.partition(":")
    module = definitions.module(name)
    if module is None:
        raise ModuleNotFoundError(f"no module {name} to fingerprint")
    yield name
    for definition in [qualified] if qualified else module.definitions:
        for unit in definitions.named(name, definition):
            yield unit
            yield from definitions.annotated(unit)
