"""Layers that differ in width: every measure is what each layer gives on its own neurons."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import xarray as xr

from neuroglot import store
from neuroglot.analyses.agreement.measures.overlap import agreement
from neuroglot.analyses.base import LanguageFacts, NamingInputs, Work
from neuroglot.analyses.experts.measures import experts
from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.experts.settings import (
    FrequencyInputs,
    FrequencySettings,
    InferenceInputs,
    InferenceSettings,
    PartitionInputs,
    PartitionSettings,
    RoutingInputs,
    RoutingSettings,
)
from neuroglot.analyses.experts.steps import frequency, inference, partition, routing
from neuroglot.analyses.lape.measures import lape
from neuroglot.analyses.lape.settings import (
    NeuronsInputs,
    NeuronsSettings,
    PerplexityInputs,
    PerplexityStepSettings,
)
from neuroglot.analyses.lape.steps import neurons, perplexity
from neuroglot.analyses.lexicon import naming as lexicon_naming
from neuroglot.analyses.roles.figures.heatmap import pooled, rows_of
from neuroglot.analyses.roles.measures.dominance import dominant_neurons as dominant_measure
from neuroglot.analyses.roles.measures.frequency import layer_spread_interval
from neuroglot.analyses.roles.measures.ranks import rank_correlation as correlation_measure
from neuroglot.analyses.roles.settings import (
    ActivationFrequencySettings,
    DominantNeuronsSettings,
    HeatmapInputs,
    HeatmapSettings,
    RankCorrelationInputs,
    RankCorrelationSettings,
    ResampledSettings,
    StatisticsInputs,
)
from neuroglot.analyses.roles.steps import (
    activation_frequency,
    dominant_neurons,
    flatness,
    heatmap,
    rank_correlation,
)
from neuroglot.analyses.sharing.measures.specificity import most_specific
from neuroglot.analyses.sharing.settings import (
    AnswersInputs,
    AnswersSettings,
    ContributionsInputs,
    ContributionsSettings,
    EffectiveInputs,
    EffectiveSettings,
    KindsInputs,
    KindsSettings,
)
from neuroglot.analyses.sharing.steps import answers, contributions, effective, kinds
from neuroglot.analyses.transfer.measures.correlation import correlation_ratio
from neuroglot.analyses.transfer.measures.lists import listed
from neuroglot.analyses.transfer.measures.transfer import (
    centroid,
    shared_centroid,
    transfer_score,
)
from neuroglot.analyses.transfer.settings import (
    CorrelationInputs,
    CorrelationSettings,
    DeactivationInputs,
    DeactivationSettings,
    TasksInputs,
    TasksSettings,
)
from neuroglot.analyses.transfer.settings import NeuronsInputs as TransferInputs
from neuroglot.analyses.transfer.settings import NeuronsSettings as TransferSettings
from neuroglot.analyses.transfer.steps import correlation, deactivation, tasks
from neuroglot.analyses.transfer.steps import neurons as transfer_neurons
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    Group,
    PromptsGroup,
    RolesGroup,
    RowsGroup,
    SampleGroup,
    StatesGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from neuroglot.measures.controls import random_like
from neuroglot.models.card import read_card, write_card
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.settings import PerplexitySettings
from neuroglot.tasks.base import Item, TaskReading, write_items
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import TEXTS, write_checkpoint

WIDTHS = (24, 31, 17)
HIDDEN = 16
LANGUAGES = ["en", "de", "cs"]
EXECUTION = ExecutionSettings(batch_tokens=64)
SETTINGS = CaptureSettings(device="cpu", store_dtype="float32")
REPLICATES = 9


def widened(model: Any) -> Any:
    """Give each layer of a Llama neurons of its own number."""
    if isinstance(model, tuple):  # what the normaliser looks at, without weights
        return model
    for number, (layer, width) in enumerate(zip(model.model.layers, WIDTHS, strict=True)):
        generator = torch.Generator().manual_seed(number)
        for name in ("gate_proj", "up_proj", "down_proj"):
            shape = (HIDDEN, width) if name == "down_proj" else (width, HIDDEN)
            linear = torch.nn.Linear(shape[1], shape[0], bias=False)
            with torch.no_grad():
                linear.weight.copy_(torch.randn(shape, generator=generator) / 3)
            setattr(layer.mlp, name, linear)
    return model


@pytest.fixture(scope="module", autouse=True)
def loaded_wide() -> Iterator[None]:
    """What is loaded has these widths: no configuration can say so yet."""
    plain = transformers.AutoModelForCausalLM.from_pretrained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transformers.AutoModelForCausalLM,
            "from_pretrained",
            lambda *args, **kwargs: widened(plain(*args, **kwargs)),
        )
        yield


class Place:
    """A model, and of three languages a text and a task, recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        checkpoint = write_checkpoint(folder / "checkpoint", num_hidden_layers=len(WIDTHS))
        normalise(ModelSettings(source=str(checkpoint)), self.model)
        card = read_card(self.model)
        assert card.neurons == (24, 24, 24)
        write_card(self.model, card.model_copy(update={"neurons": WIDTHS}))
        for place, language in enumerate(LANGUAGES):
            self._record(place, language)

    def _record(self, place: int, language: str) -> None:
        texts = [f"{text[:25]} {TEXTS[(row + place) % 7][:25]}" for row, text in enumerate(TEXTS)]
        text = self.folder / "corpora" / "plain" / f"{language}.parquet"
        write_parquet(Reading(tuple(Segment(f"s{i}", one) for i, one in enumerate(texts))), text)
        chosen = Tokenising(prefix="subword", long_segments="truncate")
        write_tokens(self.model, text, self.tokens(language), chosen)
        items = [Item(f"q{i}", one, ("a",), ("a", "b")) for i, one in enumerate(texts)]
        task = self.folder / "tasks" / "facts" / f"{language}.parquet"
        write_items(TaskReading(tuple(items)), task)
        of_corpus: dict[Group, str] = {
            RolesGroup(rule="positive", threshold=0.0): "1",
            FiringGroup(): "1",
            SampleGroup(segments=100): "1",
            RowsGroup(): "1",
        }
        wanted = [
            Wanted(self.tokens(language), "tokens", self.store("plain", language), of_corpus),
            Wanted(
                self.tokens(language),
                "tokens",
                self.store("states", language),
                {StatesGroup(): "1"},
            ),
            Wanted(task, "items", self.store("facts", language), {PromptsGroup(): "1"}),
        ]
        record(self.model, wanted, SETTINGS, EXECUTION)

    def tokens(self, language: str) -> Path:
        return self.folder / "tokens" / "one" / "plain" / f"{language}.zarr"

    def store(self, text: str, language: str) -> Path:
        return self.folder / "results" / "activations" / "one" / text / f"{language}.zarr"

    def items(self) -> dict[str, Path]:
        return {one: self.folder / "tasks" / "facts" / f"{one}.parquet" for one in LANGUAGES}

    def groups(self, text: str, group: str) -> dict[str, Path]:
        """A group of every language's recording."""
        return {language: self.store(text, language) / group for language in LANGUAGES}

    def rows(self, text: str, group: str, site: str = "act") -> dict[str, list[np.ndarray]]:
        """Raw rows by language, [row, neuron] of every layer on its own neurons."""
        return {
            language: [
                store.read_rows(path, site, layer)[:, : width if site != "out" else None]
                for layer, width in enumerate(WIDTHS)
            ]
            for language, path in self.groups(text, group).items()
        }

    def work(self, name: str) -> Work:
        """Folders of its own for a step."""
        folder = self.folder / "work" / name
        return Work(EXECUTION, folder / "pieces", folder / "progress")

    def reduce(self, name: str, data: xr.Dataset) -> Path:
        """Write what a step computed, to be read by another."""
        path = self.folder / "reductions" / f"{name}.zarr"
        origin = {"reduction": name}
        store.begin(path, "reduction", origin, replace=True)
        store.write_dataset(path, data)
        store.complete(path, "reduction", origin, {})
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, loaded_wide: None) -> Place:
    return Place(tmp_path_factory.mktemp("widths"))


