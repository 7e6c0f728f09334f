"""The model card: what later steps know of a normalised model without loading it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot import provenance
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import architecture_digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CARD = "card.json"
TOKENIZER = "tokenizer.json"
BLOCK_BYTES = 1 << 24

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

    ``architecture`` is the digest of the entry in the table of architectures that it was made with,
    ``architectures`` are the classes its configuration names, ``stacks`` maps ``encoder`` and
    ``decoder`` to their number of layers, ``layers`` is their sum, ``neurons`` the widths of their
    FFNs' hidden layers, ``hidden`` that of the residual stream, ``vocabulary`` the number of rows
    of the embedding, ``context_window`` the number of positions (None without a bound), ``dtype``
    the one most ``parameters`` are stored in, ``files`` the ``checksums`` of all other files,
    ``sha256`` the ``digest`` of the folder, and ``check`` the fingerprint of all the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    model_type: str
    architecture: str
    architectures: tuple[str, ...]
    stacks: dict[str, int]
    layers: int
    neurons: tuple[int, ...]
    hidden: int
    vocabulary: int
    activation: str
    gated: bool
    context_window: int | None
    dtype: str
    parameters: int
    source: str
    files: dict[str, str]
    sha256: str
    check: str = ""

    @property
    def widest(self) -> int:
        """Neurons of the widest layer: what arrays ``[layer, neuron]`` are as wide as."""
        return max(self.neurons)


def write_card(folder: Path, card: ModelCard) -> ModelCard:
    """Write a card with what it is checked by, and return it."""
    card = card.model_copy(update={"check": _check(card)})
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", "utf-8")
    return card


def _check(card: ModelCard) -> str:
    return provenance.digest(card.model_dump(mode="json", exclude={"check"}))


def read_card(folder: Path) -> ModelCard:
    """Read the card of a normalised model.

    Raises:
        NeuroglotError: the folder holds no card, so it is not complete, or one of another format,
            or a damaged one.
    """
    path = folder / CARD
    try:
        card = ModelCard.model_validate_json(path.read_bytes())
    except OSError:
        raise NeuroglotError(f"{folder} is not a complete model: it has no {CARD}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise NeuroglotError(f"{path}: {key}: {first['msg']}; make the model again") from None
    if card.check != _check(card):
        raise NeuroglotError(f"{path} is damaged; remove {folder} and make the model again")
    return card


def is_current(folder: Path) -> bool:
    """Whether a folder holds a complete model whose architecture's entry is still what it was."""
    try:
        card = read_card(folder)
    except NeuroglotError:
        return False
    return card.architecture == architecture_digest(card.model_type)


def check_files(folder: Path, *names: str) -> None:
    """Refuse a model whose files are not those its card was written for.

    Args:
        folder: of the model.
        names: the files to check; all if left out.

    Raises:
        NeuroglotError: names the first file that is missing or another.
    """
    files = read_card(folder).files
    for name in names or files:
        path = folder / name
        if not path.is_file() or _crc32c(path) != files.get(name):
            state = "damaged" if path.is_file() else "missing"
            raise NeuroglotError(f"{path} is {state}; remove {folder} and make the model again")


def read_tokenizer(folder: Path) -> "Tokenizer":
    """Read a normalised model's tokenizer.

    Raises:
        NeuroglotError: it is missing or damaged.
    """
    from tokenizers import Tokenizer

    check_files(folder, TOKENIZER)
    return Tokenizer.from_file(str(folder / TOKENIZER))


def checksums(folder: Path) -> dict[str, str]:
    """CRC32C of every file of a model but its card, by name.

    These find damage at every load, which SHA-256 would make noticeably slower.
    """
    return {path.name: _crc32c(path) for path in _files(folder)}


def digest(folder: Path) -> str:
    """One SHA-256 over the name and content of every file of a model but its card, by name.

    These are the weights, the tokenizer and the configuration: all that decides an activation.
    """
    total = hashlib.sha256()
    for path in _files(folder):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name}\0{content}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)


def _crc32c(path: Path) -> str:
    import google_crc32c

    crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc = google_crc32c.extend(crc, block)
    return f"{crc:08x}"


def context_window(config: Mapping[str, Any]) -> int | None:
    """The number of positions a transformers configuration allows, or None without a bound."""
    if config.get("model_type") in _UNBOUNDED:
        return None
    return next((int(config[key]) for key in _WINDOW_KEYS if config.get(key)), None)
