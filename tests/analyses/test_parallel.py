"""A segment that one language lacks counts in no language: against texts that never had it.

Of more segments than there are folds, so that a fold holds several.
"""

from collections.abc import Collection
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.base import LanguageFacts, Work
from neuroglot.analyses.experts.partitions import read_routing
from neuroglot.analyses.experts.settings import RoutingInputs, RoutingSettings
from neuroglot.analyses.experts.steps import routing
from neuroglot.analyses.lape.settings import NeuronsInputs, NeuronsSettings
from neuroglot.analyses.lape.steps import neurons
from neuroglot.analyses.roles.measures.unshared import UNSHARED
from neuroglot.analyses.roles.settings import (
    RankCorrelationInputs,
    RankCorrelationSettings,
    ResampledSettings,
    StatisticsInputs,
)
from neuroglot.analyses.roles.steps import flatness, rank_correlation
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    RolesGroup,
    SampleGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import FOLDS, common_segments
from neuroglot.measures.matrix_regression import LAYERED, UNITS
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.store import begin, complete, write_dataset
from neuroglot.tokens import Tokenising, read_tokens
from support.tiny_checkpoints import TEXTS, write_checkpoint

LANGUAGES = ["en", "de", "fr"]
DRAWN = 41
LACKING = {"en": {5, 40}, "de": {2, 33}, "fr": set[int]()}
"""The segments that a language lacks, by place."""
NOWHERE = {language: {2, 5, 33, 40} for language in LANGUAGES}
SETTINGS = CaptureSettings(device="cpu", dtype="float32")
GROUPS = {
    RolesGroup(rule="nonzero", threshold=0.0): "1",
    FiringGroup(): "1",
    SampleGroup(segments=9): "1",
}


def written(place: int, language: str) -> str:
    """A segment's text, of another length and other words in every language and place."""
    words = " ".join([*TEXTS, language, *TEXTS]).split()
    first = place + 7 * LANGUAGES.index(language)
    return " ".join(words[first % 23 : first % 23 + 3 + first % 5])


class Place:
    """A model's recordings of a parallel corpus in which languages lack segments."""

    def __init__(self, folder: Path, lacking: dict[str, Collection[int]]) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        write_checkpoint(folder / "checkpoint", "llama")
        normalise(ModelSettings(source=str(folder / "checkpoint")), self.model)
        in_text = np.random.default_rng(0).permutation(DRAWN).tolist()
        for language in LANGUAGES:
            places = [place for place in in_text if place not in lacking[language]]
            segments = tuple(Segment(f"s{place}", written(place, language)) for place in places)
            text = folder / "corpora" / "plain" / f"{language}.parquet"
            write_parquet(Reading(segments, (), tuple(places), DRAWN), text)
            chosen = Tokenising(prefix="word", long_segments="truncate")
            write_tokens(self.model, text, self.tokens(language), chosen)
            wanted = Wanted(self.tokens(language), "tokens", self.store(language), GROUPS)
            record(self.model, [wanted], SETTINGS, ExecutionSettings(batch_tokens=64))

    def tokens(self, language: str) -> Path:
        return self.folder / "tokens" / "one" / "plain" / f"{language}.zarr"

    def store(self, language: str) -> Path:
        return self.folder / "activations" / "one" / "plain" / f"{language}.zarr"

    def roles(self) -> StatisticsInputs:
        return StatisticsInputs(
            roles={"plain": {language: self.store(language) / "roles" for language in LANGUAGES}}
        )

    def ranked(self) -> RankCorrelationInputs:
        return RankCorrelationInputs(
            roles=self.roles().roles,
            sample={"plain": {one: self.store(one) / "sample" for one in LANGUAGES}},
            tokens={"plain": {one: self.tokens(one) for one in LANGUAGES}},
        )

    def firing(self) -> NeuronsInputs:
        return NeuronsInputs(firing={one: self.store(one) / "firing" for one in LANGUAGES})


@pytest.fixture(scope="module")
def some_lack(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("some"), LACKING)


@pytest.fixture(scope="module")
def none_has(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("none"), NOWHERE)


