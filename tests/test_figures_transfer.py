"""The figures of ``transfer`` draw the dataset's numbers, languages and neurons alike in all."""

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neuroglot.analyses.transfer import TRANSFER
from neuroglot.analyses.transfer.figures import deactivation, latent_spaces, looks
from neuroglot.figures import layers, style

FAMILIES = {family.name: family.stems for family in TRANSFER.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
CAPTIONS = TRANSFER.folder / "captions"
NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "cs": "Czech",
    "hi": "Hindi",
    "bn": "Bengali",
    "th": "Thai",
    "zh": "Chinese (Mandarin)",
    **{f"x{i}": f"Language {i}" for i in range(15)},
}
K = (5, 10)
SHARES = (0.9, 0.95, 0.99)
TOPS = (10, 100, 1000)
LISTS = ("type1", "type2", "random_type1", "random_type2")
PAIRS = ("parallel", "non_parallel")
VARIANTS = ("baseline", "without_type1", "random")
TASKS = ("capitals", "natural-language-inference")
TASK_VARIANTS = (
    "baseline",
    "without_type1",
    "without_type2",
    "random_type1",
    "random_type2",
)
SEGMENTS = 60


def ids_of(languages: int) -> list[str]:
    return [*NAMES][:languages]


def attributes(languages: int, **more: object) -> dict[str, object]:
    named = {one: NAMES[one] for one in ids_of(languages)}
    return {
        "model": "gemma-3-270m",
        "pivot": "en",
        "language_names": json.dumps(named),
        "top_n": 1000,
        **more,
    }


def along(word: str, stacks: dict[str, int]) -> dict[str, object]:
    """The coordinates of layers, or of states, of which a stack has one more."""
    depths = {name: depth + (word == "state") for name, depth in stacks.items()}
    return {
        word: np.arange(sum(depths.values())),
        "stack": (word, [name for name, depth in depths.items() for _ in range(depth)]),
        f"stack_{word}": (word, [i for depth in depths.values() for i in range(depth)]),
    }


def hill(stacks: dict[str, int]) -> np.ndarray:
    """``[state]``: low at the embeddings and at the end, high between, in each stack."""
    return np.concatenate([np.sin(np.pi * np.linspace(0, 1, n + 1)) for n in stacks.values()])


def neurons_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(1)
    coords = along("layer", stacks or {"decoder": 18})
    depth, others = len(coords["layer"]), ids_of(languages)[1:]
    lower = round(0.625 * depth)
    counts = np.zeros((2, len(others), depth), np.int32)
    score = np.full((2, len(others), depth, 3), np.nan, np.float32)
    for kind, own in enumerate((slice(0, lower), slice(lower, depth))):
        width = len(range(depth)[own])
        weights = np.linspace(0.3, 2, width) ** 2 if kind else np.linspace(2, 0.2, width)
        for language in range(len(others)):
            noisy = weights * rng.uniform(0.6, 1.4, width)
            counts[kind, language, own] = rng.multinomial(1000, noisy / noisy.sum())
        score[kind, :, own] = rng.normal(size=(len(others), width, 3)).astype(np.float32)
    return xr.Dataset(
        {
            "neurons": (("type", "language", "layer"), counts),
            "score": (("type", "language", "layer", "neuron"), score),
        },
        coords | {"type": ["type1", "type2"], "language": others},
        attributes(languages, segments=SEGMENTS, pool="last"),
    )


