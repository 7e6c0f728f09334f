"""The figures of ``experts`` draw the dataset's numbers, in an order that shows their structure."""

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
from matplotlib.figure import Figure

from neuroglot.analyses.experts import EXPERTS
from neuroglot.analyses.experts.figures import frequency
from neuroglot.analyses.experts.measures.experts import relative_speed
from neuroglot.figures import style

FAMILIES = {family.name: family.stems for family in EXPERTS.figures}
REDUCTIONS = {family.name: family.steps for family in EXPERTS.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
LANGUAGES = [
    ("en", "English", "Indo-European", "Germanic"),
    ("fr", "French", "Indo-European", "Romance"),
    ("hi", "Hindi", "Indo-European", "Indic"),
    ("zh-hans", "Chinese (Simplified)", "Sino-Tibetan", "Chinese"),
    ("es", "Spanish", "Indo-European", "Romance"),
    ("ar", "Arabic", "Afro-Asiatic", "Semitic"),
    ("de", "German", "Indo-European", "Germanic"),
    ("bn", "Bengali", "Indo-European", "Indic"),
    ("pt", "Portuguese", "Indo-European", "Romance"),
    ("th", "Thai", "Tai-Kadai", "Kam-Tai"),
    ("cs", "Czech", "Indo-European", "Slavic"),
    ("ru", "Russian", "Indo-European", "Slavic"),
    ("pl", "Polish", "Indo-European", "Slavic"),
    ("ur", "Urdu", "Indo-European", "Indic"),
    ("sw", "Swahili", "Niger-Congo", "Bantoid"),
    ("ja", "Japanese", "Japanese", "Japanese"),
    ("ko", "Korean", "Korean", "Korean"),
    ("vi", "Vietnamese", "Austro-Asiatic", "Viet-Muong"),
    ("id", "Indonesian", "Austronesian", "Malayo-Sumbawan"),
    ("fi", "Finnish", "Uralic", "Finnic"),
    ("tr", "Turkish", "Altaic", "Turkic"),
    ("yo", "Yoruba", "Niger-Congo", "Defoid"),
    ("ta", "Tamil", "Dravidian", "Southern Dravidian"),
    ("te", "Telugu", "Dravidian", "South-Central Dravidian"),
    ("eu", "Basque", "Basque", "Basque"),
]
NAMES = {language: name for language, name, _, _ in LANGUAGES}
METRICS = ("euclidean", "kl_divergence", "pearson")


def coordinates(languages: int, stacks: dict[str, int]) -> dict[str, object]:
    chosen = LANGUAGES[:languages]
    return {
        "language": [language for language, *_ in chosen],
        "family": ("language", [family for _, _, family, _ in chosen]),
        "genus": ("language", [genus for *_, genus in chosen]),
        "layer": np.arange(sum(stacks.values())),
        "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
        "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
    }


def attributes(languages: int) -> dict[str, object]:
    chosen = LANGUAGES[:languages]
    return {
        "model": "gemma-3-270m",
        "language_names": json.dumps({language: name for language, name, _, _ in chosen}),
        "language_families": json.dumps({language: family for language, _, family, _ in chosen}),
        "high_frequency": 0.05,
        "folds": 12,
    }


def frequencies(families: list[str], genera: list[str], layers: int, experts: int) -> np.ndarray:
    """``[language, layer, expert]``: flat early, peaked late, alike within genus and family."""
    rng = np.random.default_rng(3)
    depth = np.linspace(0.3, 1.6, layers)[:, None]
    parts = {key: rng.normal(size=(layers, experts)) for key in ["all", *families, *genera]}
    logits = np.stack(
        [
            parts["all"]
            + 0.5 * parts[f]
            + 0.5 * parts[g]
            + 0.2 * rng.normal(size=(layers, experts))
            for f, g in zip(families, genera, strict=True)
        ]
    )
    scaled = np.exp(depth * logits)
    return np.minimum(0.098 * scaled / scaled.mean(axis=(1, 2), keepdims=True), 1)


def similarities(values: np.ndarray) -> np.ndarray:
    """``[metric, language_a, language_b]`` as section 4.2 defines them, in plain loops."""
    shares = (values + 1e-12) / (values + 1e-12).sum(-1, keepdims=True)
    n = len(values)
    found = np.zeros((3, n, n))
    for a in range(n):
        for b in range(n):
            found[0, a, b] = np.sqrt(((values[a] - values[b]) ** 2).sum())
            found[1, a, b] = (shares[a] * np.log(shares[a] / shares[b])).sum()
            if np.ptp(values) > 0:
                layers = zip(values[a], values[b], strict=True)
                found[2, a, b] = np.mean([np.corrcoef(one, other)[0, 1] for one, other in layers])
    return found


def frequency_dataset(
    languages: int = 10,
    stacks: dict[str, int] | None = None,
    experts: int = 64,
    equal: bool = False,
) -> xr.Dataset:
    stacks = stacks or {"decoder": 18}
    coords = coordinates(languages, stacks)
    families, genera = coords["family"][1], coords["genus"][1]
    values = frequencies(families, genera, sum(stacks.values()), experts)
    if equal:
        values = np.full_like(values, 0.098)
    shared = (values >= 0.05).sum(0)
    pair = ("metric", "language_a", "language_b")
    data = xr.Dataset(
        {
            "expert_frequency": (("language", "layer", "expert"), values),
            "tokens": ("language", np.full(languages, 40_000)),
            "shared_by": (("layer", "expert"), shared.astype(np.int32)),
            "shared_histogram": ("languages", np.bincount(shared.ravel(), minlength=languages + 1)),
            "similarity": (pair, similarities(values)),
        },
        coords
        | {"metric": list(METRICS), "languages": np.arange(languages + 1)}
        | {"language_a": coords["language"], "language_b": coords["language"]},
        attributes(languages),
    )
    return with_uncertainty(data)


def with_uncertainty(data: xr.Dataset) -> xr.Dataset:
    """Intervals around the numbers of experts, and numbers by chance that are far smaller."""
    high = data["expert_frequency"] >= data.attrs["high_frequency"]
    own = (high & (high.sum("language") == 1)).sum("expert")
    found = {
        "specific": own.sum("layer"),
        "specific_by_layer": own.sum("language"),
        "shared_histogram": data["shared_histogram"],
    }
    for name, number in found.items():
        data = data.assign(
            {
                name: number,
                f"{name}_low": 0.9 * number,
                f"{name}_high": 1.1 * number,
                f"{name}_null": 0.2 * number,
                f"{name}_null_low": 0.1 * number,
                f"{name}_null_high": 0.3 * number,
            }
        )
    return data


def inference_dataset(languages: int = 10, worse: float = 4.0) -> xr.Dataset:
    """Perplexity: high-frequency a little worse than full, random ``worse`` times; 4 rounds."""
    rng = np.random.default_rng(5)
    variants, seeds, rounds = ["full", "high_frequency", "random"], 3, 4
    perplexity = np.full((languages, 3, seeds), np.nan)
    full = rng.uniform(12, 30, languages)
    perplexity[:, 0, 0], perplexity[:, 1, 0] = full, full * rng.uniform(1.1, 1.4, languages)
    perplexity[:, 2] = full[:, None] * worse * rng.uniform(0.7, 1.4, (languages, seeds))
    speed = np.full((languages, 3, seeds, rounds), np.nan)
    drift = 900 * rng.uniform(0.9, 1.1, (languages, 1, rounds))
    speed[:, 0, :1] = drift
    speed[:, 1, :1] = drift * rng.uniform(1.15, 1.3, (languages, 1, rounds))
    speed[:, 2] = drift * rng.uniform(1.1, 1.3, (languages, seeds, rounds))
    kept = rng.uniform(0.65, 0.78, languages)
    return xr.Dataset(
        {
            "perplexity": (("language", "variant", "seed"), perplexity),
            "perplexity_low": (("language", "variant"), 0.95 * np.nanmin(perplexity, -1)),
            "perplexity_high": (("language", "variant"), 1.05 * np.nanmax(perplexity, -1)),
            "tokens_per_second": (("language", "variant", "seed", "round"), speed),
            "expert_share": ("language", kept),
            "ffn_parameters_saved": ("language", 1 - kept),
            "parameters_saved": ("language", 0.4 * (1 - kept)),
            "predicted_tokens": ("language", np.full(languages, 5_000)),
        },
        {
            "language": coordinates(languages, {"decoder": 1})["language"],
            "variant": variants,
            "seed": np.arange(seeds),
            "round": np.arange(rounds),
        },
        attributes(languages),
    )


def dataset(family: str, **case: object) -> xr.Dataset:
    if family != "inference":
        return frequency_dataset(**case)
    return inference_dataset(**{key: case[key] for key in case if key == "languages"})


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    return importlib.import_module(f"{EXPERTS.package}.figures.{family}").FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    """All axes but colour bars."""
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def named(labels: list[object]) -> list[str]:
    return [label.get_text() for label in labels]


CASES = {
    "ten languages": {"languages": 10},
    "two languages": {"languages": 2, "stacks": {"decoder": 1}, "experts": 4},
    "one language": {"languages": 1, "stacks": {"decoder": 3}, "experts": 4},
    "25 languages": {"languages": 25, "stacks": {"decoder": 32}, "experts": 256},
    "encoder and decoder": {"languages": 4, "stacks": {"encoder": 6, "decoder": 9}},
    "all equal": {"languages": 3, "stacks": {"decoder": 4}, "experts": 8, "equal": True},
}


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def ten() -> xr.Dataset:
    return frequency_dataset()


class TestRegistry:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_lists_what_the_modules_draw(self, family: str) -> None:
        module = importlib.import_module(f"{EXPERTS.package}.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]

    def test_names_the_reductions_of_every_family(self) -> None:
        assert REDUCTIONS.keys() == FAMILIES.keys()

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.experts;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_every_figure_has_a_caption_that_names_it(self) -> None:
        report = EXPERTS.folder / "captions"
        assert {stem for _, stem in STEMS} <= {path.stem for path in report.glob("*.rst")}
        for _, stem in STEMS:
            text = (report / f"{stem}.rst").read_text(encoding="utf-8")
            assert "snakemake.wildcards.m" in text
            assert "Liu et al." in text
            kind, number, *_ = stem.split("_")
            if kind in ("figure", "table"):
                assert f"{kind.capitalize()} {int(number)}" in text


class TestEveryFigure:
    @pytest.mark.parametrize("case", list(CASES))
    def test_draws_without_a_warning(self, case: str) -> None:
        by_reduction = {name: dataset(name, **CASES[case]) for name in ("frequency", "inference")}
        for family, stem in STEMS:
            (reduction,) = REDUCTIONS[family]
            assert draw(family, stem, by_reduction[reduction]).get_children()

    @pytest.mark.parametrize(
        ("family", "stem", "case"),
        [
            ("frequency", "figure_01_expert_frequency", "25 languages"),
            ("similarity", "figure_02_euclidean", "ten languages"),
            ("inference", "table_04_perplexity", "25 languages"),
        ],
    )
    def test_large_pictures_are_small_files(
        self, family: str, stem: str, case: str, tmp_path: Path
    ) -> None:
        figure = draw(family, stem, dataset(family, **CASES[case]))
        _, png = style.save(figure, tmp_path / stem)
        assert png.stat().st_size < style.PNG_BYTES

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_names_the_model_and_labels_the_axes(self, family: str, stem: str) -> None:
        figure = draw(family, stem, dataset(family, languages=4))
        assert figure.get_suptitle().startswith("gemma-3-270m: ")
        parts = [figure, *figure.subfigs]
        assert any(ax.get_xlabel() for ax in panels_of(figure))
        assert any(ax.get_ylabel() for ax in panels_of(figure)) or any(
            part.get_supylabel() for part in parts
        )
        for bar in set(figure.get_axes()) - set(panels_of(figure)):
            assert bar.get_ylabel()

    @pytest.mark.parametrize(
        ("family", "stem", "case"),
        [
            *((family, stem, "encoder and decoder") for family, stem in STEMS),
            ("similarity", "figure_05_kl_divergence", "ten languages"),
            ("similarity", "figure_05_kl_divergence", "25 languages"),
            ("frequency", "figure_01_expert_frequency", "ten languages"),
            ("inference", "table_04_perplexity", "25 languages"),
        ],
    )
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        small = CASES[case] | {"experts": 32}
        figure = draw(family, stem, dataset(family, **small))
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
        boxes += [text.get_window_extent() for text in figure.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), [(f, stem) for f, stem in STEMS if f != "shared"])
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        data = dataset(family, languages=2)
        for name in ("expert_frequency", "similarity", "perplexity", "tokens_per_second"):
            if name in data:
                data[name] = data[name] * np.nan
        text = draw(family, stem, data).texts[0].get_text()
        assert text.startswith("nothing to draw")

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, family: str, stem: str) -> None:
        data = dataset(family, languages=3, experts=5)
        turned = data.transpose(*reversed(list(data.dims)))
        for ax, other in zip(
            panels_of(draw(family, stem, data)), panels_of(draw(family, stem, turned)), strict=True
        ):
            for one, two in zip(ax.images, other.images, strict=True):
                np.testing.assert_array_equal(one.get_array(), two.get_array())
            for one, two in zip(ax.get_lines(), other.get_lines(), strict=True):
                np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())


