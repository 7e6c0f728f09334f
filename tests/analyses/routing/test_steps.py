"""The steps of routing on recordings of a planted mixture, and what they are given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot import store
from neuroglot.analyses.base import LanguageFacts, Work
from neuroglot.analyses.routing.settings import (
    ExpertsInputs,
    ExpertsStepSettings,
    PerplexityInputs,
    PerplexityStepSettings,
    SharesInputs,
    SharesSettings,
)
from neuroglot.analyses.routing.steps import experts, perplexity, shares
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, RoutingGroup
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.models.ffn import backbone
from neuroglot.models.ffn import record as recorded
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.routers import forbidden
from neuroglot.models.source import ModelSettings
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokenising, read_tokens
from support.planted_routes import (
    ALPHABETS,
    EXPERTS,
    FOR_ALL,
    LAYERS,
    MIDDLE,
    OUTER,
    ROUTED,
    SLOTS,
    texts,
    write_planted,
)

IDS = [*ALPHABETS]
GENERA = {"en": "Germanic", "de": "Germanic", "fr": "Romance", "es": "Romance"}
FACTS = {
    one: LanguageFacts(name=one, family="Indo-European", genus=genus, script="Latn")
    for one, genus in GENERA.items()
}
DRAWN, LENGTH = 33, 12
OUTERMOST = [0, len(ROUTED) - 1]
"""Places of the outer layers among those with experts."""


class Place:
    """A planted model, and its recordings of a parallel text of which German lacks a segment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        write_planted(folder / "checkpoint")
        normalise(ModelSettings(source=str(folder / "checkpoint")), self.model)
        for name, seed, segments in (("plain", 1, DRAWN), ("held-out", 2, 8)):
            for language, sentences in texts(segments, seed=seed).items():
                there = [at for at in range(segments) if (language, name, at) != LACKING]
                drawn = tuple(Segment(f"{name}{at}", sentences[at]) for at in there)
                text = folder / "corpora" / name / f"{language}.parquet"
                write_parquet(Reading(drawn, (), tuple(there), segments), text)
                chosen = Tokenising(prefix="subword", long_segments="refuse")
                write_tokens(self.model, text, self.tokens(name, language), chosen)
        for language in IDS:
            path = folder / "activations" / "one" / "plain" / f"{language}.zarr"
            wanted = Wanted(self.tokens("plain", language), "tokens", path, {RoutingGroup(): "1"})
            settings = CaptureSettings(device="cpu", dtype="float32")
            record(self.model, [wanted], settings, ExecutionSettings(batch_tokens=64))
        self.routing = {
            language: folder / "activations" / "one" / "plain" / f"{language}.zarr" / "routing"
            for language in IDS
        }

    def tokens(self, corpus: str, language: str) -> Path:
        return self.folder / "tokens" / "one" / corpus / f"{language}.zarr"

    def reduced(self, name: str, data: xr.Dataset) -> Path:
        path = self.folder / f"{name}.zarr"
        store.begin(path, "reduction", {"reduction": name})
        store.write_dataset(path, data)
        store.complete(path, "reduction", {"reduction": name}, {})
        return path


LACKING = ("de", "plain", 5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("routing"))


@pytest.fixture(scope="module")
def counts(place: Place) -> dict[str, np.ndarray]:
    """Tokens routed to each expert, one segment read at a time: [segment, routed layer, expert]."""
    model, found = load(place.model, "cpu", "float32"), {}
    for language in IDS:
        tokens, of_segments = read_tokens(place.tokens("plain", language)), []
        for sequence in tokens.sequences():
            seen: dict[int, np.ndarray] = {}

            def keep(_site: str, _stack: str, layer: int, value: Any, seen: Any = seen) -> None:
                seen[layer] = value[0, 1:].sum(0).numpy()  # without the token before the text

            with torch.inference_mode(), recorded(model, {"chosen"}, keep):
                backbone(model)(torch.from_numpy(sequence.astype(np.int64))[None])
            of_segments.append(np.stack([seen[layer] for layer in ROUTED]))
        found[language] = np.array(of_segments)
        if language != "de":
            found[language] = np.delete(found[language], LACKING[2], axis=0)
    return found


@pytest.fixture(scope="module")
def shared(place: Place) -> xr.Dataset:
    inputs = SharesInputs(
        routing=place.routing, tokens={one: place.tokens("plain", one) for one in IDS}
    )
    told = SharesSettings(languages=IDS, language_table=FACTS, pivot="en", replicates=100)
    return shares.compute(inputs, told)


