"""Held-out text: the same segments in every language, none that neurons were chosen on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from neuroglot.analyses.held_out import HeldOut, read_held_out
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import write_checkpoint

TEXTS = {
    "a": "The house stands on a hill.",
    "b": "She reads a book every night.",
    "c": "No one knows where the river begins.",
    "d": "All human beings are born free.",
    "e": "Everyone has the right to rest.",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    normalise(ModelSettings(source=str(write_checkpoint(folder / "checkpoint"))), folder / "model")
    return folder / "model"


def tokens_of(
    model: Path, folder: Path, texts: Mapping[str, Sequence[tuple[str, str, int]]], drawn: int
) -> dict[str, Path]:
    """Write token stores; segments are (id, text, place in the draw)."""
    stores = {}
    for language, segments in texts.items():
        read = tuple(Segment(name, text) for name, text, _ in segments)
        reading = Reading(read, (), tuple(place for *_, place in segments), drawn)
        path = folder / f"{language}.parquet"
        write_parquet(reading, path)
        stores[language] = folder / f"{language}.zarr"
        chosen = Tokenising(prefix="subword", long_segments="refuse")
        write_tokens(model, path, stores[language], chosen)
    return stores


def in_order(names: str, order: str, mark: str = "") -> list[tuple[str, str, int]]:
    """Segments ``names``, in this order in the text; the draw's order is ``order``."""
    return [(name, TEXTS[name] + mark, order.index(name)) for name in names]


def read(
    model: Path, stores: Mapping[str, Path], chosen_on: Mapping[str, Path], **settings: int
) -> dict[str, HeldOut]:
    cut = PerplexitySettings(corpus="held-out", **settings)
    return {
        text.language: text for text in read_held_out(model, stores, chosen_on, cut, list(stores))
    }


def test_languages_read_the_same_segments_in_the_order_of_the_draw(
    model: Path, tmp_path: Path
) -> None:
    texts = {"en": in_order("abcde", "edcba"), "de": in_order("abde", "edcba", " Und so.")}
    found = read(model, tokens_of(model, tmp_path, texts, 5), {}, segments=3, tokens_per_segment=4)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    for language, text in found.items():
        assert text.parallel
        assert text.ids == text.labels == ["e", "d", "b"], "c is lacking in German"
        whole = [tokenizer.decode(ids.tolist()) for ids in text.whole]
        assert whole == [{n: t for n, t, _ in texts[language]}[i] for i in "edba"]
        assert [len(ids) for ids in text.segments] == [4, 4, 4]
        np.testing.assert_array_equal(text.segments[0], text.whole[0][:4])
        assert text.predicted.tolist() == [4, 4, 4]


def test_languages_with_too_little_in_common_are_refused(model: Path, tmp_path: Path) -> None:
    texts = {"en": in_order("abc", "abcde"), "de": in_order("cde", "abcde")}
    with pytest.raises(NeuroglotError, match="corpus 'held-out': of the 3 segments .* only 1"):
        read(model, tokens_of(model, tmp_path, texts, 5), {})


def test_text_that_is_not_parallel_has_numbers_for_ids(model: Path, tmp_path: Path) -> None:
    texts = {"en": in_order("abc", "abc"), "de": in_order("de", "de")}
    found = read(model, tokens_of(model, tmp_path, texts, 0), {})
    assert not found["en"].parallel
    assert [*map(len, (found["en"].ids, found["de"].ids))] == [3, 2]
    assert found["en"].labels == ["0", "1", "2"]
    assert found["de"].labels == ["0", "1"]


def test_held_out_segments_are_told_apart_by_what_they_are_not_by_their_place(
    model: Path, tmp_path: Path
) -> None:
    """The first segment of one text may be the last of the other: that is refused."""
    held_out = {"en": in_order("abc", "abc")}
    stores = tokens_of(model, tmp_path / "held-out", held_out, 3)
    others = tokens_of(model, tmp_path / "others", {"en": in_order("de", "de")}, 2)
    assert read(model, stores, others)["en"].ids == ["a", "b", "c"]
    shared = tokens_of(model, tmp_path / "shared", {"en": in_order("dec", "dec")}, 3)
    with pytest.raises(NeuroglotError, match=r"en\.zarr: segment c also stands in .*shared"):
        read(model, stores, shared)
    renamed = {"en": [("other", TEXTS["b"].replace("a book", "a, book"), 0), ("e", TEXTS["e"], 1)]}
    again = tokens_of(model, tmp_path / "again", renamed, 2)
    with pytest.raises(NeuroglotError, match="segment b also stands in"):
        read(model, stores, again)


def test_a_segment_of_one_token_leaves_nothing_to_predict(model: Path, tmp_path: Path) -> None:
    texts = {"en": [("a", "x", 0), *in_order("bc", "abc")]}
    assert read(model, tokens_of(model, tmp_path, texts, 3), {})["en"].ids == ["b", "c"]
    alone = tokens_of(model, tmp_path / "alone", {"en": [("a", "x", 0), ("b", "y", 1)]}, 2)
    with pytest.raises(NeuroglotError, match="no segment has two tokens"):
        read(model, alone, {})
