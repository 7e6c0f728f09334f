"""Colours of language families, which do not change when a language is added to a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Patch
from xarray import Dataset

from neuroglot.figures.style import HUES

SPLIT = "Indo-European"
REST_OF_SPLIT = f"{SPLIT}, other"
OTHERS = "other families"
GREY = "#C8C8C8"
HATCH = "/////"
CONTRAST = 4.5

# The families of WALS with many languages or many speakers. The second ten have the hues of the
# first ten, hatched. Families with the same hue are seldom read together.
GROUPS = (
    f"{SPLIT}, Germanic",
    f"{SPLIT}, Romance",
    f"{SPLIT}, Slavic",
    f"{SPLIT}, Indic",
    "Niger-Congo",
    "Afro-Asiatic",
    "Altaic",
    "Austronesian",
    "Sino-Tibetan",
    "Uralic",
    REST_OF_SPLIT,
    "Eastern Sudanic",
    "Dravidian",
    "Tai-Kadai",
    "Mayan",
    "Nakh-Daghestanian",
    f"{SPLIT}, Iranian",
    "Kartvelian",
    "Austro-Asiatic",
    "Mande",
)


@dataclass(frozen=True)
class FamilyLook:
    """The look of one group's languages: a hue, hatched in the second ten groups."""

    color: str
    hatched: bool = False

    def patch(self) -> dict[str, Any]:
        """Keyword arguments for a bar or patch in this look."""
        return {
            "facecolor": self.color,
            "hatch": HATCH if self.hatched else None,
            "edgecolor": "white",
            "linewidth": 0,
        }

    def line(self) -> dict[str, Any]:
        """Keyword arguments for a line in this look; dashed for hatched groups."""
        return {"color": self.color, "linestyle": (0, (2, 1)) if self.hatched else "-"}

    def ink(self) -> str:
        """The hue, darkened for text on white to a contrast of 4.5 to 1 (WCAG 2 AA)."""
        rgb = np.asarray(to_rgb(self.color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        luminance = float(linear @ (0.2126, 0.7152, 0.0722))
        linear = linear * min(1.0, (1.05 / CONTRAST - 0.05) / max(luminance, 1e-9))
        dark = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
        return to_hex(tuple(np.floor(dark * 255) / 255))


def group(family: str, genus: str) -> str:
    """The colour group of a language: its family or, in Indo-European, its genus."""
    if family == SPLIT:
        by_genus = f"{SPLIT}, {genus}"
        return by_genus if by_genus in GROUPS else REST_OF_SPLIT
    return family if family in GROUPS else OTHERS


def look(group: str) -> FamilyLook:
    """The look of a group, which depends only on its name; groups outside GROUPS are grey."""
    if group not in GROUPS:
        return FamilyLook(GREY)
    place = GROUPS.index(group)
    return FamilyLook(HUES[place % len(HUES)], hatched=place >= len(HUES))


def groups(ds: Dataset) -> dict[str, str]:
    """Map language ids to groups by the coordinates ``family(language)``, ``genus(language)``."""
    ids, families, genera = (
        [str(value) for value in ds[name].values] for name in ("language", "family", "genus")
    )
    return {
        language: group(family, genus)
        for language, family, genus in zip(ids, families, genera, strict=True)
    }


def handles(drawn: Iterable[str]) -> list[Patch]:
    """Legend entries of the groups in ``drawn``: Indo-European first, other families last."""
    present = set(drawn)
    ordered = sorted(present & set(GROUPS), key=lambda name: (SPLIT not in name, name))
    ordered += [OTHERS] if OTHERS in present else []
    return [Patch(label=name, **look(name).patch()) for name in ordered]
