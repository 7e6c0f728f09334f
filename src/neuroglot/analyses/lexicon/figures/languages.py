"""Languages clustered by the neurons that write them, with the languages' families."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, dendrogram, leaves_list
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.notes import text_of
from neuroglot.analyses.lexicon.measures.lexicon import covered_association
from neuroglot.analyses.lexicon.measures.support import clade_support
from neuroglot.figures import families, series, sheets
from neuroglot.figures.findings import FEWEST
from neuroglot.figures.style import Drawing, NothingToDraw

LINE, MOST_LINES = 0.135, 54
LEAF = 10
"""Distance of neighbouring leaves as SciPy draws them."""
REPLICATES, SUPPORTED = 100, 0.9


def language_tree(ds: Dataset) -> Figure:
    """Draw the tree of all languages, one leaf a line, in as many columns as are needed.

    Branches are black if 90 % of bootstrap samples of the neurons have the languages below them.

    Args:
        ds: ``linkage(merge, column)``, SciPy's linkage of the languages in their order, with
            units; ``association(prior, sign, neuron, language)``, probabilities, and
            ``coverage(sign, neuron)``, from which it was made; coordinates ``family(language)``,
            ``genus(language)`` and ``script(language)``; ``attrs["minimum_coverage"]``.
    """
    tree, count, least = linkage(ds), ds.sizes["language"], ds.attrs["minimum_coverage"]
    known = covered_association(ds["association"].sel(prior="uniform"), ds["coverage"], least)
    often = clade_support(tree, known, REPLICATES) >= SUPPORTED
    colours = np.where(often, "black", sheets.PALE).tolist()
    groups, order = families.groups(ds), leaves_list(tree)
    drawn, columns = families.series().only(groups), -(-count // MOST_LINES)
    ends = np.linspace(0, count, columns + 1).round().astype(int)
    height = 1.6 + LINE * max(np.diff(ends)) + 0.07 * len(drawn)
    figure, deepest = sheets.sheet(height, columns), tree[:, 2].max() or 1.0
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax, first, end in zip(axes, ends[:-1], ends[1:], strict=True):
        look = {"no_labels": True, "link_color_func": lambda at: colours[at - count]}
        dendrogram(tree, ax=ax, orientation="left", **look)
        leaves, places = order[first:end], LEAF * np.arange(first, end) + LEAF / 2
        for place, leaf in zip(places, leaves, strict=True):
            ax.plot(-0.04 * deepest, place, **drawn.looks[groups[leaf]].point)
        ax.set_xlim(1.03 * deepest, -0.08 * deepest)
        ax.set_ylim(LEAF * end, LEAF * first)
        ax.yaxis.tick_right()
        ax.set_yticks(places, [name(ds, leaf) for leaf in leaves])
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(ds["linkage"].units)
    sheets.legend(figure, drawn)
    note = f"{text_of(ds)}; black: in at least {SUPPORTED:.0%} of {REPLICATES} resamples of neurons"
    return sheets.title(figure, ds, "languages by their neurons", note)


def linkage(ds: Dataset) -> NDArray[np.float64]:
    """SciPy's linkage of the languages."""
    tree = ds["linkage"].values
    if not np.isfinite(tree).all() or not len(tree):
        raise NothingToDraw("no two languages with associations")
    return tree


def name(ds: Dataset, leaf: int) -> str:
    """A language's name, and its ISO 15924 script if the script is not Latin."""
    label, script = series.languages(ds).labels[leaf], str(ds["script"].values[leaf])
    return label if script == "Latn" or f"({script})" in label else f"{label} [{script}]"


def finding(ds: Dataset) -> str:
    """Compare how far apart languages are that share a family, a script, or neither."""
    apart = cophenet(linkage(ds))
    pairs = np.triu_indices(ds.sizes["language"], 1)
    family, script = (np.equal(*ds[of].values[np.array(pairs)]) for of in ("family", "script"))
    relations = {
        "of one family in two scripts": family & ~script,
        "of two families in one script": script & ~family,
        "that share neither": ~family & ~script,
    }
    if min(related.sum() for related in relations.values()) < FEWEST:
        return "Whether families or scripts explain the tree cannot be told at this size."
    parts = [
        f"{apart[related].mean():.2f} between languages {words} ({related.sum():,} pairs)"
        for words, related in relations.items()
    ]
    return f"The mean distance in the tree is {', '.join(parts)}."


FIGURES = {"language_tree": Drawing(language_tree, finding)}