RESAMPLED = ResampledSettings(languages=LANGUAGES, corpora=["plain"], replicates=20)
FACTS = LanguageFacts(name="x", family="f", genus="g", script="Latn")
RANKED = RankCorrelationSettings(
    languages=LANGUAGES,
    language_table=dict.fromkeys(LANGUAGES, FACTS),
    corpora=["plain"],
    replicates=20,
    sample_segments=9,
)


def test_flatness(some_lack: Place, none_has: Place) -> None:
    found, expected = (flatness.compute(one.roles(), RESAMPLED) for one in (some_lack, none_has))
    xr.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rank_correlation(some_lack: Place, none_has: Place) -> None:
    """Only the overlap of tokens, and what is told by it, is of whole texts."""
    found, expected = (
        rank_correlation.compute(one.ranked(), RANKED) for one in (some_lack, none_has)
    )
    assert found["folds"] == FOLDS
    assert 0 < found["sampled_segments"] <= RANKED.sample_segments
    assert found["corrected"].notnull().all()
    tokens = {language: read_tokens(some_lack.tokens(language)) for language in LANGUAGES}
    for a, b in permutations(LANGUAGES, 2):
        common = [f"s{place}" for place in range(RANKED.sample_segments) if place not in (2, 5)]
        ends = [
            token
            for token, segment, ends_prefix in zip(
                tokens[a].token_id, tokens[a].segment, tokens[a].ends_prefix, strict=True
            )
            if ends_prefix and tokens[a].segment_ids[segment] in common
        ]
        counts = found.sel(corpus="plain", language_a=a, language_b=b)
        assert counts["sampled_prefixes"] == len(ends)
        assert counts["unshared_prefixes"] == sum(token not in tokens[b].token_id for token in ends)
    of_whole_texts = ["token_overlap", "unshared_prefixes", *UNSHARED[1:], *UNITS, *LAYERED]
    xr.testing.assert_allclose(
        found.drop_vars(of_whole_texts), expected.drop_vars(of_whole_texts), rtol=1e-6
    )


def test_lape(some_lack: Place, none_has: Place) -> None:
    settings = NeuronsSettings(
        languages=LANGUAGES,
        site="gate",
        percentile=0.9,
        top_fraction=0.2,
        replicates=20,
        permutations=5,
    )
    found, expected = (neurons.compute(one.firing(), settings) for one in (some_lack, none_has))
    xr.testing.assert_identical(found, expected)


def test_experts(tmp_path: Path, some_lack: Place, none_has: Place) -> None:
    expert = xr.DataArray(
        np.arange(24) % 4 * np.ones((2, 1), np.int64),
        dims=("layer", "neuron"),
        coords={
            "layer": [0, 1],
            "stack": ("layer", ["decoder"] * 2),
            "stack_layer": ("layer", [0, 1]),
        },
    )
    block = tmp_path / "partition.zarr"
    reduction(block, xr.Dataset({"expert": expert}))
    counted = []
    for place in (some_lack, none_has):
        paths = {}
        for language in LANGUAGES:
            inputs = RoutingInputs(
                work=Work(progress=place.folder / "progress" / language),
                partition={"0": block},
                model=place.model,
                tokens=place.tokens(language),
            )
            settings = RoutingSettings(
                experts_per_layer=4,
                active_fraction=0.25,
                score="signed",
                device="cpu",
                dtype="float32",
            )
            paths[language] = place.folder / "routing" / f"{language}.zarr"
            reduction(paths[language], routing.compute(inputs, settings))
        counted.append(read_routing(paths, LANGUAGES))
    assert counted[0].sizes["fold"] == FOLDS < DRAWN - 4
    xr.testing.assert_identical(*counted)


def reduction(path: Path, data: xr.Dataset) -> None:
    begin(path, "reduction", {})
    write_dataset(path, data)
    complete(path, "reduction", {}, {})


def test_what_all_languages_have() -> None:
    common = common_segments({"de": ["a", "b", "d"], "fr": ["a", "c", "d", "e"]}, "plain")
    assert {language: at.tolist() for language, at in common.items()} == {
        "de": [0, 2],
        "fr": [0, 2],
    }
    scarce = {"de": ["a", "b", "c", "d"], "fr": ["d", "e"], "hi": ["a", "b", "c", "e"]}
    with pytest.raises(NeuroglotError, match="'plain': of the 2 segments of 'fr' only 0 are in"):
        common_segments(scarce, "plain")
