"""Records the groups of statistics or rows that are missing for a model's texts."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture import labels
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import (
    BY_FOLD,
    BY_SEGMENT,
    Collector,
    firing_collectors,
    reached_collector,
    role_collectors,
    routing_collectors,
)
from neuroglot.capture.engine import Engine
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    FiringSiteGroup,
    Group,
    PromptsGroup,
    RolesGroup,
    RoutingGroup,
)
from neuroglot.capture.tokenise import tokenised, tokenizer_of
from neuroglot.corpora.base import Reading, Segment
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import FOLDS
from neuroglot.models.card import ModelCard, read_card
from neuroglot.models.chat import read_chat
from neuroglot.models.ffn import FFN
from neuroglot.models.load import load
from neuroglot.provenance import digest
from neuroglot.running import batches
from neuroglot.tasks.base import read_items
from neuroglot.tokens import ROW, Tokens, as_tokens, read_tokens, token_labels

# A store's file with the fingerprints of the groups that its unfinished pass records. The progress
# in the store is the progress of these groups.
UNDER_WAY = "under-way.json"
LABELS = ("model", "corpus", "language")


@dataclass(frozen=True)
class Wanted:
    """The groups to record of one text in one language.

    Attributes:
        source: a corpus' token store, or a task's ``{task}/{language}.parquet``.
        reads: what ``source`` holds.
        store: the store to write, ``{corpus or task}/{language}.zarr``; each group is a folder in
            it.
        groups: the groups with their keys. A key changes with the text, the model, the settings
            and the code, but not with the group's own fields, which ``Group.satisfied_by``
            compares. Last tokens cannot be in one store with other tokens.
    """

    source: Path
    reads: Literal["tokens", "items"]
    store: Path
    groups: Mapping[Group, str]


def missing(held: Mapping[str, store.Completion], groups: Mapping[Group, str]) -> dict[Group, str]:
    """Those of the wanted ``groups`` that a store lacks or holds out of date, with their keys.

    ``held`` are the store's completion records, from ``store.held``.
    """
    return {
        group: key
        for group, key in groups.items()
        if group.name not in held
        or held[group.name].key != key
        or not group.satisfied_by(held[group.name])
    }


def record(
    model: Path,
    wanted: Sequence[Wanted],
    settings: CaptureSettings,
    execution: ExecutionSettings,
) -> None:
    """Record the missing groups of several texts, in one pass for each store.

    The model is loaded once, and only if a group is missing. An interrupted pass is continued.

    Args:
        model: the model's folder.
        wanted: the groups to record of each text.
        settings: how the model is run and rows are stored.
        execution: how much to do at a time.

    Raises:
        NeuroglotError: a text is missing, was tokenised for another model or does not fit this
            model; the model lacks a site; activations cannot be stored.
    """
    card = read_card(model)
    batch_tokens = batches(settings.device, settings.dtype, execution)
    engine: Engine | None = None
    for request in wanted:
        text = _text(model, card, request)
        parts = [
            _Part.of(group, key, text.origin, settings, batch_tokens, card)
            for group, key in request.groups.items()
        ]
        _clear(request.store)
        lacking = _begin(request.store, parts)
        if lacking:
            engine = engine or Engine(load(model, settings.device, settings.dtype), execution)
            _pass(engine, model, text.read(), request.store, lacking)
        store.consolidate(request.store, _attributes(text.origin))


@dataclass(frozen=True)
class _Text:
    """A text: what origins of its recordings say of it, and a function that reads its tokens."""

    origin: dict[str, Any]
    read: Callable[[], Tokens]


def _text(model: Path, card: ModelCard, request: Wanted) -> _Text:
    source = request.source
    if request.reads == "tokens":
        tokens = store.read_completion(source, "tokens")
        if tokens.origin["card"] != card.sha256:
            raise NeuroglotError(
                f"{source} was made with another model than {model}; make it again"
            )
        origin = {label: tokens.origin[label] for label in LABELS}
        origin |= {"card": card.sha256, "tokens": tokens.fingerprint}
        return _Text(origin, lambda: read_tokens(source))
    items = read_items(source).items
    reading = Reading(tuple(Segment(item.id, item.prompt) for item in items))
    told = items[0].chat, items[0].answered_in  # the same in all items of a file
    origin = {
        "model": model.name,
        "corpus": source.parent.name,
        "language": source.stem,
        "card": card.sha256,
        "tokens": digest([reading.content, told]),
    }

    def read() -> Tokens:
        chat = read_chat(model) if told[0] else None
        tokenizer, answered_in = tokenizer_of(model), told[1]
        return as_tokens(
            tokenised(card, tokenizer, source, reading, "refuse", "last", chat, answered_in)
        )

    return _Text(origin, read)


@dataclass(frozen=True)
class _Part:
    """A group that is to be recorded of a text.

    Attributes:
        group: the group, with ``auto`` replaced by the model's site.
        key: see ``Wanted``.
        origin: what the group's completion record says it was made from.
        recording: what to keep of the forward pass.
    """

    group: Group
    key: str
    origin: dict[str, Any]
    recording: Recording

    @classmethod
    def of(
        cls,
        group: Group,
        key: str,
        text: Mapping[str, Any],
        settings: CaptureSettings,
        batch_tokens: int | None,
        card: ModelCard,
    ) -> "_Part":
        """Prepare a group of the text with the origin ``text``."""
        if isinstance(group, FiringSiteGroup):
            if group.site == "gate" and not card.gated:
                raise NeuroglotError(
                    f"{text['model']} has no gates; set sharing.site to auto or act"
                )
            group = group.of(card.gated)
        kept: dict[str, Any] = {"keep_bits": group.kept_bits(settings)}
        if isinstance(group, RoutingGroup) and not card.routed:
            raise NeuroglotError(f"{text['model']} is no mixture of experts: it has no routing")
        if card.routed and not group.mixtures:
            raise NeuroglotError(
                f"{text['model']} is a mixture of experts, of which {group.name} of "
                f"{text['corpus']} cannot be recorded; leave it out of the analyses that need them"
            )
        if group.store_dtype:
            kept["store_dtype"] = group.store_dtype
        settings = settings.model_copy(update=kept)
        recording = Recording(
            sites=group.sites,
            over=group.over,
            collectors=tuple(_collectors(group, card)),
            store_dtype=settings.store_dtype,
            segments=group.first_segments,
            peak_of=group.site if isinstance(group, PromptsGroup) else "act",
            keep_bits=settings.keep_bits,
        )
        # Statistics do not depend on how rows are stored.
        exclude = set() if recording.sites else {"store_dtype"}
        origin = {
            **text,
            "name": group.name,
            "group": group.model_dump(),
            "gated": card.gated,
            "settings": settings.model_dump(exclude=exclude) | {"batch_tokens": batch_tokens},
        }
        return cls(group, key, origin, recording)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the group's completion record."""
        return store.Completion(content="activations", origin=self.origin, key=self.key).fingerprint