@pytest.fixture(scope="module")
def own(place: Place) -> xr.Dataset:
    told = ExpertsStepSettings(
        languages=IDS, percentile=0.75, top_fraction=0.25, replicates=50, permutations=50
    )
    return experts.compute(ExpertsInputs(routing=place.routing), told)


class TestShares:
    def test_frequencies_are_those_of_segments_that_all_languages_have(
        self, shared: xr.Dataset, counts: dict[str, np.ndarray]
    ) -> None:
        for language in IDS:
            tokens = counts[language][:, 0].sum() / SLOTS
            of = shared.sel(language=language)
            assert of["tokens"] == tokens
            expected = counts[language].sum(0) / tokens
            np.testing.assert_allclose(of["expert_frequency"], expected, rtol=1e-6)
        assert shared.attrs["slots"] == SLOTS
        assert shared.attrs["folds"] == 32

    def test_outer_layers_diverge_and_those_between_do_not(self, shared: xr.Dataset) -> None:
        others = shared.sel(language=IDS[1:])
        # Of two experts a token, one is the language's own.
        np.testing.assert_allclose(others["divergence"].sel(layer=[*OUTER]), 0.5, atol=0.01)
        assert (others["excess_low"].sel(layer=[*OUTER]) > 0.4).all()
        assert (np.abs(others["excess"].sel(layer=[*MIDDLE])) < 0.02).all()

    def test_confidence_is_a_mean_of_probabilities(self, shared: xr.Dataset) -> None:
        assert ((shared["router_top"] > 1 / EXPERTS) & (shared["router_top"] <= 1)).all()
        assert (shared["router_margin"] >= 0).all()
        assert (shared["router_entropy"] <= np.log2(EXPERTS)).all()
        for name in ("router_top", "router_margin", "router_entropy"):
            assert (shared[f"{name}_low"] <= shared[name] + 1e-12).all()
            assert (shared[name] <= shared[f"{name}_high"] + 1e-12).all()

    def test_tables(self, shared: xr.Dataset) -> None:
        found = shares.tables(shared)
        assert len(found["frequency"]) == 4 * len(ROUTED) * EXPERTS
        assert sorted(found["divergence"]["layer"].unique()) == [1, 3, 4, 5]
        assert len(found["overlap"]) == 16
        assert len(found["confidence"]) == 4 * len(ROUTED)


class TestExperts:
    def test_planted_experts_are_each_languages_own(self, own: xr.Dataset) -> None:
        planted = np.zeros((4, len(ROUTED), EXPERTS), bool)
        for language in range(4):
            planted[language, OUTERMOST, language] = True
        assert own["layer"].values.tolist() == ROUTED
        np.testing.assert_array_equal(own["language_expert"], planted)
        assert own["shared_by_languages"].values.tolist() == [8, 0, 0, 0]
        assert (own["all_layers"] == 2).all()
        assert own["chance_all_layers_high"] < 1

    def test_the_table_names_every_expert(self, own: xr.Dataset) -> None:
        lines = experts.tables(own)["language_experts"].to_dict("records")
        named = {(line["language"], line["layer"], line["expert"]) for line in lines}
        assert named == {(one, layer + 1, at) for at, one in enumerate(IDS) for layer in OUTER}
        assert all(line["frequency"] > 0.99 and line["frequency_others"] == 0 for line in lines)
        assert all(line["entropy"] == 0 for line in lines)


