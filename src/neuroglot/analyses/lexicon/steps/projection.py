"""The tokens that each neuron of the last layer raises and lowers most (section 3)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot.analyses.lexicon.settings import ProjectionInputs, ProjectionSettings
from neuroglot.measures.axes import in_experts
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.projection import top_tokens
from neuroglot.models.vocabulary import token_texts

SHOWN = 20

VARIABLES: Mapping[str, str] = {
    "sign": "positive: the tokens that the neuron raises; negative: those that it lowers",
    "top_token": "ids of the tokens whose logits the last layer's neuron raises or lowers most, "
    "the first the most",
    "top_weight": "product of the neuron's value vector (with the gain of a norm on the FFN's "
    "output, if there is one) and the token's unembedding; the norms' divisions are left out",
    "top_text": "text of the first of these tokens, unseen characters named",
}


def compute(inputs: ProjectionInputs, settings: ProjectionSettings) -> xr.Dataset:
    """Project every neuron to the vocabulary; give the first tokens also as text."""
    model = load(inputs.model, settings.device, read_card(inputs.model).dtype)
    top = top_tokens(model, settings.top_tokens, settings.fold_final_norm)
    tokenizer = read_tokenizer(inputs.model)
    shown = top["top_token"].isel(rank=slice(SHOWN)).rename(rank="shown")
    texts = np.array(token_texts(tokenizer, shown.values.ravel()))
    top["top_text"] = shown.copy(data=texts.reshape(shown.shape)).assign_attrs(units="text")
    card = read_card(inputs.model)
    if card.experts and (experts := card.experts[-1]):
        neurons, each = card.neurons[-1], card.expert_neurons
        expert, number = in_experts(np.arange(neurons), neurons - experts * each, each)
        top = top.assign_coords(expert=("neuron", expert), expert_neuron=("neuron", number))
    return top