def space_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(2)
    stacks = stacks or {"decoder": 18}
    coords, ids = along("state", stacks), ids_of(languages)
    rise, n = hill(stacks), languages
    states = rise.size
    centre = 30 * rng.normal(size=(states, n, 1, 2)) * (1.1 - rise)[:, None, None, None]
    cloud = centre + 8 * rng.normal(size=(states, n, SEGMENTS, 2))
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / n
    cosine = 1 - (0.6 - 0.5 * rise)[:, None, None] * (0.3 + near) * (near > 0)
    distance = np.linspace(0.1, 0.5, n)
    parallel = 0.5 + 0.45 * rise[:, None] * (1 - distance) + 0.01 * rng.normal(size=(states, n))
    apart = 0.5 + 0.25 * rise[:, None] * (1 - distance)
    neighbours = np.stack([rise[:, None] * (0.7 - distance) + k / (SEGMENTS - 1) for k in K])
    for values in (parallel, apart, neighbours):
        values[..., 0] = np.nan
    counts = np.stack([20 * s**3 + 25 * rise[:, None] * s + 3 * distance for s in SHARES], -1)
    by_state = ("state", "language")
    variables = {
        "coordinates": (("state", "language", "segment", "component"), cloud.astype(np.float32)),
        "explained": (("state", "component"), np.stack([0.5 - 0.3 * rise, 0.2 - 0.1 * rise], 1)),
        "centroid_similarity": (("state", "language", "language_other"), cosine),
        "components": (("state", "language", "variance"), np.round(counts).astype(int)),
        "mutual_knn_chance": ("k", [k / (SEGMENTS - 1) for k in K]),
    }
    for name, dims, values, width in (
        ("mutual_knn", ("k", *by_state), neighbours, 0.04),
        ("parallel", by_state, parallel, 0.02),
        ("non_parallel", by_state, apart, 0.005),
    ):
        variables[name] = (dims, values)
        variables |= {f"{name}_low": (dims, values - width), f"{name}_high": (dims, values + width)}
    more = {
        "language": ids,
        "language_other": ids,
        "segment": [f"s{i}" for i in range(SEGMENTS)],
        "component": [1, 2],
        "variance": list(SHARES),
        "k": list(K),
    }
    return xr.Dataset(variables, coords | more, attributes(languages, pool="last"))


def deactivation_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(3)
    stacks = stacks or {"decoder": 18}
    coords, others = along("state", stacks), ids_of(languages)[1:]
    rise = hill(stacks)[:, None]
    best = np.linspace(0.95, 0.7, len(others))
    base = np.stack([0.4 + 0.5 * rise * best, 0.4 + 0.3 * rise * best])
    loss = np.array([0.0, 0.25, 0.04])[:, None, None, None] * rise
    noise = 0.004 * rng.normal(size=(3, *base.shape)) * rise
    similarity = base - loss * np.array([1, 0.7])[:, None, None] + noise
    neighbours = np.stack([rise * best * 0.6 + 0.02 * k for k in K]) - 0.8 * loss + 0.5 * noise
    effect = similarity - similarity[0]
    effect[0] = np.nan
    excess = effect[1] - effect[2]
    at = ("state", "language")
    variables = {"mutual_knn_chance": ("k", [k / (SEGMENTS - 1) for k in K])}
    for name, dims, values in (
        ("similarity", ("variant", "pair", *at), similarity),
        ("mutual_knn", ("variant", "k", *at), neighbours),
        ("effect", ("variant", "pair", *at), effect),
        ("excess", ("pair", *at), excess),
    ):
        variables[name] = (dims, values)
        variables |= {f"{name}_low": (dims, values - 0.02), f"{name}_high": (dims, values + 0.02)}
    for name, dims, values in (
        ("similarity", ("pair", *at), similarity[2]),
        ("mutual_knn", ("k", *at), neighbours[2]),
    ):
        for end, sign in (("low", -1), ("high", 1)):
            variables[f"{name}_control_{end}"] = (dims, values + sign * 0.03 * rise)
    more = {"variant": list(VARIANTS), "pair": list(PAIRS), "k": list(K), "language": others}
    return xr.Dataset(
        variables, coords | more, attributes(languages, random_seeds=5, segments=SEGMENTS)
    )