class TestFrequency:
    def test_a_row_is_the_same_expert_in_every_language(self, ten: xr.Dataset) -> None:
        figure = draw("frequency", "figure_01_expert_frequency", ten)
        assert [ax.get_title() for ax in panels_of(figure)] == [
            NAMES[language] for language in ten["language"].values
        ]
        drawn = np.stack([ax.images[0].get_array() for ax in panels_of(figure)])
        values = ten["expert_frequency"].values
        for layer in range(18):
            order = sorted(range(64), key=lambda e: -values[:, layer, e].mean())
            np.testing.assert_array_equal(drawn[:, :, layer], values[:, layer, order])

    def test_all_panels_have_one_scale_from_zero(self, ten: xr.Dataset) -> None:
        figure = draw("frequency", "figure_01_expert_frequency", ten)
        scales = {ax.images[0].get_clim() for ax in panels_of(figure)}
        assert scales == {(0, ten["expert_frequency"].max().item())}
        (bar,) = set(figure.get_axes()) - set(panels_of(figure))
        assert bar.get_lines()[0].get_ydata()[0] == 0.05

    def test_a_language_without_numbers_gets_no_panel(self, ten: xr.Dataset) -> None:
        data = ten.copy(deep=True)
        data["expert_frequency"][3] = np.nan
        figure = draw("frequency", "figure_01_expert_frequency", data)
        assert "Chinese (Simplified)" not in [ax.get_title() for ax in panels_of(figure)]
        assert len(panels_of(figure)) == 9

    def test_stacks_of_layers_are_separate_images(self) -> None:
        data = frequency_dataset(languages=2, stacks={"encoder": 3, "decoder": 5}, experts=8)
        figure = draw("frequency", "figure_01_expert_frequency", data)
        encoder, decoder = panels_of(figure)[1].images
        assert encoder.get_array().shape == (8, 3)
        assert decoder.get_array().shape == (8, 5)
        assert encoder.get_extent()[1] < decoder.get_extent()[0]

    def test_a_single_peak_survives_the_pooling(self) -> None:
        cells = np.zeros((2, 10, 3))
        cells[1, 7, 2] = 0.9
        cells[0, 3, 0] = np.nan
        pooled = frequency.largest_of(cells, 4)
        assert pooled.shape == (2, 3, 3)
        assert pooled[1, 1, 2] == 0.9
        assert pooled.sum() == 0.9

    def test_pooling_is_said(self, monkeypatch: pytest.MonkeyPatch, ten: xr.Dataset) -> None:
        monkeypatch.setattr(frequency, "MOST_CELLS", 5_000)
        figure = draw("frequency", "figure_01_expert_frequency", ten)
        (bar,) = set(figure.get_axes()) - set(panels_of(figure))
        assert "largest of each 3 experts" in bar.get_ylabel()
        assert panels_of(figure)[0].images[0].get_array().shape == (22, 18)


