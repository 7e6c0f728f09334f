"""The model card: facts about a normalised model that later steps read without loading it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot import provenance
from neuroglot.digests import Digests
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import architecture_digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CARD = "card.json"
LANGUAGE_TAGS = "language_tags.json"
TOKENIZER = "tokenizer.json"
BLOCK_BYTES = 1 << 24

# Configuration keys for the number of positions of a model.
_WINDOW_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "n_ctx",
)
# These models have relative position biases and no last position; n_positions is unused.
_UNBOUNDED = frozenset({"t5", "mt5", "umt5"})
# These models number positions from the padding token's id on, so their first ones are not used.
_AFTER_PADDING = frozenset({"xlm-roberta"})


class ModelCard(BaseModel):
    """Facts about a normalised model; ``card.json`` is written last, so it marks a complete folder.

    Attributes:
        architecture: digest of the architecture's table entry when the model was made.
        architectures: the classes that the configuration names.
        stacks: number of layers of ``encoder`` and ``decoder``.
        layers: number of layers over all stacks.
        neurons: number of FFN neurons of each layer.
        hidden: width of the residual stream.
        vocabulary: number of token ids. Rows that only pad the embedding do not count.
        context_window: number of positions; None without a bound.
        dtype: the precision in which most parameters are stored.
        parameters: number of parameters.
        experts: number of routed experts of each layer, 0 where a layer is dense; () in a dense
            model.
        expert_neurons: neurons of a routed expert, which count in ``neurons``.
        slots: how many of a layer's experts a token passes through.
        source: where the model is from.
        reinitialised: seed of the random weights that replace the trained ones; None if none do.
        language_tags: tags of languages that the configuration chooses, by language.
        decoder_start: the token with which a decoder behind an encoder starts; None without one.
        files: ``checksums`` of all other files.
        sha256: ``digest`` of the folder.
        check: fingerprint of all other fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[5] = 5
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
    experts: tuple[int, ...] = ()
    expert_neurons: int = 0
    slots: int = 0
    language_tags: dict[str, str] = {}
    decoder_start: int | None = None
    reinitialised: int | None = None
    files: dict[str, str]
    sha256: str
    check: str = ""

    @property
    def widest(self) -> int:
        """Neurons of the widest layer, which is the width of arrays ``[layer, neuron]``."""
        return max(self.neurons)

    @property
    def routed(self) -> tuple[int, ...]:
        """The layers with routed experts, numbered over all stacks."""
        return tuple(layer for layer, count in enumerate(self.experts) if count)


def write_card(folder: Path, card: ModelCard) -> ModelCard:
    """Write a card with its ``check``, and return it."""
    card = card.model_copy(update={"check": _check(card)})
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", "utf-8")
    return card


def _check(card: ModelCard) -> str:
    return provenance.digest(card.model_dump(mode="json", exclude={"check"}))


def read_card(folder: Path) -> ModelCard:
    """Read the card of a normalised model.

    Raises:
        NeuroglotError: the card is missing (the folder is incomplete), damaged or of another
            format.
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
    """Whether a folder holds a complete model whose architecture's entry has not changed."""
    try:
        card = read_card(folder)
    except NeuroglotError:
        return False
    return card.architecture == architecture_digest(card.model_type)


def check_files(folder: Path, *names: str) -> None:
    """Refuse a model whose files differ from its card; a file's content is read once.

    Args:
        folder: the model's folder.
        names: the files to check; all if left out.

    Raises:
        NeuroglotError: names the first file that is missing or differs.
    """
    files = read_card(folder).files
    read = Digests(folder.with_name(f".{folder.name}.checked.json"), _crc32c)
    for name in names or files:
        path = folder / name
        if not path.is_file() or read.of(path) != files.get(name):
            state = "damaged" if path.is_file() else "missing"
            if path.is_symlink():
                changed = "has changed" if path.is_file() else "is gone"
                state = f"a link to {path.resolve()}, which {changed}"
            raise NeuroglotError(f"{path} is {state}; remove {folder} and make the model again")


def read_tokenizer(folder: Path) -> "Tokenizer":
    """Read a normalised model's tokenizer, which reads text that spells ``<s>`` as text.

    Raises:
        NeuroglotError: it is missing or damaged.
    """
    from tokenizers import Tokenizer

    check_files(folder, TOKENIZER)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.encode_special_tokens = True  # as transformers' split_special_tokens
    return tokenizer


def checksums(folder: Path) -> dict[str, str]:
    """CRC32C of every file of a model except its card, by name.

    They are checked when a model is loaded; SHA-256 would make loading noticeably slower.
    """
    return {path.name: _crc32c(path) for path in _files(folder)}


def digest(folder: Path) -> str:
    """One SHA-256 over the names and contents of all files of a model except its card.

    It covers the weights, the tokenizer and the configuration, which together fix every activation.
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
    """The number of positions that a transformers configuration allows; None without a bound."""
    if config.get("model_type") in _UNBOUNDED:
        return None
    window = next((int(config[key]) for key in _WINDOW_KEYS if config.get(key)), None)
    if window and config.get("model_type") in _AFTER_PADDING:
        return window - 1 - int(config["pad_token_id"])
    return window
