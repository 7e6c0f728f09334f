"""Says at the end of a run where the results are, or what failed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.config import load_file


def run(config: Path) -> None:
    """Print where a configuration's report, figures and tables are, as far as there are any."""
    settings = load_file(config)
    print(
        f"\n{len(settings.models)} models, {len(settings.languages)} languages, "
        f"{len(settings.corpora)} corpora are analysed. Where to look:"
    )
    if layout.REPORT.exists():
        print(f"  {layout.REPORT}: every figure and table with captions")
    for analysis in settings.analyses:
        for model in settings.models_of(analysis):
            figures = layout.figures(analysis, model)
            if figures.parent.exists():
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


def failures(since: float) -> list[str]:
    """Collect what the jobs of a run said of their errors.

    Args:
        since: when the run began, in seconds since the epoch; older logs are of other runs.

    Returns:
        Lines such as ``roles/flatness: error: …``: each message once, with the first job that said
        it and the number of other jobs that did.
    """
    said: dict[str, list[str]] = {}
    for log in sorted(layout.LOGS.rglob("*.log")):
        if log.stat().st_mtime >= since:
            job = log.relative_to(layout.LOGS).as_posix().removesuffix(".log").removesuffix(".zarr")
            lines = log.read_text("utf-8", "replace").splitlines()
            unforeseen = lines[-1:] if "Traceback (most recent call last):" in lines else []
            for line in [*filter(lambda line: line.startswith("error: "), lines), *unforeseen]:
                said.setdefault(line, []).append(job)
    return [
        f"{first}{f' and {len(others)} more' if others else ''}: {line}"
        for line, (first, *others) in said.items()
    ]


def remove_stale(figure_sets: Iterable[tuple[Sequence[Path], Sequence[Path]]]) -> list[Path]:
    """Remove the figures of results that are no longer there, because their job failed.

    Args:
        figure_sets: for each set, the files it is drawn from and its figures.

    Returns:
        The figures that were removed.
    """
    stale = [
        figure
        for drawn_from, figures in figure_sets
        if not all(path.exists() for path in drawn_from)
        for figure in figures
        if figure.exists()
    ]
    for figure in stale:
        figure.unlink()
    return stale


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
