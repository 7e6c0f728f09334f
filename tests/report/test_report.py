"""The report: one page that needs nothing else, with all results; a user's words are text."""

import contextlib
import io
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from analyses.roles.figure_data import datasets
from neuroglot import layout, ownership, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Analysis
from neuroglot.analyses.described import described
from neuroglot.config import Config, load, load_file
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.figures.style import Drawing
from neuroglot.models.card import CARD, ModelCard, write_card
from neuroglot.report import results, write_report
from neuroglot.report.results import SHOWN_ROWS, picture

HOSTILE = '<script>alert("1")</script>&amp;\'"'
VOID = {"meta", "img"}
ROLES = ANALYSES["roles"]
CAPTION = """\
{{ finding }} Shown is ``{{ model }}`` of *{{ data.attrs["analysis"] }}*,
{{ section.replicates | number }} times.

{{ texts }} {{ rows }}

After Figure 1.
"""


@contextlib.contextmanager
def steps_of_a_run(folder: Path) -> Iterator[Config]:
    """A folder with finished results of roles: two models, two texts, hostile words."""
    path = f"texts/{HOSTILE}/{{language}}.tsv"
    for language in ("en", "de", "th"):
        file = folder / path.format(language=language)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a\tb\n")
    (folder / HOSTILE).mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / HOSTILE / name).write_text("{}")
    with contextlib.chdir(folder):
        given: dict[str, Any] = {
            "languages": ["en", "de"],
            "language_table": [
                {"tag": "de", "name": HOSTILE, "family": HOSTILE, "genus": "g", "script": "Latn"}
            ],
            "models": {name: {"source": f"./{HOSTILE}"} for name in ("one", "two")},
            "corpora": {
                "django": {"source": "text", "path": path, "strip_punctuation": True},
                "udhr": {"source": "text", "path": path, "languages": ["en", "de", "th"]},
            },
            "roles": {"corpora": ["udhr", "django"]},
        }
        config = load(given)
        by_id = {"models": config.models, "corpora": config.corpora, "tasks": config.tasks}
        ownership.remember(layout.RESULTS, given, [Path(f"{HOSTILE}.yaml")], by_id)
        for number, model in enumerate(config.models):
            layout.model(model).mkdir(parents=True)
            write_card(layout.model(model), card(number))
        for number, corpus in enumerate(config.corpora):
            for language in config.corpus_languages(corpus):
                segments = tuple(Segment(f"s{i}", HOSTILE) for i in range(11 + number))
                write_parquet(Reading(segments), layout.corpus(corpus, language))
                tokens = layout.tokens("one", corpus, language)
                store.begin(tokens, "tokens", {})
                store.complete(tokens, "tokens", {}, {"rows": 1234, "segments": len(segments)})
        write_results(config)
        yield config


def card(number: int) -> ModelCard:
    return ModelCard(
        model_type="llama",
        architecture="",
        architectures=("Llama",),
        stacks={"decoder": 6},
        layers=6,
        neurons=(700,) * 6,
        hidden=350,
        vocabulary=99,
        activation="silu",
        gated=True,
        context_window=None,
        dtype="float32",
        parameters=123456 + number,
        source="",
        files={},
        sha256=str(number),
    )


