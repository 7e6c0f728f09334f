"""Checks a checkpoint in Hugging Face's layout: all that is known without its weights' values.

``config check`` does this with local folders, and ``normalise`` with every checkpoint before it
copies weights.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf, torch_files
from neuroglot.models.card import LANGUAGE_TAGS, TOKENIZER
from neuroglot.models.chat import chat_in, write_chat
from neuroglot.models.describe import (
    Description,
    architecture,
    check_supported,
    describe,
    language_config,
)
from neuroglot.models.load import decoder_start, model_class
from neuroglot.models.source import (
    SAFETENSORS,
    VOCABULARIES,
    WEIGHTS_INDEX,
    ModelSettings,
    check_settings,
    checkpoint_settings,
    checkpoint_weights,
    place_of_weights,
)
from neuroglot.models.tags import tags_of

# Upper limits of configuration values for which transformers makes lists, by a part of the key.
_LARGEST = {"layer": 1000, "num_labels": 100_000}
# Weights without effect that older checkpoints hold: tables that models now compute, and versions.
_COMPUTED = re.compile(r"(^|\.)(version|position_ids|masked_bias|inv_freq|h\.\d+\.attn\.bias)$")
# Precisions of weights that are neither quantised nor damaged, as safetensors names them.
_REAL = frozenset({"F64", "F32", "F16", "BF16"})


def check_folder(settings: ModelSettings, chat: bool) -> tuple[Description, list[str]]:
    """Check a local folder's model as ``normalise`` does, without reading or copying its weights.

    With ``chat`` its chat template must be one that can be used. Of ``.bin`` weights only the
    listing is checked, because their names and shapes are known after they were converted.

    Returns:
        The model's sizes, and warnings.

    Raises:
        NeuroglotError: as ``normalise``, but for weights that are not finite.
    """
    with TemporaryDirectory() as made, quiet():
        work = Path(made)
        warnings = take_settings(settings, settings.folder, work, settings.source)
        if chat:
            check_chat(work, settings.source)
        check_weights(settings, settings.folder, work)
        return describe(read_config(work)), warnings


def take_settings(settings: ModelSettings, folder: Path, work: Path, source: str) -> list[str]:
    """Check all of a checkpoint but its weights, and copy it; return warnings."""
    check_settings(folder)
    config = read_config(folder)
    check_supported(config)
    for path in checkpoint_settings(folder):
        _copy_settings(path, work / path.name)
    ensure_tokenizer(work, source)
    _check_vocabulary(work, config, source)
    write_tags(settings, work, source)
    return list(_asked_code(folder, source, config.model_type))


def check_weights(settings: ModelSettings, folder: Path, work: Path) -> None:
    """Check the weights in ``folder``, as far as their headers tell, by the settings in ``work``.

    With a seed, trained weights do not matter; only the model must be possible.
    """
    if settings.reinitialise is not None:
        empty_model(folder, work)
    elif place_of_weights(folder) in SAFETENSORS:
        check_headers(folder, work, checkpoint_weights(folder))
    else:
        for file in checkpoint_weights(folder):
            torch_files.check_listing(file)
        empty_model(folder, work)


def _asked_code(folder: Path, source: str, model_type: str) -> Iterator[str]:
    """Warn that a checkpoint asks for code of its own, in whose place transformers' own is run."""
    for path in checkpoint_settings(folder):
        if path.suffix != ".json" or b'"auto_map"' not in path.read_bytes():
            continue
        named = _json_object(path).get("auto_map")
        if named:
            codes = named.values() if isinstance(named, dict) else [named]
            yield (
                f"warning: {source}: {path.name} asks for code of its own (auto_map: "
                f"{', '.join(map(str, codes))[:300]}), which is never run; transformers' own "
                f"{model_type!r} is run instead, so check that it is the same model"
            )


def empty_model(folder: Path, work: Path) -> Any:
    """The model of a configuration on the meta device, where weights have no values.

    Raises:
        NeuroglotError: no model can be made of the configuration, or the decoder of an
            encoder-decoder has no token to start with; names ``folder``.
    """
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(work, trust_remote_code=False)
    try:
        _require_layers(config)
        with torch.device("meta"):
            model = model_class(config).from_config(config)
    except Exception as error:  # any value of the configuration can make building the model fail
        reason = " ".join(str(error).split())[:500]
        raise NeuroglotError(f"{folder}: no model can be made of config.json: {reason}") from error
    if config.is_encoder_decoder:
        decoder_start(work, config, folder)
    return model


