"""Token counts of many languages: what is counted, what is left out, and what is counted again."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from neuroglot import store
from neuroglot.analyses.base import StepSettings
from neuroglot.analyses.lexicon import LEXICON
from neuroglot.analyses.lexicon.settings import CountsInputs
from neuroglot.analyses.lexicon.steps import counts
from neuroglot.analyses.run import run_step
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import ModelCard, checksums, write_card

TEXTS = {
    "sw": ["watu wote wamezaliwa huru", "watu wote"],
    "en": ["all human beings are born free", "all are equal", "free and equal all"],
    "de": ["alle menschen sind frei", "alle sind gleich", "all"],
}
TAGS = ["__en__", "__de__"]
WORDS = sorted({word for texts in TEXTS.values() for text in texts for word in text.split()})
VOCABULARY = ["<unk>", "<s>", "</s>", *WORDS]
SETTINGS = ExecutionSettings()


def write_model(folder: Path, sha256: str = "a" * 64, vocabulary: int = 100) -> Path:
    """Write a tokenizer that tags languages, with truncation and padding left over in its file."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *TAGS])
    tokenizer.add_tokens([AddedToken("\n", normalized=False)])  # added, but text all the same
    tokenizer.post_processor = processors.TemplateProcessing(
        single="__en__ $A </s>",
        special_tokens=[(one, tokenizer.token_to_id(one)) for one in ("__en__", "</s>")],
    )
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9, pad_id=VOCABULARY.index("all"), pad_token="all")
    tokenizer.save(str(folder / "tokenizer.json"))
    card = ModelCard(
        model_type="m2m_100",
        architecture=architecture_digest("m2m_100"),
        architectures=("M2M100ForConditionalGeneration",),
        stacks={"encoder": 1, "decoder": 1},
        layers=2,
        neurons=(4, 4),
        hidden=2,
        vocabulary=vocabulary,
        activation="relu",
        gated=False,
        context_window=8,
        dtype="float32",
        parameters=1,
        source="test",
        files=checksums(folder),
        sha256=sha256,
    )
    write_card(folder, card)
    return folder


def write_text(folder: Path, language: str, texts: list[str]) -> Path:
    path = folder / "corpora" / "plain" / f"{language}.parquet"
    segments = tuple(Segment(f"s{index}", text) for index, text in enumerate(texts))
    write_parquet(Reading(segments), path)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, Path]:
    return {language: write_text(tmp_path, language, text) for language, text in TEXTS.items()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "models" / "tiny")


def count(model: Path, texts: dict[str, Path]) -> xr.DataArray:
    """Count anew, as the workflow does: without the record, but with the pieces kept."""
    output = model.parent.parent / "counts.zarr"
    (output / store.COMPLETE).unlink(missing_ok=True)
    inputs = CountsInputs(model=model, texts=texts)
    settings = StepSettings(languages=list(texts))
    run_step(LEXICON, LEXICON.step("counts"), inputs, settings, output, SETTINGS)
    return store.open_dataset(output, "reduction")["count"]


def words_of(counted: xr.DataArray, language: str) -> dict[str, int]:
    row = counted.sel(language=language)
    return {VOCABULARY[int(one["token"])]: int(one) for one in row if one > 0}


