"""Languages clustered by the neurons that write them, with the languages' families."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.text import title
from neuroglot.figures import families, panels, style

LINE = 0.145
WIDTH = 6.4
STRIP = 0.02
MIXED = "#8A8A8A"

Values = NDArray[np.float64]


@style.styled
def language_tree(ds: Dataset) -> Figure:
    """Draw the dendrogram of all languages, one leaf per line, with the looks of their families.

    A branch has the colour of a family if all languages below it belong to that family.

    Args:
        ds: ``linkage(merge, column)``, SciPy's linkage of the languages in their order, with
            units; coordinates ``family(language)``, ``genus(language)`` and ``script(language)``.
    """
    tree = np.asarray(ds["linkage"].values, dtype=np.float64)
    if not len(tree) or not np.isfinite(tree).all():
        return style.empty("no two languages with associations")
    groups = list(families.groups(ds).values())
    order = leaves(tree)
    figure, body = panels.sheet(WIDTH, 0.9 + LINE * len(order), families.handles(groups))
    ax = body.subplots()
    branches(ax, tree, order, groups)
    deepest = float(tree[:, 2].max()) or 1.0
    for place, leaf in enumerate(order):
        patch = families.look(groups[leaf]).patch()
        ax.barh(place, -STRIP * deepest, height=0.86, left=-0.01 * deepest, **patch)
    ax.set_xlim(1.03 * deepest, -(STRIP + 0.015) * deepest)
    ax.set_ylim(len(order) - 0.4, -0.6)
    labels = [label(ds, leaf) for leaf in order]
    ax.yaxis.tick_right()
    ax.set_yticks(range(len(order)), labels, fontsize=7.5)
    for text, leaf in zip(ax.get_yticklabels(), order, strict=True):
        text.set_color(families.look(groups[leaf]).ink())
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    units = ds["linkage"].attrs["units"]
    ax.set_xlabel(f"distance between the languages' association profiles\n({units})")
    title(figure, ds, "languages by the neurons that write them")
    return figure


def leaves(tree: Values) -> list[int]:
    """Order the languages from top to bottom so that no branches cross."""
    from scipy.cluster.hierarchy import leaves_list

    return [int(leaf) for leaf in leaves_list(tree)]


def branches(ax: Axes, tree: Values, order: list[int], groups: list[str]) -> None:
    """Draw one bracket per merge of ``tree[merge, column]``: both branches and their joint."""
    place = dict(zip(order, map(float, range(len(order))), strict=True))
    distance = dict.fromkeys(order, 0.0)
    of = dict(enumerate(groups))
    lines, looks = [], []
    for node, (a, b, height, _) in enumerate(tree, start=len(order)):
        a, b = int(a), int(b)
        lines.append(
            [
                (distance[a], place[a]),
                (height, place[a]),
                (height, place[b]),
                (distance[b], place[b]),
            ]
        )
        place[node], distance[node] = (place[a] + place[b]) / 2, height
        of[node] = of[a] if of[a] == of[b] else ""
        known = of[node] in families.GROUPS
        looks.append(
            families.look(of[node]).line() if known else {"color": MIXED, "linestyle": "-"}
        )
    ax.add_collection(
        LineCollection(
            lines,
            colors=[one["color"] for one in looks],
            linestyles=[one["linestyle"] for one in looks],
            linewidths=1.2,
        )
    )


def label(ds: Dataset, leaf: int) -> str:
    """A language's name, and its ISO 15924 script if the script is not Latin."""
    names = style.Languages.of(ds).names
    language, script = str(ds["language"].values[leaf]), str(ds["script"].values[leaf])
    name = names[language]
    return name if script == "Latn" or f"({script})" in name else f"{name} [{script}]"


FIGURES: dict[str, style.Draw] = {"language_tree": language_tree}
