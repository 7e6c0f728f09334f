"""Models from folders, packages and the Hub become one form, and impossible sources are refused."""

import hashlib
import json
import shutil
import zipfile

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf, normalise
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import context_window, digest, read_card
from neuroglot.models.source import ModelSettings
from support.tiny_checkpoints import TEXTS, write_checkpoint, write_gguf

torch.set_num_threads(1)
ANY_SHA256 = "0" * 64


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def checkpoint(llama, tmp_path):
    """A copy of the tiny Llama that a test may damage."""
    return shutil.copytree(llama, tmp_path / "checkpoint")


def edit(folder, name="config.json", **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def make(folder, tmp_path):
    return normalise.normalise(ModelSettings(source=str(folder)), tmp_path / "models" / "m")


# Settings


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"source": "pypi:name==1.0", "sha256": ANY_SHA256}, "package"),
        ({"source": "Qwen/Qwen3-0.6B"}, "hub"),
        ({"source": "hub:Qwen/Qwen3-0.6B", "revision": "main"}, "hub"),
        ({"source": "hub:gpt2"}, "hub"),
    ],
)
def test_settings_know_their_kind(settings, kind):
    assert ModelSettings(**settings).source_type == kind


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "pypi:name"}, "malformed package"),
        ({"source": "pypi:name==1.0"}, "has no sha256"),
        ({"source": "pypi:name==1.0", "sha256": "abc"}, "sha256"),
        ({"source": "npm:name@1.0.0", "sha256": ANY_SHA256}, "from pypi alone"),
        ({"source": "./nowhere"}, "does not exist; a model's source is"),
        ({"source": "~/nowhere-at-all"}, "does not exist"),
        ({"source": "gpt2"}, "is no source; a model's source is a package"),
        ({"source": "a/b/c"}, "is no source"),
        ({"source": "hub:a/../b"}, "is no source"),
        ({"source": ""}, "at least 1 character"),
        ({"source": "~no-such-user/model"}, "does not exist"),
        ({"source": "a/b", "sha256": ANY_SHA256}, "sha256 belongs to packages"),
        ({"source": "a/b", "dtype": "float32"}, "dtype"),
        (
            {"source": "pypi:name==1.0", "sha256": ANY_SHA256, "revision": "main"},
            "revision belongs to Hub ids",
        ),
    ],
)
def test_settings_refuse_what_cannot_be(settings, message):
    with pytest.raises(ValidationError, match=message):
        ModelSettings(**settings)


