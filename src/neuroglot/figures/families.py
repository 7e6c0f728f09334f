"""Looks of language families, which do not change when a language is added to a run."""

from xarray import Dataset

from neuroglot.figures.series import Look, Series

SPLIT = "Indo-European"
OTHER = "other families"

# Two groups with the same colour have other markers, and are seldom read together.
_LOOKS = {
    "Germanic": ("#4477AA", "s"),
    "Romance": ("#EE6677", "s"),
    "Slavic": ("#228833", "s"),
    "Indic": ("#CCBB44", "s"),
    "Niger-Congo": ("#66CCEE", "s"),
    "Afro-Asiatic": ("#AA3377", "s"),
    "Altaic": ("#4477AA", "^"),
    "Austronesian": ("#EE6677", "^"),
    "Dravidian": ("#228833", "^"),
    "Iranian": ("#CCBB44", "^"),
    "Uralic": ("#66CCEE", "^"),
    "Sino-Tibetan": ("#AA3377", "^"),
    OTHER: ("#999999", "o"),
}


def groups(ds: Dataset) -> list[str]:
    """The group of each language: its family or, in Indo-European, its genus.

    Args:
        ds: coordinates ``family(language)`` and ``genus(language)``, as in WALS.
    """
    facts = zip(ds["family"].values, ds["genus"].values, strict=True)
    names = [str(genus if family == SPLIT else family) for family, genus in facts]
    return [name if name in _LOOKS else OTHER for name in names]


def series() -> Series:
    """All groups, each with its colour and marker."""
    looks = {name: Look(name, color, marker=marker) for name, (color, marker) in _LOOKS.items()}
    return Series("group", looks)
