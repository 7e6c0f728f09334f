"""Draws what `bench/growth.py` measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from neuroglot.figures import sheets
from neuroglot.figures.series import HUES, Look, Series
from neuroglot.figures.style import save, theme

KINDS = {
    "all": ("all", ()),
    "record": ("recordings", ("record",)),
    "step": ("reductions", ("step",)),
    "draw": ("figures and report", ("draw", "report")),
    "rest": ("models, texts, Snakemake", ("model", "corpus", "task", "package", "snakemake")),
}
LOOKS = Series(
    "kind",
    {
        kind: Look(label, color=color, marker=marker)
        for (kind, (label, _)), color, marker in zip(
            KINDS.items(), ("#000000", *HUES[:4]), "osD^v", strict=True
        )
    },
)


def draw(found: Mapping[str, Any], stem: Path) -> None:
    """Write the figure as SVG and PNG."""
    with theme():
        figure, axes = sheets.grid(5, 3, 1.9)
        for ax, part in zip(axes, ("languages", "models", "tasks"), strict=False):
            _kinds(ax, found[part])
            ax.set_xlabel(f"{part}, in two languages" if part != "languages" else part)
        _tokens(axes[3], found["tokens"], "seconds")
        axes[3].set_yscale("log")
        axes[3].set_ylabel("processor seconds of a recording")
        _tokens(axes[4], found["tokens"], "megabytes")
        axes[4].set_ylim(bottom=0)
        axes[4].set_ylabel("peak memory of it (MB)")
        axes[0].set_ylabel("processor seconds")
        sheets.legend(figure, LOOKS, lines=True)
        save(figure, stem)


def _kinds(ax: Axes, by_size: Mapping[str, Any]) -> None:
    """Lines of processor seconds by kind of job, over the sizes of a run."""
    sizes = sorted(map(int, by_size))
    for kind, (_, commands) in KINDS.items():
        values = [
            sum(
                cost["seconds"]
                for command, cost in by_size[str(size)].items()
                if command in commands or kind == "all"
            )
            for size in sizes
        ]
        ax.plot(sizes, values, **LOOKS.looks[kind].point | LOOKS.looks[kind].line)
    ax.xaxis.set_major_locator(FixedLocator([size for size in sizes if size != 9]))
    ax.set_ylim(bottom=0)
    ax.set_xlim(left=0)


def _tokens(ax: Axes, by_times: Mapping[str, Any], what: str) -> None:
    """A line over the number of tokens, which is logarithmic."""
    points = [(one["tokens"], one[what]) for one in by_times.values()]
    ax.plot(*zip(*points, strict=True), color="black", marker="o")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator([tokens for tokens, _ in points]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("tokens")
