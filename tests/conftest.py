"""Fixtures that several files share, and the order of the files."""

import pytest
from filelock import FileLock

from support.tiny_workflow import Workplace, add_analyses, make_workplace

# They take minutes: begun last, one of them would run alone at the end.
LONG = (
    "test_workflow",
    "test_analyses",
    "test_reruns",
    "test_slurm",
    "test_reached",
    "test_every_figure",
    "test_captions",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and make warnings errors where figures are drawn."""
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        if "figure" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings("error", "ignore::DeprecationWarning"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workplace:
    """Every analysis of one model, made in full, once for all processes of the tests.

    Tests leave it as it is: what changes or runs anything does so in a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
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
