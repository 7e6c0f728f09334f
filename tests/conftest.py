"""Fixtures that several files share, the order of the files, and one thread for each process."""

import os

# Read when numpy and torch are first imported. Processes that share cores wait for one another's
# threads: tiny models take a tenth of the time with one.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from filelock import FileLock

from support.tiny_workflow import Workplace, add_analyses, make_workplace

# They take long: begun last, one of them would run alone at the end.
LONG = (
    "test_analyses",
    "test_reruns",
    "test_every_figure",
    "test_kills",
    "test_faults",
    "test_workflow",
    "test_slurm",
    "test_scale",
    "test_reached",
    "test_new_analysis",
    "test_hub_models",
    "test_models",
    "test_training",
    "test_lint",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and make warnings errors where figures are drawn."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
    for item in items:
        if "figures" in (item.path.parent.name, item.path.stem.removeprefix("test_")):
            item.add_marker(pytest.mark.filterwarnings("error", "ignore::DeprecationWarning"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Every analysis of one model, made in full, once for all processes of the tests.

    Tests leave it as it is: what changes or runs anything does so in a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not folder.is_dir():
            place = make_workplace(shared / "unfinished")
            add_analyses(place)
            run = place.run()
            assert run.status == 0, run.output
            place.folder.rename(folder)
    return Workplace(folder)
