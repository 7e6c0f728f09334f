"""A folder's weights are linked, and the card pins what they were."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from neuroglot.errors import NeuroglotError
from neuroglot.models.card import ModelCard
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import WEIGHTS_INDEX, ModelSettings
from support.tiny_checkpoints import write_checkpoint

torch.set_num_threads(1)


def make(folder: Path, tmp_path: Path, name: str = "m") -> tuple[ModelCard, Path]:
    made = tmp_path / "models" / name
    return normalise(ModelSettings(source=str(folder)), made), made


def shards_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*-of-*.safetensors"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "sharded", max_shard_size="30KB")
    assert len(shards_of(folder)) > 2
    return folder


def test_weights_are_linked_and_settings_copied(sharded: Path, tmp_path: Path) -> None:
    card, made = make(sharded, tmp_path)
    for shard in shards_of(sharded):
        assert (made / shard.name).is_symlink()
        assert (made / shard.name).samefile(shard)
        assert shard.name in card.files
    for name in (WEIGHTS_INDEX, "config.json", "tokenizer.json"):
        assert not (made / name).is_symlink()


def test_without_links_weights_are_copied(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked, _ = make(sharded, tmp_path, "linked")

    able = Path.symlink_to

    def unable(link: Path, target: Path) -> None:
        if link.is_relative_to(tmp_path / "models"):
            raise PermissionError("Operation not permitted")
        able(link, target)

    monkeypatch.setattr(Path, "symlink_to", unable)
    card, made = make(sharded, tmp_path)
    assert card.sha256 == linked.sha256
    assert not any((made / shard.name).is_symlink() for shard in shards_of(sharded))
    shutil.rmtree(sharded)
    load(made, "cpu")


def overwrite(shard: Path) -> None:
    with shard.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\0")


def replace(shard: Path) -> None:
    weights = load_file(shard)
    new = shard.with_suffix(".new")
    save_file({name: weight + 1 for name, weight in weights.items()}, new, {"format": "pt"})
    new.replace(shard)


@pytest.mark.parametrize("change", [overwrite, replace, Path.unlink])
def test_a_linked_folder_that_changes_is_refused_and_made_again(
    sharded: Path, tmp_path: Path, change: Any
) -> None:
    card, made = make(sharded, tmp_path)
    load(made, "cpu")
    shard = shards_of(sharded)[2]
    before = shard.read_bytes()
    change(shard)
    state = "has changed" if shard.is_file() else "is gone"
    said = re.escape(f"is a link to {shard.resolve()}, which {state}; remove {made}")
    with pytest.raises(NeuroglotError, match=said):
        load(made, "cpu")
    if not shard.is_file():
        shard.write_bytes(before)
        load(made, "cpu")
        return
    again, _ = make(sharded, tmp_path)
    assert again.sha256 != card.sha256
    load(made, "cpu")


def test_a_working_folder_can_be_moved_as_a_whole(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    sharded.rename(here / "sharded")
    monkeypatch.chdir(here)
    normalise(ModelSettings(source="./sharded"), Path("results/models/m"))
    monkeypatch.chdir(tmp_path)
    load(here / "results/models/m", "cpu")
    here.rename("there")
    load(Path("there/results/models/m"), "cpu")


def test_results_can_lie_elsewhere_and_be_moved(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, disk = tmp_path / "here", tmp_path / "disk" / "deep"
    here.mkdir()
    disk.mkdir(parents=True)
    (here / "results").symlink_to(disk)
    sharded.rename(here / "sharded")
    monkeypatch.chdir(here)
    normalise(ModelSettings(source="./sharded"), Path("results/models/m"))
    load(Path("results/models/m"), "cpu")
    disk.rename(tmp_path / "disk2")
    load(tmp_path / "disk2/models/m", "cpu")
