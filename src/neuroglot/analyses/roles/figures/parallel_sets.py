"""Figures 14 to 18: the same language, or pair of languages, in different parallel sets."""

from itertools import combinations, permutations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from xarray import DataArray, Dataset, concat

from neuroglot.analyses.roles.figures.pairs import HUES, compared
from neuroglot.figures import heat, languages, lines, series, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import SITES, Drawing, NothingToDraw, require
from neuroglot.figures.texts import held
from neuroglot.tables import valued

NAME, SAME = "rank_correlation", "same_language"
UNIT = "Spearman rank correlation"
BASELINE = "baseline: other languages,\nin the same set"


def same_language(ds: Dataset, site: str) -> Figure:
    """Rank correlation of each language's neurons between two sets, one panel per pair of sets.

    The last panel is the baseline: the mean correlation with other languages within a set.

    Args:
        ds: ``same_language(site, language, corpus_a, corpus_b, layer)`` and
            ``rank_correlation(site, corpus, language_a, language_b, layer)``, with ``_low`` and
            ``_high``.
        site: ``act`` for figure 14, ``out`` for figure 15.
    """
    joined = with_baseline(ds, site)
    figure = languages.by_layer(joined, SAME, UNIT, Series.of("sets", held(joined, SAME, "sets")))
    return sheets.title(figure, ds, f"{SITES[site]}, the same language in two sets")


def with_baseline(ds: Dataset, site: str) -> Dataset:
    """``same_language(sets, language, layer)``, its interval, and last the languages' baseline."""
    same = ds[[SAME, f"{SAME}_low", f"{SAME}_high"]].sel(site=site, drop=True)
    others = compared(ds, NAME, site)[NAME].mean(["corpus", "language_b"]).drop_vars("site")
    baseline = others.rename(language_a="language").reindex(language=ds["language"])
    panels = {
        f"same language,\n{a} and {b}": same.sel(corpus_a=a, corpus_b=b, drop=True)
        for a, b in combinations(ds["corpus_a"].values, 2)
    } | {BASELINE: Dataset(dict.fromkeys(same, baseline))}
    joined = concat(panels.values(), "sets").assign_coords(sets=[*panels])
    require(joined[SAME][:-1], f"no language in two parallel sets ({SITES[site]})")
    return joined.where(joined[SAME][:-1].notnull().any("sets")).assign_attrs(ds.attrs)


def same_finding(ds: Dataset, site: str) -> str:
    """Say how alike rankings are between two sets, and between two languages."""
    means = with_baseline(ds, site)[SAME].mean(["language", "layer"])
    told = f"The mean correlation of a language's ranks in two sets is {span(means[:-1], '.2f')}"
    within = (
        f"; of two languages' in one set, {span(means[-1:], '.2f')}" if means[-1].notnull() else ""
    )
    return f"{told}{within}."


def overlap(ds: Dataset) -> Figure:
    """Overlap of two sets' text: a table of languages by what is shared, in colours.

    Args:
        ds: ``sentence_overlap`` and ``set_token_overlap`` ``(language, corpus_a, corpus_b)``.
    """
    table = shares(ds)
    names = series.languages(ds).only(table["language"].values).labels
    figure = sheets.sheet(2.4 + 0.18 * len(names), 1 if table.sizes["shared"] < 4 else 2)
    ax = figure.subplots()
    scale = heat.Scale.of(table.values, "share", limits=(0, float(table.max())))
    heat.matrix(ax, table.values, names, [*table["shared"].values], scale, ".0%")
    ax.set_xlabel("what is shared")
    scale.bar(figure, [ax], format=PercentFormatter(1, 0))
    return sheets.title(figure, ds, "overlap of parallel sets")


def shares(ds: Dataset) -> DataArray:
    """``(language, shared)`` of every two sets: sentences in each direction, then tokens."""
    sets = ds["corpus_a"].values
    if len(sets) < 2:
        raise NothingToDraw("no second parallel set")
    columns = {
        f"{a} sentences in {b}": ds["sentence_overlap"].sel(corpus_a=a, corpus_b=b, drop=True)
        for a, b in permutations(sets, 2)
    } | {
        f"tokens of {a} and {b}": ds["set_token_overlap"].sel(corpus_a=a, corpus_b=b, drop=True)
        for a, b in combinations(sets, 2)
    }
    table = concat(columns.values(), "shared").assign_coords(shared=[*columns])
    require(table, "no language in two parallel sets")
    return table.transpose("language", "shared").dropna("language", how="all")


def overlap_finding(ds: Dataset) -> str:
    """Say how much text the sets share."""
    parts = [f"{span(column, '.0%')} ({column['shared'].item()})" for column in shares(ds).T]
    return f"By language, the sets share {', '.join(parts)}."


def parallel_pairs(ds: Dataset, site: str) -> Figure:
    """One panel per language: its rank correlation with the pivot, one line per parallel set.

    Args:
        ds: ``rank_correlation(site, corpus, language_a, language_b, layer)``, with ``_low`` and
            ``_high``; ``attrs["pivot"]``.
        site: ``act`` for figure 17, ``out`` for figure 18.
    """
    values = with_pivot(ds, site)
    panels = series.languages(values).only(held(values, NAME, "language"))
    pivot = series.languages(ds, "language_a").label(values["language_a"].item())
    if not panels:
        raise NothingToDraw(f"no language beside {pivot} ({SITES[site]})")
    looks = zip(values["corpus"].values, HUES, series.DASHES, strict=False)
    sets = Series("corpus", {corpus: Look(corpus, hue, dash) for corpus, hue, dash in looks})
    table = valued(values.sel(corpus=[*sets]), NAME)
    figure = lines.by_layer(table, LayerAxis.of(ds), sets, UNIT, columns=panels, others=True)
    return sheets.title(figure, ds, f"{SITES[site]}, rank correlation with {pivot}")


def with_pivot(ds: Dataset, site: str) -> Dataset:
    """Rank correlation of the pivot with each ``language``, and its interval."""
    pivot = series.pivot(ds, series.languages(ds, "language_a"))
    values = compared(ds, NAME, site).drop_dims("language", errors="ignore")
    return values.sel(language_a=pivot).rename(language_b="language").assign_attrs(ds.attrs)


def pairs_finding(ds: Dataset, site: str) -> str:
    """Say how far the sets agree on how alike each language and the pivot are."""
    means = with_pivot(ds, site)[NAME].mean("layer").dropna("language")
    if not means.size or means.sizes["corpus"] < 2:
        return ""
    apart = span(means.max("corpus") - means.min("corpus"), ".2f")
    return f"Between the sets, a language's mean correlation with the pivot differs by {apart}."


FIGURES = {
    "figure_14_detector_same_language": Drawing(same_language, same_finding, site="act"),
    "figure_15_combinator_same_language": Drawing(same_language, same_finding, site="out"),
    "figure_16_overlap": Drawing(overlap, overlap_finding),
    "figure_17_detector_parallel_pairs": Drawing(parallel_pairs, pairs_finding, site="act"),
    "figure_18_combinator_parallel_pairs": Drawing(parallel_pairs, pairs_finding, site="out"),
}
