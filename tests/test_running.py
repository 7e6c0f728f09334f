"""Device and precision are found once for each model, and hold on every machine."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch

from neuroglot import layout, running
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import RunningSettings
from neuroglot.analyses.run import code_of
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings
from neuroglot.config import Config, Configuration
from neuroglot.keys import Keys
from neuroglot.recordings import TOKENS, Recordings, Target
from neuroglot.running import Running, has_amx, remember, resolve

AMX = "flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n"
OTHER = "flags\t\t: fpu avx512_bf16 avx512_fp16\n"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes this one a machine with or without AMX and a GPU; it has neither."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "PROCESSORS", tmp_path / "cpuinfo")

    def change(amx: bool = False, gpu: bool = False) -> None:
        running.PROCESSORS.write_text(AMX if amx else OTHER)
        monkeypatch.setattr(running, "_gpu_here", lambda: gpu)

    change()
    return change


def found(execution: dict[str, Any] | None = None, **capture: Any) -> tuple[str, str]:
    settings = CaptureSettings(**capture), ExecutionSettings(**execution or {})
    answer = resolve("m", *settings)
    return answer.device, answer.dtype


def made(model: str = "m", execution: dict[str, Any] | None = None, **capture: Any) -> None:
    """Make a model's folder, and keep what is decided, as a run does."""
    card = layout.done(layout.model(model))
    card.parent.mkdir(parents=True, exist_ok=True)
    card.touch()
    remember(model, CaptureSettings(**capture), ExecutionSettings(**execution or {}))


