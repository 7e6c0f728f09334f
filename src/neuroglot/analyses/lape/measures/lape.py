"""Language activation probability entropy (LAPE): neurons that fire for one or a few languages.

Tang et al. (2024), "Language-Specific Neurons: The Key to Multilingual Capabilities in Large
Language Models", section 2.2, with the settings of their released code.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import entr

from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import layer_widths, stack_layers, within

SOURCE = "Tang et al. 2024, section 2.2"
SELECTED = "selected_neurons"


def firing_site(wanted: str, gated: bool) -> str:
    """Name the site whose sign decides whether a neuron fires.

    Args:
        wanted: ``act``, ``gate`` or ``auto``. ``auto`` takes the gate of a gated model, as in the
            released code.
        gated: whether the model's FFNs are gated.
    """
    if wanted == "auto":
        return "gate" if gated else "act"
    return wanted


def activation_probability(fired: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Divide the tokens at which a neuron fires by all tokens (Tang et al. 2024, equation 2).

    Args:
        fired: number of tokens at which the neuron fires, [language, layer, neuron]. If layers
            differ in width, padding neurons are NaN here and in all results; see
            ``axes.layer_widths``.
        tokens: number of recorded tokens, [language], in any order.

    Returns:
        float32 in [0, 1], as in the released code. Stored probabilities therefore give the same
        selection.

    Raises:
        NeuroglotError: a language has no tokens, or a neuron fires at more tokens than there are.
    """
    counted = tokens.reindex(language=fired["language"].values, fill_value=0)
    for language, count in zip(counted["language"].values, counted.values, strict=True):
        if count <= 0:
            raise NeuroglotError(
                f"language {str(language)!r} has no recorded tokens, so its neurons have no "
                "activation probability; leave it out or give it text"
            )
    probability = (fired / counted).astype(np.float32).rename("activation_probability")
    probability.attrs = {"units": "share of tokens", "source": SOURCE}
    return _checked(probability).transpose(*fired.dims)


def activation_probability_entropy(probability: xr.DataArray) -> xr.DataArray:
    """Compute the entropy over languages of each neuron's activation probabilities.

    -Σ p' ln p' with p' = p / Σ_languages p and 0 ln 0 = 0 (Tang et al. 2024, equations 3 and 4).
    The entropy is 0 if a neuron fires in only one language, and ln(languages) if it fires equally
    often in all languages. A neuron that never fires also has entropy 0. The order of languages
    does not change a bit of the result.

    Args:
        probability: [language, layer, neuron], in [0, 1].

    Returns:
        float64 [layer, neuron], nats.

    Raises:
        NeuroglotError: a probability is NaN or outside [0, 1].
    """
    ordered = _checked(probability).transpose("layer", "language", "neuron")
    widths = layer_widths(ordered)
    layers = zip(ordered.to_numpy(), widths, strict=True)
    return xr.DataArray(
        stack_layers([_entropy(layer[:, :width]) for layer, width in layers]),
        dims=("layer", "neuron"),
        coords=ordered.isel(language=0, drop=True).coords,
        name="activation_probability_entropy",
        attrs={"units": "nats", "source": SOURCE},
    )


def _entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    ordered = np.sort(p.astype(np.float64), axis=0)  # same rounding for any order of languages
    total = ordered.sum(axis=0)
    share = np.divide(ordered, total, out=np.zeros_like(ordered), where=total > 0)
    entropy: NDArray[np.float64] = entr(share).sum(axis=0)
    return entropy


def language_neurons(
    probability: xr.DataArray, percentile: float = 0.95, top_fraction: float = 0.01
) -> xr.DataArray:
    """Assign the neurons of lowest entropy to languages, as LAPE's released code does.

    The bar is the value at rank round(n · percentile), counted from 1, of all n probabilities of
    all layers, neurons and languages. A neuron that is not above the bar in any language is
    dropped. Then round(top_fraction · neurons) neurons of lowest entropy are selected, where
    ``neurons`` counts *all* neurons of all layers. In a tie the lower layer and index comes first.
    A selected neuron belongs to every language in which it is above the bar. If too few neurons
    pass the bar, dropped neurons fill the selection; they belong to no language.

    Args:
        probability: [language, layer, neuron], in [0, 1].
        percentile: share of all probabilities that are at or below the bar, in (0, 1].
        top_fraction: share of all neurons that are selected, in (0, 1].

    Returns:
        bool [language, layer, neuron]; a neuron may belong to several languages, and a language
        may have none. ``attrs``: the ``activation_bar`` and the number of ``selected_neurons``.

    Raises:
        NeuroglotError: a probability is NaN or outside [0, 1], a setting is outside (0, 1], or
            there is only one language, for which every entropy is 0.
    """
    for name, share in {"percentile": percentile, "top_fraction": top_fraction}.items():
        if not 0 < share <= 1:
            raise NeuroglotError(f"{name}: expected a share above 0 and up to 1, found {share}")
    p = _checked(probability).transpose("language", "layer", "neuron")
    if p.sizes["language"] < 2:
        raise NeuroglotError(
            f"language neurons are found by comparing languages; there is only "
            f"{p['language'].values.tolist()}; add another"
        )
    neurons = sum(layer_widths(p))
    rank = max(1, round(neurons * p.sizes["language"] * percentile))
    # Padding neurons are NaN: they are sorted last, and never above the bar.
    bar = np.partition(p.to_numpy(), rank - 1, axis=None)[rank - 1]
    above = p > bar
    entropy = activation_probability_entropy(p).where(above.any("language"), np.inf)
    lowest = np.argsort(entropy.to_numpy(), axis=None, kind="stable")
    selected = np.zeros(entropy.shape, bool)
    selected.flat[lowest[: round(top_fraction * neurons)]] = True
    specific: xr.DataArray = above & xr.DataArray(selected, dims=("layer", "neuron"))
    specific.attrs = {
        "units": "true or false",
        "source": SOURCE,
        "activation_bar": float(bar),
        SELECTED: int(selected.sum()),
    }
    return specific.rename("language_neuron")


