"""What the lexicon figures draw: the neurons' languages, family colours, tokens fonts can draw."""

import importlib
import json
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import linkage

from neuroglot.analyses.lexicon import LEXICON
from neuroglot.analyses.lexicon.figures import coverage, text
from neuroglot.figures import families, style
from neuroglot.languages import find_languages, known_languages
from test_figures import COLOUR_BLINDNESS, legend_texts, legends_of, srgb_to_linear, to_lab

FAMILIES = {family.name: family.stems for family in LEXICON.figures}
REDUCTIONS = {family.name: family.steps for family in LEXICON.figures}
STEMS = [(family, stem) for family, stems in FAMILIES.items() for stem in stems]
LOWEST = "figure_08_lowest_entropy_positive"
NEGATIVE = "figure_10_lowest_entropy_negative"
TEN = ("en", "de", "fr", "es", "pt", "cs", "ru", "hi", "bn", "zh-hans")
SIGNS = ["positive", "negative"]


def dataset(
    languages: int | tuple[str, ...] = TEN,
    neurons: int = 60,
    rank: int = 50,
    minimum_coverage: float = 0.2,
) -> xr.Dataset:
    """A dataset of the reduction: neuron 0 of one language, neuron 1 of all alike, the rest mixed.

    Neuron 2 has none of its tokens in the text.
    """
    known = find_languages(known_languages() if isinstance(languages, int) else languages)
    ids = list(known)[: languages if isinstance(languages, int) else None]
    rng = np.random.default_rng(3)
    n = len(ids)
    association = rng.dirichlet(np.full(n, 0.15), size=(2, 2, neurons))
    association[:, :, 0] = np.eye(n)[min(1, n - 1)]
    association[:, :, 1] = 1 / n
    association[:, :, 2] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(association == 0, 0, -association * np.log2(association)).sum(-1)
    covered = np.round(rng.uniform(0.05, 0.9, size=(2, neurons)) * rank) / rank
    covered[:, :2] = 0.5
    covered[:, 2] = 0
    ranked = np.argsort(np.where(covered < minimum_coverage, np.nan, bits[0]), axis=1)
    enough = (covered >= minimum_coverage).sum(1)
    best = association.argmax(-1, keepdims=True)
    share = (best == np.arange(n)).mean((1, 2))
    profiles = np.nan_to_num(association[0]).reshape(-1, n).T
    tokens = np.array(["␣the", "Haus", "और", "слово"] * 5)
    per_neuron = ("sign", "neuron")
    return xr.Dataset(
        {
            "association": (("prior", *per_neuron, "language"), association),
            "entropy": (("prior", *per_neuron), bits, {"units": "bits"}),
            "tfidf": ((*per_neuron, "language"), np.nan_to_num(association[0] ** 1.5)),
            "entropy_low": (("prior", *per_neuron), 0.9 * bits),
            "entropy_high": (("prior", *per_neuron), 1.1 * bits),
            "coverage": (per_neuron, covered),
            "coverage_low": (per_neuron, 0.9 * covered),
            "coverage_high": (per_neuron, 1.1 * covered),
            "top_language_share": (("prior", "language"), share),
            "top_language_share_low": (("prior", "language"), 0.9 * share),
            "top_language_share_high": (("prior", "language"), 1.1 * share),
            "tokens": ("language", 1000 + 10 * np.arange(n)),
            "linkage": (
                ("merge", "column"),
                linkage(profiles, "average") if n > 1 else np.empty((0, 4)),
                {"units": "1 − Pearson's r"},
            ),
            "drawn": (("sign", "place"), ranked[:, :4].astype(np.int32)),
            "drawn_highest": (
                "sign",
                np.array([row[k - 1] for row, k in zip(ranked, enough, strict=True)], np.int32),
            ),
            "top_token": ((*per_neuron, "rank"), np.zeros((2, neurons, rank), np.int32)),
            "top_weight": ((*per_neuron, "rank"), np.zeros((2, neurons, rank), np.float32)),
            "top_text": ((*per_neuron, "shown"), np.broadcast_to(tokens, (2, neurons, 20))),
        },
        {
            "prior": ["uniform", "corpus"],
            "sign": SIGNS,
            "language": ids,
            **{
                key: ("language", [getattr(one, key) for one in list(known.values())[:n]])
                for key in ("family", "genus", "script")
            },
        },
        {
            "model": "gemma-3-270m",
            "minimum_coverage": minimum_coverage,
            "language_names": json.dumps({one: known[one].name for one in ids}),
        },
    )