def cut(values: np.ndarray, layer: int) -> np.ndarray:
    """A layer's own neurons, the last axis; beyond them there must be nothing."""
    beyond = values[..., WIDTHS[layer] :]
    assert not beyond.any() if beyond.dtype == bool else np.isnan(beyond).all()
    return values[..., : WIDTHS[layer]]


def test_the_model_is_what_its_card_says(place: Place) -> None:
    card = read_card(place.model)
    assert card.neurons == tuple(ffn.neurons for ffn in ffns(load(place.model, "cpu")))
    assert card.widest == max(WIDTHS)


# --- roles ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(place: Place) -> StatisticsInputs:
    return StatisticsInputs(roles={"plain": place.groups("plain", "roles")})


def test_activation_frequency(place: Place, roles: StatisticsInputs) -> None:
    settings = ActivationFrequencySettings(
        corpora=["plain"],
        languages=LANGUAGES,
        replicates=REPLICATES,
        rule="positive",
        combinator_gelu=False,
    )
    data = activation_frequency.compute(roles, settings).sel(corpus="plain")
    recorded = place.rows("plain", "sample")
    for language, layers in recorded.items():
        segment = store.open_dataset(
            place.groups("plain", "sample")[language], "activations", without=["act", "out"]
        )["segment_index"].values
        fold = (np.arange(len(TEXTS))[:, None] == segment).astype(float)
        for layer, act in enumerate(layers):
            expected = (act > 0).mean(0)
            one = data.sel(language=language).isel(layer=layer)
            found = cut(one["activation_frequency_act"].values, layer)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            spread = one.sel(site="act")
            np.testing.assert_allclose(spread["mean"], expected.mean(), rtol=1e-12)
            np.testing.assert_allclose(spread["std"], expected.std(), rtol=1e-12)
            bounds = layer_spread_interval(fold @ (act > 0.0), fold.sum(1), REPLICATES)
            for name in ("mean", "std"):
                both = [spread[f"{name}{end}"] for end in ("_low", "_high")]
                np.testing.assert_allclose(both, bounds[name], rtol=1e-12)
    assert np.isfinite(data["mean"]).all()


