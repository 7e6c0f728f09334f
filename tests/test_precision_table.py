"""The table of what another precision does, on results whose differences are known."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroglot import store
from support import ROOT

NEURONS = np.zeros((2, 1, 8), bool)
NEURONS[:, 0, :4] = True


def lape(folder: Path, neurons: np.ndarray, excess: list[float], p_value: list[float]) -> None:
    """What lape leaves of a model: its neurons, and a test in each of two languages."""
    card = folder / "models" / "m" / "card.json"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.touch()
    center = np.array(excess)
    write(
        folder / "lape/m/neurons.zarr",
        xr.Dataset({"language_neuron": (("language", "layer", "neuron"), neurons)}),
    )
    write(
        folder / "lape/m/perplexity.zarr",
        xr.Dataset(
            {
                "excess": ("language", center),
                "excess_low": ("language", center - 1),
                "excess_high": ("language", center + 1),
                "excess_p_value": ("language", np.array(p_value)),
                "continuation": ("item", np.array(["a b", str(p_value[0])])),
            }
        ),
    )


def write(path: Path, data: xr.Dataset) -> None:
    store.begin(path, "reduction", {"a": "b"})
    store.write_dataset(path, data)
    store.complete(path, "reduction", {"a": "b"}, {})


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[], tuple[int, str, pd.DataFrame]]:
    """A function that gives the exit status, the table's lines, and every variable."""

    def run() -> tuple[int, str, pd.DataFrame]:
        places = [tmp_path / name for name in ("one", "two", "table.md", "all.csv")]
        first, second, table, everything = map(str, places)
        command = ["bench/precision.py", first, second, "--table", table, "--all", everything]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
        return done.returncode, Path(table).read_text("utf-8"), pd.read_csv(everything)

    return run


def test_what_differs_is_counted(tmp_path: Path, compare) -> None:
    lape(tmp_path / "one", NEURONS, [1.0, np.nan, 5.0], [0.01, 0.2, 0.04])
    moved = NEURONS.copy()
    moved[1, 0, [3, 4]] = False, True
    lape(tmp_path / "two", moved, [1.5, 2.0, 6.5], [0.06, 0.3, 0.03])
    status, table, everything = compare()
    assert status == 0
    assert "| `lape`: a language's neurons | Jaccard ≥ 0.600, median 0.800 (8 and 8 neurons) |" in (
        table
    )
    excess = "ρ 1.00000; Δ ≤ 1.5, median 1; 1 of 2 (50 %) outside the interval"
    assert f"| `lape`: its excess over controls | {excess} |" in table
    assert "| `lape`: its test | 1 of 3 (33 %) stars come or go |" in table
    assert "| `transfer`: lists | – |" in table
    lines = everything.set_index("variable")
    assert lines["differ"].to_dict() == {
        **{"language_neuron": 2, "excess": 3, "excess_p_value": 3, "continuation": 1}
    }
    assert lines.loc["excess", ["largest", "median", "outside"]].tolist() == [1.5, 1.0, 1]
    assert lines.loc["excess_p_value", ["stars_changed", "tested"]].tolist() == [1, 3]


def test_equal_runs_differ_in_nothing(tmp_path: Path, compare) -> None:
    for name in ("one", "two"):
        lape(tmp_path / name, NEURONS, [1.0, np.nan, 5.0], [0.01, 0.2, 0.04])
    status, table, everything = compare()
    assert status == 0
    assert "Jaccard ≥ 1.000" in table
    assert (everything["differ"] == 0).all()


def test_a_result_that_one_run_lacks_is_named(tmp_path: Path, compare, capfd) -> None:
    for name in ("one", "two"):
        lape(tmp_path / name, NEURONS, [1.0, 2.0, 5.0], [0.01, 0.2, 0.04])
    (tmp_path / "two" / "lape/m/neurons.zarr/complete.json").unlink()
    status, table, _ = compare()
    assert status == 1
    assert "only one of the runs has lape/m/neurons.zarr" in capfd.readouterr().err
    assert "| `lape`: a language's neurons | – |" in table