def draw(stem: str, ds: xr.Dataset) -> Figure:
    (family,) = [family for family, stems in FAMILIES.items() if stem in stems]
    return importlib.import_module(f"{LEXICON.package}.figures.{family}").FIGURES[stem](ds)


def panels_of(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.get_axes() if ax.get_label() != "<colorbar>"]


def bars_of(ax: Axes) -> dict[str, float]:
    names = [label.get_text() for label in ax.get_yticklabels()]
    bars = sorted(ax.patches, key=lambda bar: bar.get_y())
    return dict(zip(names, (bar.get_width() for bar in bars), strict=True))


@pytest.fixture(scope="module")
def ten() -> xr.Dataset:
    return dataset()


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class TestRegistry:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_lists_what_the_modules_draw(self, family: str) -> None:
        module = importlib.import_module(f"{LEXICON.package}.figures.{family}")
        assert tuple(module.FIGURES) == FAMILIES[family]

    def test_every_family_reads_the_association(self) -> None:
        assert dict.fromkeys(FAMILIES, ("association",)) == REDUCTIONS

    def test_needs_no_matplotlib(self) -> None:
        code = (
            "import sys, neuroglot.analyses.lexicon;"
            "sys.exit(bool({'matplotlib', 'xarray', 'torch'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_every_figure_has_a_caption(self, family: str, stem: str) -> None:
        caption = LEXICON.folder / "captions" / f"{stem}.rst"
        words = caption.read_text(encoding="utf-8")
        assert "lexicon paper" in words
        assert "{{ snakemake.wildcards.m }}" in words
        if stem.startswith("figure"):
            assert f" {int(stem.split('_')[1])} " in words


CASES: dict[str, dict[str, Any]] = {
    "one language": {"languages": 1, "neurons": 6},
    "three languages": {"languages": ("en", "hi", "ja"), "neurons": 9},
    "ten languages": {},
    "108 languages": {"languages": 108, "neurons": 30},
    "one top token": {"languages": 3, "rank": 1},
}


class TestEveryFigure:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_nothing_overlaps(self, family: str, stem: str, case: str) -> None:
        figure = draw(stem, dataset(**CASES[case]))
        if figure.texts[0].get_text().startswith("nothing to draw"):
            assert (case, stem) == ("one language", "language_tree")
            return
        with style.theme():
            figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.get_axes()]
        boxes += [figure.texts[0].get_window_extent()]
        boxes += [legend.get_window_extent() for legend in legends_of(figure)]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_names_model_and_axes(self, family: str, stem: str, ten: xr.Dataset) -> None:
        figure = draw(stem, ten)
        assert figure.get_suptitle().startswith("gemma-3-270m: ")
        assert all(ax.get_xlabel() for ax in panels_of(figure))

    @pytest.mark.parametrize(("family", "stem"), STEMS)
    def test_says_so_where_there_is_nothing(self, family: str, stem: str) -> None:
        ds = dataset(neurons=6)
        names = ["association", "entropy", "top_language_share", "linkage"]
        ds = ds.assign({name: ds[name] * np.nan for name in names})
        for unseen in (ds, ds.assign(drawn=ds["drawn"] * 0 - 1)):
            figure = draw(stem, unseen)
            assert figure.texts[0].get_text().startswith("nothing to draw: no ")

    def test_pictures_are_small(self, tmp_path: Path) -> None:
        _, png = style.save(draw("language_tree", dataset(108, neurons=6)), tmp_path / "tree")
        assert png.stat().st_size < style.PNG_BYTES

    def test_wide_tokens_stay_beside_the_legend(self) -> None:
        ds = dataset(languages=108, neurons=30)
        ds = ds.assign(top_text=xr.full_like(ds["top_text"], "WWWW").astype("U4"))
        figure = draw(LOWEST, ds)
        with style.theme():
            figure.draw_without_rendering()
        (legend,) = legends_of(figure)
        box = legend.get_window_extent()
        assert not any(ax.get_tightbbox().overlaps(box) for ax in figure.get_axes())

    def test_leaves_the_callers_settings_alone(self, ten: xr.Dataset) -> None:
        before = dict(mpl.rcParams)
        draw(LOWEST, ten)
        assert dict(mpl.rcParams) == before