class TestSimilarity:
    @pytest.mark.parametrize(("stem", "metric"), zip(FAMILIES["similarity"], METRICS, strict=True))
    def test_both_orders_hold_the_same_numbers(
        self, stem: str, metric: str, ten: xr.Dataset
    ) -> None:
        ids = {name: language for language, name in NAMES.items()}
        for ax in panels_of(draw("similarity", stem, ten)):
            down = [ids[name] for name in named(ax.get_yticklabels())]
            across = [ids[name] for name in named(ax.get_xticklabels())]
            assert down == across
            assert sorted(down) == sorted(ten["language"].values)
            expected = ten["similarity"].sel(metric=metric, language_a=down, language_b=down).values
            cells = ax.images[0].get_array()
            assert np.ma.getmaskarray(cells).sum() == 10
            off = ~np.eye(10, dtype=bool)
            np.testing.assert_array_equal(np.asarray(cells)[off], expected[off])
            texts = [text for text in ax.texts if text.get_position() == (3, 2)]
            assert float(texts[0].get_text()) == pytest.approx(expected[2, 3], rel=0.05)

    def test_families_stand_together_and_are_named(self, ten: xr.Dataset) -> None:
        clustered, ordered = panels_of(draw("similarity", "figure_02_euclidean", ten))
        assert named(ordered.get_yticklabels()) == [
            "Arabic",
            "English",
            "German",
            "Hindi",
            "Bengali",
            "French",
            "Spanish",
            "Portuguese",
            "Chinese (Simplified)",
            "Thai",
        ]
        (side,) = ordered.child_axes
        assert named(side.get_yticklabels()) == [
            "Afro-Asiatic",
            "Indo-European",
            "Sino-Tibetan",
            "Tai-Kadai",
        ]
        np.testing.assert_array_equal(side.get_yticks(), [0, 4, 8, 9])
        rows = [line for line in ordered.get_lines() if set(line.get_xdata()) == {0, 1}]
        broad = [line.get_ydata()[0] for line in rows if line.get_linewidth() > 2]
        fine = [line.get_ydata()[0] for line in rows if line.get_linewidth() < 2]
        assert (broad, fine) == ([0.5, 7.5, 8.5], [2.5, 4.5])
        assert not clustered.child_axes

    @pytest.mark.parametrize("stem", FAMILIES["similarity"])
    def test_brighter_is_more_similar(self, stem: str, ten: xr.Dataset) -> None:
        ax = panels_of(draw("similarity", stem, ten))[1]
        names, image = named(ax.get_yticklabels()), ax.images[0]

        def brightness(a: str, b: str) -> float:
            cell = image.get_array()[names.index(a), names.index(b)]
            return float(sum(image.cmap(image.norm(cell))[:3]))

        assert brightness("French", "Spanish") > brightness("French", "Thai")

    def test_clustering_puts_a_genus_together(self, ten: xr.Dataset) -> None:
        for stem in FAMILIES["similarity"]:
            names = named(panels_of(draw("similarity", stem, ten))[0].get_yticklabels())
            places = sorted(names.index(one) for one in ("French", "Spanish", "Portuguese"))
            assert places[2] - places[0] == 2

    def test_the_direction_of_the_divergence_is_kept(self) -> None:
        data = frequency_dataset(languages=2, stacks={"decoder": 2}, experts=8)
        data["similarity"].loc[{"metric": "kl_divergence"}] = [[0, 1.25], [7.5, 0]]
        figure = draw("similarity", "figure_05_kl_divergence", data)
        ax = panels_of(figure)[0]
        assert named(ax.get_yticklabels()) == ["English", "French"]
        assert ax.images[0].get_array()[0, 1] == 1.25
        assert ax.get_ylabel() == "language a"
        assert ax.get_xlabel() == "language b"

    def test_a_language_without_numbers_is_left_out(self, ten: xr.Dataset) -> None:
        data = ten.copy(deep=True)
        data["similarity"].loc[{"language_a": "hi"}] = np.nan
        data["similarity"].loc[{"language_b": "hi"}] = np.nan
        for ax in panels_of(draw("similarity", "figure_06_pearson", data)):
            assert "Hindi" not in named(ax.get_yticklabels())
            assert ax.images[0].get_array().shape == (9, 9)

    def test_many_languages_are_not_written_on(self) -> None:
        data = frequency_dataset(languages=13, stacks={"decoder": 2}, experts=8)
        assert not panels_of(draw("similarity", "figure_06_pearson", data))[0].texts


