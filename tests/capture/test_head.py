"""What the head predicts of states, against all logits at once."""

from typing import Any

import pytest
import torch

from neuroglot.capture import head
from neuroglot.capture.head import predict
from support.tiny_models import HIDDEN, VOCABULARY, tiny_model

torch.set_num_threads(1)


@pytest.mark.parametrize("block", [1, 3, 7, VOCABULARY])
def test_equal_to_all_logits_at_once(block: int, monkeypatch: pytest.MonkeyPatch):
    """Of small integers, so that logits are exact and often tie: the first is the likeliest."""
    model: Any = tiny_model("llama")
    weight = model.get_output_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    states = torch.randint(-3, 4, (200, HIDDEN), generator=generator).float()
    with torch.no_grad():
        weight.copy_(torch.randint(-2, 3, weight.shape, generator=generator))
        weight[VOCABULARY // 2 :] = weight[: VOCABULARY // 2].flip(0)  # each logit twice
    rows = torch.randint(200, (300,), generator=generator)
    tokens = torch.randint(VOCABULARY, (300,), generator=generator)
    monkeypatch.setattr(head, "_block", lambda *_: block)
    found = predict(model, states, rows, tokens)
    logits = (states.double() @ weight.detach().double().T).detach()
    torch.testing.assert_close(found.total, logits.logsumexp(1), rtol=1e-6, atol=1e-5)
    assert torch.equal(found.chosen.double(), logits[rows, tokens])
    first = (logits == logits.amax(1, keepdim=True)).int().argmax(1)
    assert torch.equal(found.likeliest, first)
    assert found.likeliest.max() < VOCABULARY // 2


def test_no_pairs():
    """Generation asks for the likeliest tokens alone."""
    nothing = torch.zeros(0, dtype=torch.long)
    found = predict(tiny_model("gpt2"), torch.ones(3, HIDDEN), nothing, nothing)
    assert found.chosen.shape == (0,)
    assert found.likeliest.shape == (3,)