class TestNeurons:
    @pytest.mark.parametrize(("stem", "sign"), [(LOWEST, "positive"), (NEGATIVE, "negative")])
    def test_bars_are_the_largest_values_in_order(self, stem: str, sign: str) -> None:
        ds = dataset(languages=30)
        axes = panels_of(draw(stem, ds))
        names = json.loads(ds.attrs["language_names"])
        neurons = ds["drawn"].sel(sign=sign).values
        assert len(axes) == 2 * len(neurons)
        for row, neuron in enumerate(neurons):
            at = ds.sel(sign=sign).isel(neuron=neuron)
            for ax, values in zip(
                axes[2 * row :], (at["association"].sel(prior="uniform"), at["tfidf"]), strict=False
            ):
                expected = {names[str(one["language"].item())]: float(one) for one in values}
                expected = dict(sorted(expected.items(), key=lambda item: -item[1])[:12])
                assert bars_of(ax) == {name: one for name, one in expected.items() if one > 0}
                assert list(bars_of(ax).values()) == sorted(bars_of(ax).values(), reverse=True)

    def test_a_row_is_headed_by_its_neuron(self, ten: xr.Dataset) -> None:
        axes = panels_of(draw(LOWEST, ten))
        assert axes[0].get_title("left") == (
            "neuron 0, positive weights\n"
            "entropy 0.00 (0.00–0.00) of 3.32 bits\n"
            "50% (45–55%) of top tokens in the text"
        )
        assert bars_of(axes[0]) == {"German": 1.0}
        assert axes[1].get_title("left").startswith("top tokens:  ␣the  Haus  …  слово  ␣the")

    def test_neurons_that_are_missing_get_no_row(self, ten: xr.Dataset) -> None:
        ds = ten.copy(deep=True)
        ds["drawn"][0, 2:] = -1
        assert len(panels_of(draw(LOWEST, ds))) == 4
        assert len(panels_of(draw(NEGATIVE, ds))) == 8

    def test_highest_entropy_of_each_sign(self, ten: xr.Dataset) -> None:
        first, _, second, _ = panels_of(draw("figure_14_highest_entropy", ten))
        assert first.get_title("left").startswith(
            "neuron 1, positive weights\nentropy 3.32 (2.99–3.65) of"
        )
        assert second.get_title("left").startswith("neuron 1, negative weights")
        np.testing.assert_allclose(list(bars_of(first).values()), 0.1)
        even = [line.get_xdata()[0] for line in first.get_lines()]
        assert even == [0.1]

    def test_a_score_of_zero_is_said(self, ten: xr.Dataset) -> None:
        axes = panels_of(draw(LOWEST, ten.assign(tfidf=0 * ten["tfidf"])))
        assert [one.get_text() for one in axes[1].texts] == ["zero for every language"]

    def test_bars_have_their_families_looks(self, ten: xr.Dataset) -> None:
        figure = draw("figure_14_highest_entropy", ten)
        groups = families.groups(ten)
        ids = {name: one for one, name in json.loads(ten.attrs["language_names"]).items()}
        for ax in panels_of(figure):
            for name, bar in zip(bars_of(ax), ax.patches, strict=True):
                look = families.look(groups[ids[name]])
                assert bar.get_facecolor()[:3] == to_rgb(look.color)
                assert bool(bar.get_hatch()) == look.hatched
        assert legend_texts(figure) == [
            "Indo-European, Germanic",
            "Indo-European, Indic",
            "Indo-European, Romance",
            "Indo-European, Slavic",
            "Sino-Tibetan",
            "even over 10 languages",
        ]


