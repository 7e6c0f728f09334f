"""Captions: every one of every figure renders, and what it says is true of each configuration."""

import html
import re
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from jinja2 import meta, nodes
from pydantic import BaseModel

from neuroglot.analyses import ANALYSES, captions, wanted
from neuroglot.analyses.captions import TEMPLATES, listed, number, percent
from neuroglot.analyses.run import drawing
from neuroglot.config import Config, load
from neuroglot.errors import NeuroglotError

SIZES = {"udhr": 41, "django": 53, "sentences": 67, "held-out": 79, "facts": 83, "edits": 97}
CONFIGURATION: dict[str, Any] = {
    "languages": ["en", "de", "th"],
    "models": {
        "one": {"source": "pypi:one==1", "sha256": "0" * 64},
        "two": {"source": "pypi:two==1", "sha256": "0" * 64},
        "three": {"source": "owner/three", "revisions": ["step1", "step2"]},
    },
    "corpora": {
        "udhr": {"source": "udhr", "strip_punctuation": True},
        "django": {"source": "gettext", "strip_punctuation": True, "languages": ["en", "de"]},
        "sentences": {"source": "udhr", "strip_punctuation": True},
        "held-out": {"source": "udhr", "strip_punctuation": True, "skip_segments": 40},
    },
    "tasks": {
        "facts": {"source": "facts"},
        "edits": {"source": "edits"},
    },
    "perplexity": {"corpus": "held-out", "segments": 6, "tokens_per_segment": 32},
    "roles": {"corpora": ["udhr", "django"]},
    "lexicon": {"corpus": "udhr"},
    "sharing": {"tasks": ["facts", "edits"], "few_shot": ["edits"]},
    "experts": {"corpus": "udhr"},
    "transfer": {"corpus": "sentences", "tasks": ["facts"], "k": [5]},
    "lape": {"corpus": "udhr"},
    "routing": {"corpus": "udhr"},
    "agreement": {},
    "boost": {},
}


def configured(corpora: dict[str, dict[str, Any]] | None = None, **changed: Any) -> Config:
    """The configuration above with some settings of corpora, and some sections, changed."""
    texts = {
        name: {**text, **(corpora or {}).get(name, {}), **(corpora or {}).get("all", {})}
        for name, text in CONFIGURATION["corpora"].items()
    }
    return load({**CONFIGURATION, "corpora": texts, **changed})


RUNS = {
    "punctuation removed": configured(),
    "punctuation kept": configured({"all": {"strip_punctuation": False}}),
    "punctuation kept in one": configured({"django": {"strip_punctuation": False}}),
    "prefixes at subwords": configured({"all": {"prefix": "subword"}}),
    "one text": configured(
        roles={"corpora": ["django"]},
        perplexity={"corpus": "held-out", "segments": None, "tokens_per_segment": 48},
    ),
}
STEMS = [
    (name, family.name, stem)
    for name, analysis in ANALYSES.items()
    for family in analysis.figures
    for stem in (*family.stems, "table")
]


def counted(text: str, language: str) -> int:
    return SIZES[text] + 1000 * (language == "de")


def read_by(run: Config, name: str, steps: tuple[str, ...]) -> dict[str, captions.Usage]:
    scope = next(iter(wanted.scopes(run, ANALYSES[name], steps).values()))
    return captions.usages_of(run, ANALYSES[name], steps, scope)


def text_of(rendered: str) -> str:
    """The words of a caption, as they are read."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", rendered)).split())


@pytest.fixture(scope="module")
def datasets() -> dict[tuple[str, str], xr.Dataset]:
    return {}


@pytest.fixture
def data(request: pytest.FixtureRequest, datasets: dict[tuple[str, str], xr.Dataset]) -> xr.Dataset:
    """The synthetic dataset of a figure's family."""
    analysis, family = (request.getfixturevalue(name) for name in ("analysis", "family"))
    if (analysis, family) not in datasets:
        made = import_module(f"analyses.{analysis}.figure_data").dataset
        datasets[analysis, family] = made(family, languages=3, stacks={"decoder": 6})
    return datasets[analysis, family]


