"""Prints at the end of a run where the results are."""

from collections.abc import Iterable
from pathlib import Path

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.config import load_file


def run(config: Path) -> None:
    """Print where the report, the figures and the tables of a configuration are."""
    settings = load_file(config)
    print(
        f"\n{len(settings.models)} models, {len(settings.languages)} languages, "
        f"{len(settings.corpora)} corpora are analysed. Where to look:"
    )
    print(f"  {layout.REPORT}: every figure and table with captions")
    for analysis in settings.analyses:
        for model in settings.models_of(analysis):
            figures = layout.figures(analysis, model)
            shown = f"tables (.csv), datasets (.zarr), {_count(figures)} figures"
            print(f"  {figures.parent}/: {shown}")
    for analysis in settings.analyses:
        figures = layout.figures(analysis)
        if between := _count(figures):
            print(f"  {figures.parent}/: comparison of the models, {between} figures")
        models = settings.models_of(analysis)
        left_out = [
            stem
            for figure_set in ANALYSES[analysis].figures
            for stem in figure_set.stems
            if stem not in figure_set.drawn(len(models))
        ]
        if left_out:
            print(f"  left out: {', '.join(left_out)}; they compare models, and there is one")
    scripts = [settings.language(language).script for language in settings.all_languages]
    for line in without_font(scripts):
        print(line)


def without_font(scripts: Iterable[str]) -> list[str]:
    """Say which scripts (ISO 15924 codes) no installed font draws, and how to get fonts.

    Returns:
        Lines to print; none if every script has a font.
    """
    import matplotlib

    from neuroglot.figures.fonts import debian_package, missing_scripts

    missing = missing_scripts(scripts)
    if not missing:
        return []
    fonts = sorted({*missing.values()})
    packages = sorted({debian_package(font) for font in fonts})
    return [
        f"No installed font draws these scripts: {', '.join(missing)}.",
        f"  Figures write [{next(iter(missing))}] instead of such a token; the tables have it.",
        f"  Fonts to install: {', '.join(fonts)}; on Debian: apt install {' '.join(packages)}.",
        f"  Then remove {matplotlib.get_cachedir()}/fontlist-*.json and the figures of tokens, and "
        "run make again.",
    ]


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.svg")))