class TestTokens:
    @pytest.mark.parametrize(
        "token", ["the", "␣der", "ἀρχή", "слово", "$x_1$", "été", "1984", "⟨LINE FEED⟩"]
    )
    def test_letters_that_stand_side_by_side_are_drawn(self, token: str) -> None:
        assert text.drawable(token)
        apart = unicodedata.normalize("NFD", token)
        assert (
            text.token_lines("t:", [apart], 1, 4.0) == f"t:  {unicodedata.normalize('NFC', token)}"
        )

    @pytest.mark.parametrize(
        "token",
        ["", "\n", "a\u200db", "हिन्दी", "ক", "سلام", "שלום", "ไทย", "q\u0323\u0302", "\U000f0000"],
    )
    def test_others_are_not(self, token: str) -> None:
        assert not text.drawable(token)

    def test_a_character_without_a_glyph_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "_letters", lambda: (frozenset(map(ord, "ab")), {ord("字")}))
        text._drawable.cache_clear()
        try:
            assert [text.drawable(one) for one in ("ab", "a字", "c", "漢")] == [
                True,
                True,
                False,
                False,
            ]
        finally:
            text._drawable.cache_clear()

    def test_one_ellipsis_stands_for_tokens_in_a_row(self) -> None:
        line = text.token_lines("t:", ["a", "ক", "ไทย", "␣b", "ক"], 3, 4.0)
        assert line == "t:  a  …  ␣b  …"

    def test_lines_are_filled_and_then_cut(self) -> None:
        width = 1.01 * text.inches("bbbb  cc")
        lines = text.token_lines("t:", ["aaa", "bbbb", "cc", "dddd", "ee"], 2, width)
        assert lines == "t:  aaa\nbbbb  cc"

    @pytest.mark.parametrize("words", ["which  of", "WWWWWWWW", "слово  ␣и"])
    def test_widths_are_those_on_the_page(self, words: str) -> None:
        figure = Figure(dpi=72)
        with style.theme():
            drawn = figure.text(0, 0, words, fontsize=text.SMALL)
            figure.draw_without_rendering()
            width = drawn.get_window_extent().width / 72
        assert text.inches(words) == pytest.approx(width, abs=0.05)

    def test_nothing_to_draw_is_no_line(self) -> None:
        assert text.token_lines("t:", ["ক", "ไทย"], 3, 4.0) == ""

    def test_a_row_without_any_refers_to_the_table(self, ten: xr.Dataset) -> None:
        ds = ten.assign(top_text=xr.full_like(ten["top_text"], "ক"))
        assert "see the table" in panels_of(draw(LOWEST, ds))[1].get_title("left")

    def test_dollars_are_not_mathematics(self, ten: xr.Dataset) -> None:
        ds = ten.assign(top_text=xr.full_like(ten["top_text"], r"$\x"))
        with style.theme():
            draw(LOWEST, ds).draw_without_rendering()


