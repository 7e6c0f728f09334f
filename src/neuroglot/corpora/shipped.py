"""Text and tables shipped with neuroglot."""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import TypeVar

from neuroglot.languages import with_script

T = TypeVar("T")


def shipped_text(*path: str) -> str:
    """Read a file of the package, such as `tasks`, `data`, `nli.tsv`."""
    return files("neuroglot").joinpath(*path).read_text(encoding="utf-8")


@cache
def shipped_table(name: str) -> dict[str, str]:
    """Read a two-column table of the package's `data` folder: language id to file or locale."""
    _, *rows = csv.reader(shipped_text("data", name).splitlines())
    return dict(rows)


def find_id(language: str, ids: Iterable[str]) -> str | None:
    """Find a language among ids, which may or may not contain the script (`zh`, `zh-hans`)."""
    by_script = {with_script(identifier): identifier for identifier in ids}
    return by_script.get(with_script(language))


def entry_of(language: str, entries: Mapping[str, T]) -> T | None:
    """Return a language's entry in a mapping by language, found as in `find_id`."""
    identifier = find_id(language, entries)
    return None if identifier is None else entries[identifier]
