"""Reads which neurons each method names for a language, from the methods' own reductions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.agreement.measures.overlap import highest, lowest_entropy_neurons
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.steps.inputs import Inputs

Mask = NDArray[np.bool_]


def named_neurons(
    inputs: Inputs, method: str, languages: Sequence[str], settings: dict[str, Any]
) -> dict[str, Mask]:
    """Say which neurons a method names for each language.

    - ``lape``: LAPE's selection, of ``lape/neurons``.
    - ``sharing``: neurons most often active in this language alone, of ``sharing/kinds``: the
      ``top_fraction`` of all layers' neurons with the most such items.
    - ``type1``, ``type2``: the ranked lists of ``transfer/neurons``.
    - ``experts``: neurons of experts that are of high frequency in this language and in no other
      of those that experts were counted in, of ``experts/frequency`` and ``experts/partition``.
    - ``lexicon``: the ``top_fraction`` of the last layer's neurons of lowest entropy, of those
      whose top tokens are most of all of this language, of ``lexicon/association``.

    Where neurons at the end of a ``top_fraction`` rank equal and not all fit, none of them is
    named (``measures.agreement.highest``).

    Args:
        inputs: holds the method's reductions, and for ``lexicon`` the model.
        method: one of the above.
        languages: whose neurons are wanted.
        settings: ``top_fraction``, read by ``sharing`` and ``lexicon``.

    Returns:
        bool [layer, neuron] of every wanted language that the method was run on, in their order.
        It may be empty.

    Raises:
        NeuroglotError: an unknown method, or one whose reductions are not among the inputs.
    """
    if method not in _READERS:
        raise NeuroglotError(unknown_name("method that names neurons", method, _READERS))
    named = _READERS[method](inputs, settings)
    known = {str(language) for language in named["language"].values}
    ordered = named.transpose("language", "layer", "neuron")
    return {
        language: ordered.sel(language=language).to_numpy()
        for language in languages
        if language in known
    }


def looked_at(inputs: Inputs, method: str) -> NDArray[np.bool_]:
    """Say in which layers a method may name neurons at all: bool [layer].

    ``type1`` and ``type2`` share the layers between them; ``lexicon`` looks at the last one.
    """
    layers = inputs.card().layers
    if method in ("type1", "type2"):
        score = inputs.reduction("transfer/neurons")["score"].sel(type=method)
        return np.asarray(score.notnull().any(("language", "neuron")).to_numpy())
    return np.arange(layers) == layers - 1 if method == "lexicon" else np.ones(layers, bool)


def _sharing(inputs: Inputs, settings: dict[str, Any]) -> xr.DataArray:
    specific = inputs.reduction("sharing/kinds")["specific"].transpose("language", ...)
    count = specific.where(specific > 0)
    n = round(settings["top_fraction"] * count[0].size)
    return count.copy(data=np.array([highest(one, n) for one in count.to_numpy()]))


def _listed(inputs: Inputs, kind: str) -> xr.DataArray:
    data = inputs.reduction("transfer/neurons").sel(type=kind)
    score = data["score"].transpose("language", "layer", "neuron")
    listed = np.zeros(score.shape, bool)
    layer, neuron = (
        data[name].transpose("language", "rank").to_numpy()
        for name in ("rank_layer", "rank_neuron")
    )
    listed[np.arange(len(listed))[:, None], layer, neuron] = True
    return score.copy(data=listed)


def _own_experts(inputs: Inputs) -> xr.DataArray:
    data = inputs.reduction("experts/frequency")
    frequent = data["expert_frequency"] >= data.attrs["high_frequency"]
    own = frequent & (frequent.sum("language") == 1)
    expert = read_partition(inputs)
    neurons: xr.DataArray = own.isel(layer=expert["layer"], expert=expert)
    return neurons


def _lexicon(inputs: Inputs, settings: dict[str, Any]) -> xr.DataArray:
    data = inputs.reduction("lexicon/association")
    n = round(settings["top_fraction"] * data.sizes["neuron"])
    last = lowest_entropy_neurons(data.sel(prior="uniform"), data.attrs["minimum_coverage"], n)
    above = xr.zeros_like(last).expand_dims(layer=inputs.card().layers - 1)
    return xr.concat([above, last.expand_dims(layer=1)], "layer")


_READERS: dict[str, Callable[[Inputs, dict[str, Any]], xr.DataArray]] = {
    "lape": lambda inputs, _: inputs.reduction("lape/neurons")["language_neuron"],
    "sharing": _sharing,
    "type1": lambda inputs, _: _listed(inputs, "type1"),
    "type2": lambda inputs, _: _listed(inputs, "type2"),
    "experts": lambda inputs, _: _own_experts(inputs),
    "lexicon": _lexicon,
}
