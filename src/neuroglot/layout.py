"""Where everything lies under ``results/``, and by which file each thing counts as done."""

from pathlib import Path

from neuroglot.packages import PackageRef

RESULTS = Path("results")
CONFIGURATION = RESULTS / "configuration.json"
DIGESTS = RESULTS / ".digests.json"
CODE = RESULTS / ".code.json"
PLAN = RESULTS / "recordings.json"
REPORT = RESULTS / "report.html"
LOGS = RESULTS / "logs"


def model(m: str) -> Path:
    """Folder of a model: weights, tokenizer, card."""
    return RESULTS / "models" / m


def package(ref: PackageRef) -> Path:
    """Archive of a package that holds text."""
    name = f"{ref.registry}-{ref.name}-{ref.version}".replace("/", "_")
    return RESULTS / "packages" / name


def text(c: str, l: str) -> Path:  # noqa: E741 - the wildcards' names
    """One language of a corpus."""
    return RESULTS / "corpora" / c / f"{l}.parquet"


def items(t: str, l: str) -> Path:  # noqa: E741
    """One language of a task."""
    return RESULTS / "tasks" / t / f"{l}.parquet"


def tokens(m: str, c: str, l: str) -> Path:  # noqa: E741
    """One language of a corpus as a model's tokens."""
    return RESULTS / "tokens" / m / c / f"{l}.zarr"


def recording(m: str, text: str, l: str, group: str) -> Path:  # noqa: E741
    """What a model's neurons did reading one language of a corpus or task: one group of it."""
    kind = "states" if group == "states" else "activations"
    return RESULTS / kind / m / text / f"{l}.zarr" / group


def reduction(analysis: str, step: str, m: str | None = None, part: str | None = None) -> Path:
    """Dataset of a step: of a model or of all, and of one part where a step has several jobs."""
    folder = RESULTS / analysis / (m or "") / step
    return folder.with_suffix(".zarr") if part is None else folder / f"{part}.zarr"


def figures(analysis: str, m: str | None = None) -> Path:
    """Folder of an analysis' figures, of a model or of what compares models."""
    return RESULTS / analysis / (m or "") / "figures"


def done(path: Path) -> Path:
    """The file that is written last, when all of ``path`` is there."""
    if path.suffix == ".parquet":
        return path
    return path / ("card.json" if path.parent == RESULTS / "models" else "complete.json")
