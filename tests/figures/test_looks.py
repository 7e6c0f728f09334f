"""Looks of languages, and how figures are written."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from analyses.roles import figure_data
from neuroglot.analyses.roles.figures import flatness, rank_correlation
from neuroglot.figures import heat, layers, series, style

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
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


class TestLooks:
    def test_a_language_added_or_left_out_changes_no_other(self) -> None:
        twelve = figure_data.dataset("flatness", languages=12)
        looks = series.languages(twelve).looks
        first = series.languages(figure_data.dataset("flatness", languages=10)).looks
        assert {language: looks[language] for language in first} == first
        some = ["fr", "zh-hans", "x11"]
        chosen = series.languages(twelve.sel(language=some)).looks
        assert chosen == {language: looks[language] for language in some}

    def test_many_languages_can_be_told_apart(self) -> None:
        looks = [series.language_look(position, "") for position in range(110)]
        assert len({(look.color, look.marker) for look in looks}) == 110

    def test_ids_stand_in_for_unknown_names(self) -> None:
        data = figure_data.dataset("flatness", languages=2).assign_attrs(language_names="{}")
        assert series.languages(data).labels == ["en", "de"]

    def test_hues_stay_apart_for_colour_blind_readers(self) -> None:
        linear = np.array([srgb_to_linear(np.array(to_rgb(hue))) for hue in series.HUES])
        for simulate in (np.eye(3), *COLOUR_BLINDNESS):
            lab = to_lab(np.clip(linear @ np.asarray(simulate).T, 0, 1))
            assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 15

    def test_a_colour_is_one_language_in_every_panel_and_stack(self) -> None:
        data = figure_data.dataset("flatness", languages=4, stacks={"encoder": 3, "decoder": 5})
        figure = flatness.flatness(data, site="act")
        for ax in figure.axes:
            for language, look in series.languages(data).looks.items():
                lines = [
                    line for line in ax.lines if to_hex(line.get_color()) == look.color.lower()
                ]
                values = data["flatness_mean"].sel(site="act", language=language)
                drawn = np.concatenate([line.get_ydata() for line in lines])
                corpus = ax.get_title().split("\n")[0]
                np.testing.assert_allclose(drawn, values.sel(corpus=corpus))
                encoder, decoder = (line.get_xdata() for line in lines)
                assert min(decoder) > max(encoder) + 1


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def to_lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB under D65."""
    t = linear @ TO_XYZ.T / TO_XYZ.sum(1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    parts = 116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])
    return np.stack(parts, axis=1)


class TestOrder:
    def test_a_tree_puts_similar_languages_side_by_side(self) -> None:
        group = np.array([0, 1, 2, 0, 1, 2, 0, 1])
        similarity = np.where(group[:, None] == group, 0.9, 0.1)
        similarity[0, 1] = similarity[1, 0] = np.nan
        order, _ = heat.clustered(similarity)
        assert sorted(order) == list(range(8))
        assert np.count_nonzero(np.diff(group[order])) == 2

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


class TestSave:
    def test_equal_figures_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            save_both(tmp_path / name)
        first, second = (sorted((tmp_path / name).iterdir()) for name in ("first", "second"))
        assert {path.suffix for path in first} == {".png", ".svg"}
        assert [path.name for path in first] == [path.name for path in second]
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
        assert "<dc:date>" not in (tmp_path / "first" / "flatness.svg").read_text()

    def test_the_last_bits_of_the_layout_do_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lay_out = Figure.draw_without_rendering

        def lay_out_with_noise(figure: Figure) -> None:
            lay_out(figure)
            for ax in figure.axes:
                box = ax.get_position(original=True)
                ax.set_position(box.shrunk(1 - 1e-15, 1 - 1e-15), which="original")

        save_both(tmp_path / "quiet")
        monkeypatch.setattr(Figure, "draw_without_rendering", lay_out_with_noise)
        save_both(tmp_path / "noisy")
        quiet, noisy = (sorted((tmp_path / name).iterdir()) for name in ("quiet", "noisy"))
        assert [path.read_bytes() for path in quiet] == [path.read_bytes() for path in noisy]

    def test_files_have_the_printed_size(self, tmp_path: Path) -> None:
        figure = flatness.flatness(figure_data.dataset("flatness", languages=20), site="act")
        svg, png = style.save(figure, tmp_path / "figure")
        width, height = figure.get_size_inches()
        with Image.open(png) as image:
            assert image.size == (int(width * style.PNG_DPI), int(height * style.PNG_DPI))
        size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg.read_text())
        assert size is not None
        np.testing.assert_allclose(
            [float(points) for points in size.groups()], (width * 72, height * 72)
        )


def save_both(folder: Path) -> None:
    """Write a figure of lines and a figure of matrices with trees."""
    few = {"languages": 3, "stacks": {"decoder": 4}}
    lines = flatness.flatness(figure_data.dataset("flatness", **few), site="act")
    style.save(lines, folder / "flatness")
    ranks = figure_data.dataset("rank_correlation", **few)
    style.save(rank_correlation.rank_correlation(ranks, site="act"), folder / "ranks")