@pytest.fixture
def files_counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Languages whose text is really counted, and not taken from its piece."""
    found: list[str] = []
    real = counts.Counter.count

    def watched(self: counts.Counter, language: str, path: Path) -> counts.Piece:
        found.append(language)
        return real(self, language, path)

    monkeypatch.setattr(counts.Counter, "count", watched)
    return found


def test_counts_are_those_of_a_plain_split(model, texts):
    counted = count(model, texts)
    assert counted.dims == ("language", "token")
    assert counted.dtype == np.int64
    assert counted["language"].values.tolist() == ["sw", "en", "de"]
    assert counted.attrs["units"] == "tokens"
    for language, lines in TEXTS.items():
        assert words_of(counted, language) == Counter(" ".join(lines).split())
    tokens = counted["token"].values
    assert (np.diff(tokens) > 0).all()
    assert (counted.sum("language") > 0).all(), "only tokens that are seen have a column"
    assert len(tokens) == len(WORDS)


def by_fold(model: Path) -> dict[tuple[str, str, int], int]:
    data = store.open_dataset(model.parent.parent / "counts.zarr", "reduction")
    entries = zip(
        data["language"].values[data["fold_language"].values],
        data["fold_token"].values,
        data["fold"].values,
        data["fold_count"].values,
        strict=True,
    )
    return {(str(one), VOCABULARY[t], int(f)): int(n) for one, t, f, n in entries}


def test_counts_by_fold_are_those_of_the_segments(model, texts, monkeypatch):
    count(model, texts)
    expected = {
        (language, word, segment): number
        for language, lines in TEXTS.items()
        for segment, line in enumerate(lines)
        for word, number in Counter(line.split()).items()
    }
    assert by_fold(model) == expected
    monkeypatch.setattr(counts, "FOLDS", 2)
    for file in (model.parent.parent / "counts.pieces").iterdir():
        file.unlink()
    count(model, texts)
    folded = Counter()
    for (language, word, segment), number in expected.items():
        folded[language, word, segment % 2] += number
    assert by_fold(model) == folded


def test_batches_change_nothing(model, texts, monkeypatch):
    whole = count(model, texts)
    for file in (model.parent.parent / "counts.pieces").iterdir():
        file.unlink()
    entries = by_fold(model)
    monkeypatch.setattr(counts, "BATCH_SEGMENTS", 1)
    xr.testing.assert_identical(count(model, texts), whole)
    assert by_fold(model) == entries


def test_special_tokens_tags_and_unknown_words_are_left_out(model, tmp_path):
    lines = ["<s> __de__ all </s>", "all zzz __en__", "all\nfree"]
    counted = count(model, {"en": write_text(tmp_path, "en", lines)})
    newline = len(VOCABULARY) + len(TAGS)
    assert counted["token"].values.tolist() == sorted(
        [VOCABULARY.index("all"), VOCABULARY.index("free"), newline]
    )
    assert counted.sel(language="en", token=newline) == 1
    assert counted.sum() == 5


def test_one_more_language_is_counted_alone(model, texts, files_counted, tmp_path):
    first = count(model, {key: texts[key] for key in ("sw", "de")})
    assert files_counted == ["sw", "de"]
    more = count(model, texts)
    assert files_counted == ["sw", "de", "en"]
    xr.testing.assert_identical(more.sel(language=["sw", "de"], token=first["token"].values), first)
    fresh = count(write_model(tmp_path / "fresh" / "models" / "tiny"), texts)
    xr.testing.assert_identical(more, fresh)


def test_new_text_or_another_model_is_counted_again(model, texts, files_counted, tmp_path):
    count(model, texts)
    write_text(tmp_path, "de", ["alle", "gleich"])
    assert words_of(count(model, texts), "de") == {"alle": 1, "gleich": 1}
    assert files_counted == ["sw", "en", "de", "de"]
    write_model(model, sha256="b" * 64)
    count(model, texts)
    assert files_counted[4:] == ["sw", "en", "de"]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        np.savez(path, token=np.arange(3), count=np.arange(3))
    elif how == "pickled":
        stored = {"token": np.array([{}], object), "count": np.ones(1), "fingerprint": np.array("")}
        np.savez(path, **stored)
    else:
        path.write_text(how)


@pytest.mark.parametrize("how", ["truncated", "empty", "foreign", "pickled", "no archive"])
def test_a_useless_piece_is_counted_again(model, texts, files_counted, how):
    whole = count(model, texts)
    pieces = model.parent.parent / "counts.pieces"
    assert {path.name for path in pieces.iterdir()} == {f"{one}.npz" for one in TEXTS}
    damage(pieces / "en.npz", how)
    del files_counted[:]
    xr.testing.assert_identical(count(model, texts), whole)
    assert files_counted == ["en"]


@pytest.mark.parametrize("lines", [["zzz", "yyy"], ["<s>", "__de__"]])
def test_a_language_without_tokens_is_named(model, texts, tmp_path, lines):
    texts["fr"] = write_text(tmp_path, "fr", lines)
    with pytest.raises(NeuroglotError, match=r"fr\.parquet: the text of language 'fr' has no tok"):
        count(model, texts)
    assert not (tmp_path / "counts.zarr" / store.COMPLETE).exists()


def test_a_foreign_tokenizer_is_refused(tmp_path, texts):
    model = write_model(tmp_path / "models" / "tiny", vocabulary=5)
    with pytest.raises(NeuroglotError, match=r"sw\.parquet: token \d+ is outside .* of 5 of"):
        count(model, texts)


def test_a_text_is_the_languages_it_is_given_for_whatever_its_file_is_called(
    model, texts, files_counted, tmp_path
):
    renamed = {one: path.rename(tmp_path / f"{one}-text.parquet") for one, path in texts.items()}
    counted = count(model, renamed)
    assert files_counted == counted["language"].values.tolist() == ["sw", "en", "de"]
    assert words_of(counted, "de") == Counter(" ".join(TEXTS["de"]).split())


def test_a_file_that_is_no_corpus_is_named(model, texts):
    texts["en"].write_text("no parquet")
    with pytest.raises(NeuroglotError, match=r"en\.parquet: is not a corpus file"):
        count(model, texts)


def test_the_tokenizer_is_not_read_where_nothing_is_new(model, texts):
    whole = count(model, texts)
    (model / "tokenizer.json").unlink()
    xr.testing.assert_identical(count(model, texts), whole)


def test_counting_imports_no_model_library():
    code = (
        "import json, sys, neuroglot.analyses.lexicon.steps.counts;"
        "heavy = {'torch', 'transformers', 'tokenizers'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