class TestSpecific:
    def test_numbers_intervals_and_chance_are_drawn(self, ten: xr.Dataset) -> None:
        left, right = panels_of(draw("specific", "specific_experts", ten))
        names = [label.get_text() for label in left.get_yticklabels()]
        assert names == [NAMES[str(one)] for one in ten["language"].values]
        chance, number = left.get_lines()
        np.testing.assert_array_equal(chance.get_xdata(), ten["specific_null"])
        np.testing.assert_array_equal(number.get_xdata(), ten["specific"])
        assert ten["specific"].max() > 0
        ranges = [[line[:, 0] for line in one.get_segments()] for one in left.collections]
        for lines, name in zip(ranges, ("specific_null", "specific"), strict=True):
            expected = np.stack([ten[f"{name}_{end}"] for end in ("low", "high")], 1)
            np.testing.assert_allclose(lines, expected)
        chance, number = right.get_lines()[:2]
        np.testing.assert_array_equal(chance.get_ydata(), ten["specific_by_layer_null"])
        np.testing.assert_array_equal(number.get_ydata(), ten["specific_by_layer"])
        assert len(right.collections) == 2

    def test_the_threshold_is_said(self, ten: xr.Dataset) -> None:
        title = draw("specific", "specific_experts", ten).get_suptitle()
        assert "at least 0.05 in one language only" in title