def test_flatness(place: Place, roles: StatisticsInputs) -> None:
    settings = ResampledSettings(corpora=["plain"], languages=LANGUAGES, replicates=REPLICATES)
    data = flatness.compute(roles, settings).sel(corpus="plain", site="act")
    for language, layers in place.rows("plain", "sample").items():
        for layer, act in enumerate(layers):
            found = data["flatness_mean"].sel(language=language, layer=layer)
            np.testing.assert_allclose(found, kernels.flatness(act).mean(), rtol=1e-8)


def stacked(layers: dict[str, list[np.ndarray]], layer: int) -> xr.DataArray:
    """One layer's numbers of every language, [corpus, language, layer, neuron]."""
    values = np.stack([own[layer] for own in layers.values()])[None, :, None]
    dims = ("corpus", "language", "layer", "neuron")
    coords = {"corpus": ["plain"], "language": list(layers), "layer": [layer]}
    return xr.DataArray(values, coords, dims)


def test_rank_correlation(place: Place, roles: StatisticsInputs) -> None:
    facts = LanguageFacts(name="x", family="f", genus="g", script="Latn")
    settings = RankCorrelationSettings(
        corpora=["plain"],
        languages=LANGUAGES,
        language_table=dict.fromkeys(LANGUAGES, facts),
        replicates=REPLICATES,
        sample_segments=3,
    )
    inputs = RankCorrelationInputs(
        roles=roles.roles,
        sample={"plain": place.groups("plain", "sample")},
        tokens={"plain": {language: place.tokens(language) for language in LANGUAGES}},
    )
    data = rank_correlation.compute(inputs, settings).sel(site="act")
    assert data["compared_languages"] == 3
    assert (data["rank_correlation_low"] <= data["rank_correlation_high"]).all()
    rows = place.rows("plain", "sample")
    sums = {one: [act.sum(0, dtype=np.float64) for act in own] for one, own in rows.items()}
    for layer in range(len(WIDTHS)):
        expected = correlation_measure(stacked(sums, layer))
        found = data["rank_correlation"].sel(layer=[layer])
        np.testing.assert_array_equal(found, expected)
        assert (abs(found) < 0.999999).any()


def test_dominant_neurons(place: Place, roles: StatisticsInputs) -> None:
    settings = DominantNeuronsSettings(corpora=["plain"], languages=LANGUAGES)
    data = dominant_neurons.compute(roles, settings).sel(site="act")
    rows = place.rows("plain", "sample")
    statistics = {
        one: [kernels.row_statistics(act, "positive") for act in own] for one, own in rows.items()
    }
    counted = xr.DataArray(
        [[len(own[0]) for own in rows.values()]],
        {"corpus": ["plain"], "language": LANGUAGES},
        ("corpus", "language"),
    )
    for layer in range(len(WIDTHS)):
        arrays = [
            stacked({k: [one[name] for one in own] for k, own in statistics.items()}, layer)
            for name in ("argmax_count", "sum", "sum_of_squares")
        ]
        expected = dominant_measure(*arrays, counted)
        for name in ("most_often_maximum", "maximum_share", "most_variable", "largest_std"):
            np.testing.assert_allclose(
                data[name].sel(layer=[layer]).transpose(*expected[name].dims), expected[name]
            )


def test_a_heatmap_is_scaled_by_layer(place: Place) -> None:
    settings = HeatmapSettings(
        languages=LANGUAGES,
        corpus="plain",
        sample_segments=3,
        heatmap_layers=[0.0, 0.5, 1.0],
        heatmap_rows=11,
    )
    inputs = HeatmapInputs(sample=place.groups("plain", "sample"))
    data = heatmap.compute(inputs, settings)["scaled_act"]
    for language, layers in place.rows("plain", "sample").items():
        for layer, act in enumerate(layers):
            found = cut(data.sel(language=language, layer=layer).values, layer)
            np.testing.assert_array_equal(found, kernels.scale(act[:11]))


def test_a_heatmap_is_as_wide_as_its_layer(place: Place) -> None:
    rows = np.full((1, 3, 4, max(WIDTHS)), np.nan)
    for layer, width in enumerate(WIDTHS):
        rows[:, layer, :, :width] = np.linspace(0, 1, width)
    dims = ("language", "layer", "row", "neuron")
    scaled = xr.DataArray(rows, {"layer_neurons": ("layer", list(WIDTHS))}, dims)
    scaled = scaled.assign_coords(language=["en"]).to_dataset(name="scaled_act")
    for layer, width in enumerate(WIDTHS):
        cells = pooled(rows_of(scaled, "act", layer)["en"])
        assert cells.shape[1] == width
        assert np.isfinite(cells).all()


