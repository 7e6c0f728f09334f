"""A mixture with planted experts through the whole workflow, and who cannot take what."""

from pathlib import Path

import pandas as pd
import pytest

from neuroglot.analyses import ANALYSES
from support import tiny_checkpoints
from support.planted_routes import ALPHABETS, OUTER, ROUTED
from support.tiny_workflow import Workplace, make_workplace, said_in_vain, take_mixture, unsaid


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    made = make_workplace(tmp_path_factory.mktemp("mixture") / "place")
    take_mixture(made)
    run = made.run()
    assert run.status == 0, run.output[-8000:]
    return made


def test_the_planted_experts_are_in_the_tables(place: Workplace) -> None:
    folder = place.folder / "results" / "routing" / "planted"
    own = pd.read_csv(folder / "language_experts.csv")
    assert {tuple(line) for line in own[["language", "layer", "expert"]].to_numpy()} == {
        (language, layer + 1, expert)
        for expert, language in enumerate(ALPHABETS)
        for layer in OUTER
    }
    divergence = pd.read_csv(folder / "divergence.csv").groupby("layer")["excess"].mean()
    outer = [layer + 1 for layer in OUTER]
    assert divergence[outer].min() > 0.4
    assert divergence.drop(outer).abs().max() < 0.1
    change = pd.read_csv(folder / "perplexity.csv").set_index(["deactivated", "language"])["change"]
    own_text = [change[language, language] for language in ALPHABETS]
    assert min(own_text) > change.drop([(one, one) for one in ALPHABETS]).max() + 0.3


def test_every_figure_and_table_is_there_and_says_what_it_is(place: Workplace) -> None:
    results = place.folder / "results" / "routing" / "planted"
    analysis = ANALYSES["routing"]
    for family in analysis.figures:
        if family.name != "training":
            for stem in family.stems:
                assert (results / "figures" / f"{stem}.png").stat().st_size > 5000, stem
    tables = {path.stem for path in results.glob("*.csv")}
    assert tables == {
        table for step in analysis.steps if step.name != "training" for table in step.tables
    }
    made = place.reductions()
    assert len(made) == 3
    assert {name: missing for name, data in made.items() if (missing := unsaid(data))} == {}
    assert {name: vain for name, data in made.items() if (vain := said_in_vain(data))} == {}
    assert (results / "divergence.csv").read_text("utf-8").count("\n") == 4 * len(ROUTED) + 1


def test_a_model_without_experts_is_refused_by_name(place: Workplace, tmp_path: Path) -> None:
    other = place.copy(tmp_path / "place")
    texts = ["Some text."]
    tiny_checkpoints.write_checkpoint(other.folder / "checkpoints" / "dense", texts=texts)
    models = {"dense": {"source": "./checkpoints/dense"}}
    other.configure(models={**other.config["models"], **models})
    run = other.plan()
    assert run.status != 0
    assert (
        "routing.models: 'dense' is dense (llama), and routing is of mixtures of experts; "
        "set models: [planted]"
    ) in run.output
    other.configure(models=models)
    assert "of mixtures of experts; leave routing out" in other.plan().output
