"""The commands the workflow runs: what they write, how they refuse, and what they import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_checkpoints
from neuroglot import store
from tiny_workflow import SENTENCES

COMMAND = Path(sys.executable).parent / "neuroglot"
CAPTURE = {"device": "cpu", "dtype": "auto", "store_dtype": "float16"}


def neuroglot(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ok(*arguments: object, cwd: Path) -> str:
    finished = neuroglot(*arguments, cwd=cwd)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def refused(*arguments: object, cwd: Path) -> str:
    finished = neuroglot(*arguments, cwd=cwd)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("error: ")
    return finished.stderr


def corpus(folder: Path, language: str, name: str = "plain") -> Path:
    output = folder / "results" / "corpora" / name / f"{language}.parquet"
    settings = json.dumps({"source": "text", "path": f"{name}-{{language}}.tsv"})
    ok("corpus", "--settings", settings, "--language", language, "--output", output, cwd=folder)
    return output


def tokens(folder: Path, text: Path, model: str = "one") -> Path:
    output = folder / f"results/tokens/{model}/{text.parent.name}/{text.stem}.zarr"
    ok(
        *("tokens", "--model", f"results/models/{model}", "--corpus", text),
        *("--prefix", "word", "--long-segments", "truncate", "--output", output),
        cwd=folder,
    )
    return output


PLAN = {
    "roles": {"rule": "nonzero", "threshold": 0.0},
    "sample": {"segments": 40},
    "firing": {},
}


def capture_arguments(folder: Path, read: Path, model: str = "one", **settings) -> list[object]:
    output = Path(str(read).replace("tokens", "activations"))
    return [
        *("capture", "--model", f"results/models/{model}", "--tokens", read),
        *("--settings", json.dumps({**CAPTURE, **settings}), "--plan", json.dumps(PLAN)),
        *("--output", output),
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and texts recorded in two languages."""
    folder = tmp_path_factory.mktemp("place")
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    tiny_checkpoints.write_checkpoint(folder / "checkpoint", "llama", texts=texts, seed=0)
    settings = json.dumps({"source": "./checkpoint"})
    ok("model", "--settings", settings, "--output", "results/models/one", cwd=folder)
    for language, sentences in SENTENCES.items():
        for name, first in {"plain": 0, "shifted": 100}.items():
            lines = [f"s{first + i}\t{text}" for i, text in enumerate(sentences)]
            (folder / f"{name}-{language}.tsv").write_text("\n".join(lines), "utf-8")
    for language in ("en", "de"):
        read = tokens(folder, corpus(folder, language))
        ok(*capture_arguments(folder, read), cwd=folder)
    return folder


def test_recorded_stores_are_complete(place: Path) -> None:
    recorded = place / "results/activations/one/plain/en.zarr"
    records = store.held(recorded)
    assert list(records) == ["firing", "roles", "sample"]
    assert all(record.counts["segments"] == 4 for record in records.values())
    raw = store.read_rows(recorded / "sample", "act")
    assert raw.shape[1] == records["sample"].counts["rows"] == records["roles"].counts["rows"]
    data = store.open_dataset(recorded / "roles", "activations")
    np.testing.assert_allclose(raw.sum(1), data["act_sum"], rtol=2e-3, atol=2e-3)
    assert not (recorded / "progress").exists()


def test_a_complete_store_is_not_made_again(place: Path) -> None:
    read = place / "results/tokens/one/plain/en.zarr"
    files = sorted((place / "results/activations/one/plain/en.zarr").rglob("*"))
    before = [path.stat().st_mtime_ns for path in files]
    ok(*capture_arguments(place, read), cwd=place)
    assert [path.stat().st_mtime_ns for path in files] == before


def test_stores_recorded_in_other_ways_are_not_compared(place: Path) -> None:
    read = tokens(place, corpus(place, "fr"))
    ok(*capture_arguments(place, read, store_dtype="float32"), cwd=place)
    message = refused(
        *("reduce", "roles", "flatness", "--settings", "{}", "--output", "x.zarr"),
        *(f"results/activations/one/plain/{language}.zarr" for language in ("en", "fr")),
        cwd=place,
    )
    assert "cannot be compared: they differ in settings" in message