# --- lape -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("percentile", "top_fraction"), [(0.9, 0.1), (0.995, 0.9)])
def test_language_neurons(place: Place, percentile: float, top_fraction: float) -> None:
    """Against the same of one layer that has all the neurons, one layer's behind the other's."""
    settings = NeuronsSettings(
        languages=LANGUAGES,
        site="act",
        percentile=percentile,
        top_fraction=top_fraction,
        replicates=REPLICATES,
        permutations=5,
    )
    inputs = NeuronsInputs(firing=place.groups("plain", "firing"))
    data = neurons.compute(inputs, settings)
    rows = place.rows("plain", "rows")
    flat = {one: np.concatenate([act > 0 for act in own], axis=1) for one, own in rows.items()}
    p = xr.DataArray(
        np.stack([own.mean(0).astype(np.float32) for own in flat.values()])[:, None],
        {"language": LANGUAGES, "layer": [0]},
        ("language", "layer", "neuron"),
    )
    expected = lape.language_neurons(p, percentile, top_fraction)
    assert expected.any()
    for name, reference in {
        "language_neuron": expected,
        "activation_probability": p,
        "activation_probability_entropy": lape.activation_probability_entropy(p),
    }.items():
        found = data[name].transpose(..., "layer", "neuron").values.reshape(-1, 3, max(WIDTHS))
        joined = np.concatenate([cut(found[:, i], i) for i in range(3)], axis=1)
        np.testing.assert_array_equal(joined, reference.values.reshape(joined.shape))
    selected = round(top_fraction * sum(WIDTHS))
    assert data["language_neuron"].attrs["selected_neurons"] == selected
    assert data["language_neuron"].attrs["activation_bar"] == expected.attrs["activation_bar"]
    assert data["shared_by_languages"].sum() == selected
    np.testing.assert_array_equal(
        data["shared_by_languages"], lape.shared_by_languages(expected), "none beyond a layer"
    )
    assert (data["neurons_low"] <= data["neurons"]).all()
    tables = neurons.tables(data)
    assert len(tables["language_neurons"]) == int(data["language_neuron"].sum())
    assert list(tables["neurons"].columns[:2]) == ["language", "layer"]


def test_perplexity_without_neurons_and_controls(place: Place) -> None:
    own = np.zeros((3, 3, max(WIDTHS)), bool)
    own[:, :, :14] = True
    found = xr.Dataset(
        {"language_neuron": (("language", "layer", "neuron"), own)},
        {"language": LANGUAGES},
        {"site": "act"},
    )
    settings = PerplexityStepSettings(
        languages=LANGUAGES,
        random_seeds=1,
        replicates=REPLICATES,
        perplexity=PerplexitySettings(corpus="plain", segments=3, tokens_per_segment=20),
        device="cpu",
        dtype="float32",
    )
    inputs = PerplexityInputs(
        model=place.model,
        neurons=place.reduce("lape", found),
        held_out={one: place.tokens(one) for one in LANGUAGES},
        chosen_on={},
        work=place.work("perplexity"),
    )
    data = perplexity.compute(inputs, settings)
    assert np.isfinite(data["perplexity"]).all()
    others = sum(min(14, width - 14) for width in WIDTHS)  # as many as the layer has
    assert (data["neurons"].sel(variant="chosen") == 14 * len(WIDTHS)).all()
    assert (data["neurons"].sel(variant="random") == others).all()
    assert (data["neurons"].sel(variant="active") <= others).all()


def test_a_probability_that_is_missing_is_still_refused() -> None:
    values = np.full((2, 2, 3), 0.5)
    values[:, 0, 2] = np.nan
    coords = {"language": ["en", "de"], "layer_neurons": ("layer", [2, 3])}
    p = xr.DataArray(values, coords, ("language", "layer", "neuron"))
    assert lape.activation_probability_entropy(p).notnull().sum() == 5
    for place in ((0, 0, 1), (1, 1, 2)):
        wrong = p.copy(deep=True)
        wrong[place] = np.nan
        with pytest.raises(NeuroglotError, match="1 of them NaN"):
            lape.activation_probability_entropy(wrong)


# --- agreement ------------------------------------------------------------------------------


def test_chance_agrees_on_a_layers_own_neurons() -> None:
    named = np.random.default_rng(0).random((2, 1, 3, max(WIDTHS))) < 0.4
    named &= np.arange(max(WIDTHS)) < np.array(WIDTHS)[:, None]
    dims = ("method", "language", "layer", "neuron")
    coords = {"method": ["a", "b"], "language": ["en"], "layer_neurons": ("layer", list(WIDTHS))}
    looked = xr.DataArray(np.ones((2, 3), bool), dims=("method", "layer"))
    found = agreement(xr.DataArray(named, coords, dims), looked).isel(language=0)
    for layer, width in enumerate(WIDTHS):
        alone = xr.DataArray(named[:, :, [layer], :width], coords={"method": ["a", "b"]}, dims=dims)
        expected = agreement(alone, looked[:, [layer]]).isel(language=0, layer=0)
        for name in ("jaccard", "expected_jaccard", "p_value"):
            np.testing.assert_array_equal(found[name].isel(layer=layer), expected[name])


# --- controls and edits ---------------------------------------------------------------------