def test_an_existing_folder_goes_before_a_hub_id(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    assert ModelSettings(source="./checkpoint").folder.is_dir()
    assert ModelSettings(source="checkpoint").source_type == "folder"


def test_folder_without_config_is_refused(checkpoint):
    (checkpoint / "config.json").unlink()
    with pytest.raises(ValidationError, match=r"has no config.json"):
        ModelSettings(source=str(checkpoint))


def test_folder_with_pickles_alone_is_refused(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ValidationError, match=r"only as pytorch_model\.bin.*save_pretrained"):
        ModelSettings(source=str(checkpoint))


def test_folder_without_weights_is_refused(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ValidationError, match=r"no model\.safetensors"):
        ModelSettings(source=str(checkpoint))


# Folders


def test_folder_becomes_a_model_with_a_card(llama, tmp_path):
    before = digest(llama)
    card = make(llama, tmp_path)
    model = tmp_path / "models" / "m"
    assert read_card(model) == card
    assert card.sha256 == digest(model)
    assert digest(llama) == before
    assert [p.name for p in model.parent.iterdir()] == ["m"]
    assert card.model_dump(exclude={"sha256", "files", "check", "source", "parameters"}) == {
        "format": 3,
        "reinitialised": None,
        "model_type": "llama",
        "architecture": architecture_digest("llama"),
        "architectures": ("LlamaForCausalLM",),
        "stacks": {"decoder": 2},
        "layers": 2,
        "neurons": (24, 24),
        "hidden": 16,
        "vocabulary": 400,
        "activation": "silu",
        "gated": True,
        "context_window": 128,
        "dtype": "float32",
    }
    # Embeddings and output (400 x 16 each), the final norm, and per layer two norms, attention
    # (16 x 16 twice, 8 x 16 twice) and three FFN matrices.
    layer = 2 * 16 + 2 * 16 * 16 + 2 * 8 * 16 + 3 * 24 * 16
    assert card.parameters == 2 * 400 * 16 + 16 + 2 * layer
    original, kept = (load_file(folder / "model.safetensors") for folder in (llama, model))
    assert original.keys() == kept.keys()
    assert all(torch.equal(original[name], kept[name]) for name in original)


@pytest.mark.parametrize(
    ("model_type", "stacks", "gated"),
    [
        ("gpt2", {"decoder": 2}, False),
        ("gemma3_text", {"decoder": 2}, True),
        ("m2m_100", {"encoder": 2, "decoder": 3}, False),
    ],
)
def test_other_architectures(tmp_path, model_type, stacks, gated):
    card = make(write_checkpoint(tmp_path / "source", model_type), tmp_path)
    assert (card.stacks, card.layers, card.gated) == (stacks, sum(stacks.values()), gated)
    assert card.context_window == 128


def test_result_does_not_follow_later_changes_of_the_folder(checkpoint, tmp_path):
    card = make(checkpoint, tmp_path)
    with (checkpoint / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\0")
    assert digest(tmp_path / "models" / "m") == card.sha256
    assert make(checkpoint, tmp_path).sha256 != card.sha256


def test_shards(llama, tmp_path):
    sharded = write_checkpoint(tmp_path / "sharded", max_shard_size="30KB")
    shards = sorted(sharded.glob("model-*.safetensors"))
    assert len(shards) > 1
    card = make(sharded, tmp_path)
    assert card.parameters == make(llama, tmp_path).parameters
    shards[1].unlink()
    with pytest.raises(ValidationError, match=f"lacks {shards[1].name}"):
        ModelSettings(source=str(sharded))


def test_index_that_points_outside_is_refused(tmp_path):
    sharded = write_checkpoint(tmp_path / "sharded", max_shard_size="30KB")
    edit(sharded, "model.safetensors.index.json", weight_map={"a": "../secret.safetensors"})
    with pytest.raises(ValidationError, match="shards lie beside the index"):
        ModelSettings(source=str(sharded))


def test_bfloat16_stays_bfloat16(checkpoint, tmp_path):
    weights = load_file(checkpoint / "model.safetensors")
    halved = {name: weight.bfloat16() for name, weight in weights.items()}
    save_file(halved, checkpoint / "model.safetensors", metadata={"format": "pt"})
    assert make(checkpoint, tmp_path).dtype == "bfloat16"


def test_authors_code_is_neither_taken_nor_named(checkpoint, tmp_path):
    edit(checkpoint, auto_map={"AutoModelForCausalLM": "modeling.Model"})
    (checkpoint / "modeling.py").write_text("raise SystemExit('this ran')")
    make(checkpoint, tmp_path)
    model = tmp_path / "models" / "m"
    assert not list(model.glob("*.py"))
    assert "auto_map" not in (model / "config.json").read_text()


def test_an_architecture_that_needs_authors_code_is_refused(checkpoint, tmp_path):
    edit(checkpoint, model_type="novel", auto_map={"AutoConfig": "modeling.Config"})
    (checkpoint / "modeling.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(NeuroglotError, match=r"'novel' needs code.*never run"):
        make(checkpoint, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "architecture 'mamba'"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "mixture of experts"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised .gptq."),
    ],
)
def test_unusable_models_are_refused_before_weights_are_read(
    checkpoint, tmp_path, changes, message
):
    edit(checkpoint, **changes)
    damage_header(checkpoint / "model.safetensors")  # which would be the message
    with pytest.raises(NeuroglotError, match=message):
        make(checkpoint, tmp_path)
    assert not list((tmp_path / "models").iterdir())


def damage_header(weights):
    weights.write_bytes(b"\xff" * 64)


def truncate(weights):
    weights.write_bytes(weights.read_bytes()[:-100])


def rewritten(change):
    def damage(weights):
        tensors = load_file(weights)
        change(tensors, "model.layers.1.mlp.up_proj.weight")
        save_file(tensors, weights, metadata={"format": "pt"})

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_header, r"model\.safetensors is not a whole safetensors file"),
        (truncate, r"model\.safetensors is not a whole safetensors file"),
        (rewritten(lambda t, n: t[n][0, 0].fill_(torch.nan)), "up_proj.weight.*NaN or infinite"),
        (rewritten(lambda t, n: t[n][0, 0].fill_(torch.inf)), "up_proj.weight.*NaN or infinite"),
        (rewritten(lambda t, n: t.pop(n)), r"weights lack model\.layers\.1\.mlp\.up_proj\.weight"),
        (rewritten(lambda t, n: t.update({n: t[n][:5].clone()})), "another shape.*up_proj"),
    ],
    ids=["header", "truncated", "nan", "infinite", "missing", "shape"],
)
def test_damaged_weights_are_refused(checkpoint, tmp_path, damage, message):
    damage(checkpoint / "model.safetensors")
    with pytest.raises(NeuroglotError, match=message):
        make(checkpoint, tmp_path)
    assert not list((tmp_path / "models").iterdir())


