"""Writes a picture in 256 colours without losing the steps of a colour map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREYS = 24


def in_few_colours(image: Image.Image, keep: NDArray[np.uint8]) -> Image.Image:
    """Reduce ``image`` to 256 colours: those in ``keep``, greys, and the most frequent colours.

    A general quantiser would merge the steps of a colour map that only the colour bar shows.

    Args:
        image: an RGB picture.
        keep: ``(colour, 3)``, colours that stay exact; at most 200.
    """
    pixels = np.asarray(image, dtype=np.uint32)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    counts = np.bincount(packed.ravel(), minlength=1 << 24)  # faster than sorting the pixels
    packed_colours = np.flatnonzero(counts)
    frequent = np.argsort(-counts[packed_colours], kind="stable")
    colours = np.stack([packed_colours >> shift & 255 for shift in (16, 8, 0)], axis=1)
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    fixed = np.concatenate([keep, greys])
    palette = np.concatenate([fixed, colours[frequent][: 256 - len(fixed)].astype(np.uint8)])
    place = np.zeros(len(counts), np.uint8)
    place[packed_colours] = nearest(colours, palette)
    picture = Image.fromarray(place[packed], mode="P")
    picture.putpalette(palette.tobytes())
    return picture


def nearest(colours: NDArray[np.integer[Any]], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find the index in ``palette[colour, 3]`` nearest to each of ``colours[colour, 3]``."""
    target = palette.astype(np.float32)
    halves = (target**2).sum(1) / 2
    scores = colours.astype(np.float32) @ target.T - halves
    return np.asarray(scores.argmax(1), dtype=np.uint8)
