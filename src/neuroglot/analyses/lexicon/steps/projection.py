"""The tokens that each neuron of the last layer writes and suppresses most (section 3)."""

import xarray as xr

from neuroglot.analyses.lexicon.settings import ProjectionInputs, ProjectionSettings
from neuroglot.models.card import read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.projection import top_tokens
from neuroglot.models.vocabulary import token_texts

SHOWN = 20


def compute(inputs: ProjectionInputs, settings: ProjectionSettings) -> xr.Dataset:
    """Project every neuron to the vocabulary; the first tokens also as text."""
    model = load(inputs.model, settings.device, settings.dtype)
    top = top_tokens(model, settings.top_tokens, settings.fold_final_norm)
    tokenizer = read_tokenizer(inputs.model)
    shown = top["top_token"].isel(rank=slice(SHOWN)).rename(rank="shown")
    texts = token_texts(tokenizer, shown.values.ravel())
    top["top_text"] = shown.copy(data=xr.DataArray(texts).values.reshape(shown.shape))
    return top