def test_tokenizer_json_is_made_from_older_files(checkpoint, tmp_path):
    model = json.loads((checkpoint / "tokenizer.json").read_text())["model"]
    (checkpoint / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(merge) for merge in model["merges"])
    (checkpoint / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (checkpoint / "tokenizer.json").unlink()
    edit(checkpoint, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    make(checkpoint, tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "models" / "m" / "tokenizer.json"))
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_damaged_tokenizer_is_refused(checkpoint, tmp_path):
    (checkpoint / "tokenizer.json").write_text("{}")
    with pytest.raises(NeuroglotError, match=r"tokenizer\.json cannot be read"):
        make(checkpoint, tmp_path)


def test_leftovers_of_an_interrupted_run_are_replaced(llama, tmp_path):
    for name in (".m.partial", "m"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model-00001-of-00002.safetensors").write_text("half")
    card = make(llama, tmp_path)
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["m"]
    assert digest(tmp_path / "models" / "m") == card.sha256


def test_a_model_is_not_made_of_itself(checkpoint):
    with pytest.raises(NeuroglotError, match="both a model's source and its result"):
        normalise.normalise(ModelSettings(source=str(checkpoint)), checkpoint)
    assert (checkpoint / "model.safetensors").is_file()


# Cards


def test_a_folder_without_card_is_not_complete(tmp_path):
    with pytest.raises(NeuroglotError, match="not a complete model"):
        read_card(tmp_path)


def test_a_card_of_another_format_is_refused(llama, tmp_path):
    make(llama, tmp_path)
    edit(tmp_path / "models" / "m", "card.json", format=1, neurons=24)
    with pytest.raises(NeuroglotError, match=r"card\.json: format: .*; make the model again"):
        read_card(tmp_path / "models" / "m")


def test_digest_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = digest(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    assert digest(tmp_path) == first
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    assert digest(tmp_path) != first


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"model_type": "llama", "max_position_embeddings": 8192}, 8192),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "t5", "n_positions": 512}, None),
        ({"model_type": "bloom"}, None),
    ],
)
def test_context_window(config, window):
    assert context_window(config) == window


# The Hub


def test_hub_model_is_taken_at_its_commit(llama, tmp_path, monkeypatch):
    import huggingface_hub

    snapshot = shutil.copytree(llama, tmp_path / "snapshots" / "abc123")
    asked = {}

    def download(repository, revision, allow_patterns):
        asked.update(repository=repository, revision=revision)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings = ModelSettings(source="Owner/Name", revision="v1")
    card = normalise.normalise(settings, tmp_path / "models" / "m")
    assert asked == {"repository": "Owner/Name", "revision": "v1"}
    assert card.source == "hub:Owner/Name@abc123"
    weights = tmp_path / "models" / "m" / "model.safetensors"
    assert weights.samefile(snapshot / "model.safetensors")


def test_hub_out_of_reach_names_the_alternatives(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        NeuroglotError, match=r"cannot get no-owner/no-model.*HF_HUB_OFFLINE.*pypi:"
    ):
        normalise.normalise(ModelSettings(source="no-owner/no-model"), tmp_path / "m")
    assert not list(tmp_path.iterdir())


# Packages