def test_controls_are_drawn_among_a_layers_own_neurons() -> None:
    chosen = np.zeros((3, max(WIDTHS)), bool)
    chosen[:, :15] = True
    drawn = random_like(chosen[None].repeat(4, 0), 1, range(4), WIDTHS)
    for layer, width in enumerate(WIDTHS):
        assert not drawn[:, layer, width:].any()
        assert (drawn[:, layer].sum(-1) == min(15, width - 15)).all()


def test_edits_are_as_wide_as_the_widest_layer(place: Place) -> None:
    model = load(place.model, "cpu")
    mask = np.zeros((3, max(WIDTHS)), bool)
    for layer, width in enumerate(WIDTHS):
        mask[layer, width - 1] = True
    ids = torch.tensor([[5, 6, 7]])
    with intervened(model, [Edit(mask)]):
        found = model(ids).logits
    with torch.no_grad():
        for ffn in ffns(model):
            ffn.w_out.weight[:, -1] = 0
    torch.testing.assert_close(found, model(ids).logits)
    mask[2, 17] = True
    with (
        pytest.raises(NeuroglotError, match="neurons of layer 2 beyond 16"),
        intervened(model, [Edit(mask)]),
    ):
        pass


# --- experts --------------------------------------------------------------------------------

EXPERTS = 5


@pytest.fixture(scope="module")
def blocks(place: Place) -> dict[str, Path]:
    """The partition, in two blocks."""
    found = {}
    for block in range(2):
        settings = PartitionSettings(experts_per_layer=EXPERTS, seed=0, blocks=2, block=block)
        data = partition.compute(PartitionInputs(model=place.model), settings)
        found[str(block)] = place.reduce(f"partition-{block}", data)
    return found


def test_partition(place: Place, blocks: dict[str, Path]) -> None:
    data = read_partition(blocks)
    for ffn in ffns(load(place.model, "cpu")):
        expected = equal_size_clusters(ffn.input_matrix().numpy(), EXPERTS, 0)
        np.testing.assert_array_equal(data[ffn.index, : ffn.neurons], expected)
        assert (data[ffn.index, ffn.neurons :] == experts.NO_EXPERT).all()
    chosen = np.random.default_rng(0).random((2, 3, EXPERTS)) < 0.5
    chosen[0], chosen[1] = True, chosen[1]
    high = xr.DataArray(chosen, {"language": ["en", "de"]}, ("language", "layer", "expert"))
    named = experts.neurons_of(data, high).transpose("language", "layer", "neuron").values
    assert named[0].sum() == sum(WIDTHS)
    assert named.dtype == bool
    for language in range(2):
        kept = experts.kept_neurons(data, high[language])
        assert [own.tolist() for own in kept] == [
            np.flatnonzero(row).tolist() for row in named[language]
        ]


def test_more_experts_than_the_narrowest_layer_has_neurons(place: Place) -> None:
    settings = PartitionSettings(experts_per_layer=18, seed=0, blocks=1, block=0)
    with pytest.raises(NeuroglotError, match="18 experts cannot be made of 17 neurons"):
        partition.compute(PartitionInputs(model=place.model), settings)


def test_routing_and_frequency(place: Place, blocks: dict[str, Path]) -> None:
    settings = RoutingSettings(
        experts_per_layer=EXPERTS,
        score="signed",
        active_fraction=0.2,
        device="cpu",
        dtype="float32",
    )
    counted = {}
    for language, layers in place.rows("plain", "rows").items():
        rows = place.groups("plain", "rows")[language]
        from_rows = routing.compute(RoutingInputs(partition=blocks, rows=rows), settings)
        read = RoutingInputs(
            partition=blocks,
            model=place.model,
            tokens=place.tokens(language),
            work=place.work(f"routing-{language}"),
        )
        forward = routing.compute(read, settings)
        xr.testing.assert_equal(from_rows["active"], forward["active"])
        part = read_partition(blocks).values
        z = [
            experts.standardise(
                np.stack([act[:, own[: act.shape[1]] == e].sum(1) for e in range(EXPERTS)], 1)
            )
            for act, own in zip(layers, part, strict=True)
        ]
        active = experts.active(np.concatenate(z, axis=1), 0.2).sum(0).reshape(3, EXPERTS)
        np.testing.assert_array_equal(from_rows["active"].sum("fold"), active)
        counted[language] = place.reduce(f"routing-{language}", from_rows)
    facts = LanguageFacts(name="x", family="f", genus="g", script="Latn")
    data = frequency.compute(
        FrequencyInputs(
            routing=counted, tokens={language: place.tokens(language) for language in LANGUAGES}
        ),
        FrequencySettings(
            languages=LANGUAGES,
            language_table=dict.fromkeys(LANGUAGES, facts),
            high_frequency=0.3,
            replicates=REPLICATES,
        ),
    )
    assert data["expert_frequency"].sizes == {"language": 3, "layer": 3, "expert": EXPERTS}
    assert np.isfinite(data["expert_frequency"]).all()
    assert len({*data["tokens"].values.tolist()}) == 1, "as many tokens of every language"
    own = np.diagonal(data["similarity"].sel(metric="jensen_shannon"))
    assert (own > 0).all(), "halves of a language differ"
    assert data["token_overlap"].sizes == {"language": 3, "language_other": 3}
    assert data["token_overlap"].notnull().all()
    assert data["compared_languages"] == 3
    few = inference.compute(
        InferenceInputs(
            model=place.model,
            partition=blocks,
            routing=counted,
            held_out={language: place.tokens(language) for language in LANGUAGES},
            chosen_on={},
            work=place.work("inference"),
        ),
        InferenceSettings(
            languages=LANGUAGES,
            device="cpu",
            dtype="float32",
            high_frequency=0.3,
            random_seeds=3,
            speed_rounds=1,
            prompt_tokens=2,
            continuation_tokens=2,
            replicates=REPLICATES,
            perplexity=PerplexitySettings(corpus="plain", segments=3, tokens_per_segment=20),
        ),
    )
    for language, others in few["other_language"].to_series().groupby(level="language"):
        assert {*others} == {*LANGUAGES, ""} - {language}, "two other languages for three draws"
    other = few.sel(variant="other_language")
    np.testing.assert_array_equal(other["perplexity"].notnull().sum("seed"), 2)
    np.testing.assert_array_equal(other["overlap"].notnull().sum("seed"), 2)
    assert ((few["overlap"] >= 0) & (few["overlap"] <= 1)).sum() == 3 * (1 + 2 + 3)
    losses = np.log(few["perplexity"]).mean("seed")
    own = losses.sel(variant="high_frequency", drop=True)
    for control in ("other_language", "random"):
        np.testing.assert_allclose(
            few["excess"].sel(control=control), own - losses.sel(variant=control), rtol=1e-6
        )


