"""Records one model's activations over one language of a corpus or of a task's prompts."""

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.capture.collectors import Collector, firing_collectors, role_collectors
from neuroglot.capture.engine import Engine, Recording
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, RecordingPlan
from neuroglot.corpora.base import Segment
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card
from neuroglot.models.load import load
from neuroglot.provenance import digest, fingerprint
from neuroglot.tasks.base import read_items
from neuroglot.tokens import Tokens, as_tokens, read_tokens, tokenise


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
        record(model, read_tokens(tokens), output, settings, execution, plan, origin)


def run_prompts(
    model: Path,
    items: Path,
    output: Path,
    site: Literal["auto", "act", "gate"],
    settings: CaptureSettings,
    execution: ExecutionSettings,
) -> None:
    """Record the prompts of ``results/tasks/{task}/{language}.parquet``; resumes as ``run``.

    With ``site="auto"`` the gate says whether a neuron of a gated model fires, ``act`` of another.
    """
    card = read_card(model)
    if site == "gate" and not card.gated:
        raise NeuroglotError(f"{model} has no gates; set sharing.site to auto or act")
    firing: Literal["act", "gate"] = "gate" if card.gated and site != "act" else "act"
    plan = RecordingPlan(prompts=firing)
    prompts = [Segment(item.id, item.prompt) for item in read_items(items).items]
    origin = {
        "model": model.name,
        "corpus": items.parent.name,
        "language": items.stem,
        "card": card.sha256,
        "tokens": digest([list(prompt) for prompt in prompts]),
        "settings": settings.model_dump(),
        **plan.model_dump(),
        "code": fingerprint(__name__),
    }
    if store.begin(output, "activations", origin, resume=True):
        return
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    try:
        text = tokenise(tokenizer, prompts, "last", card.context_window, card.vocabulary, "refuse")
    except NeuroglotError as error:
        raise NeuroglotError(f"{items}: {error}") from error
    record(model, as_tokens(text), output, settings, execution, plan, origin)


def record(
    model: Path,
    text: Tokens,
    output: Path,
    settings: CaptureSettings,
    execution: ExecutionSettings,
    plan: RecordingPlan,
    origin: dict[str, Any],
) -> None:
    """Run the model over ``text`` into a store that was begun, and complete it."""
    engine = Engine(load(model, settings.device, settings.dtype), execution)
    recording = Recording(
        sites=_sites(plan),
        raw_rows=_raw_rows(text, plan),
        collectors=tuple(_collectors(plan, read_card(model).gated)),
        store_dtype=settings.store_dtype,
        every_token=plan.every_token,
        peak_of=plan.prompts or "act",
        prompts=plan.prompts is not None,
    )
    recorded = recording.rows(text)
    label = f"{origin['model']} {origin['corpus']} {origin['language']}"
    sums = engine.run(text, recording, output, label)
    store.write_dataset(output, _statistics(text, recorded, sums, engine))
    counts = {
        "rows": len(recorded),
        "prefixes": int(text.snapshot[recorded].sum()),
        "raw_rows": recording.raw_rows,
        "segments": len(text.segment_ids),
    }
    store.complete(output, "activations", origin, counts)
    shutil.rmtree(output / "progress")


def _sites(plan: RecordingPlan) -> tuple[str, ...]:
    if plan.prompts:
        return tuple(dict.fromkeys(["act", plan.prompts, "peak"]))
    return ("act", "out") if plan.roles else ("act",) if plan.rows else ()


def _raw_rows(text: Tokens, plan: RecordingPlan) -> int:
    """How many recorded rows, from the first, are stored raw."""
    if plan.rows:
        return len(text.segment)
    if plan.prompts:
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