def template(analysis: str, stem: str) -> str:
    return ANALYSES[analysis].caption(stem).read_text("utf-8")


def written(
    run: Config, analysis: str, family: str, stem: str, data: xr.Dataset, finding: str = ""
) -> str:
    """The words of a caption in a run."""
    declared = ANALYSES[analysis]
    steps = declared.figure_set(family).steps
    model = None if declared.step(steps[0]).compares_models else "one"
    read = read_by(run, analysis, steps)
    return text_of(
        captions.caption(
            run, declared, stem, read, counted, model=model, data=data, finding=finding
        )
    )


every_caption = pytest.mark.parametrize(("analysis", "family", "stem"), STEMS)


class TestEveryCaption:
    @every_caption
    @pytest.mark.parametrize("name", RUNS)
    def test_what_it_says_is_true_of_the_run(
        self, analysis: str, family: str, stem: str, name: str, data: xr.Dataset
    ) -> None:
        run = RUNS[name]
        used = meta.find_undeclared_variables(TEMPLATES.parse(template(analysis, stem)))
        finding = ""
        if stem != "table":
            drawn = drawing(ANALYSES[analysis], ANALYSES[analysis].figure_set(family), stem)
            finding = drawn.finding(data)
        text = written(run, analysis, family, stem, data, finding)
        assert " ".join(finding.split()) in text
        assert not re.search(r"\bnan\b|\bNone\b|as configured", text)
        read = read_by(run, analysis, ANALYSES[analysis].figure_set(family).steps)
        if "texts" in used:
            for one in read:
                assert f"{one} (" in text
                assert f"{SIZES[one]} " in text
        over = {one for reading in read.values() for one in reading.over}
        if "rows" in used:
            assert ("Counted are prefixes" in text) == ("prefixes" in over)
            assert ("Counted is every token" in text) == ("every token" in over)
            assert ("Models are judged on" in text) == ("held-out segments" in over)
            removed = [run.corpora[one].strip_punctuation for one in read if one in run.corpora]
            assert ("was removed" in text) == any(removed)
            assert ("Punctuation was kept" in text) == (not all(removed))
        if stem != "table":
            assert "prefix" not in text or "prefixes" in over

    @every_caption
    def test_its_settings_are_those_of_the_run(
        self, analysis: str, family: str, stem: str, data: xr.Dataset
    ) -> None:
        """Another value of a setting that the caption uses makes another caption."""
        run = RUNS["punctuation removed"]
        used = list(TEMPLATES.parse(template(analysis, stem)).find_all(nodes.Getattr))
        for name, place in (("section", analysis), ("perplexity", "perplexity")):
            settings = getattr(run, place)
            keys = {
                one.attr: others(settings, one.attr)
                for one in used
                if isinstance(one.node, nodes.Name) and one.node.name == name
            }
            # A value may matter only beside a certain choice of another setting.
            choices = [{key: one} for key, all_ in keys.items() for one in all_ if str(one) == one]
            bases = [settings.model_copy(update=chosen) for chosen in ({}, *choices)]

            def words(told: BaseModel, place: str = place) -> str:
                changed = run.model_copy(update={place: told})
                return written(changed, analysis, family, stem, data)

            for key, values in keys.items():
                assert not values or any(
                    words(base.model_copy(update={key: value})) != words(base)
                    for base in bases
                    for value in values
                ), f"{name}.{key}"


def others(settings: BaseModel, key: str) -> list[Any]:
    """Another value of a setting; none of one that names something else."""
    value = getattr(settings, key)
    choices = typing.get_args(type(settings).model_fields[key].annotation)
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1]
        case float():
            return [value / 2 + 0.01]
        case str():
            return [one for one in choices if isinstance(one, str) and one != value]
        case list() if value and not isinstance(value[0], str):
            return [[*value[:-1], value[-1] / 2 + 0.01]]
    return []


