"""Tokens routed to experts with planted structure, for the tests of routing."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

IDS = ["en", "de", "hi", "zh"]


def routed(
    chances: NDArray[np.float64],
    tokens: NDArray[np.int64],
    slots: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Route tokens, each to ``slots`` different experts of a layer: tokens of each, [fold, expert].

    Args:
        chances: how likely each expert is, [expert] or, by fold, [fold, expert].
        tokens: number of tokens, [fold].
        slots: experts of a token.
        generator: makes the tokens.
    """
    by_fold = np.broadcast_to(chances, (len(tokens), chances.shape[-1]))
    counts = np.zeros(by_fold.shape, np.int64)
    for fold, (of_fold, number) in enumerate(zip(by_fold, tokens, strict=True)):
        keys = np.log(of_fold) + generator.gumbel(size=(number, len(of_fold)))
        np.add.at(counts[fold], np.argsort(-keys, axis=1)[:, :slots].ravel(), 1)
    return counts


def labelled(
    chosen: NDArray[np.int64], tokens: NDArray[np.int64]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Name counts [language, fold, layer, expert] and tokens [language, fold]."""
    coords = {"language": IDS[: len(chosen)]}
    return (
        xr.DataArray(chosen, coords, ("language", "fold", "layer", "expert")).assign_coords(
            layer=np.arange(chosen.shape[2]), expert=np.arange(chosen.shape[3])
        ),
        xr.DataArray(tokens, coords, ("language", "fold")),
    )


def mixture(
    own: float = 20.0,
    layers: int = 6,
    outer: int = 1,
    folds: int = 24,
    tokens: int = 60,
    languages: int = 4,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Experts that serve one language each in the outer layers, and all languages in the middle.

    Of 4 experts a language, its own are ``own`` times as likely as others in the first and the last
    ``outer`` layers. In the layers between, some experts are likelier than others, in all languages
    alike. A token passes through two experts.
    """
    generator = np.random.default_rng(seed)
    read = np.full((languages, folds), tokens)
    alike = generator.gamma(3, 1 / 3, (layers, 4 * languages))
    chosen = np.empty((languages, folds, layers, 4 * languages), np.int64)
    for language in range(languages):
        for layer in range(layers):
            chances = alike[layer].copy()
            if layer < outer or layer >= layers - outer:
                chances[4 * language : 4 * language + 4] *= own
            chosen[language, :, layer] = routed(chances, read[language], 2, generator)
    return labelled(chosen, read)


def exchanged(chosen: xr.DataArray, seed: int = 0) -> xr.DataArray:
    """The same counts with languages exchanged at random in each fold."""
    generator = np.random.default_rng(seed)
    values = chosen.to_numpy().copy()
    for fold in range(values.shape[1]):
        values[:, fold] = values[generator.permutation(len(values)), fold]
    return chosen.copy(data=values)
