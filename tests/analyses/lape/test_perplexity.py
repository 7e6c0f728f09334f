"""Perplexity without a language's neurons: against one model call at a time; planted effects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.analyses.base import Work
from neuroglot.analyses.lape.settings import PerplexityInputs, PerplexityStepSettings
from neuroglot.analyses.lape.steps.perplexity import compute, tables
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.measures.controls import SETS, SHARES, controlled_sets
from neuroglot.measures.judged import of_own_text, others_mean, perplexity_statistics
from neuroglot.measures.significance import difference_interval, step_down_p_value
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.norms import value_norms
from neuroglot.models.source import ModelSettings
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import write_checkpoint

torch.set_num_threads(1)

RNG = np.random.default_rng
LANGUAGES = ["en", "de", "th"]
TEXTS = {
    "en": ["The house stands on a hill.", "She reads every night.", "All are born free."],
    "de": ["Das Haus steht auf einem Hügel.", "Sie liest jede Nacht.", "Alle sind frei geboren."],
    "th": ["บ้านตั้งอยู่บนเนินเขา", "เธออ่านหนังสือทุกคืน", "ทุกคนเกิดมาอิสระ"],
}
LENGTH = 6


class TestStatistics:
    """Planted losses of three languages, with different effects of their neurons."""

    def losses(self, segments: int = 8, effect: float = 1.0) -> xr.Dataset:
        """German neurons hurt German by ``effect`` per token, and everyone by noise alone."""
        generator = RNG(1)
        tokens = generator.integers(4, 9, (3, segments)).astype(float)
        plain = tokens * generator.gamma(20, 0.1, (3, segments))
        without = plain + tokens * generator.normal(0, 0.1, (3, 3, segments))
        without[1, 1] += effect * tokens[1]
        controls = plain + tokens * generator.normal(0, 0.1, (len(SETS) - 1, 3, segments))
        controls[SETS.index("matched") - 1, 1] += effect * tokens[1]
        read = ("language", "item")
        return xr.Dataset(
            {
                "plain": (read, plain),
                "tokens": (read, tokens),
                "without": (("deactivated", *read), without),
                "controls": (("variant", *read), controls),
            },
            {"language": LANGUAGES, "deactivated": LANGUAGES, "variant": list(SETS[1:])},
        )

    def shares(self, share: float = 1.0) -> xr.Dataset:
        every = {name: ("language", [share] * 3) for name in SHARES}
        return xr.Dataset(every, {"language": LANGUAGES})

    def test_changes_and_contrasts_are_those_of_a_literal_loop(self) -> None:
        losses = self.losses()
        found = perplexity_statistics(losses, self.shares(), True, 50)
        per = losses["tokens"].sum("item")
        change = np.empty((3, 3, 8))
        for d, r in np.ndindex(3, 3):
            difference = losses["without"].values[d, r] - losses["plain"].values[r]
            change[d, r] = difference * 8 / per.values[r]
            ratio = losses["without"].values[d, r].sum() / per.values[r]
            assert found["perplexity"].values[d, r] == pytest.approx(np.exp(ratio))
            expected = difference_interval(xr.DataArray(change[d, r], dims="item"))
            bounds = [found[f"change_{end}"].values[d, r] for end in ("low", "high")]
            np.testing.assert_allclose(bounds, expected)
        np.testing.assert_allclose(found["change"], change.mean(-1))
        others = np.array([(change[d].sum(0) - change[d, d]) / 2 for d in range(3)])
        against = xr.DataArray(
            np.array([change[d, d] for d in range(3)]) - others, dims=("language", "item")
        )
        of_others = found.sel(contrast="others")
        np.testing.assert_allclose(of_others["excess"], against.mean("item"))
        np.testing.assert_allclose(
            of_others["excess_p_value"], step_down_p_value(against, "language")
        )
        np.testing.assert_allclose(found["others_change"], others.mean(-1))
        diagonal = [found["change"].values[d, d] for d in range(3)]
        np.testing.assert_allclose(found["own_change"].sel(variant="chosen"), diagonal)

    def test_the_planted_language_alone_is_found(self) -> None:
        found = perplexity_statistics(self.losses(), self.shares(), True, 50)
        star = (found["excess_p_value"] < 0.05) & (found["excess"] > 0)
        for contrast in ("others", "activity", "contribution", "naive"):
            assert star.sel(contrast=contrast).values.tolist() == [False, True, False], contrast
        assert found["excess"].sel(language="de", contrast="others") == pytest.approx(1, abs=0.2)

    def test_neurons_chosen_on_noise_show_no_effect(self) -> None:
        """Held-out text has nothing of the noise that the neurons were chosen on."""
        found = perplexity_statistics(self.losses(effect=0), self.shares(), True, 50)
        assert (found["excess_p_value"] >= 0.05).all()

    def test_one_segment_has_no_interval_and_no_star(self) -> None:
        found = perplexity_statistics(self.losses(segments=1), self.shares(), True, 50)
        for name in ("baseline", "perplexity", "change", "own_change", "excess"):
            assert found[name].notnull().all(), name
            assert found[f"{name}_low"].isnull().all(), name
            assert found[f"{name}_high"].isnull().all(), name
        assert (found["excess_p_value"] == 1).all()

    def test_five_segments_earn_no_star_and_six_do(self) -> None:
        for segments, starred in ((5, False), (6, True)):
            found = perplexity_statistics(self.losses(segments), self.shares(), True, 50)
            p = found["excess_p_value"].sel(contrast="others", language="de")
            assert (p < 0.05) == starred

    def test_other_texts_are_compared_only_if_segments_are_parallel(self) -> None:
        found = perplexity_statistics(self.losses(), self.shares(), False, 50)
        assert found["excess"].sel(contrast="others").isnull().all()
        assert found["excess"].sel(contrast="activity").notnull().all()

    def test_a_language_without_like_neurons_is_no_member_of_the_family(self) -> None:
        """Its test is not made, so the others' p values are those of a family of two."""
        losses, shares = self.losses(), self.shares()
        shares["matched_share"].loc[{"language": "th"}] = 0.5
        found = perplexity_statistics(losses, shares, True, 50).sel(contrast="contribution")
        assert found["excess"].notnull().values.tolist() == [True, True, False]
        assert found["excess_p_value"].notnull().values.tolist() == [True, True, False]
        two = losses.sel(language=["en", "de"], deactivated=["en", "de"])
        alone = perplexity_statistics(two, self.shares().isel(language=[0, 1]), True, 50)
        np.testing.assert_allclose(
            alone["excess_p_value"].sel(contrast="contribution"), found["excess_p_value"][:2]
        )

    def test_one_language_has_no_others(self) -> None:
        one = self.losses().sel(language=["de"], deactivated=["de"])
        found = perplexity_statistics(one, self.shares().sel(language=["de"]), True, 50)
        assert found["others_change"].isnull().all()
        assert found["excess"].sel(contrast="others").isnull().all()

    def test_own_and_others_by_hand(self) -> None:
        change = xr.DataArray(
            np.arange(9.0).reshape(3, 3, 1),
            {"deactivated": LANGUAGES, "language": LANGUAGES},
            ("deactivated", "language", "item"),
        )
        assert of_own_text(change)[:, 0].values.tolist() == [0, 4, 8]
        assert others_mean(change)[:, 0].values.tolist() == [1.5, 4, 6.5]
        change[0, 1] = np.nan  # a segment that German lacks
        assert np.isnan(others_mean(change)[0, 0])


