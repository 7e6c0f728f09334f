"""The same configuration gives the same bytes: two full runs with every analysis."""

from pathlib import Path

import pytest

from support.tiny_workflow import Workplace, add_analyses, make_workplace
from tools import kills

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Workplace]:
    """Two workplaces in folders of their own, which have run at the same time."""
    places = []
    for name in ("first", "second"):
        place = make_workplace(tmp_path_factory.mktemp(name) / "place")
        add_analyses(place)
        places.append(place)
    started = [kills.Run(place) for place in places]
    for run in started:
        status, output = run.finish(1200)
        assert status == 0, output
    return places


def test_two_runs_give_the_same_bytes(runs: list[Workplace]) -> None:
    first, second = runs
    assert kills.differences(first, second) == []


def test_every_kind_of_result_is_compared(runs: list[Workplace]) -> None:
    names = list(kills.results(runs[0]))
    kinds = {Path(name).suffix for name in names}
    assert kinds >= {".csv", ".json", ".parquet", ".npz", ".svg", ".png", ".safetensors", ""}
    analyses = ["roles", "lexicon", "experts", "sharing", "transfer", "lape", "agreement", "boost"]
    assert {name.split("/")[0] for name in names} >= {*analyses, "models", "activations", "states"}


def test_what_is_not_compared_holds_a_time_and_is_there(runs: list[Workplace]) -> None:
    folder = runs[0].folder / "results"
    for pattern in kills.TIMED:
        assert list(folder.glob(pattern)), pattern
