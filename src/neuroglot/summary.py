"""Says at the end of a run where to look."""

from pathlib import Path

from neuroglot.config import load_file

RESULTS = Path("results")


def run(config: Path) -> None:
    """Print where the report, the figures and the tables of a configuration are."""
    settings = load_file(config)
    print(
        f"\n{len(settings.models)} models, {len(settings.languages)} languages, "
        f"{len(settings.corpora)} corpora are analysed. Where to look:"
    )
    print(f"  {RESULTS / 'report.html'}: every figure and table with captions")
    for paper in settings.analyses:
        for model in settings.models:
            folder = RESULTS / paper / model
            count = len(list((folder / "figures").glob("*.svg")))
            print(f"  {folder}/: tables (.csv), datasets (.zarr), {count} figures")
    for paper in settings.analyses:
        between = len(list((RESULTS / paper / "figures").glob("*.svg")))
        if between:
            print(f"  {RESULTS / paper}/: comparison of the models, {between} figures")
