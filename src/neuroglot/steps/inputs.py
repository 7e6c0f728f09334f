"""What a reduction reads: a model, stores and texts, told apart by what they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xarray as xr

from neuroglot import store
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import CARD, ModelCard, read_card
from neuroglot.packages import file_sha256
from neuroglot.provenance import digest


@dataclass(frozen=True)
class Inputs:
    """The inputs of one reduction.

    Attributes:
        paths: sorted; folders of models, Zarr stores and Parquet files of texts.
        execution: how much to do at a time.
        pieces: a folder for parts that an interrupted or later run need not compute again.
        fingerprint: of the inputs, the settings and the code together.
    """

    paths: tuple[Path, ...]
    execution: ExecutionSettings
    pieces: Path
    fingerprint: str = ""

    @property
    def progress(self) -> Path:
        """A folder for what this very reduction has done; it is removed once all is done."""
        return self.pieces / self.fingerprint

    @cached_property
    def models(self) -> list[Path]:
        """Folders of models."""
        return [path for path in self.paths if (path / CARD).is_file()]

    @property
    def model(self) -> Path:
        """The one model."""
        return _one("model", self.models)

    @property
    def texts(self) -> list[Path]:
        """Parquet files of corpora."""
        return [path for path in self.paths if path.suffix == ".parquet"]

    @cached_property
    def _records(self) -> dict[Path, store.Record]:
        """Records by path; an activation store has one for each of its groups."""
        found: dict[Path, store.Record] = {}
        for path in self.paths:
            if path not in self.models and path not in self.texts:
                groups = {path / name: record for name, record in store.held(path).items()}
                found |= groups or {path: store.read_record(path)}
        return found

    def stores(self, kind: store.Kind) -> list[Path]:
        """Stores of a kind; of activations their groups, those of a whole store all."""
        return [path for path, record in self._records.items() if record.kind == kind]

    def reductions(self, name: str) -> list[Path]:
        """Stores of a reduction, named ``{paper}/{name}``."""
        return [
            path for path, record in self._records.items() if record.origin.get("reduction") == name
        ]

    def reduction(self, name: str) -> xr.Dataset:
        """The one dataset of a reduction, named ``{paper}/{name}``."""
        return store.open_dataset(_one(name, self.reductions(name)), "reduction")

    def identities(self) -> list[str]:
        """What each input was made from or holds, in the order of the paths."""
        return [
            read_card(path).sha256
            if path in self.models
            else file_sha256(path)
            if path in self.texts
            else self._fingerprint(path)
            for path in self.paths
        ]

    def _fingerprint(self, path: Path) -> str:
        own = [one.fingerprint for p, one in self._records.items() if path in (p, p.parent)]
        return own[0] if path in self._records else digest(own)

    def cards(self) -> list[str]:
        """Digests of the models that the inputs are or were made with."""
        own = [read_card(path).sha256 for path in self.models]
        made_with = [
            card for record in self._records.values() for card in record.origin.get("cards", [])
        ]
        single = [
            record.origin["card"] for record in self._records.values() if "card" in record.origin
        ]
        return sorted({*own, *made_with, *single})

    def card(self) -> ModelCard:
        """The card of the one model."""
        return read_card(self.model)


def _one(name: str, paths: Sequence[Path]) -> Path:
    if len(paths) != 1:
        found = ", ".join(map(str, paths)) or "none"
        raise NeuroglotError(f"this step reads exactly one {name}; it was given {found}")
    return paths[0]
