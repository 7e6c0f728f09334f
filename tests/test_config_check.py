"""`config check` finds what makes a model or a setting impossible before any job runs."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from neuroglot import layout
from neuroglot.config import Config, load
from neuroglot.config_check import check_inputs
from neuroglot.errors import NeuroglotError
from neuroglot.models import normalise
from neuroglot.models.checkpoint import check_folder
from neuroglot.models.source import ModelSettings
from support.command import ok, refused
from support.tiny_checkpoints import write_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints, and twelve segments in two languages."""
    folder = tmp_path_factory.mktemp("sources")
    write_checkpoint(folder / "llama")
    write_checkpoint(folder / "with-biases", mlp_bias=True, attention_bias=True)
    write_checkpoint(folder / "mbart", "mbart")
    write_checkpoint(folder / "one-layer", num_hidden_layers=1)
    for language in ("en", "de"):
        lines = "".join(f"s{number}\t{language} {number}\n" for number in range(12))
        (folder / f"{language}.tsv").write_text(lines)
    return folder


@pytest.fixture
def place(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, which is the working folder."""
    shutil.copytree(sources, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(folder: str = "llama", **settings: Any) -> Config:
    return load(
        {
            "languages": ["en", "de"],
            "models": {"one": {"source": f"./{folder}", **settings.pop("model", {})}},
            "corpora": {
                "mine": {"source": "text", "path": "{language}.tsv", "check_language": "off"},
                "held-out": {
                    "source": "text",
                    "path": "{language}.tsv",
                    "skip_segments": 9,
                    "check_language": "off",
                },
            },
            **({} if "lape" in settings else {"roles": {"corpora": ["mine"]}}),
            **settings,
        }
    )


def edit(folder: Path, name: str = "config.json", **entries: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def as_bin(folder: Path, content: Any = None) -> None:
    torch.save(content or load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


UP = "model.layers.1.mlp.up_proj.weight"
FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "weights that nothing asks for": (
        "with-biases",
        lambda folder: edit(folder, mlp_bias=False, attention_bias=False),
        "hold what no part",
    ),
    "weights that are lacking": (
        "llama",
        lambda folder: rewritten(folder, lambda tensors: tensors.pop(UP)),
        "lack model.layers.1",
    ),
    "another shape": (
        "llama",
        lambda folder: rewritten(folder, lambda t: t.update({UP: t[UP][:5].clone()})),
        "another shape",
    ),
    "quantised": (
        "llama",
        lambda folder: rewritten(folder, lambda t: t.update({UP: t[UP].to(torch.int8)})),
        "stored as I8",
    ),
    "cut": (
        "llama",
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]),
        "not a whole safetensors file",
    ),
    "both ways": ("llama", lambda folder: edit(folder, is_causal=False), "both ways"),
    "no decoder start": ("mbart", lambda _: None, "no token to start with"),
    "no tokenizer": (
        "llama",
        lambda folder: (folder / "tokenizer.json").unlink(),
        "has no tokenizer",
    ),
    "another model's tokenizer": (
        "llama",
        lambda folder: edit(folder, vocab_size=4000),
        "so the tokenizer is another model's",
    ),
    "an unknown architecture": ("llama", lambda f: edit(f, model_type="mamba"), "'mamba'"),
    "no layers": ("llama", lambda folder: edit(folder, num_hidden_layers=0), "no layers"),
    "code in .bin": ("llama", lambda folder: as_bin(folder, {"a": Runs()}), "posix.system"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_model_are_found_as_the_run_finds_them(place: Path, fault: str) -> None:
    folder, damage, words = FAULTS[fault]
    damage(place / folder)
    with pytest.raises(NeuroglotError) as found:
        list(check_inputs(configured(folder)))
    assert words in str(found.value)
    with pytest.raises(NeuroglotError) as in_the_run:
        normalise.normalise(ModelSettings(source=f"./{folder}"), layout.model("one"))
    assert str(found.value) == f"models.one: {in_the_run.value}"
    assert not list(Path("results").rglob("*.*"))
    assert not Path("owned").exists()


@pytest.mark.parametrize(("folder", "words"), [("mbart", "to start with"), ("llama", "no layers")])
def test_faults_of_a_model_with_random_weights_are_found(
    place: Path, folder: str, words: str
) -> None:
    if folder == "llama":
        edit(place / folder, num_hidden_layers=0)
    (place / folder / WEIGHTS).write_bytes(b"not read")
    with pytest.raises(NeuroglotError, match=f"models.one: .*{words}"):
        list(check_inputs(configured(folder, model={"reinitialise": 0})))


@pytest.mark.parametrize("bin_weights", [False, True])
def test_a_model_without_fault_is_taken(place: Path, bin_weights: bool) -> None:
    if bin_weights:
        as_bin(place / "llama")
    assert [line for line in check_inputs(configured()) if "models" in line] == []
    assert not Path("results").exists()


def test_a_language_tag_that_the_tokenizer_lacks_is_found(place: Path) -> None:
    edit(place / "mbart", decoder_start_token_id=2)
    config = configured("mbart", model={"language_tags": {"de": "deu_Latn"}})
    with pytest.raises(NeuroglotError, match=r"models\.one: .*language_tags"):
        list(check_inputs(config))


def test_code_that_is_asked_for_is_warned_about(place: Path) -> None:
    edit(place / "llama", auto_map={"AutoModelForCausalLM": "modeling.Model"})
    first, *_ = check_inputs(configured())
    assert first.startswith("models.one: warning: ./llama: config.json asks for code of its own")


def test_values_of_weights_are_not_read(place: Path) -> None:
    rewritten(place / "llama", lambda tensors: tensors[UP].fill_(torch.nan))
    list(check_inputs(configured()))
    with pytest.raises(NeuroglotError, match="NaN"):
        normalise.normalise(ModelSettings(source="./llama"), layout.model("one"))


def test_nothing_is_copied_of_weights_that_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(place / "with-biases", mlp_bias=False, attention_bias=False)
    copied: list[Path] = []
    monkeypatch.setattr(normalise, "_link_weights", lambda source, *_: copied.append(source))
    with pytest.raises(NeuroglotError, match="hold what no part"):
        normalise.normalise(ModelSettings(source="./with-biases"), layout.model("one"))
    assert copied == []


def test_a_model_that_was_made_of_the_folder_is_not_checked_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise.normalise(ModelSettings(source="./llama"), layout.model("one"))
    checked: list[str] = []
    monkeypatch.setattr(
        "neuroglot.models.checkpoint.check_folder",
        lambda settings, _chat: checked.append(settings.source) or ({"neurons": (24, 24)}, []),
    )
    list(check_inputs(configured()))
    assert checked == []
    os.utime(place / "llama" / WEIGHTS, (2**32, 2**32))
    list(check_inputs(configured()))
    assert checked == ["./llama"]


PERPLEXITY = {"corpus": "held-out"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transfer": {"corpus": "mine", "k": [2]}}, None),
        (
            {"transfer": {"corpus": "mine", "k": [3]}},
            r"transfer\.k: of 12 segments, 3 are over a quarter .*corpus 'mine' have",
        ),
        ({"transfer": {"corpus": "mine", "k": [2], "top_n": 24}}, None),
        (
            {"transfer": {"corpus": "mine", "k": [2], "top_n": 25}},
            "transfer.top_n: 25 neurons are asked for, and 'one' has 24 in",
        ),
        ({"experts": {"corpus": "mine", "experts_per_layer": 24}}, None),
        (
            {"experts": {"corpus": "mine", "experts_per_layer": 25}},
            "25 experts cannot be made of 24 neurons, which is what a layer of one has",
        ),
        (
            {"lape": {"corpus": "mine"}, "boost": {"prompts": 3}, "perplexity": PERPLEXITY},
            None,
        ),
        (
            {"lape": {"corpus": "mine"}, "boost": {"prompts": 4}, "perplexity": PERPLEXITY},
            "boost.prompts: 4 prompts are asked for, and the held-out text 'held-out' has 3",
        ),
    ],
)
def test_settings_are_compared_with_the_sizes_of_texts_and_models(
    place: Path, settings: dict[str, Any], message: str | None
) -> None:
    if "lape" in settings:
        settings["corpora"] = {
            "mine": {"source": "text", "path": "{language}.tsv", "max_segments": 9},
            "held-out": {"source": "text", "path": "{language}.tsv", "skip_segments": 9},
        }
    config = configured(**settings)
    if message is None:
        list(check_inputs(config))
        return
    with pytest.raises(NeuroglotError, match=message):
        list(check_inputs(config))


def test_a_model_of_one_layer_has_no_transfer_neurons(place: Path) -> None:
    config = configured("one-layer", transfer={"corpus": "mine", "k": [2]})
    with pytest.raises(NeuroglotError, match=r"transfer\.models: 'one': .*two layers, found 1"):
        list(check_inputs(config))


def test_sizes_of_a_model_that_was_made_are_known(place: Path) -> None:
    normalise.normalise(ModelSettings(source="./llama"), layout.model("one"))
    package = {"source": "pypi:a-model==1.0.0", "sha256": "0" * 64}
    experts = {"corpus": "mine", "experts_per_layer": 25}
    with pytest.raises(NeuroglotError, match="25 experts cannot be made of 24"):
        list(check_inputs(configured(model=package, experts=experts)))


def test_more_examples_than_shipped_facts_are_refused(place: Path) -> None:
    config = configured(tasks={"facts": {"source": "facts", "shots": 64}})
    with pytest.raises(NeuroglotError, match=r"tasks\.facts: .*64 facts and keeps 64 for examples"):
        list(check_inputs(config))
    fewer = configured(tasks={"facts": {"source": "facts", "shots": 63, "paraphrases": 1}})
    assert "tasks.facts: 1 items in 2 languages" in list(check_inputs(fewer))


def test_more_methods_than_there_are_are_refused(place: Path) -> None:
    both = {"lape": {"corpus": "mine"}, "experts": {"corpus": "mine"}}
    assert configured(**both, agreement={"minimum_methods": 2})
    with pytest.raises(NeuroglotError, match=r"minimum_methods: 3 methods .* 2 are configured"):
        configured(**both, agreement={"minimum_methods": 3})


def test_the_command_ends_with_one_message_and_writes_nothing(place: Path) -> None:
    edit(place / "llama", is_causal=False)
    config = {
        "languages": ["en", "de"],
        "models": {"one": {"source": "./llama"}},
        "corpora": {"mine": {"source": "text", "path": "{language}.tsv"}},
        "lape": {"corpus": "mine"},
    }
    Path("config.yaml").write_text(json.dumps(config))
    before = sorted(place.rglob("*"))
    message = refused("config", "check", cwd=place)
    assert re.fullmatch(r"error: models\.one: this 'llama' model .*both ways.*\n", message)
    assert sorted(place.rglob("*")) == before
    edit(place / "llama", is_causal=True)
    assert "is valid: 1 models" in ok("config", "check", cwd=place)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages[0].content | upper }}:", "writes a user's text 0 times"),
        ("{{ raise_exception('no') }}", "cannot be rendered"),
        ("", "no chat template"),
    ],
)
def test_a_template_that_cannot_be_used_is_found_where_a_chat_is_asked(
    tmp_path: Path, template: str, reason: str
) -> None:
    folder = write_checkpoint(tmp_path / "tuned")
    (folder / "chat_template.jinja").write_text(template)
    settings = ModelSettings(source=str(folder))
    check_folder(settings, chat=False)
    with pytest.raises(NeuroglotError, match=reason):
        check_folder(settings, chat=True)
