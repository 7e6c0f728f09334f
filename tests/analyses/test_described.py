"""What datasets say of themselves: a sentence for every variable, and what they were made from."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from neuroglot import store
from neuroglot.analyses.described import described, made_from
from neuroglot.models.card import CARD
from support.declared import every_step, step_module

SENTENCES = {"share": "share of all tokens", "variant": "what is edited", "seen_low": "the least"}


@pytest.fixture
def data() -> xr.Dataset:
    units = {"units": "tokens"}
    names = ("share", "share_low", "share_high", "seen_low", "other_low")
    return xr.Dataset(
        {name: ("variant", np.arange(2.0), units) for name in names},
        {
            "variant": ["a", "b"],
            "layer": ("layer", [0, 1]),
            "k": ("k", [1, 2], {"units": "neighbours"}),
        },
    )


class TestSentences:
    def test_bounds_have_theirs_from_what_they_bound(self, data: xr.Dataset) -> None:
        found = {
            name: one.attrs.get("long_name") for name, one in described(data, SENTENCES).items()
        }
        assert found == {
            "share": "share of all tokens",
            "share_low": "lower end of the 95 % interval of: share of all tokens",
            "share_high": "upper end of the 95 % interval of: share of all tokens",
            "seen_low": "the least",
            "other_low": None,
        }

    def test_axes_have_theirs_and_units(self, data: xr.Dataset) -> None:
        coords = described(data, SENTENCES).coords
        assert "counted from 0" in coords["layer"].attrs["long_name"]
        assert "tables and figures count from 1" in coords["layer"].attrs["long_name"]
        assert coords["variant"].attrs == {"units": "1", "long_name": "what is edited"}
        assert coords["k"].attrs == {"units": "neighbours"}

    def test_a_step_may_say_more_of_an_axis(self, data: xr.Dataset) -> None:
        assert described(data, {"layer": "mine"})["layer"].attrs["long_name"] == "mine"

    def test_a_variable_is_not_taken_for_an_axis(self) -> None:
        assert described(xr.Dataset({"layer": ("x", [1])}), {})["layer"].attrs == {}

    def test_nothing_else_changes(self, data: xr.Dataset) -> None:
        before = data.copy(deep=True)
        found = described(data, SENTENCES)
        xr.testing.assert_identical(data, before)
        xr.testing.assert_identical(found.drop_attrs(), data.drop_attrs())
        assert {name: one.dtype for name, one in found.variables.items()} == {
            name: one.dtype for name, one in data.variables.items()
        }

    @every_step
    def test_those_of_steps_are_sentences_and_no_more(self, analysis, step) -> None:
        module: ModuleType = step_module(analysis, step)
        for name, sentence in getattr(module, "VARIABLES", {}).items():
            assert len(sentence.split()) > 2, name
            assert sentence == sentence.strip().rstrip("."), name


class TestMadeFrom:
    @staticmethod
    def complete(path: Path, kind: store.Content, **origin: object) -> Path:
        store.begin(path, kind, origin)
        store.complete(path, kind, origin, {})
        return path

    def test_every_input_says_what_it_is(self, tmp_path: Path) -> None:
        model = tmp_path / "models" / "tiny"
        model.mkdir(parents=True)
        (model / CARD).write_text("{}")
        labels = {"model": "tiny", "language": "de"}
        inputs = [
            model,
            tmp_path / "results" / "corpora" / "plain" / "en.parquet",
            tmp_path / "results" / "tasks" / "facts" / "fr.parquet",
            tmp_path / "elsewhere.parquet",
            self.complete(tmp_path / "t.zarr", "tokens", corpus="held-out", **labels),
            self.complete(tmp_path / "a", "activations", corpus="plain", name="rows", **labels),
            self.complete(tmp_path / "p", "activations", corpus="edits", name="prompts", **labels),
        ]
        found = made_from(inputs)
        assert found == {
            "models": ["tiny"],
            "corpora": ["plain", "held-out"],
            "tasks": ["facts", "edits"],
            "languages": ["en", "fr", "de"],
        }
        again = self.complete(tmp_path / "r.zarr", "reduction", made_from=found)
        assert made_from([again]) == found