def _require_layers(config: Any) -> None:
    if min(describe(config)["stacks"].values()) < 1:
        raise ValueError("config.json says that there are no layers")


def read_config(folder: Path) -> Any:
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
            # Not ``vocab_size_per_layer_input``, which is no number of layers.
            if part in key and "size" not in key and written > largest:
                raise ValueError(f"{key} is {written:g}, and no model has more than {largest}")


def _copy_settings(source: Path, target: Path) -> None:
    """Copy a small file; remove ``auto_map``, which names code to load, from JSON."""
    content = source.read_bytes()
    if source.suffix == ".json" and b'"auto_map"' in content:
        settings = _json_object(source)
        settings.pop("auto_map", None)
        content = json.dumps(settings, indent=2, ensure_ascii=False).encode()
    target.write_bytes(content)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"found {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        raise NeuroglotError(f"{path}: is no JSON object: {error}") from error
    return content


def check_headers(folder: Path, work: Path, files: Sequence[Path]) -> None:
    """Refuse weights that lack a parameter of the model, hold others or have another shape.

    transformers would fill a parameter that is lacking with random numbers, leave out one that
    config.json denies, such as a bias, and only warn. The model is built on the meta device, so the
    weights are not read.

    Args:
        folder: the checkpoint's folder, for messages.
        work: folder with its settings.
        files: its safetensors, beside their index if they have one.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(work, trust_remote_code=False)
    stored = sum(_check_header(folder / file.name, file) for file in files)
    try:
        _require_layers(config)
        gguf.check_parameters(config, stored)
        with TemporaryDirectory() as together:
            index = files[0].parent / WEIGHTS_INDEX
            for file in [*work.iterdir(), *files, *([index] if index.is_file() else [])]:
                if not (link := Path(together) / file.name).is_symlink():
                    link.symlink_to(file.resolve())
            model, report = model_class(config).from_pretrained(
                together,
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
    computed = {
        name.removeprefix(f"{model.base_model_prefix}.") for name, _ in model.named_buffers()
    }
    other_heads = re.compile(architecture(config).unused or r"(?!)")
    unasked = {
        name
        for name in report["unexpected_keys"]
        if not _COMPUTED.search(name)
        and not other_heads.search(name)
        and name.removeprefix(f"{model.base_model_prefix}.") not in computed
    }
    faults = {
        "lack": {name for name in report["missing_keys"] if not other_heads.search(name)},
        "have another shape than config.json says for": report["mismatched_keys"],
        "hold what no part of the model that config.json describes uses (correct config.json, or "
        "take them out of the weights):": unasked,
    }
    for fault, keys in faults.items():
        if names := sorted(map(str, keys)):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            raise NeuroglotError(f"{folder}: the weights {fault} {shown}")
    if config.is_encoder_decoder:
        decoder_start(work, config, folder)


def _check_header(named: Path, path: Path) -> int:
    """Read a safetensors file's header and return the number of values in the file."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as weights:
            headers = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118
            dtypes = {name: header.get_dtype() for name, header in headers.items()}
            values = sum(int(math.prod(header.get_shape())) for header in headers.values())
    except Exception as error:  # safetensors and Python's mmap raise different errors
        raise NeuroglotError(f"{named} is not a whole safetensors file: {error}") from error
    for name, dtype in dtypes.items():
        if dtype not in _REAL and (name.endswith("weight") or dtype.startswith("F")):
            raise NeuroglotError(
                f"{named}: weight {name} is stored as {dtype}, so it is quantised or damaged; give "
                "the unquantised checkpoint"
            )
    return values


