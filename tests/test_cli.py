"""The commands the workflow runs: what they write, how they refuse, and what they import."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroglot import store
from support import tiny_checkpoints
from support.command import ok, refused
from support.tiny_workflow import SENTENCES


def configure(folder: Path, **changes) -> None:
    """Write the folder's configuration: a model, two texts that are not parallel, and roles."""
    config = {
        "languages": ["en", "de", "fr"],
        "models": {"one": {"source": "./checkpoint"}},
        "corpora": {
            name: {"source": "text", "path": f"{name}-{{language}}.tsv"}
            for name in ("plain", "shifted")
        },
        "roles": {"corpora": ["plain"], "sample_segments": 40, "replicates": 10},
        "lape": {"corpus": "plain"},
        **changes,
    }
    (folder / "config.yaml").write_text(json.dumps(config), "utf-8")


def recorded(folder: Path, language: str, corpus: str = "plain") -> Path:
    """Read, tokenise and record one language, and give the store."""
    ok("corpus", corpus, language, cwd=folder)
    ok("record", "one", language, f"{corpus}/tokens", cwd=folder)
    ok(*record(language, corpus), cwd=folder)
    return folder / f"results/activations/one/{corpus}/{language}.zarr"


def record(language: str, corpus: str = "plain") -> list[str]:
    groups = ("roles", "sample", "firing")
    return ["record", "one", language, *(f"{corpus}/{group}" for group in groups)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and texts recorded in two languages."""
    folder = tmp_path_factory.mktemp("place")
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    tiny_checkpoints.write_checkpoint(folder / "checkpoint", "llama", texts=texts, seed=0)
    for language, sentences in SENTENCES.items():
        for name, first in {"plain": 0, "shifted": 100}.items():
            lines = [f"s{first + i}\t{text}" for i, text in enumerate(sentences)]
            (folder / f"{name}-{language}.tsv").write_text("\n".join(lines), "utf-8")
    configure(folder)
    ok("model", "one", cwd=folder)
    for language in ("en", "de"):
        recorded(folder, language)
    return folder


@pytest.fixture
def fresh(place: Path, tmp_path: Path) -> Path:
    """A copy of the place, to change at will."""
    return Path(shutil.copytree(place, tmp_path / "fresh"))


def test_recorded_groups_are_complete(place: Path) -> None:
    recorded = place / "results/activations/one/plain/en.zarr"
    counts = store.read_completion(recorded / "sample").counts
    assert counts["segments"] == 6
    statistics = store.open_dataset(recorded / "roles", "activations")
    rows = store.open_dataset(recorded / "sample", "activations")["act"]
    assert rows.sizes["row"] == counts["rows"]
    np.testing.assert_allclose(
        rows.astype(np.float32).sum("row"), statistics["act_sum"], rtol=2e-3, atol=2e-3
    )
    assert not (recorded / "progress").exists()


def test_a_complete_group_is_not_recorded_again(place: Path) -> None:
    path = place / "results/activations/one/plain/en.zarr/roles" / store.COMPLETE
    before = path.stat().st_mtime_ns
    ok(*record("en"), cwd=place)
    assert path.stat().st_mtime_ns == before


def test_other_settings_record_anew_what_they_change(fresh: Path) -> None:
    groups = fresh / "results/activations/one/plain/en.zarr"
    before = {
        name: (groups / name / store.COMPLETE).stat().st_mtime_ns for name in ("roles", "sample")
    }
    configure(fresh, capture={"store_dtype": "float32"})
    ok(*record("en"), cwd=fresh)
    after = {name: (groups / name / store.COMPLETE).stat().st_mtime_ns for name in before}
    assert after["roles"] == before["roles"]  # sums do not depend on how rows are stored
    assert after["sample"] > before["sample"]


def test_stores_recorded_in_other_ways_are_not_compared(fresh: Path) -> None:
    configure(fresh, capture={"store_dtype": "float32"})
    recorded(fresh, "fr")
    message = refused("step", "roles", "distance", "--model", "one", cwd=fresh)
    assert "cannot be compared: they differ in settings" in message


def test_texts_that_are_not_parallel_are_refused(fresh: Path) -> None:
    for language in ("de", "en"):
        shutil.copy(fresh / f"plain-{language}.tsv", fresh / f"mixed-{language}.tsv")
    shutil.copy(fresh / "shifted-fr.tsv", fresh / "mixed-fr.tsv")
    configure(
        fresh,
        corpora={"mixed": {"source": "text", "path": "mixed-{language}.tsv"}},
        roles={"corpora": ["mixed"], "replicates": 10},
        lape={"corpus": "mixed"},
    )
    message = refused("corpus", "mixed", "fr", cwd=fresh)
    assert (
        "of the 6 segment ids of 'fr' only 0 are in all of fr, en (fr: 's100', …, en: 's0', …)"
        in message
    )
    assert "give parallel texts the same ids" in message


def test_an_incomplete_store_is_named(fresh: Path) -> None:
    group = fresh / "results/activations/one/plain/de.zarr/firing"
    (group / store.COMPLETE).unlink()
    message = refused("step", "lape", "neurons", "--model", "one", cwd=fresh)
    assert "de.zarr/firing is incomplete: it has no complete.json" in message


def test_tokens_of_another_model_are_refused(fresh: Path) -> None:
    texts = ["another model with another tokenizer"]
    shutil.rmtree(fresh / "checkpoint")
    tiny_checkpoints.write_checkpoint(fresh / "checkpoint", "llama", texts=texts, seed=5)
    shutil.rmtree(fresh / "results/models/one")
    ok("model", "one", cwd=fresh)
    message = refused(*record("en"), cwd=fresh)
    assert "was made with another model" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["step", "lape", "nurons", "--model", "one"], "unknown step 'nurons'; did you mean"),
        (["step", "lape", "neurons"], "lape neurons: name one of one"),
        (["step", "lape", "neurons", "--model", "two"], "unknown model 'two'"),
        (["step", "lape", "neurons", "--model", "one", "--part", "x"], "takes no --part"),
        (["step", "experts", "frequency", "--model", "one"], "has no section 'experts'"),
        (["draw", "lape", "nothing", "--model", "one"], "unknown set of figures 'nothing'"),
        (["corpus", "plian", "en"], "unknown corpus 'plian'; did you mean 'plain'?"),
        (["corpus", "plain", "fi"], "unknown language 'fi'"),
        (["task", "facts", "en"], "unknown task 'facts'"),
        (["record", "one", "en", "plain/frying"], "unknown recording 'plain/frying'"),
    ],
)
def test_what_is_not_there_is_named(place: Path, arguments: list[str], message: str) -> None:
    assert message in refused(*arguments, cwd=place)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "plain-xx.tsv"),
        (b"s0\tok\ns1\t\xff\xfe\n", "plain-xx.tsv"),
        (b"s0\tonly one segment here\n", "at least two"),
    ],
)
def test_bad_text_is_refused_and_nothing_written(
    place: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "plain-xx.tsv").write_bytes(content)
    source = {"source": "text", "path": "plain-{language}.tsv", "codes": {"de": "xx"}}
    configure(
        tmp_path,
        languages=["de"],
        pivot="de",
        models={"one": {"source": str(place / "checkpoint")}},
        corpora={"plain": source},
    )
    found = refused("corpus", "plain", "de", cwd=tmp_path)
    assert message in found
    assert not (tmp_path / "results/corpora/plain/de.parquet").exists()


def test_results_that_cannot_be_written_are_named(place: Path, tmp_path: Path) -> None:
    for language in ("en", "de", "fr"):
        for name in ("plain", "shifted"):
            (tmp_path / f"{name}-{language}.tsv").write_text("s0\ta b c\ns1\td e f\n")
    (tmp_path / "results").write_text("a file where the folder should be")
    configure(tmp_path, models={"one": {"source": str(place / "checkpoint")}})
    assert "results" in refused("corpus", "plain", "de", cwd=tmp_path)


def test_a_message_does_not_steer_the_terminal(place: Path) -> None:
    found = refused("corpus", "\x1b[31m", "de", cwd=place)
    assert found.rstrip("\n").isprintable()
    assert "\\x1b[31m" in found


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(fresh: Path) -> None:
    ok("corpus", "plain", "fr", cwd=fresh)
    ok("record", "one", "fr", "plain/tokens", cwd=fresh)
    configure(fresh, capture={"device": "cuda"})
    message = refused(*record("fr"), cwd=fresh)
    assert "one is run on a GPU, and torch finds none on this machine" in message
    assert not list((fresh / "results/activations/one/plain").glob("fr.zarr/*/complete.json"))


HEAVY = ("torch", "transformers", "datasets", "accelerate")


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "schema"],
        ["record", "--help"],
        ["record", "one", "en", "plain/tokens"],
        ["corpus", "plain", "en"],
        ["step", "roles", "rank_correlation", "--model", "one"],
        ["draw", "roles", "rank_correlation", "--model", "one"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_steps_without_a_model_import_no_model_code(place: Path, arguments: list[str]) -> None:
    configure(place, languages=["en", "de"])
    code = (
        "import sys\nfrom neuroglot.cli import main\n"
        f"sys.argv = ['neuroglot', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('IMPORTED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    configure(place)
    assert finished.stdout.splitlines()[-1:] == ["IMPORTED []"], finished.stderr
