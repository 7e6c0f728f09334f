"""Digests of files, computed once for a content: hashing a checkpoint of 14 GB takes a minute."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.provenance import TICK, state_of
from neuroglot.store import write_json


class Digests:
    """Digests of files, kept in a JSON file with each file's size, times and inode.

    The JSON file only saves time: it may be missing, damaged or not writable.
    """

    def __init__(self, path: Path, compute: Callable[[Path], str]) -> None:
        """Read the JSON file; ``compute`` gives the digest of a file's content."""
        self._path, self._compute = path, compute
        self._known = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def of(self, file: Path) -> str:
        """Return the digest of a file's content, which touching does not change.

        Raises:
            NeuroglotError: the file cannot be read.
        """
        try:
            name, before = str(file.absolute()), state_of(file)
            known = self._known.get(name)
            if isinstance(known, dict) and known.get("state") == before:
                return str(known.get("digest"))
            digest = self._compute(file)
            settled = time.time_ns() - max(before["mtime"], before["ctime"]) > TICK
            if settled:
                self.note({name: {"state": before, "digest": digest}})
        except OSError as error:
            raise NeuroglotError(f"{file}: cannot be read: {error.strerror}") from error
        return digest

    def note(self, entries: Mapping[str, Any]) -> None:
        """Add entries to the JSON file."""
        # Another process may have hashed other files since.
        self._known = {**self._read(), **self._known, **entries}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._known)
        except OSError:
            pass  # a read-only folder, or a full disk