@pytest.mark.parametrize(
    ("dtype", "on_cpu", "with_amx", "on_gpu"),
    [
        ("auto", "float32", "float32", "auto"),
        ("half_if_faster", "float32", "bfloat16", "bfloat16"),
        ("float32", "float32", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16", "bfloat16"),
        ("float16", "float16", "float16", "float16"),
    ],
)
def test_the_machine_decides(machine, dtype: str, on_cpu: str, with_amx: str, on_gpu: str) -> None:
    assert found(dtype=dtype) == ("cpu", on_cpu)
    machine(amx=True)
    assert found(dtype=dtype) == ("cpu", with_amx)
    machine(gpu=True)
    assert found(dtype=dtype) == ("cuda", on_gpu)
    assert found(dtype=dtype, device="cpu") == ("cpu", on_cpu)


def test_jobs_that_ask_for_gpus_run_on_one_wherever_the_run_was_started(machine) -> None:
    """The machine on which Snakemake runs often has none."""
    assert found({"gpu_request": "gres:gpu:a100"}) == ("cuda", "auto")
    assert found({"gpu_request": "gpu"}, device="cpu") == ("cpu", "float32")
    assert found(device="cuda") == ("cuda", "auto")
    machine(gpu=True)
    assert found({"gpu_request": "none"}) == ("cuda", "auto"), "it is only not asked for"


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc")
def test_amx_is_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PROCESSORS", Path("/proc/cpuinfo"))
    assert has_amx() == torch.cpu._is_amx_tile_supported()
    monkeypatch.setattr(running, "PROCESSORS", Path("nothing"))
    assert not has_amx()


def test_a_decision_holds_on_other_machines(machine) -> None:
    machine(amx=True)
    made(dtype="half_if_faster")
    machine(amx=False)
    assert found(dtype="half_if_faster") == ("cpu", "bfloat16")
    machine(gpu=True)
    assert found(dtype="half_if_faster") == ("cpu", "bfloat16")
    made(dtype="half_if_faster")
    assert found(dtype="half_if_faster") == ("cpu", "bfloat16")


def test_until_the_settings_change(machine) -> None:
    machine(gpu=True)
    made()
    machine(gpu=False)
    assert found() == ("cuda", "auto")
    assert found(dtype="float32") == ("cpu", "float32")
    assert found(device="cpu") == ("cpu", "float32")
    assert found({"batch_tokens": 7, "gpu_request": "none"}) == ("cuda", "auto"), "not by these"
    made(dtype="float32")
    assert found() == ("cpu", "float32"), "the earlier one is forgotten"


def test_or_the_model_is_removed_or_what_was_kept_is_damaged(machine) -> None:
    machine(gpu=True)
    made()
    machine(gpu=False)
    layout.running("m").write_text("{}")
    assert found() == ("cpu", "float32")
    machine(gpu=True)
    made()
    machine(gpu=False)
    assert found() == ("cuda", "auto")
    layout.done(layout.model("m")).unlink()
    assert found() == ("cpu", "float32")


def test_what_is_kept_can_be_read_by_a_user(machine) -> None:
    machine(amx=True)
    made(dtype="half_if_faster")
    kept = json.loads(Path("results/models/m.running.json").read_text())
    assert (kept["device"], kept["dtype"]) == ("cpu", "bfloat16")
    assert kept["asked"] == {"device": "auto", "dtype": "half_if_faster"}
    assert str(Running(device="cpu", dtype="bfloat16")) == "bfloat16 on a CPU"
    assert str(Running(device="cuda", dtype="auto")) == "the checkpoint's precision on a GPU"


# --- what it is a part of ---------------------------------------------------------------------


def configured(**sections: Any) -> Config:
    for place in ("t", "h"):
        for language in ("en", "de"):
            file = Path(place) / f"{language}.tsv"
            file.parent.mkdir(exist_ok=True)
            file.write_text("s1\tA b c d\ns2\tE f g h\n")
    settings = {
        "languages": ["en", "de"],
        "models": {"m": {"source": "owner/name"}, "n": {"source": "owner/other"}},
        "corpora": {
            "t": {"source": "text", "path": "t/{language}.tsv"},
            "h": {"source": "text", "path": "h/{language}.tsv"},
        },
        "tasks": {"facts": {"source": "facts", "max_items": 4}},
        "perplexity": {"corpus": "h"},
        "roles": {"corpora": ["t"]},
        "lexicon": {"corpus": "t"},
        "experts": {"corpus": "t", "experts_per_layer": 4},
        "lape": {"corpus": "t"},
        "sharing": {"tasks": ["facts"]},
        "transfer": {"corpus": "t", "k": [1], "tasks": ["facts"]},
        "agreement": {},
        "boost": {},
    }
    return Configuration.model_validate(settings | sections)


def recorded(model: str = "m", **sections: Any) -> dict[str, str]:
    """The key of each recording of a model, and of a text's tokens."""
    config = configured(**sections)
    needed = Recordings(config, Keys(config))
    targets = [*needed.groups[model], Target("t", TOKENS)]
    return {str(target): needed.key(model, target, "de") for target in targets}


def stepped(model: str = "m", **sections: Any) -> dict[str, str]:
    """The settings of each step of a model, as Snakemake compares them."""
    config = configured(**sections)
    return {
        f"{name}/{step.name}": step.settings(config, config.section(name), scope).model_dump_json()
        for name in config.analyses
        for step in wanted.steps(config, ANALYSES[name])
        for scope in wanted.jobs(config, ANALYSES[name], step)
        if scope.models == (model,)
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


RUN_A_MODEL = {
    *("experts/routing", "experts/inference", "lape/perplexity", "sharing/answers"),
    *("transfer/deactivation", "transfer/lape", "transfer/tasks", "boost/boost"),
}


def test_another_precision_is_another_recording_and_another_result() -> None:
    half = {"capture": {"dtype": "bfloat16"}}
    assert changed(recorded(), recorded(**half)) == {*recorded()} - {"t/tokens"}
    runs = changed(stepped(), stepped(**half))
    assert runs >= RUN_A_MODEL
    of_weights = {"lexicon/projection", "agreement/agreement", "experts/partition"}
    assert not of_weights & runs, "these run no text through the model"


def test_steps_that_run_a_model_are_those_that_depend_on_how_it_is_run() -> None:
    """So no step can run a model and not be made again."""
    config = configured()
    for name in config.analyses:
        for step in wanted.steps(config, ANALYSES[name]):
            [scope, *_] = wanted.jobs(config, ANALYSES[name], step)
            settings = step.settings(config, config.section(name), scope)
            assert (f"{name}/{step.name}" in RUN_A_MODEL) <= isinstance(settings, RunningSettings)
            assert code_of(ANALYSES[name], step, settings)


def test_a_setting_that_says_what_was_found_reruns_nothing(machine) -> None:
    same = {"capture": {"device": "cpu", "dtype": "float32"}}
    assert recorded(**same) == recorded()
    assert stepped(**same) == stepped()
    assert recorded(capture={"dtype": "half_if_faster"}) == recorded()
    machine(amx=True)
    half = {"capture": {"dtype": "half_if_faster"}}
    assert recorded(**half) == recorded(capture={"dtype": "bfloat16"}) != recorded()
    assert stepped(**half) == stepped(capture={"dtype": "bfloat16"}) != stepped()


def test_one_model_s_decision_is_no_other_s(machine) -> None:
    machine(amx=True)
    half = {"capture": {"dtype": "half_if_faster"}}
    made("m", **half["capture"])
    machine(amx=False)
    assert changed(recorded("m"), recorded("m", **half))
    assert not changed(recorded("n"), recorded("n", **half))
    assert changed(stepped("m"), stepped("m", **half))
    assert not changed(stepped("n"), stepped("n", **half))


def test_the_batch_counts_in_half_precision_only() -> None:
    larger = {"execution": {"batch_tokens": 512}}
    assert recorded(**larger) == recorded()
    assert stepped(**larger) == stepped()
    half = {"capture": {"dtype": "bfloat16"}}
    assert changed(recorded(**half), recorded(**half, **larger)) == {*recorded()} - {"t/tokens"}
    assert changed(stepped(**half), stepped(**half, **larger)) >= RUN_A_MODEL
    rest = {"execution": {"risk_megabytes": 7, "gpu_gigabytes": 80}}
    assert recorded(**half, **rest) == recorded(**half)
    assert stepped(**half, **rest) == stepped(**half)