class TestPerplexity:
    @pytest.fixture(scope="class")
    def inputs(self, place: Place, own: xr.Dataset, tmp_path_factory: Any) -> PerplexityInputs:
        pieces = tmp_path_factory.mktemp("pieces")
        return PerplexityInputs(
            model=place.model,
            experts=place.reduced("experts", own),
            held_out={one: place.tokens("held-out", one) for one in IDS},
            chosen_on={one: place.tokens("plain", one) for one in IDS},
            work=Work(pieces=pieces, progress=pieces / "progress"),
        )

    def settings(self, **changed: Any) -> PerplexityStepSettings:
        told = {
            "languages": IDS,
            "forbidden_fraction": 2 / 32,
            "random_seeds": 2,
            "replicates": 20,
            "perplexity": PerplexitySettings(
                corpus="held-out", segments=8, tokens_per_segment=LENGTH
            ),
            "device": "cpu",
            "dtype": "float32",
        }
        return PerplexityStepSettings(**told | changed)

    @pytest.fixture(scope="class")
    def data(self, inputs: PerplexityInputs) -> xr.Dataset:
        return perplexity.compute(inputs, self.settings())

    def test_planted_experts_are_forbidden(self, data: xr.Dataset) -> None:
        places = {tuple(place) for place in np.argwhere(data["forbidden"].values).tolist()}
        assert places == {
            (language, layer, language) for language in range(4) for layer in OUTERMOST
        }
        assert data["experts"].sel(variant="chosen").values.tolist() == [2] * 4

    def test_only_their_own_text_suffers(self, data: xr.Dataset) -> None:
        change = data["change"].transpose("deactivated", "language").values
        assert np.diagonal(change).min() > 0.5
        assert np.abs(change - np.diag(np.diagonal(change))).max() < 0.2
        told = data.sel(contrast="others")
        assert (told["excess"] > 0.5).all()
        assert (told["excess_p_value"] < 0.05).all()

    def test_the_expert_of_all_is_chosen_as_often_and_does_nothing(self, data: xr.Dataset) -> None:
        assert (data["active_share"] == 1).all()
        of_active = data.sel(variant="active")
        assert (of_active["experts"] == 2).all()
        assert (of_active["expert_frequency"] > 0.99).all()
        told = data.sel(contrast="activity")
        assert (told["excess"] > 0.5).all()
        assert (told["excess_p_value"] < 0.05).all()

    def test_losses_are_those_of_one_segment_at_a_time(
        self, data: xr.Dataset, place: Place
    ) -> None:
        model = load(place.model, "cpu", "float32")
        for row, off in enumerate([None, "fr"]):
            experts_off = np.zeros((LAYERS, EXPERTS), bool)
            if off:
                experts_off[[*OUTER], IDS.index(off)] = True
            for language in IDS:
                tokens = read_tokens(place.tokens("held-out", language))
                cut = [
                    tokens.token_id[tokens.segment == at][:LENGTH].astype(np.int64)
                    for at in range(8)
                ]
                with forbidden(model, experts_off):
                    losses = [
                        negative_log_likelihood(model, [one], tokens.before)[0] for one in cut
                    ]
                found = (
                    data["perplexity"].sel(deactivated=off, language=language)
                    if off
                    else data["baseline"].sel(language=language)
                )
                expected = np.exp(sum(losses) / sum(len(one) for one in cut))
                assert found == pytest.approx(expected, rel=1e-4), (row, language)

    def test_pieces_are_kept(
        self, data: xr.Dataset, inputs: PerplexityInputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neuroglot.analyses.judged.load", None)
        xr.testing.assert_identical(data, perplexity.compute(inputs, self.settings()))
        with pytest.raises(TypeError):
            perplexity.compute(inputs, self.settings(forbidden_fraction=3 / 32))

    def test_languages_without_held_out_text_tell_what_is_distinctive(
        self, inputs: PerplexityInputs
    ) -> None:
        every = perplexity.compute(inputs, self.settings(forbidden_fraction=0.25))
        some = perplexity.compute(
            inputs, self.settings(forbidden_fraction=0.25, languages=["fr", "en"])
        )
        expected = every["forbidden"].sel(deactivated=["fr", "en"])
        np.testing.assert_array_equal(some["forbidden"], expected)

    def test_a_layer_keeps_as_many_as_a_token_passes_through(
        self, inputs: PerplexityInputs
    ) -> None:
        data = perplexity.compute(inputs, self.settings(forbidden_fraction=1.0))
        assert data["forbidden"].sum("expert").max() <= EXPERTS - SLOTS

    def test_tables(self, data: xr.Dataset) -> None:
        found = perplexity.tables(data)
        assert len(found["perplexity"]) == 16
        assert len(found["controls"]) == 20
        assert {"active_share", "matched_share", "segments"} <= set(found["contrasts"].columns)
        assert sorted(found["forbidden_experts"]["layer"].unique()) == [1, LAYERS]
        assert len(found["forbidden_experts"]) == 8
        assert all("units" in variable.attrs for variable in data.data_vars.values())


def test_the_expert_of_all_is_nobodys(own: xr.Dataset) -> None:
    assert (own["expert_frequency"].sel(layer=[*OUTER], expert=FOR_ALL) > 0.99).all()
    assert not own["language_expert"].isel(expert=FOR_ALL).any()