WORD = "the text up to the end of each word, at the word's last subword"
ROWS = {
    (
        "roles",
        "flatness",
        "punctuation removed",
    ): f"Counted are prefixes of udhr and django: {WORD}; "
    "in Thai, up to each subword. Prefixes of one subword are left out. All punctuation but a "
    "segment's last mark was removed.",
    ("roles", "flatness", "punctuation kept"): f"Counted are prefixes of udhr and django: {WORD}; "
    "in Thai, up to each subword. Prefixes of one subword are left out. Punctuation was kept.",
    ("roles", "flatness", "punctuation kept in one"): "Counted are prefixes of udhr and django: "
    f"{WORD}; in Thai, up to each subword. Prefixes of one subword are left out. All punctuation "
    "but a segment's last mark was removed from udhr. Punctuation was kept in django.",
    (
        "roles",
        "flatness",
        "prefixes at subwords",
    ): "Counted are prefixes of udhr and django: the text "
    "up to each subword. Prefixes of one subword are left out. All punctuation but a segment's "
    "last mark was removed.",
    (
        "roles",
        "rsa",
        "one text",
    ): f"Counted are prefixes of django: {WORD}. Prefixes of one subword "
    "are left out. All punctuation but a segment's last mark was removed.",
    (
        "lape",
        "neurons",
        "punctuation kept",
    ): "Counted is every token of udhr; special tokens are left out. Punctuation was kept.",
    (
        "lape",
        "perplexity",
        "punctuation removed",
    ): "Counted is every token of udhr; special tokens are "
    "left out. Models are judged on at most 6 segments a language of held-out, on at "
    "most 32 tokens of each from its first. All "
    "punctuation but a segment's last mark was removed.",
    (
        "lape",
        "perplexity",
        "one text",
    ): "Counted is every token of udhr; special tokens are left out. "
    "Models are judged on all segments a language of held-out, on at most 48 tokens of each from "
    "its first. All punctuation but a "
    "segment's last mark was removed.",
    (
        "experts",
        "frequency",
        "punctuation kept",
    ): "Counted is every token of udhr; special tokens are left out. Punctuation was kept.",
    ("lexicon", "association", "punctuation kept"): "Counted is every token of udhr; "
    "special tokens are left out. Punctuation was kept.",
    ("sharing", "kinds", "punctuation kept"): "Counted are last tokens of prompts of facts and "
    "edits.",
    ("transfer", "neurons", "punctuation kept"): "Counted are last tokens of segments of "
    "sentences. Punctuation was kept.",
}


@pytest.mark.parametrize(("analysis", "step", "name"), ROWS)
def test_rows_are_what_the_recordings_are_over(analysis: str, step: str, name: str) -> None:
    run = RUNS[name]
    read = read_by(run, analysis, (step,))
    assert captions.rows_sentences(run, read) == ROWS[analysis, step, name]


def test_texts_are_named_with_source_and_size() -> None:
    run = RUNS["punctuation removed"]
    read = read_by(run, "roles", ("flatness",))
    assert captions.texts_sentence(run, read, counted) == (
        "Read: udhr (udhr: 41 to 1,041 segments in 3 languages) and django (gettext: 53 to 1,053 "
        "segments in 2 languages)."
    )
    read = read_by(run, "sharing", ("kinds",))
    assert captions.texts_sentence(run, read, lambda *_: 1) == (
        "Read: facts (facts: 1 item in 3 languages) and edits (edits: 1 item in 3 languages)."
    )
    assert captions.texts_sentence(run, {}, counted) == ""


