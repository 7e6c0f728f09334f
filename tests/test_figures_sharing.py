"""The figures of ``sharing`` draw the dataset's numbers, kinds and languages alike in all."""

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neuroglot.analyses.sharing import SHARING
from neuroglot.analyses.sharing.figures import effective, interventions, looks
from neuroglot.figures import grids, style

FAMILIES = {family.name: family.stems for family in SHARING.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
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
    "zh-hans": "Chinese (Simplified)",
    **{f"x{i}": f"Language {i}" for i in range(15)},
}
TASKS = ("capitals", "natural-language-inference", "edit-in-english", "ask-in-english")
SCORING = ("rank", "string", "exact", "exact")
KINDS = ("all_shared", "partial_shared", "specific", "non_activated")
THRESHOLDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
NUMBERS = (3, 5, 7, 9)
SHOTS = (0, 2, 4, 6)
VARIANTS = (
    "baseline",
    "without_all_shared",
    "without_partial_shared",
    "without_specific",
    "random_all_shared",
    "random_partial_shared",
    "random_specific",
    "converted_specific",
    "converted_partial_shared",
    "converted_both",
    "random_converted_specific",
    "random_converted_partial_shared",
    "random_converted_both",
)
NEURONS = 2048


def tasks_of(count: int) -> list[str]:
    return [*TASKS, *(f"task-{i}" for i in range(count - len(TASKS)))][:count]


def coordinates(languages: int, tasks: int, stacks: dict[str, int]) -> dict[str, object]:
    return {
        "task": tasks_of(tasks),
        "language": [*NAMES][:languages],
        "kind": list(KINDS),
        "layer": np.arange(sum(stacks.values())),
        "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
        "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
    }


def attributes(languages: int) -> dict[str, object]:
    named = dict([*NAMES.items()][:languages])
    return {"model": "gemma-3-270m", "language_names": json.dumps(named), "threshold": 0.0}


def shares(rng: np.random.Generator, tasks: int, depth: int) -> np.ndarray:
    """``[task, layer, kind]``: all-shared in the middle, specific in few; they sum to one."""
    x = np.linspace(0, 1, depth)
    weights = np.stack(
        [0.4 * np.exp(-(((x - 0.4) / 0.3) ** 2)), 0.2 + 0.2 * x, 0.05 + 0.03 * x, 0.9 - 0.3 * x],
        axis=-1,
    )
    noisy = weights * rng.uniform(0.7, 1.3, (tasks, depth, 4))
    return noisy / noisy.sum(-1, keepdims=True)


