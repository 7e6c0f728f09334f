"""Language activation probability entropy: which neurons fire for one or a few languages (LAPE).

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
    """Name the site whose sign says whether a neuron fires.

    Args:
        wanted: ``act``, ``gate`` or ``auto``: the gate of a gated model, as in the released code.
        gated: whether the model's FFNs are gated.
    """
    if wanted == "auto":
        return "gate" if gated else "act"
    return wanted


def activation_probability(fired: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Divide the tokens at which a neuron fires by all tokens (Tang et al. 2024, equation 2).

    Args:
        fired: tokens at which the neuron fires, [language, layer, neuron]. Where layers differ
            in width this, and all that is made of it, is NaN beyond a layer's own neurons, which
            ``axes.layer_widths`` tells.
        tokens: recorded tokens, [language], in any order.

    Returns:
        float32 in [0, 1], as in the released code: what is selected from the stored
        probabilities is what was selected from these.

    Raises:
        NeuroglotError: a language has no tokens, or a neuron fires more often than there are any.
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
    """Take the entropy over languages of each neuron's activation probabilities.

    -Σ p' ln p' with p' = p / Σ_languages p and 0 ln 0 = 0 (Tang et al. 2024, equations 3 and 4):
    0 where a neuron fires in one language only, ln(languages) where equally in all. A neuron that
    never fires has entropy 0 too. It does not depend on the order of languages, not even in its
    last bit.

    Args:
        probability: [language, layer, neuron], in [0, 1].

    Returns:
        float64 [layer, neuron], nats.

    Raises:
        NeuroglotError: a probability is NaN or outside [0, 1].
    """
    ordered = _checked(probability).transpose("layer", "language", "neuron")
    widths = layer_widths(ordered)
    found = [
        _entropy(own[:, :width]) for own, width in zip(ordered.to_numpy(), widths, strict=True)
    ]
    return xr.DataArray(
        stack_layers(found),
        dims=("layer", "neuron"),
        coords=ordered.isel(language=0, drop=True).coords,
        name="activation_probability_entropy",
        attrs={"units": "nats", "source": SOURCE},
    )


def _entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    ordered = np.sort(p.astype(np.float64), axis=0)  # so that any order of languages rounds alike
    total = ordered.sum(axis=0)
    share = np.divide(ordered, total, out=np.zeros_like(ordered), where=total > 0)
    entropy: NDArray[np.float64] = entr(share).sum(axis=0)
    return entropy


def language_neurons(
    probability: xr.DataArray, percentile: float = 0.95, top_fraction: float = 0.01
) -> xr.DataArray:
    """Assign the neurons of lowest entropy to languages, as LAPE's released code does.

    The bar is the value at rank round(n · percentile), counted from 1, of all n probabilities of
    all layers, neurons and languages. A neuron not above the bar in any language is dropped. Of
    *all* neurons of all layers, the round(top_fraction · neurons) of lowest entropy are selected,
    the lower layer and index of equals first; each belongs to every language in which it is above
    the bar. Where too few pass the bar, dropped neurons fill the selection and belong to none.

    Args:
        probability: [language, layer, neuron], in [0, 1].
        percentile: share of all probabilities that lie at or under the bar, in (0, 1].
        top_fraction: share of all neurons that are selected, in (0, 1].

    Returns:
        bool [language, layer, neuron]; a neuron may belong to several languages, and a language
        may have none. ``attrs``: the ``activation_bar`` and the number of ``selected_neurons``.

    Raises:
        NeuroglotError: a probability is NaN or outside [0, 1], a setting outside (0, 1], or there
            is one language only, whose entropy is 0 in every neuron: nothing could be ranked.
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
    # What is beyond a layer's neurons is NaN: sorted behind all numbers, and above no bar.
    bar = np.partition(p.to_numpy(), rank - 1, axis=None)[rank - 1]
    above = p > bar
    entropy = activation_probability_entropy(p).where(above.any("language"), np.inf)
    lowest = np.argsort(entropy.to_numpy(), axis=None, kind="stable")
    selected = np.zeros(entropy.shape, bool)
    selected.flat[lowest[: round(top_fraction * neurons)]] = True
    own: xr.DataArray = above & xr.DataArray(selected, dims=("layer", "neuron"))
    own.attrs = {
        "units": "true or false",
        "source": SOURCE,
        "activation_bar": float(bar),
        SELECTED: int(selected.sum()),
    }
    own.name = "language_neuron"
    return own


def selection_standard(language_neuron: xr.DataArray, entropy: xr.DataArray) -> tuple[float, float]:
    """Say what a neuron has to reach to be like those that languages were given.

    Args:
        language_neuron: what ``language_neurons`` gives, its attributes included.
        entropy: what ``activation_probability_entropy`` gives.

    Returns:
        The activation bar that some probability has to be above, and the highest entropy of a
        neuron that is a language's, nats; -inf where none is.
    """
    highest = entropy.where(language_neuron.any("language")).max().fillna(-np.inf)
    return language_neuron.attrs["activation_bar"], float(highest)


def highest_elsewhere(probability: xr.DataArray) -> xr.DataArray:
    """Find how often each neuron fires in that other language in which it fires most.

    Args:
        probability: [..., language], of two languages or more.

    Returns:
        As ``probability``: at a language the highest of all the others.
    """
    values = probability.transpose("language", ...)
    second, highest = np.sort(values.to_numpy(), axis=0)[-2:]
    others = np.where(values == highest, second, highest)  # of equal ones, each is the other's
    return values.copy(data=others).transpose(*probability.dims)


def shared_by_languages(language_neuron: xr.DataArray) -> xr.DataArray:
    """Count the selected neurons by the number of languages they belong to.

    Args:
        language_neuron: what ``language_neurons`` gives, its attributes included.

    Returns:
        int64 [count], ``count`` = 0 … languages. At 0 stand the selected neurons that belong to no
        language, because none of their probabilities is above the bar.

    Raises:
        NeuroglotError: the attribute that says how many neurons were selected is lost.
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

    Every language and every layer is there, in the order of ``language_neuron``; both layers and
    neurons count from 0. A layer's key is its coordinate, or its place where there is none.
    """
    ordered = language_neuron.transpose("language", "layer", "neuron")
    layers = [int(layer) for layer in ordered["layer"].values]
    return {
        str(language): {
            layer: [int(neuron) for neuron in np.flatnonzero(mine)]
            for layer, mine in zip(layers, own, strict=True)
        }
        for language, own in zip(ordered["language"].values, ordered.to_numpy(), strict=True)
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