def test_rounded_rows_are_said_where_they_are_read() -> None:
    """States are float32, which has more than 10 bits, and other rows float16, which has not."""
    steps = [("roles", "distance"), ("roles", "flatness"), ("sharing", "kinds")]
    steps += [("transfer", "neurons"), ("agreement", "agreement"), ("lape", "neurons")]
    said = {
        bits: {
            name: captions.rounding(run, read_by(run, *step))
            for step in [(name, (each,)) for name, each in steps]
            for name in ["/".join([step[0], *step[1]])]
        }
        for bits in (None, 10, 6)
        for run in [configured(capture={"keep_bits": bits})]
    }
    assert set(said[None].values()) == {""}
    assert {name for name, one in said[10].items() if one} == {
        "transfer/neurons",
        "agreement/agreement",
    }
    assert {name for name, one in said[6].items() if not one} == {"roles/flatness", "lape/neurons"}
    assert said[6]["roles/distance"] == (
        "<p>Recorded values of udhr and django were rounded to 6 bits after the leading 1.</p>\n"
    )


def test_figures_and_tables_say_that_rows_were_rounded() -> None:
    run, data = configured(capture={"keep_bits": 6}), xr.Dataset()
    assert written(run, "transfer", "alignment", "table", data).endswith(
        "Recorded values of sentences were rounded to 6 bits after the leading 1."
    )
    assert "rounded" not in written(configured(), "transfer", "alignment", "table", data)


def test_what_other_analyses_read_counts() -> None:
    run = RUNS["punctuation removed"]
    assert {
        name: {text: one.over for text, one in read_by(run, name, (step,)).items()}
        for name, step in (("agreement", "agreement"), ("boost", "boost"))
    } == {
        "agreement": {
            "udhr": ("every token",),
            "sentences": ("last token of each segment",),
            "facts": ("last prompt token",),
            "edits": ("last prompt token",),
        },
        "boost": {"udhr": ("every token",), "held-out": ("held-out segments",)},
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234, "1,234"),
        (-3, "−3"),
        (0.12345, "0.1235"),
        (1e-5, "1e−05"),
        (12345.6, "12,346"),
        (2.0, "2"),
        (float("nan"), "unknown"),
        (xr.DataArray(7), "7"),
    ],
)
def test_numbers_are_written_to_be_read(value: Any, shown: str) -> None:
    assert number(value) == shown


def test_shares_and_lists_are_written_to_be_read() -> None:
    assert [percent(share) for share in (0.125, 1, 0.0005)] == ["12.5 %", "100 %", "0.05 %"]
    assert [listed(names) for names in ([], ["a"], ["a", 2], "abc")] == [
        "none",
        "a",
        "a and 2",
        "a, b and c",
    ]


class TestRendering:
    HOSTILE = (
        "<script>alert(1)</script> *a* `b` |c| d_ \\ ``\n\n.. raw:: html\n\n   <b> \ue000 {{ x }}"
    )

    def render(self, folder: Path, text: str, **context: Any) -> str:
        path = folder / "caption.rst"
        path.write_text(text, "utf-8")
        return captions.rendered(path, context)

    def test_a_value_is_text_wherever_it_stands(self, tmp_path: Path) -> None:
        text = "A ``{{ x }}``, *{{ x }}*, {{ [x, x] | listed }}.\n\n{{ x }}"
        rendered = self.render(tmp_path, text, x=self.HOSTILE)
        assert set(re.findall(r"<(\w+)", rendered)) == {"p", "em", "span"}
        assert html.unescape(rendered).count(self.HOSTILE) == 5

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{{ y }}", "'y' is undefined"),
            ("{{ x.y }}", "no attribute 'y'"),
            ("{{ none }}", "a value is None"),
            ("{% if x %}", "Unexpected end of template"),
            ("An *emphasis", "without end-string"),
            ("A `reference`_", 'Unknown target name: "reference"'),
            (".. include:: /etc/passwd", "directive disabled"),
            ("A ``{{ x }}``s", "without end-string"),
        ],
    )
    def test_a_faulty_template_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(NeuroglotError, match=re.escape(message)) as raised:
            self.render(tmp_path, text, x="a")
        assert str(raised.value).startswith(str(tmp_path / "caption.rst"))

    def test_a_missing_template_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NeuroglotError, match=r"caption\.rst"):
            captions.rendered(tmp_path / "caption.rst", {})