# --- transfer -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lists(place: Place) -> xr.Dataset:
    settings = TransferSettings(
        model="one",
        pivot="en",
        languages=LANGUAGES,
        pool="last",
        type1_layers=0.6,
        top_fraction=0.1,
        top_n=None,
    )
    inputs = TransferInputs(
        model=place.model, states=place.groups("states", "states"), work=place.work("transfer")
    )
    return transfer_neurons.compute(inputs, settings)


def test_transfer_neurons(place: Place, lists: xr.Dataset) -> None:
    """Layers 0 and 1 are looked in for Type 1, layer 2 for Type 2."""
    act, mid, state = (
        {
            language: store.read_rows(path, site)
            for language, path in place.groups("states", "states").items()
        }
        for site in ("act", "mid", "state")
    )
    model = load(place.model, "cpu")
    lengths = {"type1": round(0.1 * sum(WIDTHS[:2])), "type2": round(0.1 * WIDTHS[2])}
    assert lists["list_length"].to_series().to_dict() == lengths
    for language in LANGUAGES[1:]:
        scored = []
        for ffn in ffns(model):
            kind = "type1" if ffn.index < 2 else "type2"
            both = state["en"][ffn.index + 1], state[language][ffn.index + 1]
            expected = transfer_score(
                mid[language][ffn.index],
                act[language][ffn.index][:, : ffn.neurons],
                ffn.output_matrix().numpy(),
                shared_centroid(*both) if kind == "type1" else centroid(both[1]),
            )
            found = lists["score"].sel(type=kind, language=language, layer=ffn.index).values
            np.testing.assert_array_equal(cut(found, ffn.index), expected.astype(np.float32))
            scored += [(kind, ffn.index, i, one) for i, one in enumerate(expected)]
        for kind in ("type1", "type2"):
            own = sorted((one for one in scored if one[0] == kind), key=lambda one: -one[3])
            first = [(layer, neuron) for _, layer, neuron, _ in own[: lengths[kind]]]
            ranked = lists.sel(type=kind, language=language, part="all")
            ranked = ranked.isel(rank=slice(lengths[kind]))
            pairs = (ranked["rank_layer"].values, ranked["rank_neuron"].values)
            assert list(zip(*pairs, strict=True)) == first


def test_correlation(place: Place, lists: xr.Dataset) -> None:
    families = {
        one: LanguageFacts(name=one, family=family, genus="g", script="Latn")
        for one, family in zip(LANGUAGES, "fgg", strict=True)
    }
    settings = CorrelationSettings(
        model="one",
        pivot="en",
        languages=LANGUAGES,
        language_table=families,
        tops=[2, 5],
    )
    path = place.reduce("transfer", lists)
    states = place.groups("states", "states")
    data = correlation.compute(CorrelationInputs(neurons=path, states=states), settings)
    ours = data["mean_ratio"].sel(type=["type1", "type2", "random_type1", "active_type2"])
    assert np.isfinite(ours).all()
    in_german = np.repeat([False, True, False], len(TEXTS))
    for layer in range(len(WIDTHS)):
        act = np.concatenate([own[layer] for own in place.rows("states", "states").values()])
        found = data["correlation_ratio"].sel(grouping="language", language="de", layer=layer)
        expected = correlation_ratio(act, in_german).astype(np.float32)
        np.testing.assert_array_equal(cut(found.values, layer), expected)


