"""Checkpoints of any content become a model or are refused; none of their code is ever run."""

import copy
import hashlib
import io
import json
import pickle
import shutil
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf, normalise
from neuroglot.models.card import read_card
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import tokenise
from support.tiny_checkpoints import TEXTS, write_checkpoint, write_gguf
from tools import hostile

torch.set_num_threads(1)
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gguf_file(llama, tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", llama)


@pytest.fixture
def checkpoint(llama, tmp_path):
    """A copy of the tiny Llama that a test may damage."""
    return shutil.copytree(llama, tmp_path / "checkpoint")


@pytest.fixture
def canary(tmp_path):
    return hostile.Canary(tmp_path / "canary")


def make(folder, tmp_path):
    """What the rule does, whose settings are checked as the configuration's are."""
    try:
        settings = ModelSettings(source=str(folder))
    except ValidationError as error:
        raise NeuroglotError(error.errors()[0]["msg"]) from None
    return normalise.normalise(settings, tmp_path / "models" / "m")


def refused(kind, folder, tmp_path, *named):
    """See that a folder is refused in words and leaves nothing behind."""
    with pytest.raises(NeuroglotError) as caught:
        make(folder, tmp_path)
    hostile.check_message(str(caught.value), *named)
    assert len(str(caught.value)) < 3000
    assert not any((tmp_path / "models").glob("*")), "something is left"
    hostile.count(kind, "refused")


def edit(folder, name="config.json", **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


# Code


def torch_zip(content):
    """A file as torch.save writes it; what Python's unpickler makes of it may call something."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


OF_TORCH = ["pytorch_model.bin"]
OTHERS_OF_CODE = [
    *("model.pt", "model.pth", "model.ckpt", "weights.pkl", "tf_model.h5", "flax_model.msgpack"),
    *("adapter_model.bin", "pytorch_model-00001-of-00002.bin"),
]
PICKLES = [*OF_TORCH, *OTHERS_OF_CODE]


def test_the_canary_would_sing(canary):
    pickle.loads(pickle.dumps(canary))
    assert canary.sings, "else the tests below prove nothing"


@pytest.mark.parametrize("form", ["plain", "torch"])
@pytest.mark.parametrize("name", OTHERS_OF_CODE)
def test_pickles_alone_are_refused_unread(checkpoint, tmp_path, canary, name, form):
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / name).write_bytes(pickle.dumps(canary) if form == "plain" else torch_zip(canary))
    refused("models, pickles", checkpoint, tmp_path, name, "which is not read")
    assert not canary.sings


@pytest.mark.parametrize("name", [*PICKLES, "training_args.bin", "optimizer.pt", "scheduler.pt"])
def test_pickles_beside_safetensors_are_neither_read_nor_copied(checkpoint, tmp_path, canary, name):
    (checkpoint / name).write_bytes(torch_zip(canary))
    make(checkpoint, tmp_path)
    assert not (tmp_path / "models" / "m" / name).exists()
    assert not canary.sings
    hostile.count("models, pickles", "accepted")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", WEIGHTS])
def test_pickles_named_by_an_index_or_as_safetensors_are_refused(
    checkpoint, tmp_path, canary, name
):
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / name).write_bytes(torch_zip(canary))
    if name != WEIGHTS:
        (checkpoint / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    refused("models, pickles", checkpoint, tmp_path, name)
    assert not canary.sings


# Weights that PyTorch saved


class Calls:
    """What calls ``function`` with ``arguments`` when it is unpickled."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def in_a_mapping(canary):
    return {"a": torch.ones(2), "b": canary}


def as_a_key(canary):
    return {canary: torch.ones(2)}


def as_an_attribute(canary):
    weights = OrderedDict(a=torch.ones(2))
    weights._metadata = canary
    return weights


WITH_CODE = {
    "alone": lambda canary: canary,
    "in a mapping": in_a_mapping,
    "in a list": lambda canary: [canary],
    "as a key": as_a_key,
    "as an attribute": as_an_attribute,
    "eval": lambda canary: {"a": Calls(eval, f"__import__('os').system('touch {canary.file}')")},
    "getattr": lambda canary: {"a": Calls(getattr, "text", "upper")},
    "memory": lambda canary: {"a": Calls(bytearray, 10**13)},
    "a tensor's memory": lambda canary: {"a": Calls(torch.Tensor, 10**6, 10**6)},
    "a module": lambda canary: torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("form", WITH_CODE)
def test_code_in_bin_weights_is_refused_by_name_and_not_run(
    checkpoint, tmp_path, canary, form, shard
):
    (checkpoint / WEIGHTS).unlink()
    name = "part.bin" if shard else "pytorch_model.bin"
    (checkpoint / name).write_bytes(torch_zip(WITH_CODE[form](canary)))
    if shard:
        index = {"weight_map": {"a": name}}
        (checkpoint / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    refused("models, .bin", checkpoint, tmp_path, name, "can run code or is no tensor")
    assert not canary.sings


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_named_as_bin_weights_are_refused_unread(checkpoint, tmp_path, canary, protocol):
    (checkpoint / WEIGHTS).unlink()
    target = checkpoint / "pytorch_model.bin"
    target.write_bytes(pickle.dumps(canary, protocol))
    refused("models, .bin", checkpoint, tmp_path, target.name, "older one can run code")
    inside = pickle.dumps(canary, protocol)
    target.write_bytes(repacked(torch_zip({}), {"data.pkl": lambda _: inside}))
    refused("models, .bin", checkpoint, tmp_path, target.name)
    assert not canary.sings


def test_bin_weights_of_the_format_before_zip_are_refused_unread(checkpoint, tmp_path, canary):
    weights = load_file(checkpoint / WEIGHTS) | {"b": canary}
    (checkpoint / WEIGHTS).unlink()
    target = checkpoint / "pytorch_model.bin"
    torch.save(weights, target, _use_new_zipfile_serialization=False)
    refused("models, .bin", checkpoint, tmp_path, target.name, "older one can run code")
    assert not canary.sings


NO_TENSORS = {
    "a number": {"epoch": 3},
    "a text": {"name": "llama"},
    "a mapping": {"state_dict": {"a": torch.ones(2)}},
    "a list": {"list": [torch.ones(2)]},
    "a number as name": {3: torch.ones(2)},
}


@pytest.mark.parametrize("form", NO_TENSORS)
def test_what_is_no_tensor_is_refused_by_name(checkpoint, tmp_path, form):
    (checkpoint / WEIGHTS).unlink()
    torch.save(NO_TENSORS[form], checkpoint / "pytorch_model.bin")
    (name,) = NO_TENSORS[form]
    refused("models, .bin", checkpoint, tmp_path, f"holds {str(name)!r}, a ", "state_dict")


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), 3, None, "text"], ids=type)
def test_what_is_no_mapping_is_refused(checkpoint, tmp_path, content):
    (checkpoint / WEIGHTS).unlink()
    torch.save(content, checkpoint / "pytorch_model.bin")
    refused("models, .bin", checkpoint, tmp_path, "instead of tensors by name")


def repacked(content, changes=None, packed=zipfile.ZIP_STORED):
    """A zip archive again, with changes by the end of a member's name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            for end, change in (changes or {}).items():
                data = change(data) if member.filename.endswith(end) else data
            new.writestr(member.filename, data, packed)
    return stream.getvalue()


def twice(content):
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(name, b"")
    return stream.getvalue()


def immense(content):
    """An archive whose directory claims a terabyte for a record."""
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 20] + b"\xfe\xff\xff\xff" * 2 + content[at + 28 :]


def of_shape(shape, stride, values=2):
    """A file in which a tensor of ``values`` numbers claims another shape."""
    tensor = torch.ones(values)
    rebuilt = torch._utils._rebuild_tensor_v2
    claimed = Calls(
        rebuilt,
        torch.storage.TypedStorage(
            wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
        ),
        0,
        shape,
        stride,
        False,
        OrderedDict(),
    )
    return torch_zip({"a": claimed})


DAMAGE = {
    "nothing": lambda content: b"",
    "beginning": lambda content: content[:4],
    "text": lambda content: b"PK\x03\x04 and no more",
    "cut": lambda content: content[:-100],
    "halved": lambda content: content[: len(content) // 2],
    "packed": lambda content: repacked(content, packed=zipfile.ZIP_DEFLATED),
    "a bomb": lambda content: repacked(
        content, {"data/0": lambda _: bytes(10**8)}, zipfile.ZIP_DEFLATED
    ),
    "no pickle": lambda content: repacked(content).replace(b"data.pkl", b"data.pkk"),
    "two pickles": twice,
    "claims": immense,
    "an empty pickle": lambda content: repacked(content, {"data.pkl": lambda _: b""}),
    "a deep pickle": lambda content: repacked(
        content, {"data.pkl": lambda _: b"\x80\x02" + b"]" * 10**6 + b"."}
    ),
    "a short record": lambda content: repacked(content, {"data/0": lambda data: data[:-4]}),
    "a long record": lambda content: repacked(content, {"data/0": lambda data: data + b"1234"}),
    "an empty record": lambda content: repacked(content, {"data/1": lambda _: b""}),
    "beyond its record": lambda _: of_shape((10**6,), (1,)),
    "immense": lambda _: of_shape((10**12,), (1,)),
    "repeated": lambda _: of_shape((10**6, 10**6), (0, 0)),
    "repeated a little": lambda _: of_shape((3,), (0,)),
    "negative": lambda _: of_shape((-1,), (1,)),
    "backwards": lambda _: of_shape((2,), (-1,)),
    "shared a thousand times": lambda _: torch_zip(
        dict.fromkeys(map(str, range(1000)), torch.ones(10**5))
    ),
    "no tensors": lambda _: torch_zip({}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bin_weights_are_refused(checkpoint, tmp_path, damage):
    content = torch_zip(load_file(checkpoint / WEIGHTS))
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(DAMAGE[damage](content))
    refused("models, .bin", checkpoint, tmp_path, "checkpoint")


@hostile.many(2)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes_of_bin_weights_are_read_or_refused(tmp_path_factory, llama, changes):
    folder = tmp_path_factory.mktemp("m")
    checkpoint = shutil.copytree(llama, folder / "checkpoint")
    content = bytearray(torch_zip(load_file(checkpoint / WEIGHTS)))
    for at, value in changes:
        content[at % len(content)] = value
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(content)
    with hostile.attempt("models, .bin"):
        make(checkpoint, folder)
    shutil.rmtree(folder)


CODE = "from pathlib import Path\nPath({!r}).touch()\nclass X: pass\n"


@pytest.mark.parametrize(
    ("file", "entries"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "modeling_x.X"}}),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "../modeling_x.X"}}),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "owner/name--modeling_x.X"}}),
        ("config.json", {"auto_map": "modeling_x.X", "trust_remote_code": True}),
        ("config.json", {"custom_pipelines": {"x": {"impl": "modeling_x.X", "pt": []}}}),
        ("config.json", {"architectures": ["os.system"], "model_type": "llama"}),
        ("config.json", {"_name_or_path": "owner/name", "torch_dtype": "__import__('os')"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["modeling_x.X", None]}}),
        ("tokenizer_config.json", {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": "x.X"}}),
        ("tokenizer_config.json", {"chat_template": "{{ ''.__class__.__mro__[1] }}"}),
        ("generation_config.json", {"auto_map": {"x": "modeling_x.X"}, "custom_generate": "x"}),
    ],
)
def test_code_of_a_checkpoints_authors_is_not_run(checkpoint, tmp_path, canary, file, entries):
    for name in ("modeling_x.py", "__init__.py", "x.py", "sitecustomize.py", "conftest.py"):
        (checkpoint / name).write_text(CODE.format(str(canary.file)))
    (checkpoint / "custom_generate").mkdir()
    (checkpoint / "custom_generate" / "generate.py").write_text(CODE.format(str(canary.file)))
    (checkpoint / "chat_template.jinja").write_text(
        "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    )
    edit(checkpoint, file, **entries)
    with hostile.attempt("models, code"):
        make(checkpoint, tmp_path)
        taken = tmp_path / "models" / "m"
        assert not list(taken.rglob("*.py"))
        assert not any('"auto_map"' in path.read_text("utf-8") for path in taken.glob("*.json"))
    assert not canary.sings


def test_code_that_python_tokenizers_ask_for_is_not_run(checkpoint, tmp_path, canary):
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenization_x.py").write_text(CODE.format(str(canary.file)))
    edit(
        checkpoint,
        "tokenizer_config.json",
        tokenizer_class="X",
        auto_map={"AutoTokenizer": ["tokenization_x.X", "tokenization_x.X"]},
    )
    refused("models, code", checkpoint, tmp_path, "tokenizer")
    assert not canary.sings


# Settings

ODD = [
    *(None, True, -1, 0, 1, 2, 7, 10**3, 10**6, 10**9, 10**12, 2**63, 10**30, 0.5, 1e308, "", "x"),
    *("10", [], [1], {}, {"a": 1}, "float64", "relu", "gelu", "eager", "../x", "\x00", "gpt2"),
    *("gemma3_text", "mixtral", "bert", "t5", "llava", "linear", {"rope_type": "yarn"}),
]


@st.composite
def changed_config(draw):
    """One to three changes at keys of a configuration, or keys of other models' put in."""
    keys = draw(st.lists(st.one_of(st.sampled_from(KEYS), st.sampled_from(OTHERS)), max_size=3))
    return {key: draw(st.sampled_from(ODD)) for key in keys}


KEYS = [
    *("architectures", "attention_bias", "attention_dropout", "bos_token_id", "dtype", "head_dim"),
    *("eos_token_id", "hidden_act", "hidden_size", "initializer_range", "intermediate_size"),
    *("max_position_embeddings", "mlp_bias", "model_type", "num_attention_heads", "vocab_size"),
    *("num_hidden_layers", "num_key_value_heads", "pad_token_id", "pretraining_tp", "rms_norm_eps"),
    *("rope_parameters", "rope_theta", "rope_scaling", "tie_word_embeddings", "use_cache"),
    *("transformers_version",),
]
OTHERS = [
    *("n_layer", "num_local_experts", "text_config", "vision_config", "is_encoder_decoder"),
    *("quantization_config", "auto_map", "torch_dtype", "layer_types", "id2label", "num_labels"),
    *("attn_implementation", "_attn_implementation", "base_model_tp_plan", "sliding_window"),
    *("problem_type", "output_hidden_states", "return_dict", "chunk_size_feed_forward", "n_ctx"),
]


@hostile.many(2)
@given(changed_config())
def test_changed_settings_give_a_model_or_are_refused(tmp_path_factory, llama, changes):
    folder = tmp_path_factory.mktemp("m")
    checkpoint = shutil.copytree(llama, folder / "checkpoint")
    edit(checkpoint, **changes)
    with hostile.attempt("models, settings"):
        made = make(checkpoint, folder)
        assert read_card(folder / "models" / "m") == made
        assert (made.hidden, made.neurons) == (16, (24, 24))
        assert made.layers == 2
    shutil.rmtree(folder)


CONFIGS = {
    "no JSON": "{",
    "a list": "[]",
    "a text": '"llama"',
    "null": "null",
    "deep": "[" * 100_000,
    "deep mappings": '{"text_config": ' * 3000 + "{}" + "}" * 3000,
    "bytes": "\udcff\udcfe",
    "empty": "",
    "no type": "{}",
    "quantised by name": '{"model_type": "llama", "quantization_config": "x"}',
    "a number as type": '{"model_type": 3}',
    "a path as type": '{"model_type": "../llama"}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_that_are_none_are_refused(checkpoint, tmp_path, name):
    (checkpoint / "config.json").write_bytes(CONFIGS[name].encode("utf-8", "surrogateescape"))
    refused("models, settings", checkpoint, tmp_path, "config.json")


def test_absurd_sizes_take_neither_time_nor_memory(checkpoint, tmp_path):
    # Through the command, whose memory is limited, one after the other in one process for speed.
    cases = [
        *({"hidden_size": 10**12}, {"intermediate_size": 10**12}, {"vocab_size": 10**12}),
        *({"num_hidden_layers": 10**9}, {"num_hidden_layers": 900}, {"head_dim": 10**9}),
        *({"num_attention_heads": 10**9}, {"max_position_embeddings": 10**12}),
        *({"num_hidden_layers": 10**9, "model_type": "gemma3_text"}, {"hidden_size": 10**30}),
        *({"n_layer": 10**9, "model_type": "gpt2", "n_positions": 10**6}, {"num_labels": 10**9}),
        *({"num_hidden_layers": 0}, {"num_hidden_layers": -1}, {"architectures": True}),
    ]
    for number, changes in enumerate(cases):
        shutil.copytree(checkpoint, tmp_path / f"c{number}")
        edit(tmp_path / f"c{number}", **changes)
    script = tmp_path / "each.py"
    script.write_text(
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from neuroglot.errors import NeuroglotError\n"
        "from neuroglot.models.normalise import normalise\n"
        "from neuroglot.models.source import ModelSettings\n"
        f"for number in range({len(cases)}):\n"
        "    start = time.process_time()\n"
        "    try:\n"
        "        normalise(ModelSettings(source=f'./c{number}'), Path('models/m'))\n"
        "        print(number, 'accepted')\n"
        "    except NeuroglotError as error:\n"
        "        print(number, 'refused', str(error)[:200].replace(chr(10), ' '))\n"
        "    assert time.process_time() - start < 20\n"
    )
    ended = hostile.limited("each.py", cwd=tmp_path, program=hostile.PYTHON)
    assert ended.status == 0, ended.errors[-3000:]
    lines = ended.output.splitlines()
    assert len(lines) == len(cases)
    assert ended.memory < 1500 << 20, ended.memory
    for changes, line in zip(cases, lines, strict=True):
        _, outcome, *_ = line.split()
        # The number of positions is not in the weights of a model with rotary embeddings.
        assert outcome == ("accepted" if "max_position_embeddings" in changes else "refused"), line
        hostile.count("models, settings", outcome)


# Weights


def header_of(content):
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def offsets(change):
    def damage(header, data):
        name = next(name for name in header if name != "__metadata__")
        header[name]["data_offsets"] = change(*header[name]["data_offsets"])
        return with_header(header, data)

    return damage


def entry(**changes):
    def damage(header, data):
        name = next(name for name in header if name != "__metadata__")
        header[name] |= changes
        return with_header(header, data)

    return damage


def duplicated(header, data):
    first, second, *_ = (name for name in header if name != "__metadata__")
    header[first]["data_offsets"] = header[second]["data_offsets"]
    return with_header(header, data)


HEADERS = {
    "nothing": lambda header, data: b"",
    "seven bytes": lambda header, data: b"\x01" * 7,
    "length alone": lambda header, data: struct.pack("<Q", 10),
    "length beyond the file": lambda header, data: with_header(header, data, 10**7),
    "a gigabyte": lambda header, data: with_header(header, data, 1 << 30),
    "all ones": lambda header, data: with_header(header, data, 2**64 - 1),
    "length of nothing": lambda header, data: with_header(header, data, 0),
    "no JSON": lambda header, data: with_header(b"{]" + b" " * 6, data),
    "a list": lambda header, data: with_header([], data),
    "no UTF-8": lambda header, data: with_header(b'{"\xff": 1}', data),
    "deep": lambda header, data: with_header(b"[" * 10_000, data),
    "negative": offsets(lambda start, end: [-1, end]),
    "backwards": offsets(lambda start, end: [end, start]),
    "beyond": offsets(lambda start, end: [start, end + 10**9]),
    "immense": offsets(lambda start, end: [2**63, 2**64]),
    "three": offsets(lambda start, end: [start, end, end]),
    "overlap": duplicated,
    "unknown type": entry(dtype="F17"),
    "no type": entry(dtype=None),
    "other type": entry(dtype="F64"),
    "immense shape": entry(shape=[2**32, 2**32, 2**32]),
    "negative shape": entry(shape=[-1, 16]),
    "shape of texts": entry(shape=["400", 16]),
    "no shape": entry(shape=None),
    "cut": lambda header, data: with_header(header, data[:-1]),
    "longer": lambda header, data: with_header(header, data + b"\0"),
    "no weights": lambda header, data: with_header({}, b""),
    "metadata of numbers": lambda header, data: with_header(
        header | {"__metadata__": {"format": 3}}, data
    ),
}


@pytest.mark.parametrize("damage", HEADERS)
def test_damaged_headers_are_refused(checkpoint, tmp_path, damage):
    content = (checkpoint / WEIGHTS).read_bytes()
    (checkpoint / WEIGHTS).write_bytes(HEADERS[damage](*header_of(content)))
    refused("models, weights", checkpoint, tmp_path, "checkpoint")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (torch.float8_e4m3fn, "F8_E4M3, so it is quantised or damaged"),
        (torch.int8, "I8, so it is quantised or damaged"),
        (torch.int64, "I64, so it is quantised or damaged"),
        (torch.bool, "BOOL, so it is quantised or damaged"),
        (torch.complex64, "C64, so it is quantised or damaged"),
    ],
    ids=str,
)
def test_weights_of_types_that_are_none_of_a_model_are_refused(checkpoint, tmp_path, kind, word):
    weights = {name: weight.to(kind) for name, weight in load_file(checkpoint / WEIGHTS).items()}
    save_file(weights, checkpoint / WEIGHTS, metadata={"format": "pt"})
    refused("models, weights", checkpoint, tmp_path, word)


