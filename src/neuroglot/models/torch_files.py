"""Turns weights that PyTorch saved (``pytorch_model.bin``) into safetensors, without running code.

Such a file is a zip archive: a pickle that describes the tensors, and a record of bytes for each
storage. Python's unpickler, which runs what a pickle names, never sees it. The pickle's names are
listed first, and any that no plain tensor needs is refused; then PyTorch's restricted loader
(``weights_only=True``) reads it, and what it read must be tensors alone, no larger than the file.
"""

import json
import pickletools
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglot.errors import NeuroglotError
from neuroglot.models.source import WEIGHTS, WEIGHTS_INDEX

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_PICKLE = 64 << 20  # bytes; it holds names and shapes, about a hundred bytes a tensor
MOST_REPEATED = 4  # times a file's size, which tensors that share their bytes may take together

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_OF_TENSORS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {kind}Storage" for kind in _STORAGES),
    }
)
# Opcodes that name a class or function otherwise than by GLOBAL; torch.save writes none of them.
_OTHER_NAMES = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"})


def convert(files: Sequence[Path], folder: Path, tied: Collection[str]) -> None:
    """Write ``.bin`` files as safetensors into ``folder``, one for each, with an index if several.

    Values and precision stay as they are. Tensors that are one in the file are written once if the
    model ties them, else each on its own.

    Args:
        files: the checkpoint's ``.bin`` files.
        folder: where to.
        tied: the names of the parameters that the model ties to others.

    Raises:
        NeuroglotError: a file is cut, in PyTorch's format before 1.6, or holds anything but
            tensors; a tensor is in two files.
    """
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    size = 0
    for file in files:
        tensors = _distinct(_read(file), tied)
        if twice := sorted(places.keys() & tensors):
            raise NeuroglotError(f"{file} holds {twice[0]}, which {places[twice[0]]} holds too")
        target = WEIGHTS if len(files) == 1 else f"{file.stem}.safetensors"
        save_file(tensors, folder / target, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, target)
        size += sum(map(_bytes, tensors.values()))
    if len(files) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": places}
        (folder / WEIGHTS_INDEX).write_text(json.dumps(index, indent=2), "utf-8")


def _read(file: Path) -> dict[str, "Tensor"]:
    """The tensors of a file by name; they are mapped, so their values are not read yet."""
    import torch

    records = check_listing(file)
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # damage shows anywhere in the unpickler and in torch
        reason = " ".join(str(error).split())[:300]
        raise NeuroglotError(f"{file} cannot be read as tensors: {reason}") from error
    if not isinstance(content, Mapping):
        raise NeuroglotError(
            f"{file} holds one {type(content).__name__} instead of tensors by name"
        )
    for name, value in content.items():
        if not isinstance(name, str) or type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise NeuroglotError(
                f"{file} holds {str(name)[:100]!r}, a {type(value).__name__}; only tensors by name "
                "are taken, so save the model's state_dict alone"
            )
    tensors = {name: value.detach() for name, value in content.items()}
    _check_sizes(file, tensors, records)
    return tensors


def check_listing(file: Path) -> list[int]:
    """Check a file's listing and the names in its pickle; return the sizes of its records.

    Raises:
        NeuroglotError: it is cut, packed, in an older format, or names anything but tensors.
    """
    with file.open("rb") as opened:
        begins_as_archive = opened.read(4) == b"PK\x03\x04"
    if not begins_as_archive:
        raise NeuroglotError(
            f"{file} is not in the format of PyTorch 1.6 and later, and an older one can run code "
            "when loaded; if you trust it, convert it once with transformers: "
            "from_pretrained(FOLDER), then save_pretrained(NEW_FOLDER)"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(file, members)
            pickles = [each for each in members if each.filename.endswith("/data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
                raise NeuroglotError(
                    f"{file} is no file of tensors: it needs one data.pkl of at most "
                    f"{LARGEST_PICKLE} bytes"
                )
            _check_names(file, archive.read(pickles[0]))
    except NeuroglotError:
        raise
    except Exception as error:  # zipfile and pickletools raise many kinds of error
        raise NeuroglotError(
            f"{file} is not a whole PyTorch file: {' '.join(str(error).split())[:300]}"
        ) from error
    return [each.file_size for each in members if "/data/" in each.filename]


def _check_members(file: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive that is packed, claims more than the file holds, or repeats a name."""
    repeated = [name for name, count in Counter(m.filename for m in members).items() if count > 1]
    if repeated:
        raise NeuroglotError(f"{file} holds {repeated[0][:100]} twice")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise NeuroglotError(
                f"{file}: {member.filename[:100]} is packed, which torch.save is not"
            )
    claimed, size = sum(member.file_size for member in members), file.stat().st_size
    if claimed > size:
        raise NeuroglotError(f"{file} claims {claimed} bytes of content, and has {size} in all")


def _check_names(file: Path, pickled: bytes) -> None:
    """Refuse a pickle that names a class or function which no plain tensor needs."""
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in _OTHER_NAMES:
            raise NeuroglotError(f"{file}: its pickle calls by {operation.name}; it is refused")
        if operation.name == "GLOBAL" and argument not in _OF_TENSORS:
            raise NeuroglotError(
                f"{file} holds {str(argument)[:100].replace(' ', '.')}, which can run code or is "
                "no tensor; only plain tensors are taken, so save the model's state_dict alone"
            )


def _check_sizes(file: Path, tensors: Mapping[str, "Tensor"], records: Sequence[int]) -> None:
    """Refuse tensors that reach beyond their records, or repeat bytes to become immense."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors.values()
    }
    unlike = Counter(filter(None, storages.values())) - Counter(records)
    beyond = [
        name
        for name, tensor in tensors.items()
        if _bytes(tensor) > tensor.untyped_storage().nbytes()
    ]
    if unlike or beyond:
        named = f" ({beyond[0][:100]})" if beyond else ""
        raise NeuroglotError(f"{file} is damaged: tensors{named} and records differ in size")
    total, size = sum(map(_bytes, tensors.values())), file.stat().st_size
    if total > MOST_REPEATED * size:
        raise NeuroglotError(
            f"{file}: its tensors would take {total} bytes, more than {MOST_REPEATED} times the "
            "file's size; it is refused"
        )


def _bytes(tensor: "Tensor") -> int:
    return tensor.numel() * tensor.itemsize


def _distinct(tensors: Mapping[str, "Tensor"], tied: Collection[str]) -> dict[str, "Tensor"]:
    """The tensors with bytes of their own; of those that are one and tied, only the first."""
    kept: dict[str, Tensor] = {}
    seen: set[Any] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        place = (storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        # Older checkpoints leave out the first parts of names.
        if place in seen and any(other == name or other.endswith(f".{name}") for other in tied):
            continue
        shared = any(storage == other[0] for other in seen)
        seen.add(place)
        kept[name] = tensor.clone() if shared else tensor.contiguous()
    return kept
