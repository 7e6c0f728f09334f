"""The revisions of a model, from the Hub to figures with the training step on the x axis."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroglot import commands, layout
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.config import Config, load_file
from support.jobs import run_jobs
from support.tiny_checkpoints import write_checkpoint
from support.tiny_workflow import (
    SENTENCES,
    Workplace,
    add_analyses,
    make_workplace,
    said_in_vain,
    unsaid,
)

# What each analysis' step reads, and all that this reads.
FOLLOWED = {
    "roles": ["rank_correlation"],
    "lexicon": ["counts", "projection", "association"],
    "sharing": ["kinds"],
    "experts": ["partition", "routing", "frequency"],
    "transfer": ["space"],
    "lape": ["neurons"],
}
MODELS = ("olmo-step500", "olmo-step2000", "olmo-step9000")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workplace, Config]]:
    """A model with three revisions, listed out of order, and another model."""
    place = make_workplace(tmp_path_factory.mktemp("training") / "place")
    add_analyses(place)
    texts = [text for language in ("en", "de") for text in SENTENCES[language]]
    for seed, step in enumerate((500, 2000, 9000)):
        write_checkpoint(place.folder / "hub" / f"step{step}", "llama", texts=texts, seed=seed)
    revisions = {"source": "owner/olmo", "revisions": ["step9000", "step500", "step2000"]}
    place.configure(models={"one": place.config["models"]["one"], "olmo": revisions})
    config = {name: place.config[name] for name in (*FOLLOWED, "languages", "models", "corpora")}
    (place.folder / "config.yaml").write_text("{}")
    place.configure(**config, tasks={"facts": {"source": "facts", "max_items": 3}})
    place.configure(sharing={"tasks": ["facts"]}, transfer={"corpus": "plain", "k": [1]})

    def download(_repository: str, revision: str, allow_patterns: list[str]) -> str:
        del allow_patterns
        return str(place.folder / "hub" / revision)

    with contextlib.chdir(place.folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.snapshot_download", download)
        config = load_file(Path("config.yaml"))
        run_jobs(config, lambda name, step: step in [*FOLLOWED[name], "training"])
        yield place, config


@pytest.mark.parametrize("name", FOLLOWED)
def test_every_revision_stands_at_its_step(place: tuple[Workplace, Config], name: str) -> None:
    data = xr.open_zarr(layout.reduction(name, "training", None))
    assert data["model"].values.tolist() == [*MODELS]
    assert data["training_step"].values.tolist() == [500, 2000, 9000]
    assert set(data["model_family"].values.tolist()) == {"olmo"}
    assert unsaid(data) == set()
    assert said_in_vain(data) == set()
    table = pd.read_csv(layout.reduction(name, "training", None).with_suffix(".csv"))
    assert set(table["model"]) == {*MODELS}
    assert set(table["training_step"]) == {500, 2000, 9000}


@pytest.mark.parametrize("model", MODELS)
def test_numbers_are_those_of_the_revisions(place: tuple[Workplace, Config], model: str) -> None:
    def of(name: str, step: str) -> xr.Dataset:
        return xr.open_zarr(layout.reduction(name, step, model))

    def followed(name: str) -> xr.Dataset:
        return xr.open_zarr(layout.reduction(name, "training", None)).sel(model=model)

    correlation = of("roles", "rank_correlation")["rank_correlation"].sel(corpus="plain")
    pair = correlation.sel(language_a="en", language_b="de")
    np.testing.assert_allclose(
        followed("roles")["rank_correlation"].sel(language="en", corpus="plain"),
        pair.mean("layer"),
        rtol=1e-5,
    )
    for end in ("", "_low", "_high"):
        shares = of("sharing", "kinds")[f"kind_share{end}"].mean("layer")
        xr.testing.assert_allclose(
            followed("sharing")[f"kind_share{end}"].drop_vars("model"),
            shares.transpose("task", "kind"),
        )
        for name, step, number in (
            ("lape", "neurons", "all_layers"),
            ("experts", "frequency", "specific"),
        ):
            np.testing.assert_array_equal(
                followed(name)[f"{number}{end}"], of(name, step)[f"{number}{end}"]
            )
        space = of("transfer", "space")
        excess = (space[f"mutual_knn{end}"] - space["mutual_knn_chance"]).sel(language="de")
        np.testing.assert_allclose(
            followed("transfer")[f"mutual_knn_excess{end}"].sel(language="de"),
            excess.mean("state"),
            rtol=1e-6,
        )
    entropy = of("lexicon", "association")["entropy"].sel(prior="uniform", sign="positive")
    read = followed("lexicon").sel(sign="positive")
    assert float(read["entropy"]) == pytest.approx(np.nanmedian(entropy), rel=1e-5)
    low, high = np.nanquantile(entropy, (0.25, 0.75))
    assert float(read["entropy_low"]) == pytest.approx(low, rel=1e-5)
    assert float(read["entropy_high"]) == pytest.approx(high, rel=1e-5)


@pytest.mark.parametrize("name", FOLLOWED)
def test_figures_are_drawn_and_asked_for(place: tuple[Workplace, Config], name: str) -> None:
    _, config = place
    (figure_set,) = (
        each for each in wanted.figure_sets(config, ANALYSES[name]) if each.name == "training"
    )
    commands.make_figures(config, name, "training", None)
    for stem in figure_set.stems:
        assert (layout.figures(name) / f"{stem}.png").stat().st_size > 5000


def test_a_models_revisions_are_planned_and_other_models_follow_nothing(
    place: tuple[Workplace, Config], tmp_path: Path
) -> None:
    workplace, _ = place
    fresh = workplace.copy(tmp_path / "fresh")
    shutil.rmtree(fresh.folder / "results")
    jobs = fresh.plan("lape").jobs
    assert "lape: numbers of language-specific neurons through training" in jobs
    assert "lape: figures of training" in jobs
    fresh.configure(models={"one": fresh.config["models"]["one"]})
    assert not [job for job in fresh.plan("lape").jobs if "training" in job]
