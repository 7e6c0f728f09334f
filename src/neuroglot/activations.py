"""Opens recorded activations in a notebook."""

from pathlib import Path

import xarray as xr

from neuroglot import store
from neuroglot.errors import NeuroglotError

# Groups with raw rows, from the group with the most tokens to that with the fewest.
RAW = ("rows", "sample", "prompts")


def open_activations(
    model: str, corpus: str, language: str, results: str | Path = "results"
) -> xr.Dataset:
    """Open the activations of a model's neurons at the tokens of a text, as one labelled dataset.

    ``act [layer, row, neuron]`` is the input of the FFN's output matrix at the tokens with raw
    rows. ``attrs["group"]`` names the group that the rows are of: ``rows`` (every token),
    ``sample`` (tokens that end a prefix of the first segments) or ``prompts`` (the last token of
    each prompt); of several, the first in this order is opened. Each row has the coordinates
    ``token`` (its text, with a space as ``␣``), ``token_id``, ``segment`` and ``position``. Layers
    and neurons count from 0. Values are read when they are used. If they were rounded
    (``capture.keep_bits``), ``act.attrs["keep_bits"]`` says to how many bits.

    ``corpus`` is the id of a corpus or a task, ``results`` the folder of the results.

    Raises:
        NeuroglotError: the text was not recorded, or not with raw rows.

    Example:
        >>> act = neuroglot.open_activations("gemma-3-270m", "udhr-as-written", "en").act
        >>> fired = act.sel(layer=4, neuron=17)[act.segment == "article-01"]
        >>> fired.token[fired.argmax("row")].item()
    """
    folder = Path(results) / "activations" / model
    path = folder / corpus / f"{language}.zarr"
    groups = store.held(path)
    if not groups:
        there = sorted(f"{other.parent.name} {other.stem}" for other in folder.glob("*/*.zarr"))
        raise NeuroglotError(
            f"{path} holds no recording; of {model} there is "
            f"{', '.join(there) or 'nothing'} in {folder}"
        )
    raw = [name for name in RAW if name in groups]
    if not raw:
        raise NeuroglotError(
            f"{path} holds no raw rows, only statistics ({', '.join(groups)}); set "
            "experts.scores_from: rows or configure roles, which record some, and run again"
        )
    with store.quiet():
        rows: xr.Dataset = xr.open_zarr(path / raw[0], chunks=None)
    return rows
