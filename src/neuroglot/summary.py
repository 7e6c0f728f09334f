"""Prints at the end of a run where the results are."""

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
            print(
                f"  {figures.parent}/: tables (.csv), datasets (.zarr), {_count(figures)} figures"
            )
    for analysis in settings.analyses:
        figures = layout.figures(analysis)
        if between := _count(figures):
            print(f"  {figures.parent}/: comparison of the models, {between} figures")
        models = settings.models_of(analysis)
        left_out = [
            stem
            for family in ANALYSES[analysis].figures
            for stem in family.stems
            if stem not in family.drawn(len(models))
        ]
        if left_out:
            print(f"  left out: {', '.join(left_out)}; they compare models, and there is one")


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.svg")))
