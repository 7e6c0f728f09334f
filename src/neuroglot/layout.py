"""Paths under ``results/``, and the file that marks each result as done."""

from pathlib import Path

from neuroglot.packages import PackageRef

RESULTS = Path("results")
CONFIGURATION = RESULTS / "configuration.json"
DIGESTS = RESULTS / ".digests.json"
CODE = RESULTS / ".code.json"
PLAN = RESULTS / "plan.json"
REPORT = RESULTS / "report.html"
REPORT_SNAKEMAKE = RESULTS / "report-snakemake.html"
LOGS = RESULTS / "logs"


def model(m: str) -> Path:
    """A model's folder: weights, tokenizer, card."""
    return RESULTS / "models" / m


def running(m: str) -> Path:
    """How a model is run, beside its folder, which is replaced when the model is made again."""
    return RESULTS / "models" / f"{m}.running.json"


def package(ref: PackageRef) -> Path:
    """The archive of a package that holds text."""
    name = f"{ref.registry}-{ref.name}-{ref.version}".replace("/", "_")
    return RESULTS / "packages" / name


def corpus(c: str, l: str) -> Path:  # noqa: E741 - the wildcards' names
    """One language of a corpus."""
    return RESULTS / "corpora" / c / f"{l}.parquet"


def items(t: str, l: str) -> Path:  # noqa: E741
    """One language of a task."""
    return RESULTS / "tasks" / t / f"{l}.parquet"


def tokens(m: str, c: str, l: str) -> Path:  # noqa: E741
    """One language of a corpus, as tokens of a model."""
    return RESULTS / "tokens" / m / c / f"{l}.zarr"


def recording(m: str, source: str, l: str, group: str) -> Path:  # noqa: E741
    """One group of a model's recording of one language of a corpus or task."""
    root = "states" if group == "states" else "activations"
    return RESULTS / root / m / source / f"{l}.zarr" / group


def reduction(analysis: str, step: str, m: str | None = None, part: str | None = None) -> Path:
    """Dataset of a step: of one model or all, and of one part if the step has parts."""
    folder = RESULTS / analysis / (m or "") / step
    return folder.with_suffix(".zarr") if part is None else folder / f"{part}.zarr"


def figures(analysis: str, m: str | None = None) -> Path:
    """Folder of an analysis' figures: of one model, or of comparisons between models."""
    return RESULTS / analysis / (m or "") / "figures"


def done(path: Path) -> Path:
    """The file that is written last, when ``path`` is complete."""
    if path.suffix == ".parquet":
        return path
    return path / ("card.json" if path.parent == RESULTS / "models" else "complete.json")
