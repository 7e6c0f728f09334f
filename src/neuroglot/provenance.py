"""Fingerprints of settings and of the code that a step can reach: only changed steps are rerun.

Code is hashed by definition. A step names some definitions; all definitions of this package that
they refer to, directly or indirectly, are hashed too. Third-party packages are pinned by the
environment. Nothing is imported for this.

These count:

- Functions; classes with their bases, decorators, fields and methods; constants with their
  expression. Each counts as a whole, and so does where each of its names comes from.
- Code that runs when a module is imported (loops, bare calls, ``if`` blocks), for every module that
  is imported on the way; and the module's definitions that are passed to code that may keep them,
  such as a decorator that fills a table.
- A whole module, if it is unknown which part of it is used: the module is passed around,
  star-imported, imported by a literal name, or lacks the name. If only the start of an imported
  name is known, all modules whose names start so count. If nothing of the name is known, the whole
  package counts, unless the importer is in ``definitions.LOADERS``, whose callers name the modules.

These do not count:

- comments, docstrings and layout;
- annotations, except those of class fields and of functions with a decorator that may read them;
- words of messages: arguments of ``raise``, ``assert``, ``print``, ``warnings.warn`` and of calls
  to ``errors``, and descriptions of pydantic ``Field``s;
- modules in ``definitions.UNCOUNTED``, and definitions that match ``definitions.WORDS``;
- entries of tables in ``definitions.TABLES``, unless a step names them as ``"module:TABLE[key]"``.

Limits:

- Methods are not looked up on instances. An object's class counts where the object is constructed.
  The class of an object that a step receives counts if it annotates a parameter of a definition
  that the step names as a target. If a step receives a subclass, it must name the subclass.
- These are not found: classes reached by ``__subclasses__`` or registered in ``__init_subclass__``,
  code in strings or other processes, and entry points.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from neuroglot import definitions, layout
from neuroglot.files import write_whole

# Nanoseconds within which two changes of a file may give it the same times (network file systems).
TICK = 2_000_000_000

_taken: dict[str, str] = {}  # fingerprints that this process has computed, by their targets


def digest(value: Any) -> str:
    """Hash a value that JSON can hold; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(*targets: str) -> str:
    """Hash the code that ``targets`` can reach.

    Args:
        targets: definitions, such as ``"neuroglot.measures.flatness:flatness"``; entries of tables
            (``"neuroglot.models.architectures:ARCHITECTURES[llama]"``); or modules, which stand for
            all of their definitions.

    Returns:
        16 hexadecimal digits.

    Raises:
        ModuleNotFoundError: there is no such module.
        LookupError: the module does not define the name, or the table has no such entry.
    """
    _state_before(definitions.ROOT)
    name = " ".join(targets)
    known = _remembered(definitions.ROOT).get(name)
    _taken[name] = digest(_closure(targets)) if known is None else known
    return _taken[name]


def remember() -> None:
    """Save fingerprints for this process's jobs and the next run, until a module changes.

    They are those that this process has computed, and those that modules take of themselves while a
    job runs. The file only saves time: reading all modules takes each job up to a second.
    """
    state = _state_before(definitions.ROOT)
    for file in map(Path, state):
        if f"{fingerprint.__name__}(__name__)" in file.read_text("utf-8"):
            fingerprint(definitions.name_of(file))
    if not state or state != _state(definitions.ROOT):
        return  # a module was written while others were read
    written = max(max(times["mtime"], times["ctime"]) for times in state.values())
    if time.time_ns() - written > TICK:
        known = {"modules": digest(state), "fingerprints": _taken}
        write_whole(layout.CODE, json.dumps(known, indent=1, sort_keys=True).encode())


@cache
def _remembered(root: Path) -> dict[str, str]:
    """The saved fingerprints, if no module has changed since."""
    try:
        known = json.loads(layout.CODE.read_text("utf-8"))
        unchanged = known["modules"] == digest(_state_before(root))
        return dict(known["fingerprints"]) if unchanged else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


@cache
def _state_before(root: Path) -> dict[str, dict[str, int]]:
    """The state of all modules' files before this process read the first one."""
    return _state(root)


def _state(root: Path) -> dict[str, dict[str, int]]:
    """The state of all modules' files, to see whether one was written, added or removed."""
    try:
        return {str(path): state_of(path) for path in definitions.files(root)}
    except OSError:
        return {}  # a file was removed just now


def state_of(file: Path) -> dict[str, int]:
    """A file's state, which changes if it is written or replaced, whatever its mtime is set to."""
    stat = file.stat()
    return {
        "size": stat.st_size,
        "mtime": stat.st_mtime_ns,
        "ctime": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }


def reached(*targets: str) -> frozenset[str]:
    """Name the code that ``fingerprint`` hashes.

    Returns:
        Definitions as ``module:name``, and modules that run other code than definitions.
    """
    return frozenset(_closure(targets))


def _closure(targets: tuple[str, ...]) -> dict[str, str]:
    """Digests of the units that can be reached and have code."""
    digests: dict[str, str] = {}
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
                digests[unit] = reading.digest
            waiting.extend(reading.refers_to)
    return digests


def _named(target: str) -> Iterator[str]:
    """The units of a target, and the classes in the annotations of their parameters."""
    name, _, qualified = target.partition(":")
    module = definitions.module(name)
    if module is None:
        raise ModuleNotFoundError(f"no module {name} to fingerprint")
    yield name
    for definition in [qualified] if qualified else module.definitions:
        for unit in definitions.named(name, definition):
            yield unit
            yield from definitions.annotated(unit)