def own_less_others(segments: int, runs: int, seed: int) -> np.ndarray:
    """Adjusted p values of own minus others, [run, language], where neurons hurt all alike.

    A segment reacts to any edit with a strength of its own, and a language with another one.
    """
    generator = RNG(seed)
    shape = runs, 8, 8, segments  # [run, deactivated, language, segment]
    strength = generator.gamma(1, 1, (runs, 1, 1, segments))
    change = generator.normal(0.5, 1, shape) * strength
    names = {"deactivated": range(8), "language": range(8)}
    array = xr.DataArray(change, names, ("run", "deactivated", "language", "item"))
    return step_down_p_value(of_own_text(array) - others_mean(array), "language").values


@pytest.mark.parametrize("segments", [8, 12])
def test_false_stars_of_own_minus_others_keep_their_promise(segments: int) -> None:
    """At most 5 % of families, with two standard errors of 1,000 runs."""
    p = np.concatenate([own_less_others(segments, 250, seed) for seed in range(4)])
    assert (p < 0.05).any(1).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(p))


class TestStep:
    @pytest.fixture(scope="class")
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("lape")
        source = ModelSettings(source=str(write_checkpoint(folder / "checkpoint")))
        normalise(source, folder / "model")
        for language, sentences in TEXTS.items():
            segments = tuple(Segment(f"s{i}", text) for i, text in enumerate(sentences))
            path = folder / f"{language}.parquet"
            write_parquet(Reading(segments, (), (2, 0, 1), 3), path)
            chosen = Tokenising(prefix="subword", long_segments="refuse")
            write_tokens(folder / "model", path, folder / f"{language}.zarr", chosen)
        data = xr.Dataset(
            {"language_neuron": (("language", "layer", "neuron"), self.neurons())},
            {"language": LANGUAGES},
            {"site": "gate"},
        )
        origin = {"reduction": "lape/neurons"}
        store.begin(folder / "neurons.zarr", "reduction", origin)
        store.write_dataset(folder / "neurons.zarr", data)
        store.complete(folder / "neurons.zarr", "reduction", origin, {})
        return folder

    def neurons(self) -> np.ndarray:
        return RNG(0).random((3, 2, 24)) < 0.25

    def compute(self, place: Path, pieces: Path, **changed: Any) -> xr.Dataset:
        inputs = PerplexityInputs(
            model=place / "model",
            neurons=place / "neurons.zarr",
            held_out={language: place / f"{language}.zarr" for language in LANGUAGES},
            chosen_on={},
            work=Work(pieces=pieces, progress=pieces / "progress"),
        )
        told = {
            "languages": LANGUAGES,
            "random_seeds": 2,
            "replicates": 20,
            "perplexity": PerplexitySettings(
                corpus="held-out", segments=3, tokens_per_segment=LENGTH
            ),
            "device": "cpu",
            "dtype": "float32",
        }
        return compute(inputs, PerplexityStepSettings(**told | changed))

    @pytest.fixture(scope="class")
    def data(self, place: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
        return self.compute(place, tmp_path_factory.mktemp("pieces"))

    def segments(self, place: Path) -> Mapping[str, list[list[int]]]:
        tokenizer = Tokenizer.from_file(str(place / "model" / "tokenizer.json"))
        return {
            language: [
                tokenizer.encode(text, add_special_tokens=False).ids[:LENGTH] for text in sentences
            ]
            for language, sentences in TEXTS.items()
        }

    def loss(self, model: Any, segments: list[list[int]], mask: np.ndarray) -> float:
        """Mean loss per token, one segment at a time; special tokens are not edited."""
        total = tokens = 0.0
        for ids in segments:
            text = torch.arange(len(ids) + 1)[None] > 0
            with intervened(model, [Edit(mask)], text), torch.no_grad():
                logits = model(torch.tensor([[1, *ids]])).logits[0, :-1].double()
            total -= float(logits.log_softmax(-1)[range(len(ids)), ids].sum())
            tokens += len(ids)
        return total / tokens

    def activity(self, model: Any, segments: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        kept: dict[str, list[np.ndarray]] = {"act": [], "gate": []}

        def keep(site: str, _stack: str, layer: int, value: torch.Tensor) -> None:
            kept[site].append(value[0, 1:].numpy().copy())

        for ids in segments:
            with record(model, {"act", "gate"}, keep), torch.no_grad():
                model(torch.tensor([[1, *ids]]))
        gate, act = (
            [np.concatenate(kept[site][layer::2]) for layer in (0, 1)] for site in ("gate", "act")
        )
        norms = [value_norms(ffn) for ffn in ffns(model)]
        frequency = np.stack([(values > 0).mean(0) for values in gate])
        sizes = [np.abs(values).mean(0) * norm for values, norm in zip(act, norms, strict=True)]
        return frequency, np.stack(sizes)

    def test_every_number_is_that_of_one_segment_and_one_edit_at_a_time(
        self, place: Path, data: xr.Dataset
    ) -> None:
        model, segments = load(place / "model", "cpu", "float32"), self.segments(place)
        masks = self.neurons()
        none = np.zeros((2, 24), bool)
        plain = {language: self.loss(model, segments[language], none) for language in LANGUAGES}
        for d, off in enumerate(LANGUAGES):
            for language in LANGUAGES:
                expected = self.loss(model, segments[language], masks[d]) - plain[language]
                found = data["change"].sel(deactivated=off, language=language)
                assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
            sets = controlled_sets(masks[d], *self.activity(model, segments[off]), 2, [24, 24])
            for name, draws in sets.draws.items():
                losses = [self.loss(model, segments[off], mask) for mask in draws]
                found = data["own_change"].sel(variant=name, language=off)
                assert found == pytest.approx(np.mean(losses) - plain[off], rel=1e-3, abs=1e-6)
            for name, share in sets.shares.items():
                assert data[name].sel(language=off) == pytest.approx(share)
        for language in LANGUAGES:
            assert data["baseline"].sel(language=language) == pytest.approx(
                np.exp(plain[language]), rel=1e-4
            )
        assert data["predicted_tokens"].values.tolist() == [3 * LENGTH] * 3
        assert data["segments"].values.tolist() == [3] * 3

    def test_pieces_are_kept(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = self.compute(place, tmp_path)
        monkeypatch.setattr("neuroglot.analyses.judged.load", None)
        xr.testing.assert_identical(first, self.compute(place, tmp_path))
        cut = PerplexitySettings(corpus="held-out", segments=2, tokens_per_segment=LENGTH)
        with pytest.raises(TypeError):
            self.compute(place, tmp_path, perplexity=cut)

    def test_tables(self, data: xr.Dataset) -> None:
        found = tables(data)
        assert len(found["perplexity"]) == 9
        assert len(found["controls"]) == 3 * len(SETS)
        assert {"matched_share", "matched_contribution", "active_share", "segments"} <= set(
            found["contrasts"].columns
        )
        assert len(found["contrasts"]) == 12
        assert all("units" in variable.attrs for variable in data.data_vars.values())
