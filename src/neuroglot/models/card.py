"""The model card: what later steps know of a normalised model without loading it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot.errors import NeuroglotError

CARD = "card.json"

# The names under which architectures keep the number of positions a model was built for.
_WINDOW_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "n_ctx",
)
# Relative position biases have no last position; their n_positions is a leftover of the format.
_UNBOUNDED = frozenset({"t5", "mt5", "umt5"})


class ModelCard(BaseModel):
    """What a normalised model is; ``card.json`` is written last and so marks a folder complete.

    ``stacks`` maps ``encoder`` and ``decoder`` to their number of layers, ``layers`` is their sum,
    ``neurons`` the width of an FFN's hidden layer, ``hidden`` that of the residual stream,
    ``vocabulary`` the number of rows of the embedding, ``context_window`` the number of positions
    (None without a bound), ``dtype`` the one most ``parameters`` are stored in, and ``sha256`` the
    ``digest`` of the folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model_type: str
    architectures: tuple[str, ...]
    stacks: dict[str, int]
    layers: int
    neurons: int
    hidden: int
    vocabulary: int
    activation: str
    gated: bool
    context_window: int | None
    dtype: str
    parameters: int
    source: str
    sha256: str


def read_card(folder: Path) -> ModelCard:
    """Read the card of a normalised model.

    Raises:
        NeuroglotError: the folder holds no card, so it is not complete, or one of another format.
    """
    path = folder / CARD
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError:
        raise NeuroglotError(f"{folder} is not a complete model: it has no {CARD}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise NeuroglotError(f"{path}: {key}: {first['msg']}; make the model again") from None


def digest(folder: Path) -> str:
    """One SHA-256 over the name and content of every file of a model but its card, by name.

    These are the weights, the tokenizer and the configuration: all that decides an activation.
    """
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != CARD):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name}\0{content}\n".encode())
    return total.hexdigest()


def context_window(config: Mapping[str, Any]) -> int | None:
    """The number of positions a transformers configuration allows, or None without a bound."""
    if config.get("model_type") in _UNBOUNDED:
        return None
    return next((int(config[key]) for key in _WINDOW_KEYS if config.get(key)), None)
