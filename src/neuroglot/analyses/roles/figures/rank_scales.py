"""What stands beside figures 12 and 13: halves of a text, and text without shared tokens."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset, concat

from neuroglot.analyses.roles.figures.pairs import HUES, PAIR
from neuroglot.analyses.roles.measures.halves import LEAST_FOLDS, SPLITS
from neuroglot.analyses.roles.measures.unshared import DRAWS
from neuroglot.figures import lines, series, sheets
from neuroglot.figures.findings import number, span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import DASHES, Look, Series
from neuroglot.figures.style import SITES, NothingToDraw
from neuroglot.figures.texts import counted, held
from neuroglot.measures.folds import FOLDS
from neuroglot.tables import valued

UNIT = "Spearman rank correlation"
MOST_PANELS = 20
"""Panels that fit on a page: the mean over all pairs, and the first pairs with the pivot."""

HALVES = {
    "within_language": "same language, other content",
    "same_content": "other language, same content",
    "other_content": "other language, other content",
    "corrected": "other language, same content, corrected for attenuation",
}
SAMPLED = "sample_correlation"
UNSHARED = {
    "without_shared_tokens": "without tokens that both languages use",
    "without_random_prefixes": "without as many random prefixes",
}


def of_halves(ds: Dataset, site: str) -> Figure:
    """Rank correlations between halves of the first text that can be split, by layer.

    The first panel is the mean over all pairs of languages, the others are pairs with the pivot.

    Args:
        ds: the four of ``HALVES`` ``(site, corpus, language_a, language_b, layer)``;
            ``folds(corpus)``; ``attrs["pivot"]``.
        site: ``act`` for figure 12, ``out`` for figure 13.
    """
    first = first_text(ds, HALVES, site, f"no text has {LEAST_FOLDS} segments in two languages")
    figure = drawn(first, HALVES, UNIT, pairs_of(first))
    subject = f"{SITES[site]}, rank correlation between halves of {first['corpus'].item()}"
    return sheets.title(figure, ds, subject, f"{halved(first)}. {with_pivot(first)}")


def halves_finding(ds: Dataset, site: str) -> str:
    """Say how high the four correlations are, as means over pairs and layers."""
    first = first_text(ds, HALVES, site, "")
    within, same, other, corrected = means_of(first, HALVES)
    pairs = len(unequal_pairs(first))
    return (
        f"On halves of {first['corpus'].item()} ({halved(first)}), the mean rank correlation over "
        f"layers and {counted(np.array(pairs), 'pairs')} of languages is {within} for the same "
        f"language and other content, {same} for another language and the same content, {other} "
        f"for another language and other content, and {corrected} when that is corrected for "
        "attenuation."
    )


def without_shared_tokens(ds: Dataset, site: str) -> Figure:
    """How far rank correlations over sampled prefixes change without shared tokens, by layer.

    Each panel is titled with the overlap of the languages' tokens, and the share of prefixes kept.

    Args:
        ds: ``sample_correlation`` and those of ``UNSHARED`` ``(site, corpus, language_a,
            language_b, layer)``;
            ``token_overlap``, ``sampled_prefixes`` and ``unshared_prefixes`` ``(corpus, language_a,
            language_b)``; ``sampled_segments(corpus)``; ``attrs["pivot"]``.
        site: ``act`` for figure 12, ``out`` for figure 13.
    """
    lacking = "no two languages have prefixes whose token the other does not use"
    first = first_text(ds, UNSHARED, site, lacking)
    titles = {}
    for panel, title in pairs_of(first).items():
        some = first[["token_overlap", "sampled_prefixes", "unshared_prefixes"]]
        if panel:
            a, b = panel.split()
            some = some.sel(language_a=[a, b], language_b=[a, b])
        some = some.where(some[PAIR[0]] != some[PAIR[1]])
        kept = float(some["unshared_prefixes"].sum() / some["sampled_prefixes"].sum())
        overlap = float(some["token_overlap"].mean())
        titles[panel] = f"{title}\noverlap {overlap:.0%}, kept {kept:.0%}"
    changes = first.assign({name: first[name] - first[SAMPLED] for name in UNSHARED})
    figure = drawn(changes, UNSHARED, f"change of {UNIT}", titles)
    sheets.guide(figure.axes, 0)
    subject = f"{SITES[site]}, rank correlation without shared tokens"
    return sheets.title(figure, ds, subject, f"{sampled(first)}. {with_pivot(first)}")


def unshared_finding(ds: Dataset, site: str) -> str:
    """Say how high the three correlations are, as means over pairs and layers."""
    first = first_text(ds, UNSHARED, site, "")
    every, without, random = means_of(first, [SAMPLED, *UNSHARED])
    pairs = len(unequal_pairs(first))
    kept = (first["unshared_prefixes"] / first["sampled_prefixes"]).where(different(first))
    return (
        f"Over {sampled(first)}, the mean rank correlation over layers and "
        f"{counted(np.array(pairs), 'pairs')} of languages is {every}; without tokens that both "
        f"languages use ({span(kept, '.0%')} of the prefixes stay) it is {without}, without as "
        f"many random prefixes {random}. The overlap of two languages' tokens is "
        f"{span(first['token_overlap'].where(different(first)), '.0%')}."
    )


def first_text(ds: Dataset, names: Iterable[str], site: str, lacking: str) -> Dataset:
    """The variables of the first text that has all of them for two different languages."""
    apart = ds.sel(site=site).where(different(ds))
    texts = [held(apart, name, "corpus") for name in names]
    complete = [corpus for corpus in texts[0] if all(corpus in of_name for of_name in texts)]
    if not complete:
        raise NothingToDraw(f"{lacking} ({SITES[site]})")
    return ds.sel(site=site, corpus=complete[0])


def different(ds: Dataset) -> DataArray:
    """Whether two languages differ, ``(language_a, language_b)``."""
    return ds[PAIR[0]] != ds[PAIR[1]]


def unequal_pairs(first: Dataset) -> list[tuple[str, str]]:
    """The pairs of different languages that the text has."""
    there = first["token_overlap"].notnull()
    return [
        (a, b)
        for a, b in combinations(first[PAIR[0]].values.tolist(), 2)
        if bool(there.sel(language_a=a, language_b=b))
    ]


def pivot_of(first: Dataset) -> str:
    """The pivot, or the first language of a text that lacks it."""
    there = [language for pair in unequal_pairs(first) for language in pair]
    return series.pivot(first, series.languages(first, PAIR[0]).only(there))


def pairs_of(first: Dataset) -> dict[str, str]:
    """Titles by panel: "" for all pairs; the two ids of a pair with the pivot, with the other."""
    pairs, pivot = unequal_pairs(first), pivot_of(first)
    named = series.languages(first, PAIR[0])
    return {"": f"mean of {counted(np.array(len(pairs)), 'pairs')}"} | {
        f"{a} {b}": named.label(b if a == pivot else a)
        for a, b in [pair for pair in pairs if pivot in pair][: MOST_PANELS - 1]
    }


def with_pivot(first: Dataset) -> str:
    """Say which pairs have panels."""
    return f"Languages: with {series.languages(first, PAIR[0]).label(pivot_of(first))}."


def drawn(first: Dataset, names: Mapping[str, str], unit: str, titles: Mapping[str, str]) -> Figure:
    """Draw a line for each variable, in a panel for all pairs and for each pair with the pivot."""
    looks = zip(names.items(), HUES, DASHES, strict=False)
    scales = Series("scale", {name: Look(label, hue, dash) for (name, label), hue, dash in looks})
    values = first[[*names]].to_dataarray("scale").where(different(first))
    parts = [
        values.sel(dict(zip(PAIR, panel.split(), strict=True)), drop=True)
        if panel
        else values.mean(PAIR)
        for panel in titles
    ]
    joined = concat(parts, "panel").assign_coords(panel=[*titles])
    table = valued(joined.to_dataset(name="correlation"), "correlation")
    panels = Series.of("panel", titles)
    return lines.by_layer(table, LayerAxis.of(first), scales, unit, columns=panels)


def means_of(first: Dataset, names: Iterable[str]) -> list[str]:
    """Means over pairs and layers, written."""
    return [number(first[name].where(different(first)).mean(), ".3f") for name in names]


def halved(first: Dataset) -> str:
    """Say how often and of what halves were drawn."""
    folds = int(first["folds"])
    units = "segments" if folds < FOLDS else "folds of segments"
    return f"{SPLITS} random splits of {folds} {units} into halves of {folds // 2}"


def sampled(first: Dataset) -> str:
    """Say how many prefixes were sampled."""
    there = first["token_overlap"].notnull()
    prefixes = counted(first["sampled_prefixes"].where(there, 0).values, "prefixes of a language")
    segments = counted(first["sampled_segments"].values, "segments")
    return f"{prefixes} in {segments} of {first['corpus'].item()}, {DRAWS} random choices"