def _collectors(group: Group, card: ModelCard) -> list[Collector]:
    if isinstance(group, RolesGroup):
        return role_collectors(group.rule, group.threshold)
    if isinstance(group, RoutingGroup):
        return routing_collectors(card.slots)
    if isinstance(group, FiringGroup):
        return [*firing_collectors(card.gated), *([reached_collector()] if card.routed else [])]
    return []


def _clear(path: Path) -> None:
    """Remove a store of an earlier neuroglot, in which groups had no folders of their own."""
    if (path / store.ORIGIN).is_file():
        shutil.rmtree(path)


def _begin(path: Path, parts: Sequence[_Part]) -> list[_Part]:
    """Prepare a store for the groups that it lacks, and return these groups.

    Progress of an earlier pass is kept only if that pass recorded all of these groups, each with
    the fingerprint that it has now. Groups that are begun, but not wanted now, are removed.
    """
    groups = missing(store.held(path), {part.group: part.key for part in parts})
    lacking = []
    all_begun = True
    for part in parts:
        if part.group in groups:
            folder = path / part.group.name
            all_begun &= (folder / store.ORIGIN).is_file()
            if not store.begin(
                folder, "activations", part.origin, resume=True, replace=True, key=part.key
            ):
                lacking.append(part)
    if not lacking:
        return []
    fingerprints = {part.group.name: part.fingerprint for part in lacking}
    if not all_begun or not fingerprints.items() <= _under_way(path).items():
        shutil.rmtree(path / store.PROGRESS, ignore_errors=True)
    store.write_json(path / UNDER_WAY, fingerprints)
    for folder in path.iterdir():  # groups that an earlier pass began and that are not wanted now
        begun_only = (folder / store.ORIGIN).is_file() and not (folder / store.COMPLETE).is_file()
        if begun_only and folder.name not in fingerprints:
            shutil.rmtree(folder)
    # Until the pass is done, the store's metadata list only the complete groups.
    store.consolidate(path, _attributes(lacking[0].origin))
    return lacking