def bounded(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Add the ends of an interval around every value of ``names``."""
    ends = {"_low": 0.9, "_high": 1.2}
    return ds.assign(
        {name + end: ds[name] * factor for name in names for end, factor in ends.items()}
    )


def of_languages(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Add the means over languages of ``names`` with the ends of their intervals."""
    means = {f"{name}_of_languages": ds[name].mean("language") for name in names}
    return bounded(ds.assign(means), *means)


def kinds_dataset(
    languages: int = 10, tasks: int = 4, stacks: dict[str, int] | None = None
) -> xr.Dataset:
    rng = np.random.default_rng(1)
    coords = coordinates(languages, tasks, stacks or {"decoder": 18})
    depth = len(coords["layer"])
    share = shares(rng, tasks, depth)
    active = share[..., :1] + rng.uniform(0.1, 0.15, (tasks, 1, languages))
    by_threshold = np.stack([share * [f, f, f, 1] for f in np.linspace(1, 0.2, 6)], axis=1)
    by_number = np.stack([share * [f, 2 - f, 1, 1] for f in np.linspace(1.3, 1, 4)], axis=1)
    ds = xr.Dataset(
        {
            "kind_share": (("task", "layer", "kind"), share),
            "active_share": (("task", "layer", "language"), active),
            "threshold_share": (("task", "threshold", "layer", "kind"), by_threshold),
            "language_count_share": (("task", "languages", "layer", "kind"), by_number),
            "overlap": (("task", "layer", "kind"), share * [0.05, 0.01, 0.002, 0.2]),
            "dead": (
                ("task", "layer", "language"),
                rng.uniform(0.002, 0.03, (tasks, depth, languages)),
            ),
            "items": ("task", 100 + 20 * np.arange(tasks)),
        },
        coords | {"threshold": list(THRESHOLDS), "languages": list(NUMBERS)},
        attributes(languages),
    )
    return bounded(
        ds, "kind_share", "active_share", "threshold_share", "language_count_share", "dead"
    )


def contributions_dataset(
    languages: int = 10, tasks: int = 4, stacks: dict[str, int] | None = None
) -> xr.Dataset:
    """As the figures get it: merged with what the kinds' reduction counted."""
    rng = np.random.default_rng(2)
    kinds = kinds_dataset(languages, tasks, stacks)
    share = kinds["kind_share"].transpose("task", "layer", "kind").values[:, None]
    noise = rng.uniform(0.8, 1.25, (tasks, languages, share.shape[2], 4))
    top = share * [6, 2, 1, 0.1] * noise
    total = share * [4, 2, 1.5, 0.3] * noise
    total = total / total.sum(-1, keepdims=True)
    dims = ("task", "language", "layer", "kind")
    names = ("top_share", "mean", "sum")
    ds = kinds.assign(
        top_share=(dims, top / top.sum(-1, keepdims=True)),
        mean=(dims, total / (share * NEURONS)),
        sum=(dims, total),
    ).assign_attrs(top_fraction=0.05)
    return of_languages(bounded(ds, *names), *names)


def effective_dataset(
    languages: int = 10, tasks: int = 4, stacks: dict[str, int] | None = None
) -> xr.Dataset:
    rng = np.random.default_rng(3)
    coords = coordinates(languages, tasks, stacks or {"decoder": 18})
    depth = len(coords["layer"])
    reach = np.array([1.8, 0.25, 0.06, 0.03])
    by_layer = rng.uniform(0.1, 0.5, (tasks, languages, depth, 4)) * reach
    by_layer[:, :, -1] *= 3
    high = by_layer.max(2)
    dims = ("task", "language", "kind")
    ds = xr.Dataset(
        {
            "max": (dims, high),
            "min": (dims, -high * rng.uniform(0.4, 1, high.shape)),
            "mean": (dims, 0.01 * high),
            "max_by_layer": (("task", "language", "layer", "kind"), by_layer),
        },
        coords,
        attributes(languages),
    )
    return of_languages(ds, "max_by_layer")


def interventions_dataset(
    languages: int = 10, tasks: int = 4, stacks: dict[str, int] | None = None
) -> xr.Dataset:
    rng = np.random.default_rng(4)
    size = (tasks, len(VARIANTS), languages)
    worse = np.ones(len(VARIANTS))
    worse[[1, 2, 4]] = 0.3, 0.9, 0.8
    base = rng.uniform(0.35, 0.6, (tasks, 1, languages))
    accuracy = base * worse[:, None] + rng.uniform(-0.02, 0.02, size)
    log_probability = -5 / accuracy
    difference = log_probability - log_probability[:, :1]
    apart = np.array([0, 1, -1, 0] * 3 + [1])[:, None] * np.ones(size)
    dims, by_language = ("task", "variant", "language"), ("task", "language")
    neurons = np.array([0, 4000, 6000, 900] * 3 + [900], dtype=float)[:, None]
    excluded = np.zeros((tasks, languages), dtype=np.int64)
    excluded[:, -1] = 3
    chance = np.array([0.05, 1 / 3, 0, 0] * -(-tasks // 4))[:tasks, None]
    coords = {
        key: value
        for key, value in coordinates(languages, tasks, {"decoder": 1}).items()
        if key in ("task", "language")
    }
    return xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "accuracy_low": (dims, accuracy - 0.06),
            "accuracy_high": (dims, accuracy + 0.06),
            "exact_accuracy": (dims, accuracy),
            "accuracy_excess_low": (dims, apart - 0.5),
            "accuracy_excess_high": (dims, apart + 0.5),
            "log_probability_difference": (dims, difference),
            "log_probability_difference_low": (dims, difference - 1.5),
            "log_probability_difference_high": (dims, difference + 1.5),
            "log_probability_excess_low": (dims, apart - 0.5),
            "log_probability_excess_high": (dims, apart + 0.5),
            "neurons": (dims, np.broadcast_to(neurons, size) + 10.0 * np.arange(languages)),
            "items": (by_language, np.full((tasks, languages), 120) - excluded),
            "excluded": (by_language, excluded),
            "chance": (by_language, np.broadcast_to(chance, (tasks, languages)).copy()),
        },
        coords
        | {"variant": list(VARIANTS)}
        | {"scoring": ("task", (list(SCORING) * -(-tasks // 4))[:tasks])},
        attributes(languages) | {"random_seeds": 3},
    )


def comparison_dataset(
    languages: int = 10, tasks: int = 4, stacks: dict[str, int] | None = None
) -> xr.Dataset:
    rng = np.random.default_rng(6)
    models = {"gemma-3-270m": 18, "smollm2-135m": 30}
    names = [*tasks_of(tasks), *(f"edit-in-english-{n}-shot" for n in SHOTS[1:])]
    share = np.full((len(models), len(names), 30, 4), np.nan)
    for model, depth in enumerate(models.values()):
        share[model, :, :depth] = shares(rng, len(names), depth)
    sweep = [names[min(2, tasks - 1)], *names[tasks:]]
    ds = xr.Dataset(
        {
            "kind_share": (("model", "task", "layer", "kind"), share),
            "layers": ("model", [*models.values()]),
        },
        {
            "model": [*models],
            "task": names,
            "layer": np.arange(30),
            "kind": list(KINDS),
            "shots": ("task", [0] * tasks + list(SHOTS[1:])),
        },
        {"few_shot": json.dumps(sweep)},
    )
    return bounded(ds, "kind_share")


DATASETS = {
    "kinds": kinds_dataset,
    "contributions": contributions_dataset,
    "effective": effective_dataset,
    "interventions": interventions_dataset,
    "comparison": comparison_dataset,
}


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    return importlib.import_module(f"{SHARING.package}.figures.{family}").FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def named(labels: list[object]) -> list[str]:
    return [label.get_text() for label in labels]


def of_kind(ax: Axes, kind: str) -> list[Line2D]:
    """The lines that are drawn in a kind's look, left to right."""
    look = looks.KINDS[kind]
    return [
        line
        for line in ax.get_lines()
        if (line.get_color(), line.get_marker()) == (look["color"], look["marker"])
    ]


def bands_of(ax: Axes) -> list[FillBetweenPolyCollection]:
    return [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]


def assert_filled(band: FillBetweenPolyCollection, low: object, high: object) -> None:
    """Check that a band of one stack reaches from ``low[layer]`` to ``high[layer]``."""
    corners = band.get_paths()[0].vertices
    by_place = [corners[corners[:, 0] == x, 1] for x in np.unique(corners[:, 0])]
    np.testing.assert_array_equal([heights.min() for heights in by_place], low)
    np.testing.assert_array_equal([heights.max() for heights in by_place], high)


def legend_of(figure: Figure) -> dict[str, Line2D]:
    (legend,) = [legend for part in figure.subfigs for legend in part.legends]
    texts = named(legend.get_texts())
    return dict(zip(texts, legend.legend_handles, strict=True))


CASES = {
    "ten languages": {"languages": 10, "tasks": 2},
    "one language": {"languages": 1, "tasks": 1, "stacks": {"decoder": 1}},
    "encoder and decoder": {"languages": 4, "tasks": 2, "stacks": {"encoder": 6, "decoder": 9}},
    "25 languages": {"languages": 25, "tasks": 1, "stacks": {"decoder": 32}},
}
SEVERAL_MODELS = "comparison"


# Of languages, tasks and stacks, what a family's figures depend on; the others on all three.
DEPENDS = {"interventions": ("languages", "tasks"), "comparison": ("tasks",)}
CROWDED = {
    (family, stem): ["ten languages"] + ["encoder and decoder"] * (family not in DEPENDS)
    for family, stem in STEMS
}


def drawn(family: str, stem: str, case: str) -> Figure:
    """A figure of one of CASES, drawn once for all tests that only look at it."""
    chosen = {key: CASES[case].get(key) for key in DEPENDS.get(family, CASES[case])}
    return drawn_once(family, stem, json.dumps(chosen))


@cache
def drawn_once(family: str, stem: str, chosen: str) -> Figure:
    return draw(family, stem, DATASETS[family](**json.loads(chosen)))


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestRegistry:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_lists_what_the_modules_draw(self, family: str) -> None:
        module = importlib.import_module(f"{SHARING.package}.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]

    def test_names_the_reductions_of_every_family(self) -> None:
        steps = {step.name for step in SHARING.steps}
        assert all(family.steps and steps.issuperset(family.steps) for family in SHARING.figures)

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.sharing;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_every_figure_has_a_caption_that_names_it(self, family: str, stem: str) -> None:
        path = SHARING.folder / "captions" / f"{stem}.rst"
        text = path.read_text(encoding="utf-8")
        assert ("snakemake.wildcards.m" in text) == (family != SEVERAL_MODELS)
        assert "Wang et al." in text
        kind, *rest = stem.split("_")
        if kind.rstrip("s") in ("figure", "table"):
            first = next(int(part) for part in rest if part.isdigit())
            assert f"{kind.capitalize()} {first}" in " ".join(text.split())


class TestEveryFigure:
    @pytest.mark.parametrize("case", CASES)
    def test_draws_without_a_warning(self, case: str) -> None:
        for family, stem in STEMS:
            assert panels_of(drawn(family, stem, case))

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_names_the_model_and_labels_the_axes(self, family: str, stem: str) -> None:
        figure = drawn(family, stem, "encoder and decoder")
        of_one_model = figure.get_suptitle().startswith("gemma-3-270m: ")
        assert of_one_model == (family != SEVERAL_MODELS)
        assert any(ax.get_xlabel() for ax in panels_of(figure))
        shown = [ax.get_ylabel() + ax.get_title() for ax in panels_of(figure)]
        if stem != "figure_21_few_shot":
            assert any("capitals" in text for text in shown)
            assert any("natural-language-" in text for text in shown)

    @pytest.mark.parametrize(
        ("family", "stem", "case"),
        [(*figure, case) for figure, cases in CROWDED.items() for case in cases],
    )
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        figure = drawn(family, stem, case)
        with style.theme():
            figure.get_layout_engine().execute(figure)
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
        boxes += [text.get_window_extent() for text in figure.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        data = DATASETS[family](languages=2, tasks=1)
        for name in data:
            if data[name].dtype.kind == "f":
                data[name] = data[name] * np.nan
        assert draw(family, stem, data).texts[0].get_text().startswith("nothing to draw")

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, family: str, stem: str) -> None:
        data = DATASETS[family](**CASES["encoder and decoder"])
        turned = draw(family, stem, data.transpose(*reversed(list(data.dims))))
        figure = drawn(family, stem, "encoder and decoder")
        for ax, other in zip(panels_of(figure), panels_of(turned), strict=True):
            assert ax.get_lines() or ax.patches
            for one, two in zip(ax.collections, other.collections, strict=True):
                for path, same in zip(one.get_paths(), two.get_paths(), strict=True):
                    np.testing.assert_array_equal(path.vertices, same.vertices)
            for one, two in zip(ax.get_lines(), other.get_lines(), strict=True):
                np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())
            for one, two in zip(ax.patches, other.patches, strict=True):
                assert one.get_bbox().bounds == two.get_bbox().bounds

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_a_task_without_numbers_is_left_out(self, family: str, stem: str) -> None:
        data = DATASETS[family](languages=2, tasks=4)  # which leaves an odd number
        for name in data:
            if data[name].dtype.kind == "f" and "task" in data[name].dims:
                data[name] = data[name].where(data["task"] != "natural-language-inference")
        shown = [ax.get_ylabel() + ax.get_title() for ax in panels_of(draw(family, stem, data))]
        assert not any("natural" in text for text in shown)

    def test_large_pictures_are_small_files(self, tmp_path: Path) -> None:
        figure = draw("interventions", "tables_02_05_06_accuracy", interventions_dataset())
        _, png = style.save(figure, tmp_path / "accuracy")
        assert png.stat().st_size < style.PNG_BYTES


class TestLooks:
    def test_kinds_stay_apart_for_colour_blind_readers(self) -> None:
        from test_figures import COLOUR_BLINDNESS, srgb_to_linear, to_lab

        colours = [look["color"] for look in looks.KINDS.values()]
        linear = np.array([srgb_to_linear(np.array(to_rgb(colour))) for colour in colours])
        for simulate in (np.eye(3), *COLOUR_BLINDNESS):
            lab = to_lab(np.clip(linear @ np.asarray(simulate).T, 0, 1))
            assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 20
        assert tuple(looks.KINDS) == KINDS
        assert len({look["marker"] for look in looks.KINDS.values()}) == 4
        assert len({look.get("linestyle", "-") for look in looks.KINDS.values()}) == 4

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("facts", "facts\nnote"),
            ("natural-language-inference", "natural-language-\ninference\nnote"),
            ("knowledge_editing_in_english", "knowledge_editing_in_\nenglish\nnote"),
            (
                "averylongnamewithoutanyplacetobreakit",
                "averylongnamewithoutanyplacetobreakit\nnote",
            ),
        ],
    )
    def test_long_names_are_broken_where_they_have_a_joint(self, name: str, label: str) -> None:
        assert grids.row_label(name, "note") == label

    def test_steps_run_from_dark_to_light(self) -> None:
        heading, *steps = looks.steps("threshold", THRESHOLDS)
        assert heading.get_label() == "threshold"
        assert [step.get_label() for step in steps] == ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]
        brightness = [sum(to_rgb(step.get_color())) for step in steps]
        assert brightness == sorted(brightness)
        assert len({step.get_marker() for step in steps}) == 6

    @pytest.mark.parametrize(
        ("share", "text"), [(0.3, "30%"), (0.025, "2.5%"), (1.0, "100%"), (0.0005, "0.05%")]
    )
    def test_shares_have_no_more_decimals_than_they_need(self, share: float, text: str) -> None:
        assert grids.per_cent()(share) == text


class TestKinds:
    def test_kinds_left_and_languages_right(self) -> None:
        data = kinds_dataset(languages=3, tasks=2)
        figure = draw("kinds", "figures_02_04_11_18_kinds", data)
        axes = np.reshape(panels_of(figure), (2, 2))
        for task, (left, right) in enumerate(axes):
            for kind in KINDS:
                (line,) = of_kind(left, kind)
                expected = data["kind_share"].isel(task=task).sel(kind=kind)
                np.testing.assert_array_equal(line.get_ydata(), expected)
                np.testing.assert_array_equal(line.get_xdata(), np.arange(18) + 1)
            bounds = data.isel(task=task)
            for kind, band in zip(KINDS, bands_of(left), strict=True):
                of_this = bounds.sel(kind=kind)
                assert_filled(band, of_this["kind_share_low"], of_this["kind_share_high"])
                assert to_rgb(band.get_facecolor()[0][:3]) == to_rgb(looks.KINDS[kind]["color"])
            for language, band in zip(("en", "de", "fr"), bands_of(right), strict=True):
                of_this = bounds.sel(language=language)
                assert_filled(band, of_this["active_share_low"], of_this["active_share_high"])
            for line, language in zip(right.get_lines(), ("en", "de", "fr"), strict=True):
                expected = data["active_share"].isel(task=task).sel(language=language)
                np.testing.assert_array_equal(line.get_ydata(), expected)
                assert line.get_color() == legend_of(figure)[NAMES[language]].get_color()
        assert axes[0, 0].get_ylabel() == "capitals\n100 items"
        assert axes[0, 0].get_ylim() == axes[1, 0].get_ylim()
        assert axes[0, 0].get_ylim()[0] == 0
        assert axes[0, 0].get_ylim()[1] > data["kind_share"].max()

    def test_stacks_are_apart(self) -> None:
        data = kinds_dataset(languages=2, tasks=1, stacks={"encoder": 3, "decoder": 5})
        left = panels_of(draw("kinds", "figures_02_04_11_18_kinds", data))[0]
        encoder, decoder = of_kind(left, "specific")
        assert (encoder.get_xdata().size, decoder.get_xdata().size) == (3, 5)
        assert encoder.get_xdata()[-1] + 1 < decoder.get_xdata()[0]

    def test_a_kind_without_numbers_gets_no_line(self) -> None:
        data = kinds_dataset(languages=2, tasks=1)
        data["kind_share"].loc[{"kind": "specific"}] = np.nan
        left = panels_of(draw("kinds", "figures_02_04_11_18_kinds", data))[0]
        assert [len(of_kind(left, kind)) for kind in KINDS] == [1, 1, 0, 1]

    def test_overlap_stands_beside_the_average(self) -> None:
        data = kinds_dataset(languages=2, tasks=2)
        figure = draw("kinds", "figure_05_behaviour_repeating", data)
        axes = np.reshape(panels_of(figure), (2, 2))
        average, overlap = (data[name].mean("layer").values for name in ("kind_share", "overlap"))
        for task, (left, right) in enumerate(axes):
            widths = [bar.get_width() for bar in left.patches]
            np.testing.assert_allclose(widths[:4], average[task])
            np.testing.assert_allclose(widths[4:], overlap[task])
            assert named(left.get_yticklabels()) == [look["label"] for look in looks.KINDS.values()]
            for bar, kind in zip(left.patches, KINDS * 2, strict=True):
                place = bar.get_y() + bar.get_height() / 2
                assert round(place) == KINDS.index(kind)
                assert bar.get_edgecolor()[:3] == to_rgb(looks.KINDS[kind]["color"])
            assert named(left.texts) == [f"{share:.2%}" for share in widths]
            assert left.get_xlim()[1] > 1.2 * max(widths)
            (line,) = of_kind(right, "all_shared")
            np.testing.assert_array_equal(
                line.get_ydata(), data["overlap"].isel(task=task).sel(kind="all_shared")
            )

    def test_dead_neurons_by_language(self) -> None:
        data = kinds_dataset(languages=2, tasks=3)
        axes = panels_of(draw("kinds", "figure_06_dead", data))
        assert [ax.get_title().split("\n")[0] for ax in axes] == list(TASKS[:3])
        for task, ax in enumerate(axes):
            for line, language in zip(ax.get_lines(), ("en", "de"), strict=True):
                expected = data["dead"].isel(task=task).sel(language=language)
                np.testing.assert_array_equal(line.get_ydata(), expected)
            of_first = data.isel(task=task, language=0)
            assert_filled(bands_of(ax)[0], of_first["dead_low"], of_first["dead_high"])

    @pytest.mark.parametrize(
        ("stem", "share", "dimension"),
        [
            ("figure_22_threshold", "threshold_share", "threshold"),
            ("figure_19_language_count", "language_count_share", "languages"),
        ],
    )
    def test_a_sweep_has_a_line_per_step(self, stem: str, share: str, dimension: str) -> None:
        data = kinds_dataset(languages=2, tasks=2)
        steps = data[dimension].values
        data[share].loc[{"task": TASKS[1], dimension: steps[-1]}] = np.nan
        figure = draw("kinds", stem, data)
        axes = np.reshape(panels_of(figure), (2, 4))
        assert [ax.get_title() for ax in axes[0]] == [
            look["label"] for look in looks.KINDS.values()
        ]
        legend = legend_of(figure)
        for task, row in enumerate(axes):
            for kind, ax in zip(KINDS, row, strict=True):
                lines = ax.get_lines()
                assert len(lines) == len(steps) - task
                for line, step in zip(lines, steps, strict=False):
                    expected = data[share].isel(task=task).sel({dimension: step, "kind": kind})
                    np.testing.assert_array_equal(line.get_ydata(), expected)
                    assert line.get_color() == legend[f"{step:g}"].get_color()
                of_step = data.isel(task=task, **{dimension: 1}).sel(kind=kind)
                assert_filled(bands_of(ax)[1], of_step[f"{share}_low"], of_step[f"{share}_high"])


class TestContributions:
    def test_the_top_in_a_band_of_its_languages(self) -> None:
        data = contributions_dataset(languages=3, tasks=2)
        figure = draw("contributions", "figures_08_23_26_top", data)
        axes = np.reshape(panels_of(figure), (2, 3))
        assert "top 5 %" in axes[0, 1].get_title()
        for task, (left, middle, right) in enumerate(axes):
            share = data["top_share"].isel(task=task)
            ranges, intervals = np.reshape(bands_of(middle), (2, 4))
            for kind, extent, interval in zip(KINDS, ranges, intervals, strict=True):
                of_this = share.sel(kind=kind).transpose("language", "layer").values
                (line,) = of_kind(middle, kind)
                np.testing.assert_allclose(line.get_ydata(), of_this.mean(0))
                assert_filled(extent, of_this.min(0), of_this.max(0))
                bounds = data.isel(task=task).sel(kind=kind)
                assert_filled(
                    interval,
                    bounds["top_share_of_languages_low"],
                    bounds["top_share_of_languages_high"],
                )
                assert extent.get_alpha() < interval.get_alpha()
                (line,) = of_kind(left, kind)
                np.testing.assert_array_equal(
                    line.get_ydata(), data["kind_share"].isel(task=task).sel(kind=kind)
                )
            for line, language in zip(right.get_lines(), ("en", "de", "fr"), strict=True):
                np.testing.assert_array_equal(
                    line.get_ydata(), share.sel(kind="all_shared", language=language)
                )
            assert left.get_ylim() == middle.get_ylim() == right.get_ylim()

    @pytest.mark.parametrize(("factor", "scale"), [(1.0, "linear"), (1e-3, "log")])
    def test_far_apart_means_stand_on_a_logarithmic_axis(self, factor: float, scale: str) -> None:
        data = contributions_dataset(languages=2, tasks=1)
        data["mean"][:] = 0.001
        data["mean"].loc[{"kind": "non_activated"}] *= factor
        left, right = panels_of(draw("contributions", "figure_09_contribution", data))
        assert (left.get_yscale(), right.get_yscale()) == (scale, "linear")

    def test_a_kind_that_a_layer_lacks_leaves_a_gap(self) -> None:
        data = contributions_dataset(languages=2, tasks=1)
        data["mean"].loc[{"kind": "specific", "layer": 4}] = np.nan
        data["mean"].loc[{"kind": "non_activated", "layer": 7}] = 0.0  # as after ReLU
        left, right = panels_of(draw("contributions", "figure_09_contribution", data))
        assert np.flatnonzero(np.isnan(of_kind(left, "specific")[0].get_ydata())) == [4]
        assert np.flatnonzero(np.isnan(of_kind(left, "non_activated")[0].get_ydata())) == [7]
        (line,) = of_kind(right, "specific")
        expected = data["sum"].isel(task=0).sel(kind="specific").mean("language")
        np.testing.assert_allclose(line.get_ydata(), expected)


class TestEffective:
    def test_the_maximum_by_layer(self) -> None:
        data = effective_dataset(languages=3, tasks=2)
        axes = panels_of(draw("effective", "figures_10_27_29_effective", data))
        assert [ax.get_title() for ax in axes] == list(TASKS[:2])
        for task, ax in enumerate(axes):
            assert ax.get_yscale() == "symlog"
            low, high = ax.get_ylim()
            assert 0 < low < high, "nothing of the axis is left to scores that there are not"
            for place, kind in enumerate(KINDS):
                of_this = data.isel(task=task).sel(kind=kind)
                assert_filled(
                    bands_of(ax)[4 + place],
                    of_this["max_by_layer_of_languages_low"],
                    of_this["max_by_layer_of_languages_high"],
                )
                (line,) = of_kind(ax, kind)
                expected = data["max_by_layer"].isel(task=task).sel(kind=kind).mean("language")
                np.testing.assert_allclose(line.get_ydata(), expected)

    def test_alike_maxima_stand_on_a_linear_axis_below_zero_too(self) -> None:
        data = effective_dataset(languages=2, tasks=1)
        data["max_by_layer"][:] = 1.0
        data["max_by_layer"].loc[{"kind": "specific"}] = -0.5
        (ax,) = panels_of(draw("effective", "figures_10_27_29_effective", data))
        assert ax.get_yscale() == "linear"
        assert (of_kind(ax, "specific")[0].get_ydata() == -0.5).all()

    def test_far_apart_maxima_below_zero_leave_no_gap(self) -> None:
        data = effective_dataset(languages=2, tasks=1)
        data["max_by_layer"].loc[{"kind": "specific", "layer": 4}] = -0.01
        (ax,) = panels_of(draw("effective", "figures_10_27_29_effective", data))
        assert ax.get_yscale() == "symlog"
        line = of_kind(ax, "specific")[0].get_ydata()
        assert line[4] == -0.01
        assert np.isfinite(line).all()
        unit = ax.yaxis.get_transform().linthresh
        assert 0.1 < unit / data["max_by_layer"].where(data["max_by_layer"] > 0).min() < 10

    def test_intervals_reach_from_the_lowest_to_the_highest(self) -> None:
        data = effective_dataset(languages=3, tasks=2)
        data["max"].loc[{"kind": "specific", "language": "de"}] = np.nan
        axes = panels_of(draw("effective", "tables_01_04_effective", data))
        assert named(axes[0].get_yticklabels()) == ["English", "German", "French"]
        for task, ax in enumerate(axes):
            heights = {kind: of_kind(ax, kind)[0].get_ydata() for kind in KINDS}
            assert [heights[kind][1] for kind in KINDS] == sorted(heights[k][1] for k in KINDS)
            for kind in KINDS:
                scores = data.isel(task=task).sel(kind=kind)
                np.testing.assert_array_equal(of_kind(ax, kind)[0].get_xdata(), scores["mean"])
                lines = [
                    line
                    for line in ax.get_lines()
                    if line.get_marker() == "|" and line.get_color() == looks.KINDS[kind]["color"]
                ]
                languages = ["en", "fr"] if kind == "specific" else ["en", "de", "fr"]
                for line, language in zip(lines, languages, strict=True):
                    one = scores.sel(language=language)
                    np.testing.assert_array_equal(line.get_xdata(), [one["min"], one["max"]])
                    assert np.round(line.get_ydata()[0]) == ["en", "de", "fr"].index(language)

    def test_the_axis_is_linear_only_near_zero_where_kinds_reach_differently_far(self) -> None:
        data = effective_dataset(languages=2, tasks=1)
        (ax,) = panels_of(draw("effective", "tables_01_04_effective", data))
        assert ax.get_xscale() == "symlog"
        unit = ax.xaxis.get_transform().linthresh
        assert 0.001 * data["max"].max() < unit < 0.03 * data["max"].max()
        data = data.isel(kind=[0, 1])
        data["max"][:], data["min"][:] = 2.0, -1.0
        (ax,) = panels_of(draw("effective", "tables_01_04_effective", data))
        assert ax.get_xscale() == "linear"
        data["max"].loc[{"language": "de"}], data["min"].loc[{"language": "de"}] = 0.05, -0.01
        (ax,) = panels_of(draw("effective", "tables_01_04_effective", data))
        assert ax.get_xscale() == "symlog", "languages are as far apart as kinds"

    def test_a_reach_is_of_the_farther_end(self) -> None:
        data = effective_dataset(languages=2, tasks=2)
        data["min"].loc[{"kind": "specific"}] = -7.0
        reaches = effective.reaches(data)
        assert (reaches.sel(kind="specific") == 7).all()
        assert (reaches.sel(kind="all_shared") == data["max"].sel(kind="all_shared")).all()


def points_of(ax: Axes, colour: str, hollow: bool) -> list[np.ndarray]:
    """``[x, y]`` of the points of languages, then of their mean."""
    face = "white" if hollow else colour
    return [
        line.get_xydata()
        for line in ax.get_lines()
        if (line.get_color(), line.get_markerfacecolor()) == (colour, face)
        and line.get_linestyle() == "None"
    ]


class TestInterventions:
    @pytest.mark.parametrize(
        ("stem", "before", "names"),
        [
            (
                "tables_02_05_06_accuracy",
                ("without_", "random_"),
                ("all_shared", "partial_shared", "specific"),
            ),
            (
                "table_03_converted",
                ("converted_", "random_converted_"),
                ("specific", "partial_shared", "both"),
            ),
        ],
    )
    def test_the_model_the_change_and_the_control_by_language(
        self, stem: str, before: tuple[str, str], names: tuple[str, ...]
    ) -> None:
        data = interventions_dataset(languages=3, tasks=2)
        axes = np.reshape(panels_of(draw("interventions", stem, data)), (2, 3))
        for task, row in enumerate(axes):
            accuracy = data["accuracy"].isel(task=task)
            for ax, name in zip(row, names, strict=True):
                colour = looks.KINDS.get(name, interventions.BOTH)["color"]
                for variant, points in {
                    "baseline": points_of(ax, "black", hollow=False),
                    before[0] + name: points_of(ax, colour, hollow=False),
                    before[1] + name: points_of(ax, colour, hollow=True),
                }.items():
                    each, mean = points
                    expected = accuracy.sel(variant=variant)
                    np.testing.assert_array_equal(each[:, 0], expected)
                    np.testing.assert_array_equal(np.round(each[:, 1]), [0, 1, 2])
                    np.testing.assert_allclose(mean[0, 0], expected.mean())
                    assert np.round(mean[0, 1]) == 3
                ends = [
                    path.vertices[:, 0]
                    for lines in ax.collections
                    if isinstance(lines, LineCollection)
                    for path in lines.get_paths()
                ]
                of_change = data.isel(task=task).sel(variant=before[0] + name)
                np.testing.assert_array_equal(
                    ends[3:6],
                    np.stack([of_change["accuracy_low"], of_change["accuracy_high"]], axis=1),
                )

    def test_says_chance_items_scoring_and_how_many_neurons(self) -> None:
        data = interventions_dataset(languages=3, tasks=4)
        figure = draw("interventions", "tables_02_05_06_accuracy", data)
        axes = np.reshape(panels_of(figure), (4, 3))
        assert named(axes[0, 0].get_yticklabels()) == [
            "English (120)",
            "German (120)",
            "French (117 of 120)",
            "mean of languages",
        ]
        assert "first token" in axes[0, 0].get_xlabel()
        assert "candidate string" in axes[1, 0].get_xlabel()
        assert "exact match" in axes[2, 0].get_xlabel()
        assert axes[0, 0].get_title() == "without all-shared\n4,000 to 4,020 neurons"
        (chance,) = [line for line in axes[1, 2].get_lines() if line.get_marker() == "|"]
        np.testing.assert_allclose(chance.get_xdata(), [1 / 3] * 3)
        assert {"chance", "model as it is", "hollow: as many random"} <= legend_of(figure).keys()

    @pytest.mark.parametrize("stem", FAMILIES["interventions"])
    def test_panels_of_a_row_have_one_scale(self, stem: str) -> None:
        data = interventions_dataset(languages=3, tasks=2)
        for row in np.reshape(panels_of(draw("interventions", stem, data)), (2, 3)):
            assert len({ax.get_xlim() for ax in row}) == 1

    def test_a_language_without_answers_is_left_out_of_its_task(self) -> None:
        data = interventions_dataset(languages=3, tasks=2)
        for name in ("accuracy", "accuracy_low", "accuracy_high"):
            data[name].loc[{"task": TASKS[0], "language": "de"}] = np.nan
        data["items"] = data["items"].astype(float)  # as after a join with tasks that lack it
        data["items"].loc[{"task": TASKS[0], "language": "de"}] = np.nan
        axes = np.reshape(
            panels_of(draw("interventions", "tables_02_05_06_accuracy", data)), (2, 3)
        )
        assert [len(ax.get_yticklabels()) for ax in axes[:, 0]] == [3, 4]
        each, _ = points_of(axes[0, 0], "black", hollow=False)
        expected = data["accuracy"].sel(task=TASKS[0], variant="baseline", language=["en", "fr"])
        np.testing.assert_array_equal(each[:, 0], expected)

    def test_the_mean_is_of_languages_that_have_all_three(self) -> None:
        data = interventions_dataset(languages=3, tasks=1)
        data["accuracy"].loc[{"variant": "without_specific", "language": "de"}] = np.nan
        axes = panels_of(draw("interventions", "tables_02_05_06_accuracy", data))
        full, fewer = (points_of(axes[i], "black", hollow=False)[1][0, 0] for i in (0, 2))
        baseline = data["accuracy"].isel(task=0).sel(variant="baseline")
        assert full == pytest.approx(baseline.mean().item())
        assert fewer == pytest.approx(baseline.sel(language=["en", "fr"]).mean().item())

    @pytest.mark.parametrize("stem", FAMILIES["interventions"])
    def test_stars_where_a_change_differs_from_its_control(self, stem: str) -> None:
        data = interventions_dataset(languages=3, tasks=1)
        quantity = "log_probability" if stem.startswith("log") else "accuracy"
        ends = [f"{quantity}_excess_{end}" for end in ("low", "high")]
        variant = "converted_specific" if "converted" in stem else "without_all_shared"
        for name, values in zip(ends, ((-1, 0.1, -0.2), (-0.5, 0.4, 0.3)), strict=True):
            data[name].loc[{"variant": variant}] = np.array([values])
        figure = draw("interventions", stem, data)
        first, *_ = panels_of(figure)
        (stars,) = [line for line in first.get_lines() if line.get_marker() == "*"]
        assert stars.get_ydata().tolist() == [0, 1]
        assert stars.get_xdata().tolist() == [1, 1]
        for name in ends:
            data[name][:] = 0.0
        for ax in panels_of(draw("interventions", stem, data)):
            assert not [line for line in ax.get_lines() if line.get_marker() == "*"]
        assert any("differ" in text for text in legend_of(figure))

    @pytest.mark.parametrize(
        ("stem", "variant"),
        [
            ("log_probability_without", "without_all_shared"),
            ("log_probability_converted", "converted_specific"),
        ],
    )
    def test_log_probability_is_less_the_models_own(self, stem: str, variant: str) -> None:
        data = interventions_dataset(languages=2, tasks=1)
        ax = panels_of(draw("interventions", stem, data))[0]
        at_zero, _ = points_of(ax, "black", hollow=False)
        np.testing.assert_array_equal(at_zero[:, 0], [0, 0])
        kind = variant.split("_", 1)[1]
        changed, _ = points_of(ax, looks.KINDS[kind]["color"], hollow=False)
        values = data.isel(task=0).sel(variant=variant)
        np.testing.assert_array_equal(changed[:, 0], values["log_probability_difference"])
        ends = [path.vertices[:, 0] for path in ax.collections[1].get_paths()]
        bounds = [values[f"log_probability_difference_{end}"] for end in ("low", "high")]
        np.testing.assert_array_equal(ends, np.stack(bounds, 1))


class TestComparison:
    def test_models_by_relative_depth(self) -> None:
        data = comparison_dataset(tasks=2)
        figure = draw("comparison", "figures_07_20_models", data)
        axes = np.reshape(panels_of(figure), (2, 4))
        assert [row[0].get_ylabel().replace("\n", "") for row in axes] == list(TASKS[:2])
        legend = legend_of(figure)
        for task, row in enumerate(axes):
            for kind, ax in zip(KINDS, row, strict=True):
                lines = ax.get_lines()
                for line, model, depth in zip(lines, data["model"].values, (18, 30), strict=True):
                    np.testing.assert_allclose(line.get_xdata(), np.arange(1, depth + 1) / depth)
                    shares = data["kind_share"].isel(task=task).sel(model=model, kind=kind)
                    np.testing.assert_array_equal(line.get_ydata(), shares[:depth])
                    assert line.get_color() == legend[model].get_color()
                of_first = data.isel(task=task, model=0, layer=slice(18)).sel(kind=kind)
                ends = [of_first[f"kind_share_{end}"] for end in ("low", "high")]
                assert_filled(bands_of(ax)[0], *ends)

    def test_examples_by_layer_in_the_order_of_the_sweep(self) -> None:
        data = comparison_dataset(tasks=4)
        figure = draw("comparison", "figure_21_few_shot", data)
        axes = np.reshape(panels_of(figure), (2, 4))
        assert list(legend_of(figure)) == ["examples", "0", "2", "4", "6"]
        sweep = json.loads(data.attrs["few_shot"])
        for row, model, depth in zip(axes, data["model"].values, (18, 30), strict=True):
            assert row[0].get_ylabel() == model
            for kind, ax in zip(KINDS, row, strict=True):
                assert ax.get_xlim()[1] == pytest.approx(depth + 0.6)
                for line, task in zip(ax.get_lines(), sweep, strict=True):
                    shares = data["kind_share"].sel(task=task, model=model, kind=kind)
                    np.testing.assert_array_equal(line.get_ydata(), shares[:depth])

    def test_without_a_sweep_says_so(self) -> None:
        data = comparison_dataset().assign_attrs(few_shot="[]")
        text = draw("comparison", "figure_21_few_shot", data).texts[0].get_text()
        assert "examples" in text
        figure = draw("comparison", "figures_07_20_models", data)
        assert len(panels_of(figure)) == 4 * data.sizes["task"]

    def test_a_model_without_a_task_is_left_out_of_it(self) -> None:
        data = comparison_dataset(tasks=2)
        data["kind_share"].loc[{"model": "smollm2-135m", "task": TASKS[0]}] = np.nan
        axes = np.reshape(panels_of(draw("comparison", "figures_07_20_models", data)), (2, 4))
        finite = [
            [np.isfinite(line.get_ydata()).any() for line in row[0].get_lines()] for row in axes
        ]
        assert finite == [[True, False], [True, True]]