def correlation_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(4)
    others = ids_of(languages)[1:]
    level = np.array([0.25, 0.4, 0.08, 0.12])[:, None, None, None]
    fade = np.array([1, 0.8, 0.5])
    size = (len(LISTS), 2, len(others), len(TOPS))
    mean = level * np.array([1, 0.7])[:, None, None] * fade * rng.uniform(0.7, 1.3, size)
    dims = ("type", "grouping", "language", "top")
    random = np.array([one.startswith("random") for one in LISTS])[:, None, None, None]
    return xr.Dataset(
        {
            "mean_ratio": (dims, mean),
            "mean_ratio_control_low": (dims, np.where(random, mean - 0.02, np.nan)),
            "mean_ratio_control_high": (dims, np.where(random, mean + 0.02, np.nan)),
        },
        {
            "type": list(LISTS),
            "grouping": ["language", "family"],
            "language": others,
            "top": list(TOPS),
        },
        attributes(languages, random_seeds=5),
    )


def tasks_dataset(languages: int = 10, stacks: dict[str, int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(5)
    others = ids_of(languages)[1:]
    size = (len(TASKS), len(TASK_VARIANTS), len(others))
    worse = np.array([1, 0.5, 0.8, 0.95, 0.97])[:, None]
    accuracy = rng.uniform(0.35, 0.6, (len(TASKS), 1, len(others))) * worse
    log_probability = -5 / accuracy
    difference = log_probability - log_probability[:, :1]
    dims, by_language = ("task", "variant", "language"), ("task", "language")
    neurons = np.array([0, 1000, 1000, 1000, 1000.0])[:, None]
    chance = np.array([0.05, 1 / 3])[:, None]
    return xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "accuracy_low": (dims, accuracy - 0.06),
            "accuracy_high": (dims, accuracy + 0.06),
            "accuracy_excess_low": (dims, accuracy - 0.5),
            "accuracy_excess_high": (dims, accuracy + 0.1),
            "log_probability_difference": (dims, difference),
            "log_probability_difference_low": (dims, difference - 1.5),
            "log_probability_difference_high": (dims, difference + 1.5),
            "log_probability_excess_low": (dims, difference - 2.5),
            "log_probability_excess_high": (dims, difference - 0.5),
            "neurons": (dims, np.broadcast_to(neurons, size).copy()),
            "items": (by_language, np.full((len(TASKS), len(others)), 120)),
            "excluded": (by_language, np.zeros((len(TASKS), len(others)), np.int64)),
            "chance": (by_language, np.broadcast_to(chance, (len(TASKS), len(others))).copy()),
        },
        {
            "task": list(TASKS),
            "variant": list(TASK_VARIANTS),
            "language": others,
            "scoring": ("task", ["rank", "string"]),
        },
        attributes(languages, random_seeds=5, task_positions="prompt"),
    )


DATASETS = {
    "neurons": neurons_dataset,
    "latent_spaces": space_dataset,
    "alignment": space_dataset,
    "deactivation": deactivation_dataset,
    "correlation": correlation_dataset,
    "tasks": tasks_dataset,
}
CASES = {
    "ten languages": {"languages": 10},
    "two languages": {"languages": 2, "stacks": {"decoder": 2}},
    "encoder and decoder": {"languages": 4, "stacks": {"encoder": 6, "decoder": 9}},
    "25 languages": {"languages": 25, "stacks": {"decoder": 32}},
}


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    return importlib.import_module(f"{TRANSFER.package}.figures.{family}").FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def named(labels: list[object]) -> list[str]:
    return [label.get_text() for label in labels]


def legend_of(figure: Figure) -> dict[str, Line2D]:
    (legend,) = [legend for part in figure.subfigs for legend in part.legends]
    return dict(zip(named(legend.get_texts()), legend.legend_handles, strict=True))


def drawn_as(ax: Axes, **look: object) -> list[Line2D]:
    """The lines of ``ax`` with this color, marker, and so on."""
    return [
        line
        for line in ax.get_lines()
        if all(getattr(line, f"get_{key}")() == value for key, value in look.items())
    ]