def write_results(config: Config) -> None:
    """A dataset, tables and pictures of every step and family."""
    synthetic = datasets(languages=2, stacks={"decoder": 2}, neurons=9, rows=3, depths=(2, 3))
    of_step = {one.steps[0]: synthetic[one.name] for one in ROLES.figures if one.name in synthetic}
    rng = np.random.default_rng(1)
    for step in wanted.steps(config, ROLES):
        data = of_step.get(step.name, synthetic["flatness"])
        data = described(data, {"flatness_mean": f"mean of {HOSTILE}"})
        data = data.assign_attrs(paper=HOSTILE, reduction=step.name)
        for model in wanted.scopes(config, ROLES, [step.name]):
            path = layout.reduction("roles", step.name, model)
            store.begin(path, "reduction", {})
            store.write_dataset(path, data)
            store.complete(path, "reduction", {}, {})
            for table in step.tables:
                rows = pd.DataFrame({"layer": range(1, 31), "flatness_mean": 0.5, "token": HOSTILE})
                rows.to_csv(path.with_name(f"{table}.csv"), index=False)
    for family in wanted.figure_sets(config, ROLES):
        for model in wanted.scopes(config, ROLES, family.steps):
            folder = layout.figures("roles", model)
            folder.mkdir(parents=True, exist_ok=True)
            for stem in family.stems:
                pixels = rng.integers(0, 255, (8, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{stem}.png")
                (folder / f"{stem}.svg").write_text("<svg/>")


class Page(HTMLParser):
    """A page's elements and words; it must be well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def captions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    for stem in ["table", *(stem for family in ROLES.figures for stem in family.stems)]:
        (folder / f"{stem}.rst").write_text(CAPTION, "utf-8")
    return folder


@pytest.fixture(scope="module")
def finding() -> Drawing:
    return Drawing(lambda _data: pytest.fail("nothing is drawn"), lambda _data: f"It is {HOSTILE}.")


@pytest.fixture(scope="module", autouse=True)
def _stand_ins(captions_folder: Path, finding: Drawing) -> Iterator[None]:
    """Captions that use every name, and findings that hold hostile words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Analysis, "caption", lambda _self, stem: captions_folder / f"{stem}.rst")
        patch.setattr("neuroglot.report.results.drawing", lambda *_: finding)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with steps_of_a_run(tmp_path_factory.mktemp("run")) as config:
        yield config


@pytest.fixture(scope="module")
def page(finished: Config) -> Page:
    write_report(finished, layout.REPORT)
    return Page(layout.REPORT.read_text("utf-8"))


FIGURES = [
    (model, stem)
    for family in ROLES.figures
    if family.name != "training"  # no model has revisions here
    for stem in family.stems
    for model in ([None] if family.name == "rsa" else ["one", "two"])
]


class TestPage:
    def test_it_needs_nothing_else_and_runs_nothing(self, page: Page) -> None:
        assert not {"script", "iframe", "object", "embed", "link", "form", "base"} & {
            tag for tag, _ in page.elements
        }
        loaded = [value for _, one in page.elements for name, value in one.items() if name == "src"]
        assert loaded
        assert all(value.startswith("data:image/webp;base64,") for value in loaded)
        assert not [name for _, one in page.elements for name in one if name.startswith("on")]
        [policy] = [one for one in page.all("meta") if "http-equiv" in one]
        assert policy["content"].startswith("default-src 'none'")
        assert "url(" not in layout.REPORT.read_text("utf-8")

    def test_links_lead_somewhere(self, page: Page) -> None:
        ids = Counter(one["id"] for _, one in page.elements if "id" in one)
        assert set(ids.values()) == {1}
        links = [one["href"] for one in page.all("a")]
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
        files = [unquote(link) for link in links if not link.startswith("#")]
        assert files
        assert [file for file in files if not (layout.REPORT.parent / file).is_file()] == []

    def test_words_of_the_user_are_text(self, page: Page) -> None:
        assert page.text.count(HOSTILE) > 100

    def test_every_figure_is_there_with_its_words(self, page: Page) -> None:
        places = [one["id"] for one in page.all("figure") if "id" in one]
        assert sorted(places) == sorted(f"roles.{model or ''}.{stem}" for model, stem in FIGURES)
        front = ["figure_12_detector_rank_correlation"]
        pictures = page.all("img")
        assert len(pictures) == len(FIGURES) + len(front)
        assert all(HOSTILE in one["alt"] for one in pictures)
        assert {(one["width"], one["height"]) for one in pictures} == {("12", "8")}
        assert page.text.count(f"It is {HOSTILE}. Shown is") == len(pictures)
        links = {one["href"] for one in page.all("a")}
        for model, stem in FIGURES:
            assert f"roles/{model + '/' if model else ''}figures/{stem}.svg" in links

    def test_every_table_is_there_and_says_what_it_holds(self, page: Page) -> None:
        tables = [
            path.relative_to(layout.RESULTS).as_posix() for path in layout.RESULTS.rglob("*.csv")
        ]
        links = [one["href"] for one in page.all("a")]
        assert len(tables) == 17
        assert sorted(link for link in links if link.endswith(".csv")) == sorted(tables)
        assert page.text.count("flatness: 30 rows") == 2
        assert page.text.count(f"The first {SHOWN_ROWS} rows:") == len(tables)
        assert f"mean of {HOSTILE}" in page.text

    def test_it_says_what_was_read(self, page: Page) -> None:
        for said in (
            "llama, gated silu6700123,456",
            "123,456",
            "123,457",
            "English",
            "Thai",
            "segmentstokens of one",
            "11 segments in 2 languages",
            "12 segments in 3 languages",
            "1,234",
            "replicates: 200",
            f"torch{dict(ownership.versions())['torch']}",
        ):
            assert said in page.text, said
        assert "All punctuation but a segment's last mark was removed from django" in page.text

    def test_it_is_made_alike_each_time(self, finished: Config, page: Page) -> None:
        before = layout.REPORT.read_bytes()
        write_report(finished, layout.REPORT)
        assert layout.REPORT.read_bytes() == before

    def test_the_kept_configuration_makes_it(self, finished: Config, page: Page) -> None:
        before = layout.REPORT.read_bytes()
        write_report(load_file(layout.CONFIGURATION), layout.REPORT)
        assert layout.REPORT.read_bytes() == before

    def test_links_are_relative_to_where_it_lies(self, finished: Config, tmp_path: Path) -> None:
        write_report(finished, tmp_path / "deep" / "report.html")
        moved = Page((tmp_path / "deep" / "report.html").read_text("utf-8"))
        links = [unquote(one["href"]) for one in moved.all("a") if not one["href"].startswith("#")]
        assert all((tmp_path / "deep" / link).is_file() for link in links)


class TestFaults:
    def test_all_captions_that_cannot_be_rendered_are_named(
        self, finished: Config, captions_folder: Path, tmp_path: Path
    ) -> None:
        faulty = ["figure_02_detector_activation_frequency", "table"]
        for stem in faulty:
            (captions_folder / f"{stem}.rst").write_text("{{ unknown }}", "utf-8")
        (captions_folder / "figure_16_overlap.rst").unlink()
        try:
            with pytest.raises(NeuroglotError) as raised:
                write_report(finished, tmp_path / "report.html")
        finally:
            for stem in (*faulty, "figure_16_overlap"):
                (captions_folder / f"{stem}.rst").write_text(CAPTION, "utf-8")
        message = str(raised.value)
        assert len(message.splitlines()) == 3
        assert all(f"{stem}.rst" in message for stem in (*faulty, "figure_16_overlap"))
        assert not (tmp_path / "report.html").exists()

    @pytest.mark.parametrize(
        "file",
        [
            "roles/one/flatness.zarr/complete.json",
            "roles/one/flatness.csv",
            "roles/two/figures/figure_16_overlap.png",
            "corpora/udhr/th.parquet",
            f"models/one/{CARD}",
        ],
    )
    def test_a_missing_result_stops_it(self, finished: Config, file: str, tmp_path: Path) -> None:
        path = layout.RESULTS / file
        kept = path.read_bytes()
        path.unlink()
        try:
            with pytest.raises((NeuroglotError, OSError), match=re.escape(Path(file).parts[-2])):
                write_report(finished, tmp_path / "report.html")
        finally:
            path.write_bytes(kept)
        assert not (tmp_path / "report.html").exists()


def test_a_picture_loses_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = picture(tmp_path / "a.png")
    assert (shown.width, shown.height) == (30, 20)
    with Image.open(io.BytesIO(b64decode(shown.uri.partition(",")[2]))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n1,2,3\n", b"a\n\xff\n"])
def test_a_damaged_table_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(NeuroglotError, match=r"a\.csv cannot be read as a table"):
        results.table(path, xr.Dataset(), "")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20), "red").save(path)
    whole = path.read_bytes()
    for length in range(whole.index(b"IDAT")):
        path.write_bytes(whole[:length])
        with pytest.raises(NeuroglotError, match="a.png: cannot be read as a picture"):
            picture(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(NeuroglotError):
            picture(path)


def test_figures_of_the_first_section_are_declared() -> None:
    front = {
        name: [stem for family in analysis.figures for stem in family.front]
        for name, analysis in ANALYSES.items()
    }
    assert {name for name, stems in front.items() if stems} == {
        "roles",
        "lexicon",
        "sharing",
        "experts",
        "lape",
        "routing",
    }
    assert all(
        stem in family.stems
        for analysis in ANALYSES.values()
        for family in analysis.figures
        for stem in family.front
    )
