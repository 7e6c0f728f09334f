"""Rows are the tokens of each segment, and the recorded ones end the paper's prefixes."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_tokenizer
from neuroglot.tokens import tokenise

PIECES = ["<s>", "</s>", "Elementar", "y", "my", "de", "ar", "Watson", ".", "a", "b", "人", "生"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Cuts the paper's example as the paper does, with special tokens around it."""
    vocabulary = {piece: index for index, piece in enumerate(PIECES)}
    vocabulary |= {f"##{p}": len(PIECES) + i for i, p in enumerate(PIECES[2:])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="<s>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return made


def read(tokenizer: Tokenizer, *texts: str, prefix="word", window=None, long="refuse"):
    segments = [(f"s{i}", text) for i, text in enumerate(texts)]
    return tokenise(tokenizer, segments, prefix, window, tokenizer.get_vocab_size(), long)


def test_the_papers_example(tokenizer: Tokenizer) -> None:
    data = read(tokenizer, "Elementary my dear Watson.")
    tokens = [tokenizer.id_to_token(i) for i in data["token_id"].values]
    assert tokens == ["Elementar", "##y", "my", "de", "##ar", "Watson", "."]
    assert [t for t, s in zip(tokens, data["ends_prefix"].values, strict=True) if s] == [
        "##y",
        "my",
        "##ar",
        "Watson",
        ".",
    ]
    assert data["end"].values.tolist() == [9, 10, 13, 16, 18, 25, 26]
    assert data["position"].values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert data.attrs["before"] == [0]
    assert data.attrs["after"] == [1]


def test_the_prefix_of_one_subword_is_left_out(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "my Watson.")["ends_prefix"].values.tolist() == [False, True, True]
    subwords = read(tokenizer, "人生人", prefix="subword")
    assert subwords["ends_prefix"].values.tolist() == [False, True, True]


def test_counts_leave_special_tokens_out(tokenizer: Tokenizer) -> None:
    counts = read(tokenizer, "my my a.", "a.")["counts"].values
    assert counts[PIECES.index("my")] == 2
    assert counts[PIECES.index("a")] == 2
    assert counts[:2].sum() == 0
    assert counts.sum() == 6


def test_long_segments_are_refused_or_truncated(tokenizer: Tokenizer) -> None:
    with pytest.raises(NeuroglotError, match="segment s1 has 7 tokens, .* window holds 4"):
        read(tokenizer, "a.", "Elementary my dear Watson.", window=6)
    data = read(tokenizer, "a.", "Elementary my dear Watson.", window=6, long="truncate")
    assert data.attrs["truncated"] == 1
    assert np.bincount(data["segment_index"].values).tolist() == [2, 4]
    assert data["ends_prefix"].values.tolist() == [False, True, False, True, True, False]
    assert data["counts"].values.sum() == 9, "counts cover what was truncated too"


def test_tokens_within_one_character_count_once() -> None:
    made = Tokenizer(models.BPE(_bytes(), []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    data = tokenise(made, [("s", "人生")], "subword", None, 256, "refuse")
    assert data["ends_prefix"].values.tolist() == [False, False, True, False, False, True]


def test_what_a_tokenizers_file_has_left_over_changes_nothing(tokenizer: Tokenizer) -> None:
    texts = ("Elementary my dear Watson.", "a.")
    plain = read(tokenizer, *texts)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=12)
    xr.testing.assert_identical(read(tokenizer, *texts), plain)
    assert plain.attrs["after"] == [1]


def _bytes() -> dict[str, int]:
    return {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def test_a_foreign_tokenizer_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(NeuroglotError, match="outside the model's vocabulary of 5"):
        tokenise(tokenizer, [("s", "my Watson.")], "word", None, 5, "refuse")


def test_a_segment_without_tokens_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(NeuroglotError, match="segment s1 .* has no tokens"):
        read(tokenizer, "a.", " ")


def test_of_a_prompt_only_the_last_token_is_recorded(tokenizer: Tokenizer) -> None:
    data = read(tokenizer, "Elementary my dear Watson.", "a", prefix="last")
    assert data["ends_prefix"].values.tolist() == [False] * 6 + [True, True]


def test_a_prompt_that_does_not_fit_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(NeuroglotError, match="the prompt of item .* has 7 tokens.* fewer shots"):
        tokenise(tokenizer, [("s", "Elementary my dear Watson.")], "last", 5, 256, "refuse")


MARKED = "The <s>old</s> price <unk> my"


def saved(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """The tokenizer as a step reads it from a model's folder."""
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroglot.models.card.check_files", lambda *_: None)
        return read_tokenizer(folder)


def test_text_that_spells_special_tokens_is_text(tmp_path: Path) -> None:
    made = Tokenizer(models.BPE(_bytes(), []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<s>", "</s>", "<unk>"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
    )
    data = tokenise(saved(made, tmp_path), [("s", MARKED)], "subword", None, 300, "refuse")
    assert data["token_id"].values.max() < 256, "bytes alone"
    assert data.sizes["row"] == len(MARKED)
    assert data.attrs["before"] == [made.token_to_id("<s>")], "the model's own mark stays"
    assert data.attrs["read_as_special"] == 0


def test_what_a_tokenizer_cannot_tell_apart_is_counted(tmp_path: Path) -> None:
    pieces = ["<s>", "</s>", "<unk>", "▁", *sorted(set(MARKED) - {" "})]
    scores = [(piece, -float(index > 2)) for index, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(scores, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(["<s>", "</s>", "<unk>"])
    texts = [("a", MARKED), ("b", "old price"), ("c", "ü unknown")]
    data = tokenise(saved(made, tmp_path), texts, "subword", None, 300, "refuse")
    assert data.attrs["read_as_special"] == 1