def of_language(ax: Axes, language: str) -> np.ndarray:
    """What the one line in a language's look shows."""
    look = style.look([*NAMES].index(language))
    found = drawn_as(ax, color=look.color, marker=look.marker)
    return np.concatenate([line.get_ydata() for line in found])


def bands_of(ax: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """``low`` and ``high`` by place of each band that is filled."""
    found = []
    for band in ax.collections:
        if isinstance(band, FillBetweenPolyCollection):
            corners = band.get_paths()[0].vertices
            heights = [corners[corners[:, 0] == x, 1] for x in np.unique(corners[:, 0])]
            found.append(
                (np.array([h.min() for h in heights]), np.array([h.max() for h in heights]))
            )
    return found


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestRegistry:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_lists_what_the_modules_draw(self, family: str) -> None:
        module = importlib.import_module(f"{TRANSFER.package}.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]

    def test_names_the_reductions_of_every_family(self) -> None:
        assert all(TRANSFER.step(name) for family in TRANSFER.figures for name in family.steps)

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.transfer;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("stem", ["table", *(stem for _, stem in STEMS)])
    def test_everything_has_a_caption(self, stem: str) -> None:
        path = CAPTIONS / f"{stem}.rst"
        text = path.read_text(encoding="utf-8")
        assert "snakemake.wildcards.m }}" in text
        assert "Tezuka and Inoue" in " ".join(text.split())

    def test_there_is_no_caption_of_nothing(self) -> None:
        captions = CAPTIONS.glob("*.rst")
        assert {path.stem for path in captions} == {"table", *(stem for _, stem in STEMS)}


class TestEveryFigure:
    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_draws_many_languages_without_a_warning(self, family: str, stem: str) -> None:
        assert panels_of(draw(family, stem, DATASETS[family](**CASES["25 languages"])))

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_names_the_model_and_labels_the_axes(self, family: str, stem: str) -> None:
        figure = draw(family, stem, DATASETS[family](languages=3))
        assert figure.get_suptitle().startswith("gemma-3-270m: ")
        assert any(ax.get_xlabel() for ax in panels_of(figure))

    @pytest.mark.parametrize("case", ["two languages", "ten languages", "encoder and decoder"])
    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_nothing_overlaps_or_is_cut(self, family: str, stem: str, case: str) -> None:
        figure = draw(family, stem, DATASETS[family](**CASES[case]))
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
        texts = [*figure.texts, *(text for part in figure.subfigs for text in part.texts)]
        boxes += [text.get_window_extent() for text in texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        data = DATASETS[family](languages=2)
        data = data.map(lambda values: values.astype(float) * np.nan)
        assert draw(family, stem, data).texts[0].get_text().startswith("nothing to draw")

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, family: str, stem: str) -> None:
        data = DATASETS[family](languages=3)
        turned = data.transpose(*reversed(list(data.dims)))
        for ax, other in zip(
            panels_of(draw(family, stem, data)), panels_of(draw(family, stem, turned)), strict=True
        ):
            for one, two in zip(ax.get_lines(), other.get_lines(), strict=True):
                np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())
            for one, two in zip(ax.images, other.images, strict=True):
                np.testing.assert_array_equal(one.get_array(), two.get_array())

    def test_large_pictures_are_small_files(self, tmp_path: Path) -> None:
        figure = draw("deactivation", "similarity_without_type1", deactivation_dataset())
        _, png = style.save(figure, tmp_path / "similarity")
        assert png.stat().st_size < style.PNG_BYTES

    def test_types_and_controls_stay_apart_for_colour_blind_readers(self) -> None:
        from test_figures import COLOUR_BLINDNESS, srgb_to_linear, to_lab

        colours = [*(look["color"] for look in looks.TYPES.values()), looks.RANDOM, "black"]
        linear = np.array([srgb_to_linear(np.array(to_rgb(colour))) for colour in colours])
        for simulate in (np.eye(3), *COLOUR_BLINDNESS):
            lab = to_lab(np.clip(linear @ np.asarray(simulate).T, 0, 1))
            assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 20


class TestStates:
    def test_states_count_from_the_embeddings_in_each_stack(self) -> None:
        data = space_dataset(languages=2, stacks={"encoder": 2, "decoder": 3})
        axis = layers.LayerAxis.of(data, "state")
        assert [stack.numbers.tolist() for stack in axis.stacks] == [[0, 1, 2], [0, 1, 2, 3]]
        assert axis.name(0) == "encoder state 0"
        assert axis.name(6) == "decoder state 3"

    @pytest.mark.parametrize(
        ("states", "shown"),
        [(3, [0, 1, 2]), (19, [0, 5, 10, 15, 18]), (31, [0, 5, 10, 15, 20, 25, 30])],
    )
    def test_few_states_are_numbered(self, states: int, shown: list[int]) -> None:
        assert layers.ticks(np.arange(states), 12).tolist() == shown


class TestNeurons:
    def test_lines_of_both_types_over_the_same_as_colours(self) -> None:
        data = neurons_dataset(languages=3)
        upper, lower = panels_of(draw("neurons", "neurons_by_layer", data))
        for language in ("de", "fr"):
            first, second = (
                data["neurons"].sel(type=kind, language=language) for kind in ("type1", "type2")
            )
            shown = of_language(upper, language)
            np.testing.assert_array_equal(shown[:11], first[:11])
            assert np.isnan(shown[11:29]).all()
            np.testing.assert_array_equal(shown[29:], second[11:])
        cells = np.asarray(lower.images[0].get_array())
        np.testing.assert_array_equal(cells, data["neurons"].sum("type"))
        assert named(lower.get_yticklabels()) == ["German", "French"]

    def test_types_are_parted_between_their_layers(self) -> None:
        axes = panels_of(draw("neurons", "neurons_by_layer", neurons_dataset(languages=2)))
        for ax in axes:
            (line,) = drawn_as(ax, linestyle="--")
            assert set(line.get_xdata()) == {11.5}
        assert named(axes[0].texts) == ["Type 1", "Type 2"]
        assert [text.xy[0] for text in axes[0].texts] == [6, 15]

    def test_no_neuron_in_a_layer_is_zero_and_not_a_gap(self) -> None:
        data = neurons_dataset(languages=2)
        data["neurons"].loc[{"type": "type1", "layer": 3}] = 0
        upper, lower = panels_of(draw("neurons", "neurons_by_layer", data))
        assert of_language(upper, "de")[3] == 0
        assert lower.images[0].get_array()[0, 3] == 0


class TestLatentSpaces:
    def test_segments_and_centroids_in_six_states(self) -> None:
        data = space_dataset(languages=3)
        axes = panels_of(draw("latent_spaces", "principal_coordinates", data))
        assert [ax.get_title() for ax in axes] == [f"state {i}" for i in (0, 4, 7, 11, 14, 18)]
        for ax, state in zip(axes, (0, 4, 7, 11, 14, 18), strict=True):
            lines = ax.get_lines()
            for line, centroid, language in zip(
                lines[:3], lines[3:], ("de", "fr", "en"), strict=True
            ):
                own = data["coordinates"].isel(state=state).sel(language=language)
                np.testing.assert_array_equal(line.get_xydata(), own)
                np.testing.assert_allclose(centroid.get_xydata()[0], own.mean("segment"), rtol=1e-5)
                look = style.look([*NAMES].index(language))
                assert line.get_color() == centroid.get_color() == look.color
            assert lines[-1].get_markeredgecolor() == "black"
            share = data["explained"].isel(state=state).values
            assert f"({share[0]:.0%}" in ax.get_xlabel()
            assert f"({share[1]:.0%}" in ax.get_ylabel()

    def test_states_are_even_and_hold_both_ends(self) -> None:
        picked = latent_spaces.evenly(np.arange(10, 33), 6)
        assert picked[0] == 10
        assert picked[-1] == 32
        assert set(np.diff(picked)) <= {4, 5}
        assert latent_spaces.evenly(np.arange(3), 6).tolist() == [0, 1, 2]

    def test_components_by_share_of_the_variance(self) -> None:
        data = space_dataset(languages=3)
        axes = panels_of(draw("latent_spaces", "principal_components", data))
        assert [ax.get_title().split(" of")[0] for ax in axes] == ["90 %", "95 %", "99 %"]
        for ax, share in zip(axes, SHARES, strict=True):
            for language in ("en", "de", "fr"):
                expected = data["components"].sel(variance=share, language=language)
                np.testing.assert_array_equal(of_language(ax, language), expected)

    def test_centroids_with_the_pivot_above_all_pairs(self) -> None:
        data = space_dataset(languages=4)
        rng = np.random.default_rng(0)
        noise = rng.uniform(0, 0.2, data["centroid_similarity"].shape)
        data["centroid_similarity"] += noise + noise.transpose(0, 2, 1)
        ax, *matrices = panels_of(draw("latent_spaces", "centroid_similarity", data))
        values = data["centroid_similarity"]
        for language in ("de", "fr", "es"):
            expected = values.sel(language=language, language_other="en")
            np.testing.assert_array_equal(of_language(ax, language), expected)
        assert not drawn_as(ax, color=style.look(0).color)
        ids = {name: one for one, name in NAMES.items()}
        order = [ids[name] for name in named(matrices[0].get_yticklabels())]
        assert sorted(order) == ["de", "en", "es", "fr"]
        for panel, state in zip(matrices, (0, 9, 18), strict=True):
            assert order == [ids[name] for name in named(panel.get_xticklabels())]
            expected = values.isel(state=state).sel(language=order, language_other=order).values
            shown = np.ma.filled(panel.images[0].get_array(), np.nan)
            np.fill_diagonal(expected, np.nan)
            np.testing.assert_array_equal(shown, expected)
        assert len({panel.images[0].get_clim() for panel in matrices}) == 1


class TestAlignment:
    def test_neighbours_with_bands_and_chance(self) -> None:
        data = space_dataset(languages=3)
        axes = panels_of(draw("alignment", "mutual_knn", data))
        assert [ax.get_title() for ax in axes] == ["k = 5", "k = 10"]
        for ax, k in zip(axes, K, strict=True):
            own = data.sel(k=k)
            for (low, high), language in zip(bands_of(ax), ("de", "fr"), strict=True):
                one = own.sel(language=language)
                np.testing.assert_array_equal(of_language(ax, language), one["mutual_knn"])
                np.testing.assert_array_equal(low, one["mutual_knn_low"])
                np.testing.assert_array_equal(high, one["mutual_knn_high"])
            (chance,) = drawn_as(ax, color=looks.CHANCE["color"])
            np.testing.assert_allclose(chance.get_ydata(), k / (SEGMENTS - 1))
        assert "English" in axes[0].get_ylabel()

    def test_parallel_beside_other_segments_and_the_difference(self) -> None:
        data = space_dataset(languages=3)
        left, middle, right = panels_of(draw("alignment", "parallel_similarity", data))
        for language in ("de", "fr"):
            one = data.sel(language=language)
            np.testing.assert_array_equal(of_language(left, language), one["parallel"])
            np.testing.assert_array_equal(of_language(middle, language), one["non_parallel"])
            np.testing.assert_array_equal(
                of_language(right, language), one["parallel"] - one["non_parallel"]
            )
        assert left.get_ylim() == middle.get_ylim()
        assert left.get_ylim()[1] > float(data["parallel_high"].max())
        assert left.get_ylim()[0] < float(data["parallel_low"].min())
        np.testing.assert_array_equal(
            bands_of(middle)[1][1], data["non_parallel_high"].sel(language="fr")
        )


class TestDeactivation:
    @pytest.mark.parametrize(
        ("stem", "name", "dimension", "places"),
        [
            ("similarity_without_type1", "similarity", "pair", PAIRS),
            ("mutual_knn_without_type1", "mutual_knn", "k", K),
        ],
    )
    def test_three_variants_by_language(
        self, stem: str, name: str, dimension: str, places: tuple[object, ...]
    ) -> None:
        data = deactivation_dataset(languages=3)
        axes = panels_of(draw("deactivation", stem, data))
        assert [ax.get_title() for ax in axes] == ["German", "French"]
        for ax, language in zip(axes, ("de", "fr"), strict=True):
            own = data.sel(language=language)
            for place, dash, band in zip(places, ("-", "--"), bands_of(ax), strict=True):
                at = {dimension: place}
                for variant, look in deactivation.VARIANTS.items():
                    (line,) = drawn_as(ax, color=look["color"], linestyle=dash)
                    expected = own[name].sel(at | {"variant": variant})
                    np.testing.assert_array_equal(line.get_ydata(), expected)
                np.testing.assert_array_equal(band[0], own[f"{name}_control_low"].sel(at))
                np.testing.assert_array_equal(band[1], own[f"{name}_control_high"].sel(at))
        assert len({ax.get_ylim() for ax in axes}) == 1

    def test_the_most_aligned_state_is_not_the_embeddings(self) -> None:
        data = deactivation_dataset(languages=3, stacks={"encoder": 2, "decoder": 2})
        similarity = data["similarity"]
        similarity[:] = 0.1
        parallel = {"variant": "baseline", "pair": "parallel"}
        similarity.loc[parallel | {"language": "de", "state": 3}] = 0.9  # decoder's embeddings
        similarity.loc[parallel | {"language": "de", "state": 1}] = 0.5
        similarity.loc[parallel | {"language": "fr", "state": 5}] = 0.6
        similarity.loc[{"variant": "baseline", "language": "fr", "state": 4}] = 0.9  # alike anyway
        similarity.loc[{"variant": "without_type1", "pair": "parallel", "state": 2}] = 1.0
        assert deactivation.most_aligned(data).values.tolist() == [1, 5]

    def test_effects_at_each_language_s_own_state(self) -> None:
        data = deactivation_dataset(languages=3)
        as_it_is = {"variant": "baseline", "pair": "parallel"}
        data["similarity"].loc[as_it_is | {"language": "de", "state": 6}] = 2.0
        data["similarity"].loc[as_it_is | {"language": "fr", "state": 12}] = 2.0
        left, middle, right = panels_of(draw("deactivation", "effect_of_type1", data))
        labels = ["German (state 6)", "French (state 12)", "mean of languages"]
        assert named(left.get_yticklabels()) == labels
        by_language = [
            data.sel(language=one).isel(state=state) for one, state in (("de", 6), ("fr", 12))
        ]

        def shown(ax: Axes, name: str, series: str, place: object, start: int) -> None:
            expected = [float(one[name].sel({series: place})) for one in by_language]
            each, mean = ax.get_lines()[1 + 2 * start : 3 + 2 * start]
            np.testing.assert_allclose(each.get_xdata(), expected)
            np.testing.assert_allclose(mean.get_xdata(), np.mean(expected))
            ends = [path.vertices[:, 0] for path in ax.collections[start].get_paths()]
            for (low, high), one in zip(ends, by_language, strict=True):
                np.testing.assert_allclose(low, one[f"{name}_low"].sel({series: place}))
                np.testing.assert_allclose(high, one[f"{name}_high"].sel({series: place}))

        by_language = [one.assign(change=one["effect"].sel(pair="parallel")) for one in by_language]
        for end in ("low", "high"):
            by_language = [
                one.assign({f"change_{end}": one[f"effect_{end}"].sel(pair="parallel")})
                for one in by_language
            ]
        by_language = [
            one.assign(
                knn=one["mutual_knn"].sel(variant="without_type1")
                - one["mutual_knn"].sel(variant="random"),
                knn_low=one["mutual_knn"].sel(variant="without_type1")
                - one["mutual_knn_control_high"],
                knn_high=one["mutual_knn"].sel(variant="without_type1")
                - one["mutual_knn_control_low"],
            )
            for one in by_language
        ]
        for start, variant in enumerate(("without_type1", "random")):
            shown(left, "change", "variant", variant, start)
        for start, pair in enumerate(PAIRS):
            shown(middle, "excess", "pair", pair, start)
        for start, k in enumerate(K):
            shown(right, "knn", "k", k, start)


class TestCorrelation:
    def test_lists_beside_their_controls(self) -> None:
        data = correlation_dataset(languages=3)
        axes = np.reshape(panels_of(draw("correlation", "correlation_ratio", data)), (2, 3))
        order = ("type1", "random_type1", "type2", "random_type2")
        for row, grouping in zip(axes, ("language", "family"), strict=True):
            for ax, top in zip(row, TOPS, strict=True):
                assert ax.get_title() == f"top {top:,} of each list"
                each = [line.get_xdata() for line in ax.get_lines()[1::2]]
                own = data.sel(grouping=grouping, top=top)
                expected = own["mean_ratio"].sel(type=list(order)).transpose("type", "language")
                np.testing.assert_array_equal(each, expected)
                ends = [path.vertices[:, 0] for path in ax.collections[1].get_paths()]
                of_control = own.sel(type="random_type1")
                np.testing.assert_array_equal(
                    np.transpose(ends),
                    [of_control["mean_ratio_control_low"], of_control["mean_ratio_control_high"]],
                )
                hollow = [line.get_markerfacecolor() == "white" for line in ax.get_lines()[1::2]]
                assert hollow == [False, True, False, True]

    def test_a_family_of_all_languages_has_no_row(self) -> None:
        data = correlation_dataset(languages=3)
        data["mean_ratio"].loc[{"grouping": "family"}] = np.nan
        axes = panels_of(draw("correlation", "correlation_ratio", data))
        assert [ax.get_ylabel() for ax in axes] == ["in the language\nor not", "", ""]


class TestTasks:
    def test_both_types_beside_the_model_and_the_control(self) -> None:
        data = tasks_dataset(languages=3)
        figure = draw("tasks", "task_accuracy", data)
        axes = np.reshape(panels_of(figure), (2, 2))
        for row, task in zip(axes, TASKS, strict=True):
            for ax, kind in zip(row, ("type1", "type2"), strict=True):
                variants = ["baseline", f"without_{kind}", f"random_{kind}"]
                expected = data["accuracy"].sel(task=task, variant=variants)
                each = [line.get_xdata() for line in ax.get_lines() if line.get_marker() in "Xos"][
                    ::2
                ]
                np.testing.assert_array_equal(each, expected.transpose("variant", "language"))
                assert ax.get_title() == f"without {looks.TYPES[kind]['label']}\n1,000 neurons"
        assert {"chance", "model as it is", "hollow: as many random"} <= legend_of(figure).keys()

    def test_log_probability_is_less_the_models_own(self) -> None:
        data = tasks_dataset(languages=3)
        left = panels_of(draw("tasks", "task_log_probability", data))[0]
        values = data["log_probability_difference"].sel(task=TASKS[0])
        (each, _) = drawn_as(left, color=looks.TYPES["type1"]["color"], markerfacecolor="#0077BB")
        np.testing.assert_array_equal(each.get_xdata(), values.sel(variant="without_type1"))
