"""Rows that pad an embedding are no tokens: not predicted, not generated, not ranked."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neuroglot.analyses.lexicon.settings import ProjectionInputs, ProjectionSettings
from neuroglot.analyses.lexicon.steps import projection
from neuroglot.capture.answers import judge
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.capture.questions import Question
from neuroglot.models.card import read_card
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.slicing import parameters_saved
from neuroglot.models.source import ModelSettings
from support.tiny_checkpoints import VOCABULARY, write_checkpoint

ROWS = 448
KINDS = {
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama": ("llama", {"tie_word_embeddings": False}),
    "gpt2": ("gpt2", {}),
    "m2m_100": ("m2m_100", {}),
    "mbart": ("mbart", {"decoder_start_token_id": 2}),
}


def padded(folder, kind, **changes):
    """A model whose embedding has 48 rows without token, which beat all tokens if they may."""
    model_type, sizes = KINDS[kind]
    write_checkpoint(folder / "source", model_type, rows=ROWS, **sizes, **changes)
    weights = load_file(folder / "source" / "model.safetensors")
    for name, weight in weights.items():
        if weight.shape[:1] == (ROWS,):
            weights[name] = torch.cat([weight[:VOCABULARY], weight[:48] * 5])
    save_file(weights, folder / "source" / "model.safetensors", metadata={"format": "pt"})
    normalise(ModelSettings(source=str(folder / "source")), folder / "m")
    return folder / "m"


@pytest.fixture(scope="module", params=["llama tied", "llama", "gpt2"])
def folder(request, tmp_path_factory):
    return padded(tmp_path_factory.mktemp("m"), request.param)


@pytest.fixture(scope="module")
def whole(folder):
    """The model with the rows that pad it."""
    return load(folder.parent / "source")


PROMPTS = [[1, 30 + i, 57, 200 + i] for i in range(20)]


def test_the_card_counts_tokens(folder):
    assert read_card(folder).vocabulary == VOCABULARY


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_models_own_without_the_padding(kind, tmp_path):
    model = load(padded(tmp_path, kind))
    inputs = {"input_ids": torch.tensor(PROMPTS)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    with torch.inference_mode():
        ours, theirs = model(**inputs).logits, load(tmp_path / "source")(**inputs).logits
    assert ours.shape[-1] == VOCABULARY
    assert theirs.shape[-1] == ROWS
    assert torch.equal(ours, theirs[..., :VOCABULARY])


def test_rows_without_token_are_not_generated(folder, whole):
    written = np.concatenate(generate(load(folder), PROMPTS, 4))
    assert len(written)
    assert written.max() < VOCABULARY
    # With them the test would see one.
    assert np.concatenate(generate(whole, PROMPTS, 4)).max() >= VOCABULARY


def test_rows_without_token_have_no_probability(folder, whole):
    ids = torch.tensor(PROMPTS)
    with torch.inference_mode():
        logits = whole(input_ids=ids).logits[:, :-1, :VOCABULARY].double()
    expected = -logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].sum(1)
    ours = negative_log_likelihood(load(folder), np.array(PROMPTS)[:, 1:], [1])
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_an_answer_is_written_if_no_token_is_likelier(folder, whole):
    ids = torch.tensor(PROMPTS)
    with torch.inference_mode():
        likeliest = whole(input_ids=ids).logits[:, -1, :VOCABULARY].argmax(-1).tolist()
    questions = [
        Question(prompt, [[token]], [[token], [token ^ 1]])
        for prompt, token in zip(PROMPTS, likeliest, strict=True)
    ]
    assert judge(load(folder), questions, [None], scored="whole").written.all()


def test_rows_without_token_are_not_ranked(folder):
    settings = ProjectionSettings(
        model="m", top_tokens=VOCABULARY, fold_final_norm=False, device="cpu"
    )
    top = projection.compute(ProjectionInputs(model=folder), settings)
    assert top.attrs["vocabulary"] == VOCABULARY
    # All tokens are ranked, each once, by each neuron and sign.
    ranked = np.sort(top["top_token"].values, -1)
    assert (ranked == np.arange(VOCABULARY)).all()


def test_parameters_are_counted_once(folder, whole):
    keep = [np.arange(3)] * 2
    ours, theirs = parameters_saved(load(folder), keep), parameters_saved(whole, keep)
    cut = (
        48 * 16
        if whole.get_output_embeddings().weight is not whole.get_input_embeddings().weight
        else 0
    )
    total = sum(parameter.numel() for parameter in whole.parameters())
    assert ours.all == pytest.approx(theirs.all * total / (total - cut))