def test_texts_that_are_not_parallel_are_refused(place: Path) -> None:
    read = tokens(place, corpus(place, "de", "shifted"))
    ok(*capture_arguments(place, read), cwd=place)
    recorded = place / "results/activations/one"
    mixed = recorded / "plain" / "xx.zarr"
    (recorded / "shifted" / "de.zarr").rename(mixed)
    for path in mixed.glob(f"*/{store.RECORD}"):
        record = json.loads(path.read_text())
        record["origin"] |= {"corpus": "plain", "language": "fr"}
        path.write_text(json.dumps(record))
        path.with_name(store.ORIGIN).unlink()  # which says what the store was begun as
    settings = {
        "corpora": ["plain"],
        "languages": ["en", "fr"],
        "scale": "none",
        "language_table": {},
    }
    message = refused(
        *("reduce", "roles", "distance", "--settings", json.dumps(settings)),
        *("--output", "x.zarr", recorded / "plain" / "en.zarr", mixed),
        cwd=place,
    )
    assert "corpus 'plain': languages 'en' and 'fr' share no segment id" in message
    assert "'s0'" in message
    assert "'s100'" in message


def test_an_incomplete_store_is_named(place: Path) -> None:
    (place / "half.zarr").mkdir(exist_ok=True)
    message = refused(
        *("reduce", "roles", "flatness", "--settings", "{}", "--output", "x.zarr", "half.zarr"),
        cwd=place,
    )
    assert "half.zarr is incomplete: it has no complete.json" in message


def test_a_model_that_does_not_fit_the_tokens_is_refused(place: Path) -> None:
    tiny_checkpoints.write_checkpoint(place / "other", "llama", seed=5)
    settings = json.dumps({"source": "./other"})
    ok("model", "--settings", settings, "--output", "results/models/two", cwd=place)
    read = place / "results/tokens/one/plain/en.zarr"
    message = refused(*capture_arguments(place, read, model="two"), cwd=place)
    assert "was made with another model" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "plain-xx.tsv"),
        (b"s0\tok\ns1\t\xff\xfe\n", "plain-xx.tsv"),
        (b"s0\tonly one segment here\n", "at least two"),
        (None, "plain-xx.tsv"),
    ],
)
def test_bad_text_is_refused_and_nothing_written(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "plain-xx.tsv").write_bytes(content)
    settings = json.dumps({"source": "text", "path": "plain-{language}.tsv", "codes": {"de": "xx"}})
    output = tmp_path / "de.parquet"
    found = refused(
        *("corpus", "--settings", settings, "--language", "de", "--output", output), cwd=tmp_path
    )
    assert message in found
    assert not output.exists()


def test_results_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "plain-de.tsv").write_text("s0\ta b c\ns1\td e f\n")
    (tmp_path / "results").write_text("a file where the folder should be")
    settings = json.dumps({"source": "text", "path": "plain-{language}.tsv"})
    found = refused(
        *("corpus", "--settings", settings, "--language", "de"),
        *("--output", "results/corpora/de.parquet"),
        cwd=tmp_path,
    )
    assert "results" in found


def test_a_message_does_not_steer_the_terminal(tmp_path: Path) -> None:
    found = refused(
        *("corpus", "--settings", "{\x1b[31m", "--language", "de"),
        *("--output", "results/corpora/de.parquet"),
        cwd=tmp_path,
    )
    assert found.rstrip("\n").isprintable()
    assert "\\x1b[31m" in found


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(place: Path) -> None:
    read = tokens(place, corpus(place, "fr", "shifted"))
    message = refused(*capture_arguments(place, read, device="cuda"), cwd=place)
    assert "capture.device: cuda, but torch finds no GPU" in message
    assert not store.held(place / "results/activations/one/shifted/fr.zarr")


HEAVY = ("torch", "transformers", "datasets", "accelerate")
RECORDED = "results/activations/one/plain/en.zarr"
REDUCTION = {
    "corpora": ["plain"],
    "languages": ["en"],
    "replicates": 10,
    "language_table": {"en": {"name": "English", "family": "Indo-European"}},
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "schema"],
        ["tokens", "--help"],
        [
            *("tokens", "--model", "results/models/one", "--prefix", "word"),
            *("--corpus", "results/corpora/plain/en.parquet", "--long-segments", "truncate"),
            *("--output", "fresh/en.zarr"),
        ],
        [
            *("corpus", "--settings", '{"source": "text", "path": "plain-{language}.tsv"}'),
            *("--language", "en", "--output", "fresh/en.parquet"),
        ],
        [
            *("reduce", "roles", "rank_correlation", RECORDED, "--output", "fresh/r.zarr"),
            *("--settings", json.dumps(REDUCTION)),
        ],
    ],
    ids=lambda arguments: arguments[0],
)
def test_steps_without_a_model_import_no_model_code(place: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom neuroglot.cli import main\n"
        f"sys.argv = ['neuroglot', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('IMPORTED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert finished.stdout.splitlines()[-1:] == ["IMPORTED []"], finished.stderr