def ensure_tokenizer(work: Path, source: str) -> None:
    """Write the model's own tokenizer, as transformers makes it of all its files, as one file.

    ``tokenizer_config.json`` can change what ``tokenizer.json`` says, such as whether a text begins
    with a special token. ``tokenizer.json`` alone is taken if its class exists only in Python.
    What its chat template writes is written beside it.
    """
    import transformers
    from tokenizers import Tokenizer

    if not any((work / name).is_file() for name in VOCABULARIES):
        raise NeuroglotError(
            f"{source} has no tokenizer: none of {', '.join(VOCABULARIES)} is there; put the "
            "model's own beside config.json"
        )
    whole = (work / TOKENIZER).is_file()
    try:
        if whole:
            Tokenizer.from_file(str(work / TOKENIZER)).encode("text")  # finds more faults
        with reading_sentencepiece():
            tokenizer = transformers.AutoTokenizer.from_pretrained(work, trust_remote_code=False)
        if tokenizer.is_fast:
            tokenizer.backend_tokenizer.save(str(work / TOKENIZER))
            Tokenizer.from_file(str(work / TOKENIZER)).encode("text")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic is a BaseException only
        file = TOKENIZER if whole else "files"
        raise NeuroglotError(f"{source}: its tokenizer {file} cannot be read: {error}") from error
    if not whole and not tokenizer.is_fast:
        raise NeuroglotError(
            f"{source}: its {type(tokenizer).__name__} exists only in Python, which does not tell "
            f"the characters each token covers, and transformers cannot convert it; put a "
            f"{TOKENIZER} beside it"
        )
    write_chat(work, tokenizer)


def check_chat(work: Path, source: str) -> None:
    """Refuse a model that is asked in a chat and has no chat template that can be used."""
    try:
        chat_in(work)
    except NeuroglotError as error:
        raise NeuroglotError(
            f"{source}: a task has chat: true, and {error}; take chat out of the task, or leave "
            "the model out of the analysis"
        ) from None


def _check_vocabulary(work: Path, config: Any, source: str) -> None:
    """Refuse a tokenizer that lacks most tokens of the model, or those that it puts beside a text.

    transformers makes such a one where it does not read a file in which the tokens are.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(work / TOKENIZER))
    encoding = tokenizer.encode("text")
    beside = zip(encoding.tokens, encoding.ids, encoding.special_tokens_mask, strict=True)
    for token, number, special in beside:
        if special and tokenizer.id_to_token(number) != token:
            raise NeuroglotError(
                f"{source}: its tokenizer puts {token!r} beside each text and has no such token; "
                f"put the model's own {TOKENIZER} beside config.json"
            )
    tokens, rows = last_token(work) + 1, language_config(config).vocab_size
    if isinstance(rows, int) and tokens < rows // 2:
        raise NeuroglotError(
            f"{source}: its tokenizer has {tokens} tokens and its embedding {rows} rows, so the "
            "tokenizer is another model's, or transformers does not read all of its files; put "
            f"the model's own {TOKENIZER} beside config.json"
        )


def write_tags(settings: ModelSettings, work: Path, source: str) -> None:
    """Keep the chosen tags of languages beside the tokenizer, if it has a use for them."""
    from tokenizers import Tokenizer

    chosen = settings.language_tags
    if not chosen:
        return
    tokenizer = Tokenizer.from_file(str(work / TOKENIZER))
    if not tags_of(tokenizer, tokenizer.encode("text").ids):
        raise NeuroglotError(
            f"{source}: language_tags: its tokenizer puts no language's tag beside a text; leave "
            "the key out"
        )
    for language, tag in chosen.items():
        if tokenizer.token_to_id(tag) is None:
            raise NeuroglotError(
                f"{source}: language_tags.{language}: its tokenizer has no token {tag!r}"
            )
    (work / LANGUAGE_TAGS).write_text(json.dumps(chosen, indent=2, sort_keys=True) + "\n", "utf-8")


def last_token(work: Path) -> int:
    """The largest id that the tokenizer has."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(work / TOKENIZER))
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


@contextmanager
def reading_sentencepiece() -> Iterator[None]:
    """Let transformers read SentencePiece models with its own description of their format.

    It prefers that of the package sentencepiece, which needs protobuf 7, and other packages here
    need protobuf 6. Without either, transformers reads another format and fails.
    """
    from transformers.convert_slow_tokenizer import import_protobuf
    from transformers.utils import sentencepiece_model_pb2_new as description

    module = import_protobuf.__globals__  # by name transformers gives a function in its place
    module["import_protobuf"] = lambda *_: description
    try:
        yield
    finally:
        module["import_protobuf"] = import_protobuf


@contextmanager
def quiet() -> Iterator[None]:
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