@hostile.many(2)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes_of_weights_are_read_or_refused(tmp_path_factory, llama, changes):
    folder = tmp_path_factory.mktemp("m")
    checkpoint = shutil.copytree(llama, folder / "checkpoint")
    content = bytearray((checkpoint / WEIGHTS).read_bytes())
    for at, value in changes:
        content[at] = value
    (checkpoint / WEIGHTS).write_bytes(content)
    with hostile.attempt("models, weights"):
        make(checkpoint, folder)
    shutil.rmtree(folder)


INDEXES = [
    *("{", "[]", "null", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}'),
    *('{"weight_map": {"a": null, "b": "x"}}', '{"weight_map": {"a": ["x"]}}', "[" * 100_000),
    *('{"weight_map": {"a": "../checkpoint/x.safetensors"}}',),
    *('{"weight_map": {"a": "/etc/passwd"}}',),
    *('{"weight_map": {"a": "config.json"}}', '{"weight_map": {"a": "a\\u0000.safetensors"}}'),
    *('{"weight_map": {"a": "..\\\\x.safetensors"}}', '{"weight_map": {"a": ".."}}', "\udcff"),
    *('{"weight_map": {"a": "no.safetensors"}}', '{"weight_map": {"a": "\\ud800.safetensors"}}'),
    '{"weight_map": {"a": "' + "n" * 300 + '.safetensors"}}',
]