class TestShared:
    def test_cells_and_bars_count_the_same_experts(self, ten: xr.Dataset) -> None:
        heat, bars = panels_of(draw("shared", "figure_03_shared_experts", ten))
        cells = np.asarray(heat.images[0].get_array())
        assert (np.diff(cells, axis=0) <= 0).all()
        for layer in range(18):
            assert sorted(cells[:, layer]) == sorted(ten["shared_by"].values[layer])
        for count, bar in enumerate(bars.patches):
            assert bar.get_y() + bar.get_height() / 2 == pytest.approx(count)
            assert bar.get_width() == (cells == count).sum()
            if bar.get_width():
                colour = heat.images[0].cmap(heat.images[0].norm(count))
                np.testing.assert_allclose(bar.get_facecolor(), colour)
        assert [text.get_text() for text in bars.texts] == [
            f"{n:,}" for n in ten["shared_histogram"].values
        ]

    def test_lines_are_the_intervals(self, ten: xr.Dataset) -> None:
        _, bars = panels_of(draw("shared", "figure_03_shared_experts", ten))
        ends = [line[:, 0] for line in bars.collections[0].get_segments()]
        low, high = (ten[f"shared_histogram_{end}"] for end in ("low", "high"))
        np.testing.assert_allclose(ends, np.stack([low, high], 1))

    def test_says_what_high_frequency_means(self, ten: xr.Dataset) -> None:
        figure = draw("shared", "figure_03_shared_experts", ten)
        assert any("at least 0.05" in ax.get_ylabel() for ax in figure.get_axes())


