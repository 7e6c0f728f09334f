"""Writes a picture in 256 colours without losing the steps of a colour map."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREYS = 24


def in_few_colours(image: Image.Image, keep: NDArray[np.uint8]) -> Image.Image:
    """``image`` with a palette of 256 colours: those to keep, greys, and its most frequent ones.

    A general quantiser merges the steps of a colour map that only the colour bar shows.

    Args:
        image: an RGB picture.
        keep: ``(colour, 3)``, colours that stay exact; at most 200.
    """
    pixels = np.asarray(image, dtype=np.uint32)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    packed_colours, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")
    colours = np.stack([packed_colours >> shift & 255 for shift in (16, 8, 0)], axis=1)
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    fixed = np.concatenate([keep, greys])
    palette = np.concatenate([fixed, colours[frequent][: 256 - len(fixed)].astype(np.uint8)])
    picture = Image.fromarray(nearest(colours, palette)[index].reshape(packed.shape), mode="P")
    picture.putpalette(palette.tobytes())
    return picture


def nearest(colours: NDArray[np.uint32], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place in ``palette[colour, 3]`` of the colour nearest to each of ``colours[colour, 3]``."""
    target = palette.astype(np.float32)
    halves = (target**2).sum(1) / 2
    scores = colours.astype(np.float32) @ target.T - halves
    return np.asarray(scores.argmax(1), dtype=np.uint8)
