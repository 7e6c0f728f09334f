"""Tiny checkpoints of every architecture, from their folders through every analysis.

`make test` takes one of them, another one each day; `make test-models` takes all.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import AutoConfig

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.models.card import read_card
from neuroglot.models.describe import describe
from support.tiny_checkpoints import write_checkpoint
from support.tiny_models import CAUSAL, DEEP_HEADS, ENCODERS, NAMES
from support.tiny_workflow import (
    SENTENCES,
    Finished,
    Workplace,
    add_analyses,
    make_workplace,
)

torch.set_num_threads(1)

TOGETHER = 8
ALL = [NAMES[first : first + TOGETHER] for first in range(0, len(NAMES), TOGETHER)]
TODAY = (NAMES[31 * date.today().toordinal() % len(NAMES)],)
MIXTURES = ("qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3")
ONES = ("roles", "lape", "experts", "lexicon")  # the analyses of encoders alone
EDITING = ("lape", "experts", "transfer", "boost")


def id_of(name: str) -> str:
    return name.replace(":", "-")


def through(place: Workplace, names: tuple[str, ...]) -> Finished:
    """Run every analysis on models with these names."""
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    for name in names:
        write_checkpoint(place.folder / "checkpoints" / id_of(name), name, texts)
    add_analyses(place)
    lighten(place)
    config = place.config
    causal = [id_of(name) for name in names if name in CAUSAL]
    sections = {section: {**config[section], "judged_models": causal} for section in EDITING}
    for analysis in ANALYSES:
        chosen = [id_of(name) for name in names if applies(analysis, name)]
        if chosen:
            sections[analysis] = {**sections.get(analysis, config[analysis]), "models": chosen}
        else:
            sections[analysis] = None
    place.configure(
        models={id_of(name): {"source": f"./checkpoints/{id_of(name)}"} for name in names},
        **sections,
    )
    return place.run("--keep-going")


def lighten(place: Workplace) -> None:
    """Leave out what repeats a step on a second text or task."""
    config = place.config
    sharing = {**config["sharing"], "tasks": ["facts"]}
    del sharing["few_shot"]
    place.configure(
        roles={**config["roles"], "corpora": ["plain"]},
        sharing=sharing,
        tasks={"facts": config["tasks"]["facts"]},
    )


def applies(analysis: str, name: str) -> bool:
    """Whether an analysis runs on a model, as docs/models.md says."""
    if not ANALYSES[analysis].dense:
        return False
    if name.split(":")[0] in ENCODERS:
        return analysis in ONES and not (analysis == "lexicon" and name in DEEP_HEADS)
    return analysis != "boost" or name in CAUSAL


def finite_somewhere(data: xr.Dataset) -> list[str]:
    """Variables of numbers, of which at least one is finite."""
    return [
        str(name)
        for name, values in data.data_vars.items()
        if values.dtype.kind == "f" and np.isfinite(values.values).any()
    ]


def check(place: Workplace, names: tuple[str, ...]) -> None:
    made = place.reductions()
    for name in names:
        card = read_card(place.folder / layout.model(id_of(name)))
        written = AutoConfig.from_pretrained(place.folder / "checkpoints" / id_of(name))
        assert card.neurons == describe(written)["neurons"]
        for analysis in ANALYSES:
            if not applies(analysis, name):
                continue
            found = [made[path] for path in made if path.startswith(f"{analysis}/{id_of(name)}/")]
            assert any(map(finite_somewhere, found)), (name, analysis)


@pytest.mark.parametrize(
    "names", [TODAY, *(pytest.param(group, marks=pytest.mark.slow) for group in ALL)], ids="+".join
)
def test_every_analysis_of_tiny_models(names: tuple[str, ...], tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")
    place.draw_nothing()
    run = through(place, names)
    assert run.status == 0, run.output[-8000:]
    check(place, names)


@pytest.mark.parametrize(
    "name", ["olmoe", *(pytest.param(name, marks=pytest.mark.slow) for name in MIXTURES)]
)
def test_a_mixture_of_experts_goes_through_every_analysis_that_takes_one(
    name: str, tmp_path: Path
) -> None:
    place = make_workplace(tmp_path / "place")
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    folder = place.folder / "checkpoints" / name
    write_checkpoint(folder, name, texts, max_position_embeddings=512)
    add_analyses(place)
    lighten(place)
    takes = [analysis for analysis in ANALYSES if ANALYSES[analysis].mixtures]
    place.configure(
        models={name: {"source": f"./checkpoints/{name}"}},
        experts={**place.config["experts"], "experts_per_layer": "real"},
        routing={"corpus": place.config["lape"]["corpus"], "replicates": 20, "permutations": 20},
        **{analysis: None for analysis in ANALYSES if analysis not in takes},
    )
    run = place.run("--keep-going")
    assert run.status == 0, run.output[-8000:]
    made = place.reductions()
    for analysis in takes:
        found = [made[path] for path in made if path.startswith(f"{analysis}/{name}/")]
        assert any(map(finite_somewhere, found)), analysis
        figures = place.folder / "results" / analysis / name / "figures"
        assert list(figures.glob("*.png")), analysis


@pytest.mark.slow
def test_layers_of_two_widths_in_every_figure(tmp_path: Path) -> None:
    names = ("gemma4_text:shared",)
    place = make_workplace(tmp_path / "place")
    run = through(place, names)
    assert run.status == 0, run.output[-8000:]
    check(place, names)
    for analysis in (one for one in ANALYSES if applies(one, *names)):
        figures = place.folder / "results" / analysis / "gemma4_text-shared" / "figures"
        assert list(figures.glob("*.png")), analysis