def _under_way(path: Path) -> dict[str, str]:
    """Read the fingerprints of the groups that a store's unfinished pass records, by group."""
    try:
        begun = json.loads((path / UNDER_WAY).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return begun if isinstance(begun, dict) else {}


def _pass(engine: Engine, model: Path, tokens: Tokens, path: Path, parts: Sequence[_Part]) -> None:
    """Run the model over a text, write the begun groups and complete them."""
    recordings: dict[str, Recording] = {part.group.name: part.recording for part in parts}
    description = " ".join(parts[0].origin[label] for label in LABELS)
    sums = engine.run_together(tokens, recordings, path, description)
    for part in parts:
        folder = path / part.group.name
        data = _dataset(engine, model, tokens, part, sums[part.group.name])
        by_fold = [str(name) for name in data if str(name).endswith(BY_FOLD)]
        for path_of_sums in folder.glob(f"*{BY_SEGMENT}"):
            _, about = labels.statistic(path_of_sums.name, 3, part.recording.over)
            store.describe(folder, path_of_sums.name, about)
        store.write_dataset(folder, data, by_layer=by_fold)
        counts = {
            "rows": len(part.recording.rows(tokens)),
            "segments": len(tokens.segment_ids),
            "drawn": tokens.drawn,
        }
        store.complete(folder, "activations", part.origin, counts, part.key)
    shutil.rmtree(path / store.PROGRESS)
    (path / UNDER_WAY).unlink()


def _dataset(
    engine: Engine,
    model: Path,
    tokens: Tokens,
    part: _Part,
    sums: Mapping[str, NDArray[Any]],
) -> xr.Dataset:
    """Make a group's dataset: its statistics and, if it stores raw rows, their coordinates."""
    rows, over = part.recording.rows(tokens), part.recording.over
    folds = tokens.fold_count
    ids = np.array([*tokens.segment_ids, ""], object)[:-1]
    data: dict[str, Any] = {}
    for name, value in sums.items():
        dims, attrs = labels.statistic(name, value.ndim, over)
        data[name] = (dims, value[:, :folds] if "fold" in dims else value, attrs)
    layers = _layers(engine, part)
    coords = labels.layer_axis(layers)
    if isinstance(part.group, RoutingGroup):
        coords |= labels.expert_axis(layers)
    if "state" in part.recording.sites:
        coords |= labels.depth_axis(engine.ffns)
    if part.recording.sites:
        segment = tokens.segment[rows]
        by_row = {
            "token_id": tokens.token_id[rows],
            "token": token_labels(tokenizer_of(model), tokens.token_id[rows]),
            "segment": ids[segment],
            "segment_index": segment,
            "segment_place": tokens.places[segment],
            "position": tokens.position[rows],
            "end": tokens.end[rows],
        }
        coords |= {name: ("row", values, ROW[name]) for name, values in by_row.items()}
    else:
        axis = "segment" if tokens.drawn else "fold"
        counted = np.bincount(tokens.folds[tokens.segment[rows]], minlength=folds)
        about = {"units": "tokens", "long_name": f"tokens of each {axis}", "over": over}
        data[f"{axis}_rows"] = (axis, counted, about)
        if tokens.drawn:
            coords["segment"] = ("segment", ids, ROW["segment"])
            coords["segment_place"] = ("segment", tokens.places, ROW["segment_place"])
        else:
            about = {"units": "1", "long_name": f"segment i of the text is in fold i mod {FOLDS}"}
            coords["fold"] = ("fold", np.arange(folds), about)
    return xr.Dataset(data, coords, {**_attributes(part.origin), "group": part.group.name})


def _layers(engine: Engine, part: _Part) -> list[FFN]:
    """The layers of which a group has statistics or rows."""
    of_experts = isinstance(part.group, RoutingGroup)
    return [ffn for ffn in engine.ffns if ffn.experts or not of_experts]


def _attributes(origin: Mapping[str, Any]) -> dict[str, str]:
    return {**{label: origin[label] for label in LABELS}, "neuroglot": version("neuroglot")}
