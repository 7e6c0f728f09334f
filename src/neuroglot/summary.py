"""Says at the end of a run where to look."""

from pathlib import Path

from neuroglot import layout
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


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.svg")))
