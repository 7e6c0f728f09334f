"""A run that is killed goes on where it was, to the same bytes; two at once do no harm."""

import time
from pathlib import Path

import pytest

from support.tiny_workflow import Workplace
from tools import kills

# From text to a figure, with every kind of step between them, but few of each.
TARGETS = (
    "results/roles/one/flatness.csv",
    "results/roles/one/figures/figure_04_detector_flatness.svg",
)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace that nobody disturbed."""
    place = kills.prepare(tmp_path_factory.mktemp("quiet") / "place", analyses=False)
    status, output = kills.Run(place, *TARGETS).finish()
    assert status == 0, output
    return place


def test_a_killed_run_goes_on_to_the_same_bytes(quiet: Workplace, tmp_path: Path) -> None:
    place = kills.prepare(tmp_path / "place", analyses=False)
    killed = kills.disturb(place, kills=3, seed=1, targets=TARGETS, longest=4)
    assert len(killed.kills) == 3
    assert any(kill.inside for kill in killed.kills), "no kill was inside a Zarr write"
    assert kills.differences(place, quiet) == []
    assert killed.shards >= 8, "of two recordings, four each"
    assert killed.again == [], "shards that were done were computed again"
    assert max((n for one in killed.kills for n in one.lost.values()), default=0) <= 2


def test_the_comparison_sees_a_single_bit(quiet: Workplace, tmp_path: Path) -> None:
    place = quiet.copy(tmp_path / "place")
    assert kills.differences(place, quiet) == []
    assert {Path(name).suffix for name in kills.results(quiet)} >= {
        ".json",
        ".csv",
        ".svg",
        ".parquet",
    }
    table = place.folder / "results" / "roles" / "one" / "flatness.csv"
    content = bytearray(table.read_bytes())
    content[-2] ^= 1
    table.write_bytes(content)
    (place.folder / "results" / "roles" / "one" / "more.csv").touch()
    assert kills.differences(place, quiet) == ["roles/one/flatness.csv", "roles/one/more.csv"]


def test_a_second_run_at_the_same_time_is_refused_and_the_first_unharmed(
    quiet: Workplace, tmp_path: Path
) -> None:
    place = kills.prepare(tmp_path / "place", analyses=False)
    first = kills.Run(place, *TARGETS)
    while first.going and not (place.folder / "results" / "tokens").exists():
        time.sleep(0.05)
    status, output = kills.Run(place, *TARGETS).finish()
    assert first.going, "the first run was over before the second began"
    assert status != 0
    assert "Directory cannot be locked" in output
    assert "--unlock" in output
    assert "Traceback" not in output
    status, output = first.finish()
    assert status == 0, output
    assert kills.differences(place, quiet) == []
