"""What users of XGLM-564M and NLLB-200-distilled-600M do, with tiny checkpoints in their files.

Neurons of the tiny NLLB are planted: in each stack's layer 0, neuron 0 fires at German tokens alone
and neuron 1 at English ones, and neuron 2 of the decoder's last layer writes German tokens.
"""

import contextlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot import layout
from neuroglot.config import load_file
from neuroglot.models.card import read_card, read_tokenizer
from support import warm
from support.hub_checkpoints import write_nllb, write_xglm
from support.jobs import run_jobs
from support.tiny_workflow import SENTENCES, Finished, Workplace, make_workplace

torch.set_num_threads(1)
LANGUAGES = ("en", "de")
GERMAN, ENGLISH = 0, 1


def tokens_of(tokenizer: Any, language: str) -> set[int]:
    return {
        token
        for text in SENTENCES[language]
        for token in tokenizer(text, add_special_tokens=False).input_ids
    }


def plant(model: Any, tokenizer: Any) -> None:
    german, english = (tokens_of(tokenizer, language) for language in ("de", "en"))
    embedding = model.model.shared.weight
    embedding[:, 0] = 0
    embedding[sorted(german - english), 0] = 4
    embedding[sorted(english - german), 0] = -4
    for stack in (model.model.encoder, model.model.decoder):
        first = stack.layers[0]
        for attention in (first.self_attn, getattr(first, "encoder_attn", first.self_attn)):
            attention.out_proj.weight.zero_()  # the FFN sees the token and its place alone
            attention.out_proj.bias.zero_()
        first.final_layer_norm.weight.fill_(1)
        first.final_layer_norm.bias.zero_()
        first.fc1.weight[:2] = 0
        first.fc1.weight[GERMAN, 0], first.fc1.weight[ENGLISH, 0] = 1, -1
        first.fc1.bias[:2] = -1
    writes = model.model.decoder.layers[-1].fc2.weight[:, 2]
    writes.zero_()
    writes[0] = 1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = make_workplace(tmp_path_factory.mktemp("hub") / "place")
    texts = [text for language in LANGUAGES for text in SENTENCES[language]]
    write_xglm(place.folder / "checkpoints" / "xglm", texts)
    write_nllb(place.folder / "checkpoints" / "nllb", texts, plant)
    held_out = place.folder / "texts" / "held-out"
    held_out.mkdir()
    for language in LANGUAGES:
        lines = [f"h{n}\t{' '.join(t.split()[::-1])}" for n, t in enumerate(SENTENCES[language])]
        (held_out / f"{language}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    place.configure(
        models={name: {"source": f"./checkpoints/{name}"} for name in ("xglm", "nllb")},
        corpora={
            **place.config["corpora"],
            "held-out": {"source": "text", "path": "texts/held-out/{language}.tsv"},
        },
        perplexity={"corpus": "held-out", "segments": 2, "tokens_per_segment": 8},
        lexicon={"corpus": "plain", "top_tokens": 5, "minimum_coverage": 0.0},
        lape={"corpus": "plain", "top_fraction": 0.2},
        experts={
            "corpus": "plain",
            "experts_per_layer": 4,
            "clustering_jobs": 1,
            "random_seeds": 1,
            "speed_rounds": 1,
            "prompt_tokens": 4,
            "continuation_tokens": 4,
        },
    )
    return place


def check(place: Workplace) -> Finished:
    ended = subprocess.run(
        [warm.commands() / "neuroglot", "config", "check", "--config", "config.yaml"],
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(ended.returncode, ended.stdout + ended.stderr)


@pytest.fixture(scope="module")
def finished(place: Workplace) -> Workplace:
    refused = check(place)
    assert refused.status == 1
    for analysis in ("lape", "experts"):
        assert f"{analysis}.judged_models: 'nllb' is an encoder-decoder (m2m_100)" in refused.output
    config = place.config
    place.configure(
        lape={**config["lape"], "judged_models": ["xglm"]},
        experts={**config["experts"], "judged_models": ["xglm"]},
    )
    assert check(place).status == 0
    analyses = ("roles", "lexicon", "lape", "experts")
    planned = place.plan(*analyses)
    assert planned.status == 0, planned.output[-5000:]
    for job in ("lape: nllb without a language's neurons", "experts: nllb with high-frequency"):
        assert not any(message.startswith(job) for message in planned.jobs)
        assert any(message.startswith(job.replace("nllb", "xglm")) for message in planned.jobs)
    with contextlib.chdir(place.folder):
        run_jobs(load_file(Path("config.yaml")))
    return place


def made(place: Workplace, name: str) -> Path:
    return place.folder / layout.model(name)


def test_models_are_made_of_their_bin_files(finished: Workplace) -> None:
    xglm, nllb = (read_card(made(finished, name)) for name in ("xglm", "nllb"))
    assert (xglm.model_type, xglm.dtype, xglm.stacks) == ("xglm", "float16", {"decoder": 2})
    assert (nllb.model_type, nllb.stacks) == ("m2m_100", {"encoder": 2, "decoder": 2})
    tokenizer = read_tokenizer(made(finished, "nllb"))
    assert nllb.vocabulary == tokenizer.get_vocab_size()  # the embedding has two rows more


def test_each_language_is_read_with_its_own_tag(finished: Workplace) -> None:
    tokenizer = read_tokenizer(made(finished, "nllb"))
    for language, tag in (("en", "eng_Latn"), ("de", "deu_Latn")):
        tokens = xr.open_zarr(finished.folder / layout.tokens("nllb", "plain", language))
        assert [tokenizer.id_to_token(token) for token in tokens.attrs["before"]] == [tag]
        assert [tokenizer.id_to_token(token) for token in tokens.attrs["after"]] == ["</s>"]


def test_results_are_of_both_models(finished: Workplace) -> None:
    names = set(finished.reductions())
    for model in ("xglm", "nllb"):
        for analysis in ("roles", "lexicon", "lape", "experts"):
            assert any(name.startswith(f"{analysis}/{model}/") for name in names), names


def test_planted_neurons_are_the_languages_own(finished: Workplace) -> None:
    probability = finished.reductions()["lape/nllb/neurons"]["activation_probability"]
    for layer in (0, 2):  # the first of the encoder and of the decoder
        of_layer = probability.sel(layer=layer)
        assert float(of_layer.sel(neuron=GERMAN, language="de")) > 0.3
        assert float(of_layer.sel(neuron=GERMAN, language="en")) == 0
        assert float(of_layer.sel(neuron=ENGLISH, language="en")) > 0.3
        assert float(of_layer.sel(neuron=ENGLISH, language="de")) == 0


def test_a_planted_neuron_writes_its_language(finished: Workplace) -> None:
    projection = finished.reductions()["lexicon/nllb/projection"]
    top = projection["top_token"].sel(sign="positive", neuron=2).values
    tokenizer = read_tokenizer(made(finished, "nllb"))

    def ids(language: str) -> np.ndarray:
        texts = SENTENCES[language]
        return np.unique(
            [i for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids]
        )

    assert np.isin(top, np.setdiff1d(ids("de"), ids("en"))).all()
    assert int(projection["top_token"].max()) < read_card(made(finished, "nllb")).vocabulary
