"""Steps ask for what the model and its texts need, and for more after a failure."""

import json
from pathlib import Path

import pytest

from neuroglot.config import Configuration
from neuroglot.resources import LONGEST, Needs

CARD = "results/models/m/card.json"
TOKENS = "results/tokens/m/c/de.zarr/complete.json"
TEXT = "results/corpora/c/de.parquet"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch):
    """A model of 7 billion parameters in bfloat16, 2 million tokens, and a text of 1 MB."""
    monkeypatch.chdir(tmp_path)
    for path in (CARD, TOKENS, TEXT):
        Path(path).parent.mkdir(parents=True)
    Path(CARD).write_text(json.dumps({"parameters": 7_000_000_000, "dtype": "bfloat16"}))
    Path(TOKENS).write_text(json.dumps({"counts": {"rows": 2_000_000, "segments": 10}}))
    Path(TEXT).write_bytes(b"x" * 1_000_000)


def resources(capture=None, **execution) -> Needs:
    return Needs(
        Configuration.model_validate(
            {
                "languages": ["en", "de"],
                "models": {"m": {"source": "owner/name"}},
                "corpora": {"c": {"source": "udhr"}},
                "lape": {"corpus": "c"},
                "capture": capture or {},
                "execution": execution,
            }
        )
    )


def test_memory_holds_the_weights_and_grows_with_each_attempt() -> None:
    on_cpu = resources().model_memory(None, [CARD], 1)
    assert 28_000 < on_cpu < 40_000, "float32 on a CPU"
    assert 14_000 < resources(gpu_request="gpu").model_memory(None, [CARD], 1) < 22_000
    assert resources(capture={"dtype": "bfloat16"}).model_memory(None, [CARD], 1) < 22_000
    assert resources().model_memory(None, [CARD], 2) == 2 * on_cpu
    assert resources(risk_megabytes=2000).model_memory(None, [CARD], 1) == on_cpu
    gathered = resources(capture={"store_dtype": "bfloat16"}, risk_megabytes=2000)
    assert gathered.model_memory(None, [CARD], 1) > on_cpu + 3000
    rounded = resources(capture={"keep_bits": 6}, risk_megabytes=2000)
    assert rounded.model_memory(None, [CARD], 1) > on_cpu + 3000
    assert resources().memory(8000)(None, 3) == 24_000


def test_time_grows_with_tokens_passes_and_attempts_up_to_a_limit() -> None:
    needs = resources(gpu_request="gpu")
    once = needs.model_time(beside=0)(None, [CARD, TOKENS], 1)
    assert once == 16, "2 · 7e9 · 2e6 operations at 3e13 a second are 15.6 minutes"
    assert needs.model_time(beside=0)(None, [CARD, TEXT], 1) == 8, "at most a token for a byte"
    assert needs.model_time(beside=0)(None, [CARD, TOKENS, TEXT], 1) == 24
    assert needs.model_time(beside=100)(None, [CARD, TOKENS], 1) == 116
    assert needs.model_time(beside=0, passes=4)(None, [CARD, TOKENS], 1) == 63
    assert needs.model_time(beside=0)(None, [CARD, TOKENS], 3) == 48
    assert resources().model_time()(None, [CARD, TOKENS], 1) == LONGEST, "not on a CPU"
    assert resources().time(60)(None, 2) == 120


@pytest.mark.parametrize(
    ("settings", "gpus", "gres"),
    [
        ({}, 0, ""),
        ({"gpu_request": "none", "capture": {"device": "cuda"}}, 0, ""),
        ({"capture": {"device": "cuda"}}, 1, ""),
        ({"gpu_request": "gpu"}, 1, ""),
        ({"gpu_request": "gpu", "gpu_gigabytes": 80}, 1, ""),
        ({"gpu_request": "gpu", "gpu_gigabytes": 16}, 2, ""),
        ({"gpu_request": "gres:gpu"}, 0, "gpu:1"),
        ({"gpu_request": "gres:gpu:a100", "gpu_gigabytes": 6}, 0, "gpu:a100:3"),
        ({"gpu_request": "gpu", "gpu_gigabytes": 16, "capture": {"dtype": "float32"}}, 3, ""),
    ],
)
def test_gpus_are_asked_for_in_the_cluster_s_style(settings, gpus: int, gres: str) -> None:
    needs = resources(**settings)
    assert needs.gpus(None, [CARD]) == gpus
    assert needs.gres(None, [CARD]) == gres


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_of_this_machine_is_asked_for(there: bool, monkeypatch) -> None:
    monkeypatch.setattr("neuroglot.running._gpu_here", lambda: there)
    assert resources().gpus(None, [CARD]) == there
    assert resources(gpu_request="none").gpus(None, [CARD]) == 0
    assert resources(capture={"device": "cpu"}).gpus(None, [CARD]) == 0


def test_files_that_are_still_to_be_made_are_named() -> None:
    Path(TOKENS).unlink()
    with pytest.raises(FileNotFoundError) as error:
        resources().model_time()(None, [CARD, TOKENS], 1)
    assert error.value.filename == TOKENS, "by which Snakemake knows that it is to ask again"