def write_wheel(folder, name, members, requires=()):
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    stem = name.replace("-", "_")
    with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}/__init__.py", "raise SystemExit('this ran')")
        wheel.writestr(f"{stem}-1.0.dist-info/METADATA", metadata)
        for member, content in members.items():
            wheel.writestr(f"{stem}/data/{member}", content)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder of wheels that stands for the registry."""
    shelf = tmp_path / "wheels"
    shelf.mkdir()

    def fetch(ref, folder):
        name = f"{ref.name.replace('-', '_')}-{ref.version}-py3-none-any.whl"
        if not (shelf / name).is_file():
            raise NeuroglotError(f"cannot fetch {ref}")
        return [shutil.copy(shelf / name, folder / name)]

    monkeypatch.setattr(gguf, "fetch", fetch)
    return shelf


@pytest.fixture(scope="session")
def gguf_file(llama, tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", llama)


def package(content):
    sha256 = hashlib.sha256(content).hexdigest()
    return ModelSettings(source="pypi:tiny-model==1.0", sha256=sha256)


@pytest.mark.parametrize(
    "suffixes",
    [(), ("part00", "part01", "part02"), tuple(f"part{i}" for i in range(1, 12))],
    ids=["whole", "from-zero", "past-nine"],
)
def test_package_with_gguf_becomes_the_same_model(llama, gguf_file, wheels, tmp_path, suffixes):
    content, model = gguf_file.read_bytes(), tmp_path / "models" / "m"
    if suffixes:
        size = -(-len(content) // len(suffixes))
        for i, suffix in enumerate(suffixes):
            part = {f"tiny.gguf.{suffix}": content[i * size : (i + 1) * size]}
            write_wheel(wheels, f"tiny-model-{suffix}", part)
        requires = [f"tiny-model-{suffix}==1.0" for suffix in reversed(suffixes)]
        write_wheel(wheels, "tiny-model", {}, [*requires, "unrelated==2.0", 'x==1; extra == "t"'])
    else:
        write_wheel(wheels, "tiny-model", {"tiny.gguf": content}, ["unrelated>=2", "llm"])
    card = normalise.normalise(package(content), model)
    assert card.source == "pypi:tiny-model==1.0"
    assert (card.model_type, card.dtype, card.context_window) == ("llama", "float32", 128)
    assert sorted(p.suffix for p in model.iterdir()) == sorted([*[".json"] * 5, ".safetensors"])
    original, kept = (load_file(folder / "model.safetensors") for folder in (llama, model))
    assert original.keys() == kept.keys()
    assert all(torch.equal(original[name], kept[name]) for name in original)


def test_gguf_tokenizer_is_the_models_own(llama, gguf_file, wheels, tmp_path):
    content = gguf_file.read_bytes()
    write_wheel(wheels, "tiny-model", {"tiny.gguf": content})
    normalise.normalise(package(content), tmp_path / "m")
    original, kept = (
        Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (llama, tmp_path / "m")
    )
    for text in (*TEXTS, "ᚠᛇᚻ 👩‍👩‍👧", "two  spaces\tand\nlines ", "</s> inside"):
        assert kept.encode(text).ids == original.encode(text).ids
        plain = kept.encode(text, add_special_tokens=False).ids
        assert kept.decode(plain, skip_special_tokens=False) == text
    split = json.loads((tmp_path / "m" / "tokenizer.json").read_text())["pre_tokenizer"]
    assert [step["type"] for step in split["pretokenizers"]] == ["Digits", "ByteLevel"]
    assert split["pretokenizers"][0]["individual_digits"]


def test_gguf_with_an_unknown_split_is_refused(llama, wheels, tmp_path):
    content = write_gguf(tmp_path / "odd.gguf", llama, split="invented").read_bytes()
    write_wheel(wheels, "tiny-model", {"odd.gguf": content})
    with pytest.raises(NeuroglotError, match=r"tiny-model==1.0.*splits text as 'invented'"):
        normalise.normalise(package(content), tmp_path / "m")


def test_gguf_with_another_digest_is_refused(gguf_file, wheels, tmp_path):
    write_wheel(wheels, "tiny-model", {"tiny.gguf": gguf_file.read_bytes()})
    with pytest.raises(NeuroglotError, match=r"sha256 of its GGUF file is .*, expected"):
        normalise.normalise(package(b"another"), tmp_path / "models" / "m")
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "expected one GGUF file in the package, found none"),
        ({"a.gguf": b"a", "b.gguf": b"b"}, r"found a\.gguf, b\.gguf"),
        ({"a.gguf.part0": b"a", "a.gguf.part2": b"b"}, r"parts \[0, 2\].*not one whole file"),
        ({"a.gguf.part8": b"a", "a.gguf.part9": b"b"}, r"parts \[8, 9\].*not one whole file"),
        ({"../../a.gguf": b"a"}, "outside of the archive"),
        ({"a.gguf": b"no such format"}, "GGUF file cannot be read"),
    ],
)
def test_packages_without_one_gguf_file_are_refused(wheels, tmp_path, members, message):
    write_wheel(wheels, "tiny-model", members)
    with pytest.raises(NeuroglotError, match=message):
        normalise.normalise(package(b"no such format"), tmp_path / "m")