class TestPrior:
    def test_marks_are_the_shares(self, ten: xr.Dataset) -> None:
        ds = ten.copy(deep=True)
        ds["top_language_share"][:] = np.stack([np.arange(10) / 45, np.eye(10)[0]])
        (ax,) = panels_of(draw("section_5_1_prior", ds))
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert names[0] == "English"  # all neurons under the corpus prior
        assert names[1:3] == ["Chinese (Simplified)", "Bengali"]
        marks = {line.get_label(): line.get_xdata() for line in ax.get_lines()}
        np.testing.assert_allclose(marks["share of neurons, corpus prior"], np.eye(10)[0])
        uniform = [0, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        np.testing.assert_allclose(marks["share of neurons, uniform prior"], np.array(uniform) / 45)
        tokens = 1000 + 10 * np.array(uniform)
        np.testing.assert_allclose(marks["share of the text's tokens"], tokens / tokens.sum())

    def test_lines_are_the_intervals(self, ten: xr.Dataset) -> None:
        (ax,) = panels_of(draw("section_5_1_prior", ten))
        names = [label.get_text() for label in ax.get_yticklabels()]
        of = json.loads(ten.attrs["language_names"])
        _, *intervals = ax.collections
        for prior, lines in zip(("uniform", "corpus"), intervals, strict=True):
            at = ten.sel(prior=prior)
            drawn = dict(zip(names, lines.get_segments(), strict=True))
            for language in ten["language"].values:
                one = at.sel(language=language)
                ends = [float(one[f"top_language_share_{end}"]) for end in ("low", "high")]
                np.testing.assert_allclose(drawn[of[str(language)]][:, 0], ends)

    def test_shows_twenty_of_many_languages(self) -> None:
        figure = draw("section_5_1_prior", dataset(languages=108))
        (ax,) = panels_of(figure)
        assert len(ax.get_yticklabels()) == 20
        assert "20 of 108 languages" in figure.get_suptitle()


class TestCoverage:
    def test_every_neuron_is_counted_once(self, ten: xr.Dataset) -> None:
        entropy, covered, positive, negative = panels_of(draw("entropy_and_coverage", ten))
        for patch in entropy.patches:
            assert patch.get_data().values.sum() == 59  # neuron 2 has none
        for patch in covered.patches:
            assert patch.get_data().values.sum() == 60
        for ax in (positive, negative):
            assert ax.collections[0].get_array().sum() == 59
        assert entropy.patches[0].get_data().values[-1] >= 1  # log2(10) itself

    def test_says_how_many_are_ranked(self, ten: xr.Dataset) -> None:
        ax = panels_of(draw("entropy_and_coverage", ten))[2]
        enough = int((ten["coverage"].sel(sign="positive") >= 0.2).sum())
        assert ax.get_title() == f"positive weights\n{enough} of 60 covered enough, 1 not at all"

    def test_limits_are_drawn(self, ten: xr.Dataset) -> None:
        entropy, covered, *below = panels_of(draw("entropy_and_coverage", ten))
        assert entropy.get_lines()[0].get_xdata()[0] == pytest.approx(np.log2(10))
        assert covered.get_lines()[0].get_xdata()[0] == 0.2
        for ax in below:
            assert ax.get_lines()[0].get_ydata()[0] == pytest.approx(np.log2(10))
            assert ax.get_lines()[1].get_xdata()[0] == 0.2

    @pytest.mark.parametrize(("largest", "tokens"), [(1.0, 100), (0.65, 100), (1.0, 1), (0, 7)])
    def test_bins_hold_as_many_shares_each(self, largest: float, tokens: int) -> None:
        edges = coverage.coverage_bins(largest, tokens)
        shares = np.arange(round(edges[-1] * tokens + 0.5)) / tokens
        counts = np.histogram(shares, edges)[0]
        assert len(set(counts.tolist())) == 1
        assert edges[0] < 0
        assert edges[-1] > largest
        assert len(counts) <= coverage.BINS


class TestTree:
    def test_leaves_stand_in_the_order_of_the_tree(self) -> None:
        ids = ("en", "hi", "de", "bn")
        ds = dataset(ids, neurons=6)
        tree = np.array([[1, 3, 0.2, 2], [0, 2, 0.5, 2], [4, 5, 0.9, 4]], dtype=float)
        ds = ds.assign(linkage=(("merge", "column"), tree, {"units": "1 − r"}))
        (ax,) = panels_of(draw("language_tree", ds))
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels == ["Hindi [Deva]", "Bengali [Beng]", "English", "German"]
        (branches,) = ax.collections
        indic, germanic, root = branches.get_segments()
        np.testing.assert_allclose(indic, [(0, 0), (0.2, 0), (0.2, 1), (0, 1)])
        np.testing.assert_allclose(germanic, [(0, 2), (0.5, 2), (0.5, 3), (0, 3)])
        np.testing.assert_allclose(root, [(0.2, 0.5), (0.9, 0.5), (0.9, 2.5), (0.5, 2.5)])
        colours = [tuple(colour[:3]) for colour in branches.get_colors()]
        assert colours[0] == to_rgb(families.look("Indo-European, Indic").color)
        assert colours[1] == to_rgb(families.look("Indo-European, Germanic").color)
        assert colours[2] not in {to_rgb(hue) for hue in style.HUES}
        assert "1 − r" in ax.get_xlabel()

    def test_two_small_families_are_not_one(self) -> None:
        ds = dataset(("ja", "ko", "en"), neurons=6)
        tree = np.array([[0, 1, 0.2, 2], [2, 3, 0.9, 3]], dtype=float)
        ds = ds.assign(linkage=(("merge", "column"), tree, {"units": "1 − r"}))
        (ax,) = panels_of(draw("language_tree", ds))
        mixed = {tuple(colour) for colour in ax.collections[0].get_colors()}
        assert len(mixed) == 1

    def test_labels_can_be_read_and_name_scripts_once(self) -> None:
        ds = dataset(("sr-cyrl", "sr-latn", "en", "ja"), neurons=6)
        (ax,) = panels_of(draw("language_tree", ds))
        texts = [label.get_text() for label in ax.get_yticklabels()]
        assert not any(one.count("Cyrl") > 1 or "[Latn]" in one for one in texts)
        assert "Japanese [Jpan]" in texts
        for label in ax.get_yticklabels():
            assert contrast(label.get_color()) >= 4.5

    def test_the_page_grows_with_the_languages(self) -> None:
        few, many = (
            draw("language_tree", dataset(languages=n, neurons=6)).get_size_inches()[1]
            for n in (10, 120)
        )
        assert many - few == pytest.approx(110 * 0.145)


def contrast(colour: str) -> float:
    """Contrast with white, by the WCAG's formula."""
    red, green, blue = srgb_to_linear(np.array(to_rgb(colour)))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


class TestFamilies:
    def test_indo_european_is_parted_by_genus(self) -> None:
        assert families.group("Indo-European", "Indic") == "Indo-European, Indic"
        assert families.group("Indo-European", "Celtic") == "Indo-European, other"
        assert families.group("Altaic", "Turkic") == "Altaic"
        assert families.group("Basque", "Basque") == families.OTHERS

    def test_a_look_depends_on_nothing_but_the_family(self) -> None:
        some, many = (families.groups(dataset(ids, neurons=6)) for ids in (TEN, 400))
        assert {one: some[one] for one in some if one in many} == {
            one: many[one] for one in some if one in many
        }
        looks = [families.look(name) for name in families.GROUPS]
        assert len({(look.color, look.hatched) for look in looks}) == len(families.GROUPS)

    def test_every_group_has_languages_of_the_table(self) -> None:
        table = find_languages(known_languages()).values()
        known = {families.group(one.family, one.genus) for one in table}
        assert known == {*families.GROUPS, families.OTHERS}

    def test_grey_stays_apart_from_every_hue_for_colour_blind_readers(self) -> None:
        hues = [*style.HUES, families.GREY]
        linear = np.array([srgb_to_linear(np.array(to_rgb(hue))) for hue in hues])
        for simulate in (np.eye(3), *COLOUR_BLINDNESS):
            *lab, grey = to_lab(np.clip(linear @ np.asarray(simulate).T, 0, 1))
            assert min(np.linalg.norm(grey - one) for one in lab) > 15

    def test_legend_puts_the_others_last(self) -> None:
        drawn = [families.OTHERS, "Uralic", "Indo-European, Slavic", "Altaic"]
        labels = [handle.get_label() for handle in families.handles(drawn)]
        assert labels == ["Indo-European, Slavic", "Altaic", "Uralic", families.OTHERS]

    def test_ink_keeps_the_hue(self) -> None:
        for name in (*families.GROUPS, families.OTHERS):
            look = families.look(name)
            assert contrast(look.ink()) >= families.CONTRAST
        assert families.FamilyLook("#332288").ink() == "#332288"