def selection_standard(language_neuron: xr.DataArray, entropy: xr.DataArray) -> tuple[float, float]:
    """Give the bar and the entropy that the selected neurons of languages reach.

    Args:
        language_neuron: result of ``language_neurons``, with its attributes.
        entropy: result of ``activation_probability_entropy``.

    Returns:
        The activation bar, and the highest entropy of a neuron that belongs to a language, in
        nats; -inf if no neuron belongs to a language.
    """
    highest = entropy.where(language_neuron.any("language")).max().fillna(-np.inf)
    return language_neuron.attrs["activation_bar"], float(highest)


def highest_elsewhere(probability: xr.DataArray) -> xr.DataArray:
    """Find each neuron's highest activation probability in the other languages.

    Args:
        probability: [..., language], with at least two languages.

    Returns:
        The shape of ``probability``: for each language, the highest value of all other languages.
    """
    values = probability.transpose("language", ...)
    second, highest = np.sort(values.to_numpy(), axis=0)[-2:]
    others = np.where(values == highest, second, highest)  # in a tie both are the highest
    return values.copy(data=others).transpose(*probability.dims)


def shared_by_languages(language_neuron: xr.DataArray) -> xr.DataArray:
    """Count the selected neurons by the number of languages they belong to.

    Args:
        language_neuron: result of ``language_neurons``, with its attributes.

    Returns:
        int64 [count], ``count`` = 0 … languages. Count 0 has the selected neurons that belong to no
        language, because none of their probabilities is above the bar.

    Raises:
        NeuroglotError: the attribute with the number of selected neurons is missing.
    """
    if SELECTED not in language_neuron.attrs:
        raise NeuroglotError(f"language_neuron lacks the attribute {SELECTED}; select them again")
    languages = language_neuron.sizes["language"]
    by_number = np.bincount(
        language_neuron.sum("language").to_numpy().ravel(), minlength=languages + 1
    )
    by_number[0] = language_neuron.attrs[SELECTED] - by_number[1:].sum()
    return xr.DataArray(
        by_number.astype(np.int64),
        dims="count",
        coords={"count": ("count", np.arange(languages + 1), {"units": "languages"})},
        name="shared_by_languages",
        attrs={"units": "neurons", "source": SOURCE},
    )


def as_lists(language_neuron: xr.DataArray) -> dict[str, dict[int, list[int]]]:
    """List each language's neurons, ascending, by layer: ``{language: {layer: [neurons]}}``.

    All languages and layers are included, in the order of ``language_neuron``. Layers and neurons
    count from 0. A layer's key is its coordinate or, without a coordinate, its index.
    """
    ordered = language_neuron.transpose("language", "layer", "neuron")
    layers = ordered["layer"].values.tolist()
    return {
        language: {
            layer: np.flatnonzero(mask).tolist() for layer, mask in zip(layers, masks, strict=True)
        }
        for language, masks in zip(ordered["language"].values.tolist(), ordered.values, strict=True)
    }


def _checked(probability: xr.DataArray) -> xr.DataArray:
    values = probability.transpose(..., "layer", "neuron").to_numpy()[
        ..., within(layer_widths(probability))
    ]
    if not ((values >= 0) & (values <= 1)).all():
        raise NeuroglotError(
            f"activation probabilities must lie in [0, 1], found {np.nanmin(values):.4g} to "
            f"{np.nanmax(values):.4g}, {int(np.isnan(values).sum())} of them NaN; count tokens and "
            "firing over the same rows"
        )
    return probability