@pytest.mark.parametrize("text", INDEXES, ids=range(len(INDEXES)))
def test_indexes_that_name_no_shard_beside_them_are_refused(checkpoint, tmp_path, text):
    (checkpoint / WEIGHTS).rename(checkpoint / "x.safetensors")
    (checkpoint / INDEX).write_bytes(text.encode("utf-8", "surrogateescape"))
    refused("models, index", checkpoint, tmp_path, "checkpoint")


# Tokenizers


def tokenizer_with(**changes):
    def damage(tokenizer):
        return json.dumps({**tokenizer, **changes})

    return damage


def outgrown(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    added = {"id": 10**9, "content": "zz", "special": False, "normalized": False}
    added |= {"single_word": False, "lstrip": False, "rstrip": False}
    tokenizer["added_tokens"].append(added)
    tokenizer["model"]["vocab"]["zz"] = 10**9
    return json.dumps(tokenizer)


TOKENIZERS = {
    "no JSON": lambda tokenizer: "{",
    "a list": lambda tokenizer: "[]",
    "null": lambda tokenizer: "null",
    "deep": lambda tokenizer: "[" * 100_000,
    "empty": lambda tokenizer: "",
    "no model": tokenizer_with(model=None),
    "unknown kind": tokenizer_with(model={"type": "Other"}),
    "another version": tokenizer_with(version="9.0"),
    "vocabulary of texts": tokenizer_with(model={"type": "BPE", "vocab": {"a": "b"}, "merges": []}),
    "merges of nothing": tokenizer_with(
        model={"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}
    ),
    "negative id": tokenizer_with(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
    "immense id": tokenizer_with(model={"type": "BPE", "vocab": {"a": 2**40}, "merges": []}),
    "expression": tokenizer_with(
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": "("},
            "behavior": "Isolated",
            "invert": False,
        }
    ),
    "unknown special": tokenizer_with(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "no", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizers_that_are_none_are_refused(checkpoint, tmp_path, name):
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    (checkpoint / "tokenizer.json").write_text(TOKENIZERS[name](tokenizer), "utf-8")
    refused("models, tokenizer", checkpoint, tmp_path, "tokenizer")


@hostile.many(2)
@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes_of_tokenizers_are_read_or_refused(tmp_path_factory, llama, changes):
    folder = tmp_path_factory.mktemp("m")
    checkpoint = shutil.copytree(llama, folder / "checkpoint")
    content = bytearray((checkpoint / "tokenizer.json").read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    (checkpoint / "tokenizer.json").write_bytes(content)
    with hostile.attempt("models, tokenizer"):
        card = make(checkpoint, folder)
        tokenizer = Tokenizer.from_file(str(folder / "models" / "m" / "tokenizer.json"))
        segments = [(str(number), text) for number, text in enumerate(TEXTS)]
        data = tokenise(tokenizer, segments, "word", None, card.vocabulary, "refuse")
        assert data["token_id"].values.max() < card.vocabulary
    shutil.rmtree(folder)


@pytest.mark.parametrize("file", ["tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"{", b"\x0a\x10"])
def test_older_tokenizer_files_that_are_none_are_refused(checkpoint, tmp_path, file, content):
    (checkpoint / "tokenizer.json").unlink()
    edit(checkpoint, "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    (checkpoint / file).write_bytes(content)
    with hostile.attempt("models, tokenizer"):
        make(checkpoint, tmp_path)


@pytest.mark.parametrize("text", ['{"auto_map": ', '["auto_map"]', '{"auto_map": 1}', "[" * 9999])
def test_other_settings_files_that_are_none_are_told(checkpoint, tmp_path, text):
    (checkpoint / "tokenizer_config.json").write_text(f"{text}")
    with hostile.attempt("models, tokenizer", "tokenizer"):
        make(checkpoint, tmp_path)


def test_a_vocabulary_beyond_the_embedding_is_refused_with_the_text(checkpoint, tmp_path):
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    (checkpoint / "tokenizer.json").write_text(outgrown(tokenizer), "utf-8")
    card = make(checkpoint, tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "models" / "m" / "tokenizer.json"))
    with pytest.raises(NeuroglotError, match="is outside the model's vocabulary of 400"):
        tokenise(tokenizer, [("s", "a zz b")], "word", None, card.vocabulary, "refuse")
    hostile.count("models, tokenizer", "refused")


# GGUF


def at(content, key):
    """Where the value of a GGUF key begins, after its length, its name and its type."""
    return content.index(key) + len(key) + 4


def gguf_damage(content):
    """Known faults of a GGUF file, by name."""
    patched = {}

    def patch(name, place, form, *values):
        changed = bytearray(content)
        struct.pack_into(form, changed, place, *values)
        patched[name] = bytes(changed)

    patch("magic", 0, "<I", 0x46554748)
    for version in (0, 1, 99, 2**32 - 1):
        patch(f"version {version}", 4, "<I", version)
    for count in (2**63, 2**64 - 1, 10**9):
        patch(f"{count} tensors", 8, "<Q", count)
        patch(f"{count} keys", 16, "<Q", count)
        patch(f"key of {count} bytes", 24, "<Q", count)
        patch(f"{count} tokens", at(content, b"tokenizer.ggml.tokens") + 4, "<Q", count)
        patch(f"{count} token types", at(content, b"tokenizer.ggml.token_type") + 4, "<Q", count)
    # Of single bytes, of which no last one is half within the file.
    patch("2^63 bytes", at(content, b"tokenizer.ggml.token_type"), "<IQ", 0, 2**63)
    patch("10^7 neurons", at(content, b"llama.feed_forward_length"), "<I", 10**7)
    patch("10^7 heads", at(content, b"llama.attention.head_count"), "<I", 10**7)
    patch("unknown type of value", at(content, b"llama.block_count") - 4, "<I", 77)
    for value in (0, 3, 10**9, 2**32 - 1):
        patch(f"{value} blocks", at(content, b"llama.block_count"), "<I", value)
        patch(f"width {value}", at(content, b"llama.embedding_length"), "<I", value)
        patch(f"{value} neurons", at(content, b"llama.feed_forward_length"), "<I", value)
        patch(f"{value} heads", at(content, b"llama.attention.head_count"), "<I", value)
    tensor = content.index(b"token_embd.weight") + len(b"token_embd.weight")
    patch("dimensions", tensor, "<I", 2**32 - 1)
    patch("dimension", tensor + 4, "<Q", 2**63)
    patch("product", tensor + 4, "<QQ", 2**32, 2**32)
    patch("unknown type of tensor", tensor + 20, "<I", 99)
    patch("other type of tensor", tensor + 20, "<I", 2)
    patch("offset", tensor + 24, "<Q", 2**63)
    patch("offset near the end", tensor + 24, "<Q", len(content) - 4000)
    patch("no text", content.index(b"llama.block_count"), "<I", 0xFFFFFFFF)
    patched["nothing"] = b""
    for part in (3, 4, 8, 20, 100, len(content) // 2, len(content) - 1):
        patched[f"cut at {part}"] = content[:part]
    return patched


def test_damaged_gguf_files_are_refused(gguf_file, tmp_path):
    """Through a process with little memory, all one after the other."""
    damaged = gguf_damage(gguf_file.read_bytes())
    for number, content in enumerate(damaged.values()):
        (tmp_path / f"g{number}").mkdir()
        (tmp_path / f"g{number}" / "model.gguf").write_bytes(content)
    (tmp_path / "each.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from neuroglot.errors import NeuroglotError\n"
        "from neuroglot.models.gguf import convert\n"
        f"for number in range({len(damaged)}):\n"
        "    start = time.process_time()\n"
        "    out = Path(f'out{number}')\n"
        "    out.mkdir()\n"
        "    try:\n"
        "        convert(Path(f'g{number}/model.gguf'), out)\n"
        "        print(number, 'accepted', flush=True)\n"
        "    except NeuroglotError as error:\n"
        "        print(number, 'refused', str(error)[:300].replace(chr(10), ' '), flush=True)\n"
        "        assert not list(out.iterdir())\n"
        "    assert time.process_time() - start < 20\n"
    )
    ended = hostile.limited("each.py", cwd=tmp_path, program=hostile.PYTHON)
    lines = ended.output.splitlines()
    assert ended.status == 0, (list(damaged)[len(lines)], ended.errors[-3000:])
    assert ended.memory < 1500 << 20, ended.memory
    for name, line in zip(damaged, lines, strict=True):
        _, outcome, *_ = line.split()
        assert outcome == "refused", f"{name}: {line}"
        hostile.count("models, GGUF", outcome)


@hostile.many(3)
@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_bytes_of_gguf_files_are_read_or_refused(tmp_path_factory, gguf_file, changes):
    folder = tmp_path_factory.mktemp("g")
    content = bytearray(gguf_file.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    file = folder / f"{hashlib.sha256(content).hexdigest()}.gguf"
    file.write_bytes(content)
    (folder / "out").mkdir()
    with hostile.attempt("models, GGUF", "GGUF file"):
        gguf.convert(file, folder / "out")
    shutil.rmtree(folder)


def test_the_command_refuses_a_checkpoint_in_one_message(checkpoint, tmp_path, canary):
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(torch_zip(canary))
    hostile.configure(tmp_path, models={"m": {"source": "./checkpoint"}})
    ended = hostile.limited("model", "m", cwd=tmp_path)
    hostile.refused("models, by command", ended, "pytorch_model.bin")
    assert not canary.sings
    assert not any(path.is_file() for path in Path(tmp_path, "results").rglob("*"))
