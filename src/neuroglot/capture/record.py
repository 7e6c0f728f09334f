"""Records one model's activations over one language of a corpus or of tasks' prompts."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.capture.collectors import (
    BY_FOLD,
    Collector,
    firing_collectors,
    role_collectors,
)
from neuroglot.capture.engine import Engine, Recording
from neuroglot.capture.folds import write_folds
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, RecordingPlan
from neuroglot.corpora.base import Segment, read_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.load import load
from neuroglot.provenance import digest, fingerprint
from neuroglot.tasks.base import read_items
from neuroglot.tokens import Prefix, Tokens, as_tokens, read_tokens, tokenise


def run(
    model: Path,
    tokens: Path,
    output: Path,
    settings: CaptureSettings,
    execution: ExecutionSettings,
    plan: RecordingPlan,
) -> None:
    """Write the raw rows and statistics of the plan; goes on where a kill left off."""
    card = read_card(model)
    source = store.read_record(tokens, "tokens")
    if source.origin["card"] != card.sha256:
        raise NeuroglotError(f"{tokens} was made with another model than {model}; make it again")
    origin = {
        **{key: source.origin[key] for key in ("model", "corpus", "language")},
        "card": card.sha256,
        "tokens": source.fingerprint,
        "settings": settings.model_dump(),
        **plan.model_dump(),
        "code": fingerprint(__name__),
    }
    if not store.begin(output, "activations", origin, resume=True):
        engine = _engine(model, settings, execution)
        record(engine, read_tokens(tokens), output, settings, plan, origin)


def run_prompts(
    model: Path,
    tasks: Sequence[Path],
    output: Path,
    site: Literal["auto", "act", "gate"],
    settings: CaptureSettings,
    execution: ExecutionSettings,
) -> None:
    """Record the prompts of several ``results/tasks/{task}/{language}.parquet``.

    Each goes into a store ``{output}/{task}/{language}.zarr`` of its own and is resumed as ``run``;
    a store that stands there complete is kept if it is up to date, and otherwise replaced. With
    ``site="auto"`` the gate says whether a neuron of a gated model fires, ``act`` of another.
    """
    card = read_card(model)
    if site == "gate" and not card.gated:
        raise NeuroglotError(f"{model} has no gates; set sharing.site to auto or act")
    plan = RecordingPlan(prompts="gate" if card.gated and site != "act" else "act")
    engine: Engine | None = None
    for path in tasks:
        prompts = [Segment(item.id, item.prompt) for item in read_items(path).items]
        place = output / path.parent.name / f"{path.stem}.zarr"
        origin = _origin(model, path, prompts, settings, plan)
        if not store.begin(place, "activations", origin, resume=True, replace=True):
            text = tokenised(model, path, prompts, "refuse", "last")
            engine = engine or _engine(model, settings, execution)
            record(engine, text, place, settings, plan, origin)


def run_states(
    model: Path,
    corpus: Path,
    output: Path,
    long_segments: Literal["truncate", "refuse"],
    settings: CaptureSettings,
    execution: ExecutionSettings,
) -> None:
    """Record the states of ``results/corpora/{corpus}/{language}.parquet``; resumes as ``run``.

    They are stored as float32 whatever ``settings`` say: residual streams exceed float16, and
    cosines between centroids lie too close for bfloat16.
    """
    plan = RecordingPlan(states=True)
    settings = settings.model_copy(update={"store_dtype": "float32"})
    segments = read_parquet(corpus).segments
    origin = {**_origin(model, corpus, segments, settings, plan), "long_segments": long_segments}
    if not store.begin(output, "activations", origin, resume=True):
        text = tokenised(model, corpus, segments, long_segments)
        record(_engine(model, settings, execution), text, output, settings, plan, origin)


def tokenised(
    model: Path,
    source: Path,
    segments: Sequence[tuple[str, str]],
    long_segments: Literal["truncate", "refuse"],
    prefix: Prefix = "subword",
) -> Tokens:
    """Tokenise the segments of ``source``, with a warning where some are truncated.

    Raises:
        NeuroglotError: as ``tokens.tokenise``; names ``source``.
    """
    card, tokenizer = read_card(model), _tokenizer(model)
    window, vocabulary = card.context_window, card.vocabulary
    try:
        text = tokenise(tokenizer, segments, prefix, window, vocabulary, long_segments)
    except NeuroglotError as error:
        raise NeuroglotError(f"{source}: {error}") from error
    if text.attrs["truncated"]:
        print(
            f"warning: {text.attrs['truncated']} segments of {source} were longer than the model's "
            f"context window of {window} tokens and were truncated"
        )
    return as_tokens(text)


@cache
def _tokenizer(model: Path) -> Tokenizer:
    return read_tokenizer(model)


def _origin(
    model: Path,
    source: Path,
    segments: Sequence[tuple[str, str]],
    settings: CaptureSettings,
    plan: RecordingPlan,
) -> dict[str, Any]:
    """What a recording of the text in ``{corpus or task}/{language}.parquet`` is made from."""
    return {
        "model": model.name,
        "corpus": source.parent.name,
        "language": source.stem,
        "card": read_card(model).sha256,
        "tokens": digest([list(segment) for segment in segments]),
        "settings": settings.model_dump(),
        **plan.model_dump(),
        "code": fingerprint(__name__),
    }


def _engine(model: Path, settings: CaptureSettings, execution: ExecutionSettings) -> Engine:
    return Engine(load(model, settings.device, settings.dtype), execution)


def record(
    engine: Engine,
    text: Tokens,
    output: Path,
    settings: CaptureSettings,
    plan: RecordingPlan,
    origin: dict[str, Any],
) -> None:
    """Run the model over ``text`` into a store that was begun, and complete it."""
    recording = Recording(
        sites=_sites(plan),
        raw_rows=_raw_rows(text, plan),
        collectors=tuple(_collectors(plan, engine.ffns[0].gated)),
        store_dtype=settings.store_dtype,
        every_token=plan.every_token,
        last_token=plan.states,
        peak_of=plan.prompts or "act",
        prompts=plan.prompts is not None,
    )
    recorded = recording.rows(text)
    label = f"{origin['model']} {origin['corpus']} {origin['language']}"
    sums = engine.run(text, recording, output, label)
    whole = {name: value for name, value in sums.items() if not name.endswith(BY_FOLD)}
    by_fold = {name.removesuffix(BY_FOLD): sums[name] for name in sums.keys() - whole}
    store.write_dataset(output, _statistics(text, recorded, whole, engine))
    write_folds(output, by_fold, len(text.segment_ids))
    counts = {
        "rows": len(recorded),
        "prefixes": int(text.snapshot[recorded].sum()),
        "raw_rows": recording.raw_rows,
        "segments": len(text.segment_ids),
    }
    store.complete(output, "activations", origin, counts)
    shutil.rmtree(output / store.PROGRESS)


def _sites(plan: RecordingPlan) -> tuple[str, ...]:
    if plan.prompts:
        return tuple(dict.fromkeys(["act", plan.prompts, "peak"]))
    if plan.states:
        return ("act", "mid", "state", "mean")
    return ("act", "out") if plan.roles else ("act",) if plan.rows else ()


def _raw_rows(text: Tokens, plan: RecordingPlan) -> int:
    """How many recorded rows, from the first, are stored raw."""
    if plan.rows:
        return len(text.segment)
    if plan.prompts or plan.states:
        return len(text.segment_ids)
    if not plan.roles:
        return 0
    segment = text.segment if plan.every_token else text.segment[text.snapshot]
    return int((segment < plan.roles.sample_segments).sum())


def _collectors(plan: RecordingPlan, gated: bool) -> list[Collector]:
    roles = role_collectors(plan.roles.rule, plan.roles.threshold) if plan.roles else []
    return [*roles, *(firing_collectors(gated) if plan.firing else [])]


def _statistics(
    text: Tokens, recorded: NDArray[np.int64], sums: dict[str, NDArray[Any]], engine: Engine
) -> xr.Dataset:
    widths = {"act": "neuron", "gate": "neuron", "out": "hidden"}
    data = {
        name: (("layer", widths[name.partition("_")[0]])[: value.ndim], value)
        for name, value in sums.items()
    }
    rows = {
        name: ("row", getattr(text, name)[recorded])
        for name in ("token_id", "segment", "position", "end", "snapshot")
    }
    return xr.Dataset(
        {**data, **rows},
        coords={
            "layer": np.arange(len(engine.ffns)),
            "stack": ("layer", [block.stack for block in engine.ffns]),
            "stack_layer": ("layer", [block.layer for block in engine.ffns]),
            "segment_id": ("segment_index", text.segment_ids),
        },
    )
