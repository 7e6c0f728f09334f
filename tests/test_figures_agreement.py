"""The figures of ``agreement`` draw overlaps against chance, each where it belongs."""

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroglot.analyses.agreement import AGREEMENT
from neuroglot.analyses.agreement.figures import overlap
from neuroglot.analyses.agreement.measures.overlap import agreement
from neuroglot.analyses.named import ORDER
from neuroglot.figures import style

METHODS = list(ORDER)
FAMILIES = {family.name: family.stems for family in AGREEMENT.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]


def dataset(
    languages: int = 4, stacks: dict[str, int] | None = None, methods: list[str] | None = None
) -> xr.Dataset:
    """LAPE and sharing agree; type 1 looks at lower layers, the lexicon at the last."""
    stacks, methods = stacks or {"decoder": 6}, methods or METHODS
    layers, generator = sum(stacks.values()), np.random.default_rng(4)
    ids = [f"x{i:02d}" for i in range(languages)]
    looked = np.ones((len(METHODS), layers), bool)
    half = (layers + 1) // 2
    looked[2, half:] = looked[3, :half] = looked[5, :-1] = False
    core = generator.random((languages, layers, 200)) < 0.03
    chosen = generator.random((len(METHODS), languages, layers, 200)) < 0.04
    chosen[:2] |= core
    chosen &= looked[:, None, :, None]
    chosen[2:4, 0] = False
    named = xr.DataArray(
        chosen,
        dims=("method", "language", "layer", "neuron"),
        coords={
            "method": METHODS,
            "language": ids,
            "layer": np.arange(layers),
            "stack": ("layer", [name for name, k in stacks.items() for _ in range(k)]),
            "stack_layer": ("layer", [i for k in stacks.values() for i in range(k)]),
        },
    ).sel({"method": methods})
    seen = xr.DataArray(looked, dims=("method", "layer"), coords={"method": METHODS})
    seen = seen.sel({"method": methods})
    data = agreement(named, seen).assign(looked_at=seen)
    names = {one: f"Language number {i}" for i, one in enumerate(ids)}
    return data.assign_attrs(model="gemma-3-270m", language_names=json.dumps(names))


def draw(stem: str, ds: xr.Dataset) -> Figure:
    return overlap.FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    """All axes but colour bars."""
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def texts_of(ax: Axes) -> dict[tuple[int, int], str]:
    """What is written in the cells, by row and column."""
    return {text.get_position()[::-1]: text.get_text() for text in ax.texts}


CASES: dict[str, dict[str, Any]] = {
    "four languages": {},
    "one language, two methods": {"languages": 1, "methods": ["lape", "experts"]},
    "one layer": {"languages": 2, "stacks": {"decoder": 1}},
    "12 languages": {"languages": 12, "stacks": {"decoder": 32}},
    "encoder and decoder": {"stacks": {"encoder": 4, "decoder": 6}},
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
        module = importlib.import_module(f"neuroglot.analyses.agreement.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]
        assert AGREEMENT.family(family).steps == ("agreement",)

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.agreement;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_every_figure_has_a_caption(self) -> None:
        report = AGREEMENT.folder / "captions"
        for stem in ("table", *(stem for _, stem in STEMS)):
            assert "snakemake.wildcards.m" in (report / f"{stem}.rst").read_text(encoding="utf-8")

    def test_every_method_has_a_name(self) -> None:
        assert list(overlap.NAMES) == METHODS


class TestEveryFigure:
    @pytest.mark.parametrize("case", list(CASES))
    @pytest.mark.parametrize(("_", "stem"), STEMS)
    def test_nothing_overlaps(self, _: str, stem: str, case: str) -> None:
        figure = draw(stem, dataset(**CASES[case]))
        if case == "one layer" and stem == "agreement_by_layer":
            assert figure.texts[0].get_text().startswith("nothing to draw")
            return
        assert figure.get_suptitle().startswith("gemma-3-270m: ")
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("_", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, _: str, stem: str) -> None:
        data = dataset(languages=2)
        turned = data.transpose(*reversed(list(data.dims)))
        for ax, other in zip(
            panels_of(draw(stem, data)), panels_of(draw(stem, turned)), strict=True
        ):
            assert texts_of(ax) == texts_of(other)
            for one, two in zip(ax.images, other.images, strict=True):
                np.testing.assert_array_equal(one.get_array(), two.get_array())
            for one, two in zip(ax.lines, other.lines, strict=True):
                np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())

    @pytest.mark.parametrize(("_", "stem"), STEMS)
    def test_nothing_to_compare(self, _: str, stem: str) -> None:
        figure = draw(stem, dataset(methods=["type1", "type2"]))
        assert figure.texts[0].get_text().startswith("nothing to draw")


class TestByLanguage:
    def test_cells_hold_sizes_shared_and_the_ratio_to_chance(self) -> None:
        data = dataset()
        axes = panels_of(draw("agreement_by_language", data))
        assert [ax.get_title() for ax in axes] == [f"Language number {i}" for i in range(4)]
        for ax, language in zip(axes, data["language"].values, strict=True):
            one, written = data.sel(language=language), texts_of(ax)
            cells = np.ma.filled(ax.images[0].get_array(), np.nan)
            sizes = one["neurons"].sum("layer").values
            assert [written[i, i] for i in range(6)] == [f"{size:,}" for size in sizes]
            for column, row in combinations(range(6), 2):
                pair = one.isel({"method": row, "method_other": column})
                ratio = (pair["jaccard_all"] / pair["expected_all"]).item()
                if np.isnan(ratio):
                    assert (row, column) not in written
                    assert np.isnan(cells[row, column])
                    continue
                shared = pair["shared"].sum().item()
                assert written[column, row] == str(shared)
                star = "*" if pair["p_value_holm"] < 0.05 else ""
                assert float(written[row, column].removesuffix("*")) == pytest.approx(
                    ratio, rel=0.06
                )
                assert written[row, column].endswith("*") == bool(star)
                if shared:
                    assert cells[row, column] == pytest.approx(np.log2(ratio))
                else:
                    assert (column - 0.5, row - 0.5) in {patch.get_xy() for patch in ax.patches}
            assert np.isnan(cells[np.triu_indices(6)]).all()
        assert texts_of(axes[1])[1, 0].endswith("*")

    def test_chance_is_white_and_all_panels_have_one_scale(self) -> None:
        images = [ax.images[0] for ax in panels_of(draw("agreement_by_language", dataset()))]
        limits = {image.get_clim() for image in images}
        ((low, high),) = limits
        assert low == -high
        np.testing.assert_allclose(images[0].cmap(images[0].norm(0.0))[:3], 1, atol=0.05)


class TestByLayer:
    def test_pairs_that_meet_in_two_layers_are_drawn(self) -> None:
        titles = [ax.get_title() for ax in panels_of(draw("agreement_by_layer", dataset()))]
        assert "LAPE and sharing" in titles
        assert "LAPE and type 2" in titles
        assert "type 1 and type 2" not in titles
        assert not any("lexicon" in title for title in titles)

    def test_lines_are_means_over_languages(self) -> None:
        data = dataset(stacks={"encoder": 2, "decoder": 3})
        (ax,) = (
            ax
            for ax in panels_of(draw("agreement_by_layer", data))
            if ax.get_title() == "LAPE and experts"
        )
        pair = data.sel({"method": "lape", "method_other": "experts"})
        for start, name in ((0, "expected_jaccard"), (2, "jaccard")):
            drawn = np.concatenate([line.get_ydata() for line in ax.lines[start : start + 2]])
            np.testing.assert_allclose(drawn, pair[name].mean("language").values)