def test_closeness_without_neurons_and_without_random_ones(
    place: Place, lists: xr.Dataset, edited: list[np.ndarray]
) -> None:
    settings = DeactivationSettings(
        model="one",
        pivot="en",
        languages=LANGUAGES,
        pool="last",
        k=[1],
        positions="last",
        random_seeds=3,
        replicates=REPLICATES,
        device="cpu",
        dtype="float32",
    )
    inputs = DeactivationInputs(
        model=place.model,
        neurons=place.reduce("transfer", lists),
        states=place.groups("states", "states"),
        tokens={one: place.tokens(one) for one in LANGUAGES},
        work=place.work("deactivation"),
    )
    data = deactivation.compute(inputs, settings)
    without = data["similarity"].sel(variant=["without_type1", "random_type1", "active_type2"])
    assert np.isfinite(without.sel(language=LANGUAGES[1:])).all()
    for language in LANGUAGES[1:]:
        for half in ("first", "second"):
            own = listed(lists, "type1", language, part=half)
            sets = [mask for mask in edited if mask.ndim == 2]  # others are of a batch's rows
            as_many = [mask for mask in sets if (mask.sum(1) == own.sum(1)).all()]
            assert len(as_many) >= 4, "the neurons and three draws of as many"


def test_answers_without_neurons_and_without_random_ones(place: Place, lists: xr.Dataset) -> None:
    settings = TasksSettings(
        languages=LANGUAGES[1:],
        tasks=["facts"],
        scorings={"facts": "string"},
        task_positions="last",
        task_random_seeds=2,
        replicates=REPLICATES,
        device="cpu",
        dtype="float32",
    )
    items = {one: place.folder / "tasks" / "facts" / f"{one}.parquet" for one in LANGUAGES[1:]}
    inputs = TasksInputs(
        model=place.model,
        neurons=place.reduce("transfer", lists),
        items={"facts": items},
        work=place.work("tasks"),
    )
    counts = tasks.compute(inputs, settings)["neurons"]
    for kind in ("type1", "type2"):
        for variant in (f"without_{kind}", f"random_{kind}"):
            assert (counts.sel(variant=variant) == lists["list_length"].sel(type=kind)).all()


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The masks of all edits from now on."""
    found: list[np.ndarray] = []
    made = Edit.__init__

    def noted(self: Edit, neurons: np.ndarray, *args: Any, **kwargs: Any) -> None:
        found.append(neurons)
        made(self, neurons, *args, **kwargs)

    monkeypatch.setattr(Edit, "__init__", noted)
    return found


# --- sharing --------------------------------------------------------------------------------


def test_kinds(place: Place) -> None:
    settings = KindsSettings(
        languages=LANGUAGES,
        tasks=["facts"],
        threshold=0.0,
        thresholds=[-0.1, 0.1],
        language_counts=[2, 3],
        language_subsets=2,
        replicates=REPLICATES,
    )
    prompts = {"facts": place.groups("facts", "prompts")}
    inputs = KindsInputs(prompts=prompts, items={"facts": place.items()})
    data = kinds.compute(inputs, settings)
    gates, peaks = (place.rows("facts", "prompts", site) for site in ("gate", "peak"))
    one = data.sel(task="facts")
    for layer, width in enumerate(WIDTHS):
        active = np.stack([own[layer] > 0 for own in gates.values()])  # [language, item, neuron]
        number = active.sum(0)
        of_kind = {
            "all_shared": number == 3,
            "partial_shared": number == 2,
            "specific": number == 1,
            "non_activated": number == 0,
        }
        for kind, mask in of_kind.items():
            for name, expected in {
                "kind_share": mask.mean(),
                "overlap": mask.all(0).mean(),
            }.items():
                found = one[name].sel(kind=kind, layer=layer)
                np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=kind)
        for place_of, (language, own) in enumerate(peaks.items()):
            here = one.sel(language=language, layer=layer)
            np.testing.assert_allclose(here["active_share"], active[place_of].mean(), rtol=1e-12)
            silent = (number == 0) & (own[layer] <= 0)
            none = (number == 0).sum(1)
            dead = (silent.sum(1)[none > 0] / none[none > 0]).mean()
            np.testing.assert_allclose(here["dead"], dead, rtol=1e-12)
            specific = data["specific"].sel(language=language, layer=layer).values
            expected = (active[place_of] & (number == 1)).sum(0)
            np.testing.assert_array_equal(specific[:width], expected)
            assert not specific[width:].any()
    assert np.allclose(one["kind_share"].sum("kind"), 1)
    assert np.allclose(one["threshold_share"].sum("kind"), 1)


def test_the_most_specific_are_a_share_of_the_neurons_there_are() -> None:
    counts = 1 + np.random.default_rng(0).permutation(3 * max(WIDTHS)).reshape(1, 3, -1)
    counts *= np.arange(max(WIDTHS)) < np.array(WIDTHS)[:, None]
    coords = {"language": ["en"], "layer_neurons": ("layer", list(WIDTHS))}
    specific = xr.DataArray(counts, coords, ("language", "layer", "neuron"))
    assert most_specific(specific, 0.2).sum() == round(0.2 * sum(WIDTHS))


def test_contributions_and_effective_scores(place: Place) -> None:
    prompts = {"facts": place.groups("facts", "prompts")}
    items = {"facts": place.items()}
    told = {"languages": LANGUAGES, "tasks": ["facts"], "threshold": 0.0, "replicates": REPLICATES}
    data = contributions.compute(
        ContributionsInputs(model=place.model, prompts=prompts, items=items),
        ContributionsSettings(**told, top_fraction=0.1),
    ).sel(task="facts")
    inputs = EffectiveInputs(model=place.model, prompts=prompts, items=items)
    scores = effective.compute(inputs, EffectiveSettings(**told)).sel(task="facts")
    acts, gates = (place.rows("facts", "prompts", site) for site in ("act", "gate"))
    model = load(place.model, "cpu")
    for ffn in ffns(model):
        number = np.sum([own[ffn.index] > 0 for own in gates.values()], axis=0)
        values = ffn.output_matrix().numpy().astype(np.float64)
        for language, own in acts.items():
            weight = np.abs(own[ffn.index]) * np.linalg.norm(values, axis=0)
            share = weight / weight.sum(1, keepdims=True)
            expected = np.where(number == 3, share, 0).sum(1).mean()
            here = data["sum"].sel(language=language, layer=ffn.index, kind="all_shared")
            np.testing.assert_allclose(here, expected, rtol=1e-6)
    assert np.isfinite(scores["mean"].sel(kind="non_activated")).all()
    assert np.isfinite(data["top_share"]).all()


def test_neurons_are_edited_and_drawn_within_their_layers(place: Place) -> None:
    """Every variant of sharing's answers runs, and a control changes as many neurons."""
    settings = AnswersSettings(
        languages=LANGUAGES,
        task="facts",
        scoring="string",
        threshold=0.0,
        positions="last",
        converted_to="just_above",
        converted_offset=0.1,
        random_seeds=2,
        replicates=REPLICATES,
        device="cpu",
        dtype="float32",
    )
    inputs = AnswersInputs(
        model=place.model,
        prompts=place.groups("facts", "prompts"),
        items=place.items(),
        work=place.work("answers"),
    )
    data = answers.compute(inputs, settings)
    counts = data["neurons"]
    gates = place.rows("facts", "prompts", "gate")
    fired = {
        language: [rows[layer] > 0 for layer in range(len(WIDTHS))]
        for language, rows in gates.items()
    }
    number = [sum(layers[layer] for layers in fired.values()) for layer in range(len(WIDTHS))]
    for kind, languages in {"all_shared": 3, "specific": 1}.items():
        for language, layers in fired.items():
            chosen = [(n == languages) & here for n, here in zip(number, layers, strict=True)]
            others = [~mine for mine in chosen]
            active = [here & ~mine for here, mine in zip(layers, chosen, strict=True)]
            of_language = counts.sel(language=language)
            assert of_language.sel(variant=f"without_{kind}") == pytest.approx(sizes(chosen))
            for done, pool in {"random": others, "active": active}.items():
                fewer = [
                    np.minimum(mine.sum(1), rest.sum(1))
                    for mine, rest in zip(chosen, pool, strict=True)
                ]
                found = of_language.sel(variant=f"{done}_{kind}")
                assert found == pytest.approx(sum(fewer).mean())
            paired = of_language.sel(variant=f"matched_{kind}")
            assert paired == of_language.sel(variant=f"partner_{kind}")
            assert paired <= of_language.sel(variant=f"without_{kind}")
    shares = data[["matched_share", "matched_contribution"]].to_array()
    assert ((shares.dropna("language") >= 0) & (shares.dropna("language") <= 1)).all()
    assert (counts.sel(variant="converted_both") >= counts.sel(variant="inactive_both")).all()


