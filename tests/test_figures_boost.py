"""The figures of ``boost`` draw the dataset's shares and perplexities, each where it belongs."""

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroglot.analyses.boost import BOOST
from neuroglot.analyses.boost.figures import factors
from neuroglot.figures import style

FAMILIES = {family.name: family.stems for family in BOOST.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
NAMES = {"en": "English", "de": "German", "fr": "French", "wo": "Wolof", "th": "Thai"}


def names_of(count: int) -> dict[str, str]:
    more = {f"x{i:02d}": f"Language number {i}" for i in range(len(NAMES), count)}
    return dict(list((NAMES | more).items())[:count])


def dataset(languages: int = 5, values: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)) -> xr.Dataset:
    """English is the pivot; Wolof cannot be identified; Thai has no neurons."""
    rng = np.random.default_rng(7)
    ids = list(names_of(languages))
    share = rng.integers(0, 5, (2, 2, len(values), languages)) / 4
    perplexity = 20 * np.exp(rng.normal(0, 0.5, (2, len(values), languages)))
    one = values.index(1.0)
    share[:, 1, one] = share[:, 0, one]
    perplexity[1, one] = perplexity[0, one]
    share[0, :, :, 0] = np.nan
    changed = np.array(values) != 1
    if languages > 4:
        share[..., 3] = np.nan
        share[:, :, changed, 4] = np.nan
        perplexity[:, changed, 4] = np.nan
    dims = ("prompted", "variant", "factor", "language")
    return xr.Dataset(
        {
            "share": (dims, share),
            "share_low": (dims, np.maximum(share - 0.25, 0)),
            "share_high": (dims, np.minimum(share + 0.25, 1)),
            "perplexity": (dims[1:], perplexity),
            "neurons": ("language", 1200 + np.arange(languages)),
        },
        {
            "prompted": ["pivot", "own"],
            "variant": ["boosted", "random"],
            "factor": list(values),
            "language": ids,
        },
        {
            "model": "gemma-3-270m",
            "method": "lape",
            "pivot": "en",
            "prompts": 4,
            "new_tokens": 24,
            "unidentified": ["wo"] if languages > 4 else [],
            "language_names": json.dumps(names_of(languages)),
        },
    )


CASES = {
    "five languages": {},
    "one language": {"languages": 1},
    "one factor": {"languages": 2, "values": (1.0, 3.0)},
    "thirty languages": {"languages": 30},
    "many factors": {"languages": 7, "values": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)},
}


def draw(family: str, stem: str, ds: xr.Dataset) -> Figure:
    return importlib.import_module(f"neuroglot.analyses.boost.figures.{family}").FIGURES[stem](ds)


def lines_of(ax: Axes) -> list[list[float]]:
    return [np.asarray(line.get_ydata()).tolist() for line in ax.lines]


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestRegistry:
    def test_lists_what_the_modules_draw(self) -> None:
        for family, stems in FAMILIES.items():
            module = importlib.import_module(f"neuroglot.analyses.boost.figures.{family}")
            assert tuple(module.FIGURES) == stems
        steps = {step.name for step in BOOST.steps}
        assert all(steps.issuperset(family.steps) for family in BOOST.figures)

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.boost;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_every_figure_has_a_caption(self) -> None:
        report = BOOST.folder / "captions"
        for stem in [*(stem for _, stem in STEMS), "table"]:
            assert "snakemake.wildcards.m" in (report / f"{stem}.rst").read_text(encoding="utf-8")


class TestEveryFigure:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        figure = draw(family, stem, dataset(**CASES[case]))
        assert figure.get_suptitle().startswith("gemma-3-270m: ")
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [text.get_window_extent() for text in figure.texts]
        boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_the_order_of_dimensions_does_not_matter(self, family: str, stem: str) -> None:
        data = dataset()
        turned = data.transpose(*reversed(list(data.dims)))
        first, second = draw(family, stem, data), draw(family, stem, turned)
        for ax, other in zip(first.get_axes(), second.get_axes(), strict=True):
            for line, same in zip(lines_of(ax), lines_of(other), strict=True):
                np.testing.assert_array_equal(line, same)

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        data = dataset()
        empty = data.assign(share=data["share"] * np.nan, perplexity=data["perplexity"] * np.nan)
        assert "nothing to draw" in draw(family, stem, empty).texts[0].get_text()


def test_shares_stand_in_their_panels() -> None:
    data = dataset()
    figure = factors.share_of_text(data)
    axes = figure.get_axes()
    titles = [ax.get_title() for ax in axes]
    assert titles == [
        "English\n1,200 neurons",
        "German\n1,201 neurons",
        "French\n1,202 neurons",
        "Thai\n1,204 neurons",
    ]
    assert figure.get_suptitle().endswith("not identified: Wolof")
    for ax, language in zip(axes, ("en", "de", "fr", "th"), strict=True):
        expected = [
            data["share"].sel(language=language, prompted=prompted, variant=variant).values
            for prompted in ("own", "pivot")
            for variant in ("boosted", "random")
        ]
        np.testing.assert_array_equal(lines_of(ax), expected)
        for bars, middle in zip(ax.collections, expected, strict=True):
            tops = [segment[1, 1] for segment in bars.get_segments() if len(segment)]
            np.testing.assert_allclose(tops, np.minimum(middle[~np.isnan(middle)] + 0.25, 1))
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "4"]
    labels = [text.get_text() for part in figure.subfigs for text in part.legends[0].get_texts()]
    assert labels[1] == "prompts of English"


def test_perplexity_is_relative_to_factor_one() -> None:
    data = dataset(4)
    axes = factors.perplexity_boosted(data).get_axes()
    for ax, variant in zip(axes, ("boosted", "random"), strict=True):
        ratio = data["perplexity"].sel(variant=variant)
        expected = (ratio / ratio.sel(factor=1)).transpose("language", "factor").values
        np.testing.assert_allclose(lines_of(ax)[1:], expected)
        assert lines_of(ax)[0] == [1, 1]
        assert ax.get_yscale() == "log"