class TestInference:
    def test_every_seed_is_a_point(self) -> None:
        data = inference_dataset(languages=3)
        left, right = panels_of(draw("inference", "table_04_perplexity", data))
        assert named(left.get_yticklabels()) == ["English", "French", "Hindi"]
        crosses = [line for line in left.get_lines() if line.get_marker() == "x"]
        for line, values in zip(crosses, data["perplexity"].values[:, 2], strict=True):
            np.testing.assert_array_equal(line.get_xdata(), values)
        (full,) = [line for line in left.get_lines() if line.get_marker() == "o"][:1]
        assert full.get_xdata() == data["perplexity"].values[0, 0, 0]
        np.testing.assert_array_equal(right.get_lines()[0].get_xdata(), data["expert_share"])
        np.testing.assert_array_equal(right.get_lines()[2].get_xdata(), data["parameters_saved"])

    def test_pale_bars_are_the_intervals(self) -> None:
        data = inference_dataset()
        left, _ = panels_of(draw("inference", "table_04_perplexity", data))
        assert len(left.collections) == 3
        for place, bars in enumerate(left.collections):
            ends = [line[:, 0] for line in bars.get_segments()]
            bounds = [data[f"perplexity_{end}"].isel(variant=place) for end in ("low", "high")]
            np.testing.assert_allclose(ends, np.stack(bounds, 1))

    def test_one_window_has_no_interval(self) -> None:
        data = inference_dataset()
        data["perplexity_low"][:], data["perplexity_high"][:] = np.nan, np.nan
        draw("inference", "table_04_perplexity", data).draw_without_rendering()

    def test_wide_ranges_are_drawn_on_a_logarithmic_axis(self) -> None:
        for worse, scale in ((1.5, "linear"), (400.0, "log")):
            data = inference_dataset(languages=2, worse=worse)
            left, _ = panels_of(draw("inference", "table_04_perplexity", data))
            assert left.get_xscale() == scale

    def test_speed_is_relative_to_the_full_model_in_the_same_round(self) -> None:
        speed = np.full((1, 3, 2, 2), np.nan)
        speed[0, 0, 0] = [100, 50]
        speed[0, 1, 0] = [120, 70]
        speed[0, 2] = [[110, 60], [90, 55]]
        data = inference_dataset(languages=1).isel(seed=[0, 1], round=[0, 1])
        data["tokens_per_second"].values[:] = speed
        ratio = relative_speed(data["tokens_per_second"])
        np.testing.assert_allclose(ratio.sel(variant="random")[0], [[1.1, 1.2], [0.9, 1.1]])
        left, right = panels_of(draw("inference", "sliced_speed", data))
        lines = {
            line.get_marker(): line.get_xdata() for line in left.get_lines() if line.get_marker()
        }
        np.testing.assert_allclose(lines["D"], [1.3])
        np.testing.assert_allclose(lines["x"], [1.075])
        ranges = [line.get_xdata() for line in left.get_lines() if line.get_marker() == "None"]
        np.testing.assert_allclose(ranges[1:], [[1.2, 1.4], [0.9, 1.2]])
        assert right.get_lines()[0].get_xdata() == data["ffn_parameters_saved"].values

    def test_a_language_without_text_is_left_out(self) -> None:
        data = inference_dataset(languages=3)
        data["perplexity"][1] = np.nan
        left, right = panels_of(draw("inference", "table_04_perplexity", data))
        assert named(left.get_yticklabels()) == ["English", "Hindi"]
        assert right.get_lines()[0].get_xdata().size == 2