def sizes(masks: list[np.ndarray]) -> float:
    """Number of neurons over all layers, mean over items."""
    return float(sum(mask.sum(1) for mask in masks).mean())


# --- lexicon --------------------------------------------------------------------------------


def test_lexicon_names_neurons_of_the_last_layer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(WIDTHS[-1]) < 4
    last = xr.DataArray(values[None], {"language": ["en"]}, ("language", "neuron"))
    asked = []

    def lowest(data: xr.Dataset, coverage: float, n: int) -> xr.DataArray:
        asked.append(n)
        return last

    monkeypatch.setattr(lexicon_naming, "lowest_entropy_neurons", lowest)
    association = xr.Dataset(
        {"entropy": (("prior", "neuron"), np.zeros((1, WIDTHS[-1])))},
        {"prior": ["uniform"]},
        {"minimum_coverage": 0.5},
    )
    path = place.reduce("association", association)
    found = lexicon_naming.named("lexicon", NamingInputs(place.model, {"association": path}), 0.5)
    assert asked == [round(0.5 * WIDTHS[-1])]
    expected = np.zeros((3, max(WIDTHS)), bool)
    expected[2, : WIDTHS[-1]] = values
    assert found.dtype == bool
    np.testing.assert_array_equal(found.sel(language="en").transpose("layer", "neuron"), expected)
