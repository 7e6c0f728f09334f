"""What the figures draw: the dataset's numbers, every language in its look, nothing overlapping."""

import importlib
import json
import warnings
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from PIL import Image

from neuroglot.analyses.roles import ROLES
from neuroglot.analyses.roles.figures import heatmap
from neuroglot.figures import layers, matrices, style

NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "cs": "Czech",
    "ru": "Russian",
    "hi": "Hindi",
    "bn": "Bengali",
    "zh-hans": "Chinese (Simplified)",
}
CORPORA = ("udhr", "django")
SITES = ("act", "out")
STEMS = [(family.name, stem) for family in ROLES.figures for stem in family.stems]


def names_of(count: int) -> dict[str, str]:
    """The first ``count`` of the ten languages, followed by invented ones."""
    more = {f"x{i:02d}": f"Language number {i}" for i in range(len(NAMES), count)}
    return dict(list((NAMES | more).items())[:count])


def datasets(
    languages: int = 10,
    stacks: dict[str, int] | None = None,
    corpora: tuple[str, ...] = CORPORA,
    neurons: int = 700,
    rows: int = 60,
    pivot: str = "en",
    depths: tuple[int, ...] = (18, 30, 24),
) -> dict[str, xr.Dataset]:
    """Every family's dataset with planted structure: a trend by layer, an offset by language."""
    stacks = stacks or {"decoder": 18}
    names = names_of(languages)
    ids, L, C, S = list(names), sum(stacks.values()), len(corpora), len(SITES)
    n = len(ids)
    depth = np.concatenate([np.linspace(0, 1, k) for k in stacks.values()])
    rng = np.random.default_rng(7)
    coords = {
        "corpus": list(corpora),
        "layer": np.arange(L),
        "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
        "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
    }
    attrs = {
        "model": "gemma-3-270m",
        "paper": "roles",
        "source": "synthetic",
        "pivot": pivot,
        "corpus": corpora[0],
        "language_names": json.dumps(names),
    }
    offset = np.linspace(0, 1, n)
    count = 700 + 40 * np.arange(n) + 300 * np.arange(C)[:, None]
    per_language = ("site", "corpus", "language", "layer")
    per_pair = ("site", "corpus", "language_a", "language_b", "layer")

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(size=shape)

    shape = (3, C, n, L)
    mean = (
        1 - 0.2 * depth**6 * (0.3 + offset[:, None]) * np.array([0.01, 0, 1])[:, None, None, None]
    )
    mean = mean + 0 * noise(*shape)
    std = 0.05 + 0.1 * (depth - 0.5) ** 2 + 0.02 * offset[:, None] + 0.002 * noise(*shape)
    std = std * np.array([0.1, 0, 1])[:, None, None, None]
    frequency = xr.Dataset(
        {
            "mean": (per_language, mean),
            "std": (per_language, std),
            "rows": (("corpus", "language"), count),
        },
        coords | {"site": [*SITES, "out_gelu"], "language": ids},
        {**attrs, "combinators_drawn": "out_gelu"},
    )

    shape = (S, C, n, L)
    flat = 0.5 - 0.2 * np.array([depth, np.exp(-(((depth - 0.6) / 0.1) ** 2))])[:, None, None]
    flat = flat - 0.03 * offset[:, None] + 0.003 * noise(*shape)
    flatness = xr.Dataset(
        {
            "flatness_mean": (per_language, flat),
            "flatness_sum": (per_language, flat * count[:, :, None]),
            "rows": (("corpus", "language"), count),
        },
        coords | {"site": list(SITES), "language": ids},
        attrs,
    )

    chosen = sorted({0, L // 3, 2 * L // 3, L - 1})
    scaled = {}
    for site, width, where in (("act", neurons, 33), ("out", neurons // 2, 218)):
        block = rng.beta(8, 9, size=(n, len(chosen), rows, width)).astype(np.float32)
        block[..., where % width] = 1
        for i in range(n):
            block[i, :, rows - 2 * (i % 5) :] = np.nan
        scaled[site] = block
    segment = np.repeat(np.arange(rows)[None] // 6, n, 0)
    heatmap = xr.Dataset(
        {
            "scaled_act": (("language", "layer", "row", "neuron"), scaled["act"]),
            "scaled_out": (("language", "layer", "row", "hidden"), scaled["out"]),
            "segment": (("language", "row"), segment),
        },
        {
            "language": ids,
            "layer": chosen,
            "stack": ("layer", np.array(coords["stack"][1])[chosen]),
            "stack_layer": ("layer", np.array(coords["stack_layer"][1])[chosen]),
        },
        attrs,
    )

    apart = np.abs(offset[:, None] - offset[None])[..., None]
    shape = (S, C, n, n, L)
    per_prefix = (10 + 90 * depth**3 + 20 * apart) * (1 + 0.02 * noise(*shape))
    per_prefix[:, :, np.arange(n), np.arange(n)] = 0
    distance = xr.Dataset(
        {
            "distance": (per_pair, per_prefix * count[:, :, None, None]),
            "distance_mean": (per_pair, per_prefix),
            "segments": (("corpus", "language_a", "language_b"), np.full((C, n, n), 90)),
            "prefixes": (("corpus", "language_a", "language_b"), np.full((C, n, n), 900)),
        },
        coords | {"site": list(SITES), "language_a": ids, "language_b": ids},
        attrs,
    )

    rho = 0.95 - (0.2 + 0.6 * (depth - 0.55) ** 2 * 4) * (0.3 + apart) + 0.01 * noise(*shape)
    rho = (rho + np.swapaxes(rho, 2, 3)) / 2
    rho[:, :, np.arange(n), np.arange(n)] = 1
    rank_correlation = xr.Dataset(
        {"rank_correlation": (per_pair, rho)},
        coords | {"site": list(SITES), "language_a": ids, "language_b": ids},
        attrs,
    )

    same = 0.95 - 0.3 * depth * (0.5 + offset[:, None, None, None]) + 0.01 * noise(S, n, C, C, L)
    same[:, :, np.arange(C), np.arange(C)] = 1
    overlap = rng.uniform(0, 0.3, size=(2, n, C, C))
    overlap[:, :, np.arange(C), np.arange(C)] = 1
    sets = xr.Dataset(
        {
            "same_language": (("site", "language", "corpus_a", "corpus_b", "layer"), same),
            "sentence_overlap": (("language", "corpus_a", "corpus_b"), overlap[0]),
            "token_overlap": (("language", "corpus_a", "corpus_b"), overlap[1]),
        },
        {k: v for k, v in coords.items() if k != "corpus"}
        | {"site": list(SITES), "language": ids, "corpus_a": list(corpora)}
        | {"corpus_b": list(corpora)},
        attrs,
    )

    models = dict(zip(("gemma-3-270m", "smollm2-135m", "bloom-560m"), depths, strict=False))
    deepest = max(models.values())
    rsa = np.full((S, n, len(models), deepest, len(models), deepest), np.nan)
    for a, (_, la) in enumerate(models.items()):
        for b, (_, lb) in enumerate(models.items()):
            if a < b:
                far = np.linspace(0, 1, la)[:, None] - np.linspace(0, 1, lb)
                rsa[:, :, a, :la, b, :lb] = 0.8 * np.exp(-((far / 0.4) ** 2)) + 0.02 * noise(
                    S, n, la, lb
                )
    similarity = xr.Dataset(
        {
            "rsa": (("site", "language", "model_a", "layer_a", "model_b", "layer_b"), rsa),
            "stimuli": (
                ("language", "model_a", "model_b"),
                np.full((n, len(models), len(models)), 312),
            ),
        },
        {
            "site": list(SITES),
            "language": ids,
            "model_a": list(models),
            "model_b": list(models),
            "layer_a": np.arange(deepest),
            "layer_b": np.arange(deepest),
        },
        {k: v for k, v in attrs.items() if k != "model"},
    )
    frequency = with_bounds(frequency, "mean", "std")
    flatness = with_bounds(flatness, "flatness_mean")
    distance = with_bounds(distance, "distance_mean")
    rank_correlation = with_bounds(rank_correlation, "rank_correlation")
    sets = with_bounds(sets, "same_language")
    return {
        "frequency": frequency,
        "flatness": flatness,
        "heatmap": heatmap,
        "distance": distance,
        "rsa": similarity,
        "rank_correlation": rank_correlation,
        "parallel_sets": sets.assign(rank_correlation.data_vars),
    }


def with_bounds(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Intervals of 4 % around each of the variables."""
    ends = {"_low": 0.98, "_high": 1.02}
    return ds.assign({f"{n}{end}": ds[n] * by for n in names for end, by in ends.items()})


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    module = importlib.import_module(f"{ROLES.package}.figures.{family}")
    return module.FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    """All axes but colour bars."""
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def titled(figure: Figure, text: str) -> Axes:
    """The one panel whose title holds ``text``."""
    (ax,) = [
        ax for ax in panels_of(figure) if text in ax.get_title() or text in ax.get_title("left")
    ]
    return ax


def legends_of(figure: Figure) -> list[Legend]:
    parts = [figure, *figure.subfigs, *(sub for part in figure.subfigs for sub in part.subfigs)]
    return [legend for part in parts for legend in part.legends]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in legends_of(figure) for text in legend.get_texts()]


def line_of(ax: Axes, names: style.Languages, language: str) -> list[Line2D]:
    """The lines in ``ax`` drawn in the look of ``language``, one per stack."""
    look = names.looks[language]
    return [
        line
        for line in ax.get_lines()
        if line.get_marker() == look.marker and line.get_color() == look.color
    ]


@pytest.fixture(scope="module")
def ten() -> dict[str, xr.Dataset]:
    return datasets()


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestCaptions:
    def test_every_figure_has_a_caption_that_names_it(self) -> None:
        captions = ROLES.folder / "captions"
        assert {path.stem for path in captions.glob("figure_*.rst")} == {stem for _, stem in STEMS}
        for _, stem in STEMS:
            text = (captions / f"{stem}.rst").read_text(encoding="utf-8")
            assert f"Figure {int(stem.split('_')[1])}" in text
            assert "Bhattacharya & Bojar" in text
            if stem.startswith("figure_11"):
                assert "wildcards" not in text


CASES = {
    "ten languages": {},
    "encoder and decoder": {
        "languages": 4,
        "stacks": {"encoder": 3, "decoder": 6},
        "depths": (9, 4),
    },
    "two languages, one layer": {"languages": 2, "stacks": {"decoder": 1}, "corpora": ("a",)},
    "one language": {"languages": 1, "stacks": {"decoder": 4}, "corpora": ("a",)},
    "three corpora": {
        "languages": 3,
        "stacks": {"decoder": 4},
        "corpora": ("a", "b", "c"),
        "depths": (4, 3),
    },
    "forty languages": {
        "languages": 40,
        "stacks": {"decoder": 3},
        "corpora": ("a", "b"),
        "rows": 6,
        "neurons": 20,
        "depths": (3, 4),
    },
}


class TestEveryFigure:
    @pytest.mark.parametrize("case", list(CASES)[1:])
    def test_draws_without_a_warning(self, case: str) -> None:
        data = datasets(**CASES[case])
        for family, stem in STEMS:
            assert draw(family, stem, data[family]).get_children()

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_labels_every_axis_and_names_model_and_site(
        self, family: str, stem: str, ten: dict[str, xr.Dataset]
    ) -> None:
        figure = draw(family, stem, ten[family])
        axes = panels_of(figure)
        for ax in axes:
            place, part = ax.get_subplotspec(), ax.get_figure(root=False)
            near = [
                (other, other.get_subplotspec())
                for other in axes
                if other.get_figure(root=False) is part
            ]
            below = [o.get_xlabel() for o, spec in near if spec.colspan == place.colspan]
            left = [o.get_ylabel() for o, spec in near if spec.rowspan == place.rowspan]
            assert any(below) or part.get_supxlabel()
            named = [label.get_text() for o, _ in near for label in o.get_yticklabels()]
            assert any(left) or part.get_supylabel() or any("–" in name for name in named)
        for bar in set(figure.get_axes()) - set(axes):
            beside = [other for other in figure.get_axes() if other not in axes]
            assert any(other.get_ylabel() for other in beside), bar
        title = figure.get_suptitle()
        if family != "rsa" and "overlap" not in stem:
            assert title.startswith("gemma-3-270m: ")
        if "detector" in stem:
            assert "detectors" in title
        if "combinator" in stem:
            assert "combinators" in title

    @pytest.mark.parametrize(
        ("family", "stem", "case"),
        [
            ("frequency", "figure_02_detector_activation_frequency", "ten languages"),
            ("flatness", "figure_04_detector_flatness", "forty languages"),
            ("flatness", "figure_04_detector_flatness", "one language"),
            ("distance", "figure_09_detector_distance", "encoder and decoder"),
            ("rank_correlation", "figure_12_detector_rank_correlation", "ten languages"),
            ("parallel_sets", "figure_14_detector_same_language", "forty languages"),
            ("parallel_sets", "figure_17_detector_parallel_pairs", "three corpora"),
        ],
    )
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        figure = draw(family, stem, datasets(**CASES[case])[family])
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        title = figure.texts[0].get_window_extent()
        (legend,) = legends_of(figure)
        box = legend.get_window_extent()
        assert not any(box.overlaps(other) for other in [*boxes, title])
        assert not any(title.overlaps(other) for other in boxes)
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for inner in [*boxes, box, title]:
            assert inner.x0 >= -1
            assert inner.y0 >= -1
            assert inner.x1 <= figure.bbox.width + 1
            assert inner.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        data = datasets(languages=2, stacks={"decoder": 2})[family]
        figure = draw(family, stem, (data * np.nan).assign_attrs(data.attrs))
        assert figure.texts[0].get_text().startswith("nothing to draw")

    def test_leaves_the_callers_settings_alone(self, ten: dict[str, xr.Dataset]) -> None:
        before = dict(mpl.rcParams)
        draw("flatness", "figure_04_detector_flatness", ten["flatness"])
        assert dict(mpl.rcParams) == before


class TestLooks:
    def test_a_language_looks_the_same_in_every_figure(self, ten: dict[str, xr.Dataset]) -> None:
        seen: dict[str, set[tuple[str, str]]] = {name: set() for name in NAMES.values()}
        for family, stem in STEMS:
            if family in ("heatmap", "rsa"):
                continue  # they have no legend
            for legend in legends_of(draw(family, stem, ten[family])):
                for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
                    if text.get_text() in seen:
                        look = (handle.get_color(), handle.get_marker())
                        seen[text.get_text()].add(look)
        assert all(len(looks) == 1 for looks in seen.values())
        assert len({next(iter(looks)) for looks in seen.values()}) == len(NAMES)

    def test_a_language_added_or_left_out_changes_no_other(self) -> None:
        all_of = style.Languages.of(datasets(languages=12)["flatness"])
        first = style.Languages.of(datasets(languages=10)["flatness"])
        assert {one: all_of.looks[one] for one in first} == first.looks
        some = datasets(languages=12)["flatness"].sel(language=["fr", "zh-hans", "x11"])
        assert style.Languages.of(some).looks == {
            one: all_of.looks[one] for one in ("fr", "zh-hans", "x11")
        }

    def test_forty_languages_can_be_told_apart(self) -> None:
        assert len({(look.color, look.marker) for look in map(style.look, range(110))}) == 110

    def test_ids_stand_in_for_unknown_names(self) -> None:
        data = datasets(languages=2)["flatness"].assign_attrs(language_names="{}")
        assert legend_texts(draw("flatness", "figure_04_detector_flatness", data)) == ["en", "de"]

    def test_hues_stay_apart_for_colour_blind_readers(self) -> None:
        linear = np.array([srgb_to_linear(np.array(to_rgb(hue))) for hue in style.HUES])
        for simulate in (np.eye(3), *COLOUR_BLINDNESS):
            lab = to_lab(np.clip(linear @ np.asarray(simulate).T, 0, 1))
            nearest = min(np.linalg.norm(a - b) for a, b in combinations(lab, 2))
            assert nearest > 15


# Machado, Oliveira and Fernandes (2009), full protanopia, deuteranopia and tritanopia.
COLOUR_BLINDNESS = (
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
)


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def to_lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB under D65."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    t = linear @ to_xyz.T / to_xyz.sum(1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


class TestLines:
    def test_combinators_are_drawn_as_the_settings_ask(self, ten: dict[str, xr.Dataset]) -> None:
        data = ten["frequency"].assign_attrs(combinators_drawn="out")
        ax = titled(
            draw("frequency", "figure_03_combinator_activation_frequency", data), CORPORA[0]
        )
        drawn = [line.get_ydata() for line in ax.get_lines()]
        expected = data["mean"].sel(site="out", corpus=CORPORA[0]).transpose("language", "layer")
        np.testing.assert_array_equal(drawn, expected)

    @pytest.mark.parametrize(
        ("family", "stem", "variable", "site"),
        [
            ("frequency", "figure_02_detector_activation_frequency", "mean", "act"),
            ("frequency", "figure_03_combinator_activation_frequency", "mean", "out_gelu"),
            ("flatness", "figure_04_detector_flatness", "flatness_mean", "act"),
            ("flatness", "figure_06_combinator_flatness", "flatness_mean", "out"),
        ],
    )
    def test_are_the_dataset(
        self, family: str, stem: str, variable: str, site: str, ten: dict[str, xr.Dataset]
    ) -> None:
        data = ten[family]
        figure = draw(family, stem, data)
        for corpus in CORPORA:
            ax = titled(figure, corpus)
            assert len(ax.get_lines()) == len(NAMES)
            for language in NAMES:
                (line,) = line_of(ax, style.Languages.of(data), language)
                expected = data[variable].sel(site=site, corpus=corpus, language=language)
                np.testing.assert_array_equal(line.get_ydata(), expected)
                np.testing.assert_array_equal(line.get_xdata(), np.arange(18) + 1)
        assert legend_texts(figure) == list(NAMES.values())

    def test_standard_deviation_stands_below_the_mean(self, ten: dict[str, xr.Dataset]) -> None:
        data = ten["frequency"]
        figure = draw("frequency", "figure_02_detector_activation_frequency", data)
        ax = panels_of(figure)[2]
        assert "standard deviation" in ax.get_ylabel()
        (line,) = line_of(ax, style.Languages.of(data), "de")
        expected = data["std"].sel(site="act", corpus="udhr", language="de")
        np.testing.assert_array_equal(line.get_ydata(), expected)

    def test_stacks_are_drawn_apart(self) -> None:
        data = datasets(**CASES["encoder and decoder"])["flatness"]
        ax = titled(draw("flatness", "figure_04_detector_flatness", data), "udhr")
        encoder, decoder = line_of(ax, style.Languages.of(data), "fr")
        values = data["flatness_mean"].sel(site="act", corpus="udhr", language="fr").values
        np.testing.assert_array_equal(encoder.get_ydata(), values[:3])
        np.testing.assert_array_equal(decoder.get_ydata(), values[3:])
        assert min(decoder.get_xdata()) > max(encoder.get_xdata()) + 1
        assert [label.get_text() for label in ax.get_xticklabels(minor=True)] == [
            "encoder",
            "decoder",
        ]
        numbers = [label.get_text() for label in ax.get_xticklabels()]
        assert numbers == ["1", "2", "3", "1", "2", "3", "4", "5", "6"]

    def test_absent_combinations_are_left_out(self) -> None:
        data = datasets(languages=3, stacks={"decoder": 5})["flatness"]
        absent = (data["language"] == "de") & (data["corpus"] == "django")
        data["flatness_mean"] = data["flatness_mean"].where(~absent)
        data["rows"] = data["rows"].where(~absent, 0)
        figure = draw("flatness", "figure_04_detector_flatness", data)
        assert len(titled(figure, "udhr").get_lines()) == 3
        assert len(titled(figure, "django").get_lines()) == 2
        assert legend_texts(figure) == ["English", "German", "French"]
        assert "1,000 to 1,080 prefixes" in titled(figure, "django").get_title()

    def test_a_corpus_without_numbers_gets_no_panel(self) -> None:
        data = datasets(languages=3, stacks={"decoder": 5})["flatness"]
        data["flatness_mean"] = data["flatness_mean"].where(data["corpus"] == "udhr")
        assert len(panels_of(draw("flatness", "figure_04_detector_flatness", data))) == 1

    def test_constant_frequency_is_said_and_seen(self) -> None:
        data = datasets(languages=3, stacks={"decoder": 5})["frequency"]
        data["mean"] = xr.where(data["corpus"] == "udhr", 1.0, data["mean"]).transpose(
            *data["mean"].dims
        )
        data["mean"][{"site": 2, "corpus": 1}] = 0.2
        figure = draw("frequency", "figure_03_combinator_activation_frequency", data)
        ax = titled(figure, "udhr")
        assert [text.get_text() for text in ax.texts] == ["constant: 1 in every layer and language"]
        assert titled(figure, "django").texts[0].get_text().startswith("constant: 0.2 ")
        low, high = ax.get_ylim()
        assert low < 0.2 < 1 < high

    def test_tick_labels_of_near_constant_values_are_plain(self) -> None:
        data = datasets(languages=2, stacks={"decoder": 5})["frequency"]
        for end in ("", "_low", "_high"):
            data[f"mean{end}"] = 1 - 1e-6 * data["std"]
        figure = draw("frequency", "figure_02_detector_activation_frequency", data)
        with style.theme():
            figure.draw_without_rendering()
        ax = titled(figure, "udhr")
        texts = [label.get_text() for label in ax.get_yticklabels()]
        assert ax.yaxis.get_offset_text().get_text() == ""
        assert all(text.startswith(("0.99999", "1.00000")) for text in texts)
        assert len(set(texts)) == len(texts)

    def test_same_language_in_two_sets(self) -> None:
        data = datasets(**CASES["three corpora"])["parallel_sets"]
        figure = draw("parallel_sets", "figure_15_combinator_same_language", data)
        assert [ax.get_title() for ax in panels_of(figure)] == ["a and b", "a and c", "b and c"]
        (line,) = line_of(titled(figure, "b and c"), style.Languages.of(data), "fr")
        expected = data["same_language"].sel(site="out", language="fr", corpus_a="b", corpus_b="c")
        np.testing.assert_array_equal(line.get_ydata(), expected)

    def test_pairs_with_the_pivot_in_each_set(self) -> None:
        data = datasets(**CASES["three corpora"], pivot="de")["parallel_sets"]
        figure = draw("parallel_sets", "figure_17_detector_parallel_pairs", data)
        titles = [ax.get_title() for ax in panels_of(figure)]
        assert titles == ["German – English", "German – French"]
        lines = line_of(titled(figure, "French"), style.Languages.of(data), "fr")
        rho = data["rank_correlation"].sel(site="act", language_a="de", language_b="fr")
        assert len({str(line._dash_pattern) for line in lines}) == 3
        for line, corpus in zip(lines, "abc", strict=True):
            np.testing.assert_array_equal(line.get_ydata(), rho.sel(corpus=corpus))


class TestDistance:
    def test_both_directions_are_kept(self, ten: dict[str, xr.Dataset]) -> None:
        data = ten["distance"]
        figure = draw("distance", "figure_09_detector_distance", data)
        values = data["distance_mean"].sel(site="act", corpus="django")
        away = titled(figure, "django, from English to")
        back = titled(figure, "django, from … to English")
        names = style.Languages.of(data, "language_a")
        for language in list(NAMES)[1:]:
            (to,) = line_of(away, names, language)
            (from_,) = line_of(back, names, language)
            np.testing.assert_array_equal(
                to.get_ydata(), values.sel(language_a="en", language_b=language)
            )
            np.testing.assert_array_equal(
                from_.get_ydata(), values.sel(language_a=language, language_b="en")
            )
        assert not line_of(away, names, "en")

    def test_matrices_have_sources_down_and_hide_the_diagonal(
        self, ten: dict[str, xr.Dataset]
    ) -> None:
        figure = draw("distance", "figure_10_combinator_distance", ten["distance"])
        ax = titled(figure, "udhr, layer 9")
        cells = ax.images[0].get_array()
        expected = ten["distance"]["distance_mean"].sel(site="out", corpus="udhr", layer=8)
        assert cells[2, 5] == expected.sel(language_a="fr", language_b="cs")
        assert np.ma.getmaskarray(cells).diagonal().all()
        assert np.ma.getmaskarray(cells).sum() == 10

    def test_wide_ranges_are_drawn_on_a_logarithmic_axis(self) -> None:
        data = datasets(languages=3, stacks={"decoder": 4})["distance"]
        linear = draw("distance", "figure_09_detector_distance", data)
        data["distance_mean"] = data["distance_mean"] * 10.0 ** data["layer"]
        wide = draw("distance", "figure_09_detector_distance", data)
        assert titled(linear, "udhr, from English").get_yscale() == "linear"
        assert titled(wide, "udhr, from English").get_yscale() == "log"


class TestRankCorrelation:
    def test_bands_are_over_the_distinct_pairs(self, ten: dict[str, xr.Dataset]) -> None:
        data = ten["rank_correlation"]
        figure = draw("rank_correlation", "figure_12_detector_rank_correlation", data)
        ax = titled(figure, "udhr, all 45 pairs")
        rho = data["rank_correlation"].sel(site="act", corpus="udhr")
        pairs = [rho.sel(language_a=a, language_b=b).values for a, b in combinations(NAMES, 2)]
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), np.mean(pairs, axis=0))
        outer = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert outer.max() == pytest.approx(np.max(pairs))
        assert outer.min() == pytest.approx(np.min(pairs))

    def test_every_pair_once_most_similar_on_top(self, ten: dict[str, xr.Dataset]) -> None:
        data = ten["rank_correlation"]
        figure = draw("rank_correlation", "figure_13_combinator_rank_correlation_pairs", data)
        first, second = panels_of(figure)
        cells = np.stack([ax.images[0].get_array() for ax in (first, second)])
        means = cells.mean(axis=(0, 2))
        assert (np.diff(means) <= 1e-12).all()
        labels = [label.get_text() for label in first.get_yticklabels()]
        assert set(labels) == {f"{a} – {b}" for a, b in combinations(NAMES.values(), 2)}
        ids = {name: language for language, name in NAMES.items()}
        a, b = (ids[name] for name in labels[20].split(" – "))
        expected = data["rank_correlation"].sel(site="out", language_a=a, language_b=b)
        np.testing.assert_array_equal(cells[:, 20], expected.transpose("corpus", "layer"))

    def test_many_pairs_go_on_in_further_blocks(self) -> None:
        data = datasets(languages=20, stacks={"decoder": 3})["rank_correlation"]
        figure = draw("rank_correlation", "figure_12_detector_rank_correlation_pairs", data)
        named = [label.get_text() for ax in panels_of(figure) for label in ax.get_yticklabels()]
        assert len(named) == len(set(named)) == 190
        assert len(panels_of(figure)) > 2

    def test_stacks_of_layers_are_separate_images(self) -> None:
        data = datasets(**CASES["encoder and decoder"])["rank_correlation"]
        figure = draw("rank_correlation", "figure_12_detector_rank_correlation_pairs", data)
        encoder, decoder = panels_of(figure)[0].images
        assert encoder.get_extent()[1] < decoder.get_extent()[0]
        assert encoder.get_array().shape == (6, 3)
        assert decoder.get_array().shape == (6, 6)

    def test_clustering_puts_similar_languages_side_by_side(self) -> None:
        group = np.array([0, 1, 2, 0, 1, 2, 0, 1])
        similarity = np.where(group[:, None] == group, 0.9, 0.1)
        similarity[0, 1] = similarity[1, 0] = np.nan
        order = matrices.cluster_order(similarity)
        assert sorted(order) == list(range(8))
        assert sum(a != b for a, b in pairwise(group[order])) == 2


class TestHeatmap:
    def test_a_single_peak_survives_the_pooling(self) -> None:
        rows = np.full((500, 2048), 0.2, dtype=np.float32)
        rows[:, 1849] = 1
        rows[400:] = np.nan
        cells = heatmap.pooled(xr.DataArray(rows, dims=("row", "neuron")))
        assert cells.shape == (heatmap.LINES, -(-2048 // 9))
        assert (cells[:, 1849 // 9] == 1).all()
        np.testing.assert_allclose(np.delete(cells, 1849 // 9, axis=1), 0.2, rtol=1e-6)

    def test_rows_keep_their_order(self) -> None:
        rows = np.linspace(0, 1, 97, dtype=np.float32)[:, None] * np.ones(3, dtype=np.float32)
        cells = heatmap.pooled(xr.DataArray(rows, dims=("row", "neuron")))
        assert (np.diff(cells[:, 0]) > 0).all()

    def test_fewer_rows_than_lines_are_repeated(self) -> None:
        rows = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
        cells = heatmap.pooled(xr.DataArray(rows, dims=("row", "neuron")))
        np.testing.assert_array_equal(cells[:9], np.tile(rows[0], (9, 1)))
        np.testing.assert_array_equal(cells[9:], np.tile(rows[1], (9, 1)))

    def test_languages_are_stacked_in_order(self, ten: dict[str, xr.Dataset]) -> None:
        figure = draw("heatmap", "figure_05_detector_heatmap", ten["heatmap"])
        ax = titled(figure, "layer 7")
        scaled = ten["heatmap"]["scaled_act"].sel(layer=6)
        cells = np.asarray(ax.images[0].get_array())
        expected = heatmap.pooled(scaled.sel(language="hi"))
        place = list(NAMES).index("hi") * heatmap.LINES
        np.testing.assert_array_equal(cells[place : place + heatmap.LINES], expected)
        named = [label.get_text() for label in panels_of(figure)[0].get_yticklabels()]
        assert named == list(NAMES.values())

    def test_dominant_neurons_are_marked(self) -> None:
        data = datasets(languages=2, stacks={"decoder": 2}, neurons=700)["heatmap"]
        scaled = data["scaled_out"].values
        scaled[1, 0, :, 218] = 0.5
        scaled[1, 0, :45, 7] = 1
        scaled[1, 0, :, 99] = np.where(np.arange(60) % 2, 0.99, 0.0)
        scaled[1, 0, 58:] = np.nan
        figure = draw("heatmap", "figure_08_combinator_early_layer", data)
        english, german = panels_of(figure)
        assert "▼ 218: maximum of 100%" in english.get_title("right")
        top, variable = german.get_lines()[1:]
        assert top.get_xdata()[0] == 7
        assert variable.get_xdata()[0] == 99
        assert "▼ 7" in german.get_title("right")
        assert f"{45 / 58:.0%} of prefixes" in german.get_title("right")


class TestModelSimilarity:
    def test_layers_are_trimmed_and_not_swapped(self, ten: dict[str, xr.Dataset]) -> None:
        figure = draw("rsa", "figure_11_combinator_model_similarity", ten["rsa"])
        pair = figure.subfigs[0]
        assert pair.get_suptitle() == "gemma-3-270m and smollm2-135m: 312 prefixes in both"
        mean, english = pair.get_axes()[:2]
        values = ten["rsa"]["rsa"].sel(site="out", model_a="gemma-3-270m", model_b="smollm2-135m")[
            :, :18, :30
        ]
        np.testing.assert_array_equal(english.images[0].get_array(), values.sel(language="en"))
        np.testing.assert_allclose(mean.images[0].get_array(), values.mean("language"))
        assert english.images[0].origin == "lower"
        assert pair.get_supylabel() == "layer of gemma-3-270m"
        assert pair.get_supxlabel() == "layer of smollm2-135m"

    def test_a_pair_stored_the_other_way_round_is_found(self) -> None:
        data = datasets(languages=2)["rsa"]
        turned = data.isel(model_a=[1, 0, 2], model_b=[1, 0, 2])
        figure = draw("rsa", "figure_11_combinator_model_similarity", turned)
        english = figure.subfigs[0].get_axes()[1]
        values = data["rsa"].sel(
            site="out", language="en", model_a="gemma-3-270m", model_b="smollm2-135m"
        )[:18, :30]
        np.testing.assert_array_equal(english.images[0].get_array(), values.values.T)

    def test_a_lone_model_is_compared_with_itself(self) -> None:
        data = datasets(languages=2)["rsa"].isel(model_a=[0], model_b=[0])
        data["rsa"] = data["rsa"].fillna(0.5)
        figure = draw("rsa", "figure_11_combinator_model_similarity", data)
        assert "gemma-3-270m and gemma-3-270m" in figure.subfigs[0].get_suptitle()


class TestOverlap:
    def test_shares_stand_beside_their_sets(self) -> None:
        data = datasets(**CASES["three corpora"])["parallel_sets"]
        figure = draw("parallel_sets", "figure_16_overlap", data)
        sentences, tokens = panels_of(figure)
        names = [label.get_text() for label in sentences.get_xticklabels()]
        assert names == ["a in b", "a in c", "b in a", "b in c", "c in a", "c in b"]
        share = data["sentence_overlap"].sel(language="de", corpus_a="b", corpus_b="a").item()
        assert sentences.images[0].get_array()[1, 2] == share
        assert f"{share:.0%}" in [text.get_text() for text in sentences.texts]
        assert tokens.images[0].get_array().shape == (3, 3)


class TestSave:
    def test_equal_figures_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            data = datasets(languages=3, stacks={"decoder": 4})["flatness"]
            figure = draw("flatness", "figure_04_detector_flatness", data)
            svg, png = style.save(figure, tmp_path / name / "figure")
            assert (svg.name, png.name) == ("figure.svg", "figure.png")
        for suffix in ("svg", "png"):
            first, second = ((tmp_path / n / f"figure.{suffix}") for n in ("first", "second"))
            assert first.read_bytes() == second.read_bytes()
        assert "<dc:date>" not in (tmp_path / "first" / "figure.svg").read_text()

    def test_the_last_bits_of_the_layout_do_not_count(
        self, tmp_path: Path, ten: dict[str, xr.Dataset], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lay_out = Figure.draw_without_rendering

        def lay_out_with_noise(figure: Figure) -> None:
            lay_out(figure)
            for part in figure.subfigs:
                part.bbox_relative.set_points(part.bbox_relative.get_points() * (1 - 1e-15))
            for ax in figure.axes:
                box = ax.get_position(original=True)
                ax.set_position(box.shrunk(1 - 1e-15, 1 - 1e-15), which="original")

        for name in ("quiet", "noisy"):
            for key, stem in (
                ("rank_correlation", "figure_12_detector_rank_correlation"),
                ("distance", "figure_09_detector_distance"),
            ):
                style.save(draw(key, stem, ten[key]), tmp_path / name / stem)
            monkeypatch.setattr(Figure, "draw_without_rendering", lay_out_with_noise)
        quiet, noisy = (sorted((tmp_path / name).iterdir()) for name in ("quiet", "noisy"))
        assert [path.name for path in quiet] == [path.name for path in noisy]
        assert [path.read_bytes() for path in quiet] == [path.read_bytes() for path in noisy]

    def test_a_large_picture_keeps_every_step_of_the_colour_map(
        self, tmp_path: Path, ten: dict[str, xr.Dataset]
    ) -> None:
        figure = draw("heatmap", "figure_05_detector_heatmap", ten["heatmap"])
        _, png = style.save(figure, tmp_path / "figure")
        assert png.stat().st_size < style.PNG_BYTES
        image = Image.open(png)
        assert image.mode == "P"
        drawn = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
        steps = style.colour_map()(np.arange(style.COLOUR_STEPS), bytes=True)[:, :3]
        assert {tuple(map(int, step)) for step in steps} <= drawn
        assert (255, 255, 255) in drawn

    @pytest.mark.parametrize(
        ("layers_of", "shown"),
        [
            (1, [1]),
            (12, list(range(1, 13))),
            (18, [1, 5, 10, 15, 18]),
            (16, [1, 5, 10, 15]),
            (48, [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 48]),
            (96, [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 96]),
        ],
    )
    def test_few_layers_are_numbered(self, layers_of: int, shown: list[int]) -> None:
        numbers = np.arange(layers_of) + 1
        assert numbers[layers.ticks(numbers, 12)].tolist() == shown
