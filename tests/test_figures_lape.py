"""The figures of ``lape`` draw the dataset's counts and perplexities, each where it belongs."""

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
from PIL import Image

from neuroglot.analyses.lape import LAPE
from neuroglot.analyses.lape.figures import neurons, perplexity
from neuroglot.figures import matrices, style

FAMILIES = {family.name: family.stems for family in LAPE.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
NAMES = {
    "en": "English",
    "hi": "Hindi",
    "fr": "French",
    "zh-hans": "Chinese (Simplified)",
    "es": "Spanish",
    "bn": "Bengali",
    "pt": "Portuguese",
    "de": "German",
    "th": "Thai",
    "cs": "Czech",
}
ENDS = {"": 1, "_low": 0.8, "_high": 1.2}
GROUPS = ("germanic", "indic", "romance", "chinese", "romance", "indic", "romance", "germanic")


def names_of(count: int) -> dict[str, str]:
    more = {f"x{i:02d}": f"Language number {i}" for i in range(len(NAMES), count)}
    return dict(list((NAMES | more).items())[:count])


def neurons_dataset(
    languages: int = 10, stacks: dict[str, int] | None = None, width: int = 400
) -> xr.Dataset:
    """Most neurons in the first and last layers, some shared in a group, none for the second."""
    stacks = stacks or {"decoder": 18}
    rng = np.random.default_rng(11)
    ids, layers = list(names_of(languages)), sum(stacks.values())
    groups = [GROUPS[i] if i < len(GROUPS) else str(i) for i in range(languages)]
    depth = np.linspace(0, 1, layers)
    density = (0.01 + 0.05 * (2 * depth - 1) ** 4)[:, None]
    of_group = {group: rng.random((layers, width)) < density for group in groups}
    belongs = np.stack(
        [
            (rng.random((layers, width)) < density * (0.3 + i / languages))
            | (of_group[group] & (rng.random((layers, width)) < 0.7))
            for i, group in enumerate(groups)
        ]
    )
    if languages > 1:
        belongs[1] = False
    counts = belongs.sum(0)
    totals = belongs.sum((1, 2))
    bounded = {f"all_layers{end}": ("language", totals * by) for end, by in ENDS.items()}
    chance = {f"chance_all_layers{end}": 5.0 * by for end, by in ENDS.items()}
    histogram = np.bincount(counts[counts > 0], minlength=languages + 1)
    return xr.Dataset(
        {
            "language_neuron": (("language", "layer", "neuron"), belongs),
            "neurons": (("language", "layer"), belongs.sum(2).astype(np.int32)),
            **bounded,
            **chance,
            "shared_by_languages": ("count", histogram),
            "tokens": ("language", np.full(languages, 90_000)),
        },
        {
            "language": ids,
            "layer": np.arange(layers),
            "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
            "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
            "count": np.arange(languages + 1),
        },
        {
            "model": "gemma-3-270m",
            "language_names": json.dumps(names_of(languages)),
            "site": "gate",
            "percentile": 95.0,
            "top_fraction": 0.01,
        },
    )


def perplexity_dataset(languages: int = 10) -> xr.Dataset:
    """LAPE's neurons raise their own language's perplexity most; random ones change little."""
    rng = np.random.default_rng(13)
    ids = list(names_of(languages))
    change = rng.normal(0.02, 0.02, size=(2, languages, languages))
    change[0] += np.diag(rng.uniform(0.3, 1.2, languages))
    change[1] *= 0.5
    if languages > 1:
        change[:, 1] = 0
    baseline = rng.uniform(10, 40, languages)
    return xr.Dataset(
        {
            "perplexity": (("chosen", "deactivated", "language"), baseline * np.exp(change)),
            "baseline": ("language", baseline),
            "predicted_tokens": ("language", np.full(languages, 3_000)),
            "deactivated_neurons": ("deactivated", 1300 + 17 * np.arange(languages)),
        },
        {"chosen": ["lape", "random"], "deactivated": ids, "language": ids},
        {"model": "gemma-3-270m", "language_names": json.dumps(names_of(languages))},
    )


def dataset(family: str, **case: object) -> xr.Dataset:
    if family == "neurons":
        return neurons_dataset(**case)
    return perplexity_dataset(**{key: case[key] for key in case if key == "languages"})


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    return importlib.import_module(f"neuroglot.analyses.lape.figures.{family}").FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    """All axes but colour bars."""
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def named(labels: list[object]) -> list[str]:
    return [label.get_text() for label in labels]


CASES = {
    "ten languages": {"languages": 10},
    "two languages": {"languages": 2, "stacks": {"decoder": 1}, "width": 200},
    "one language": {"languages": 1, "stacks": {"decoder": 3}, "width": 200},
    "25 languages": {"languages": 25, "stacks": {"decoder": 32}},
    "encoder and decoder": {"languages": 4, "stacks": {"encoder": 6, "decoder": 9}},
}


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestRegistry:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_lists_what_the_modules_draw(self, family: str) -> None:
        module = importlib.import_module(f"neuroglot.analyses.lape.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]

    def test_names_the_reductions_of_every_family(self) -> None:
        steps = {step.name for step in LAPE.steps}
        assert all(steps.issuperset(family.steps) for family in LAPE.figures)

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.lape;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_every_figure_has_a_caption(self) -> None:
        report = LAPE.folder / "captions"
        for _, stem in STEMS:
            text = (report / f"{stem}.rst").read_text(encoding="utf-8")
            assert "snakemake.wildcards.m" in text
            assert "Tang et al." in text


class TestEveryFigure:
    @pytest.mark.parametrize("case", list(CASES))
    def test_draws_without_a_warning(self, case: str) -> None:
        for family, stem in STEMS:
            figure = draw(family, stem, dataset(family, **CASES[case]))
            assert figure.get_suptitle().startswith("gemma-3-270m: ")

    @pytest.mark.parametrize("case", ["25 languages", "encoder and decoder"])
    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        figure = draw(family, stem, dataset(family, **CASES[case]))
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [text.get_window_extent() for text in figure.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, family: str, stem: str) -> None:
        data = dataset(family, languages=3)
        turned = data.transpose(*reversed(list(data.dims)))
        for ax, other in zip(
            panels_of(draw(family, stem, data)), panels_of(draw(family, stem, turned)), strict=True
        ):
            for one, two in zip(ax.images, other.images, strict=True):
                np.testing.assert_array_equal(one.get_array(), two.get_array())
            for one, two in zip(ax.patches, other.patches, strict=True):
                assert one.get_bbox().bounds == two.get_bbox().bounds


class TestNeurons:
    def test_counts_stand_by_language_and_layer(self) -> None:
        data = neurons_dataset()
        heat, totals = panels_of(draw("neurons", "language_neurons", data))
        assert named(heat.get_yticklabels()) == list(NAMES.values())
        np.testing.assert_array_equal(heat.images[0].get_array(), data["neurons"])
        sums = data["neurons"].sum("layer").values
        assert [bar.get_width() for bar in totals.patches] == sums.tolist()
        assert named(totals.texts) == [f"{n:,}" for n in sums]
        assert sums[1] == 0
        assert heat.get_ylim()[0] > heat.get_ylim()[1]

    def test_stacks_of_layers_are_separate_images(self) -> None:
        data = neurons_dataset(languages=3, stacks={"encoder": 2, "decoder": 5})
        heat, _ = panels_of(draw("neurons", "language_neurons", data))
        encoder, decoder = heat.images
        np.testing.assert_array_equal(decoder.get_array(), data["neurons"][:, 2:])
        assert encoder.get_extent()[1] < decoder.get_extent()[0]

    def test_the_site_is_named(self) -> None:
        for stem in FAMILIES["neurons"]:
            assert "gate" in draw("neurons", stem, neurons_dataset(languages=2)).get_suptitle()

    def test_no_neurons_at_all(self) -> None:
        data = neurons_dataset(languages=3)
        for name in ("language_neuron", "neurons", "shared_by_languages"):
            data[name] = data[name] * 0
        data["language_neuron"] = data["language_neuron"].astype(bool)
        _, totals = panels_of(draw("neurons", "language_neurons", data))
        assert named(totals.texts) == ["0", "0", "0"]
        text = draw("neurons", "several_languages", data).texts[0].get_text()
        assert text.startswith("nothing to draw")

    def test_the_histogram_starts_at_one_language(self) -> None:
        data = neurons_dataset()
        bars, _ = panels_of(draw("neurons", "several_languages", data))
        drawn = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in bars.patches}
        histogram = data["shared_by_languages"].values
        last = np.flatnonzero(histogram)[-1]
        assert drawn == {k: histogram[k] for k in range(1, last + 1)}

    def test_shared_neurons_by_hand(self) -> None:
        belongs = np.zeros((3, 2, 3), dtype=bool)
        belongs[0, 0] = [True, True, False]
        belongs[1, 0] = [False, True, False]
        belongs[1, 1] = [False, False, True]
        array = xr.DataArray(belongs, dims=("language", "layer", "neuron"))
        both = neurons.shared_neurons(array)
        assert both.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
        np.testing.assert_allclose(neurons.jaccard(both)[0], [1, 1 / 3, 0])

    def test_cells_hold_the_shared_and_the_diagonal_the_own_neurons(self) -> None:
        data = neurons_dataset()
        _, ax = panels_of(draw("neurons", "several_languages", data))
        ids = {name: language for language, name in NAMES.items()}
        order = [ids[name] for name in named(ax.get_yticklabels())]
        assert order == [ids[name] for name in named(ax.get_xticklabels())]
        belongs = {one: data["language_neuron"].sel(language=one).values for one in order}
        texts = {text.get_position(): text.get_text() for text in ax.texts}
        cells = ax.images[0].get_array()
        for row, a in enumerate(order):
            for column, b in enumerate(order):
                count = (belongs[a] & belongs[b]).sum()
                assert texts[column, row] == f"{count:,}"
                assert row == column or cells[row, column] == count
        assert np.ma.getmaskarray(cells).diagonal().all()
        romance = sorted(order.index(one) for one in ("fr", "es", "pt"))
        assert romance[2] - romance[0] == 2


class TestPerplexity:
    def test_rows_are_deactivated_and_columns_are_read(self) -> None:
        data = perplexity_dataset()
        axes = panels_of(draw("perplexity", "perplexity_without", data))
        assert "LAPE" in axes[0].get_title()
        assert "random" in axes[1].get_title()
        for ax, chosen in zip(axes, ("lape", "random"), strict=True):
            cells = ax.images[0].get_array()
            for off, read in (("en", "th"), ("th", "en"), ("fr", "fr"), ("hi", "de")):
                after = data["perplexity"].sel(chosen=chosen, deactivated=off, language=read)
                before = data["baseline"].sel(language=read)
                place = list(NAMES).index(off), list(NAMES).index(read)
                assert cells[place] == pytest.approx(np.log(after.item() / before.item()))
            assert named(ax.get_xticklabels()) == list(NAMES.values())
        counts = data["deactivated_neurons"].values
        assert named(axes[0].get_yticklabels()) == [
            f"{name} ({n:,})" for name, n in zip(NAMES.values(), counts, strict=True)
        ]

    def test_both_panels_have_one_scale_around_zero(self) -> None:
        data = perplexity_dataset(languages=3)
        axes = panels_of(draw("perplexity", "perplexity_without", data))
        largest = abs(perplexity.log_change(data)).max().item()
        for ax in axes:
            (image,) = ax.images
            assert image.get_clim() == (-largest, largest)
            np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 1, atol=0.05)
            red, _, blue, _ = image.cmap(image.norm(largest))
            assert red > blue

    @pytest.mark.parametrize("languages", [12, 40])
    def test_every_step_of_the_colours_is_in_a_large_picture(
        self, languages: int, tmp_path: Path
    ) -> None:
        figure = draw("perplexity", "perplexity_without", perplexity_dataset(languages))
        _, png = style.save(figure, tmp_path / "figure")
        assert png.stat().st_size < style.PNG_BYTES
        colours = Image.open(png).convert("RGB").getcolors(1 << 24)
        drawn = np.array([colour for _, colour in colours])
        steps = matrices.signed_colour_map()(np.arange(matrices.SIGNED_STEPS), bytes=True)
        apart = np.abs(steps[:, None, :3].astype(int) - drawn[None]).max(2).min(1)
        assert apart.max() <= 1

    def test_the_own_language_is_framed_and_unchanged_is_a_plain_zero(self) -> None:
        data = perplexity_dataset(languages=4).isel(deactivated=[2, 1])
        for ax in panels_of(draw("perplexity", "perplexity_without", data)):
            frames = {patch.get_xy() for patch in ax.patches}
            assert frames == {(1.5, -0.5), (0.5, 0.5)}
            texts = {text.get_position(): text.get_text() for text in ax.texts}
            assert float(texts[0, 1]) == 0
            assert texts[0, 1].startswith("+")
            assert ax.images[0].get_array().shape == (2, 4)

    def test_a_language_without_text_is_left_out(self) -> None:
        data = perplexity_dataset(languages=4)
        data["perplexity"].loc[{"language": "fr"}] = np.nan
        for ax in panels_of(draw("perplexity", "perplexity_without", data)):
            assert named(ax.get_xticklabels()) == ["English", "Hindi", "Chinese (Simplified)"]
            assert len(ax.get_yticks()) == 4

    def test_nothing_changes(self) -> None:
        data = perplexity_dataset(languages=2)
        data["perplexity"] = data["perplexity"] * 0 + data["baseline"]
        for ax in panels_of(draw("perplexity", "perplexity_without", data)):
            assert set(named(ax.texts)) == {"+0.000"}

    def test_says_so_where_there_is_nothing(self) -> None:
        data = perplexity_dataset(languages=2)
        data["perplexity"] = data["perplexity"] * np.nan
        text = draw("perplexity", "perplexity_without", data).texts[0].get_text()
        assert text.startswith("nothing to draw")
