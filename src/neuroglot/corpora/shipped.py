"""Tables shipped with the package: the file of each language in a text package."""

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from neuroglot.languages import with_script


@cache
def shipped_table(name: str) -> dict[str, str]:
    """Read a two-column table of the package's `data` folder: language id to file or locale."""
    text = files("neuroglot").joinpath("data", name).read_text(encoding="utf-8")
    _, *rows = csv.reader(text.splitlines())
    return dict(rows)


def find_id(language_id: str, ids: Iterable[str]) -> str | None:
    """Find a language among ids, which may or may not contain the script (`zh`, `zh-hans`)."""
    by_script = {with_script(identifier): identifier for identifier in ids}
    return by_script.get(with_script(language_id))
