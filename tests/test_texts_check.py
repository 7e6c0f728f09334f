"""What can be known from the user's texts is told by `config check`, before any job runs."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from neuroglot.config import Config, load
from neuroglot.corpora.damage import misread
from neuroglot.errors import NeuroglotError
from neuroglot.identification import foreign
from neuroglot.texts_check import check_texts

LANGUAGES = ("en", "de", "fr")
UNCHECKED = {"check_language": "off"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty segments with ids in three languages."""
    for language in LANGUAGES:
        write(tmp_path, language, {f"s{number}": f"{language} {number}" for number in range(20)})
    return tmp_path


def write(folder: Path, language: str, segments: dict[str, str]) -> None:
    lines = (f"{identifier}\t{text}\n" for identifier, text in segments.items())
    (folder / f"{language}.tsv").write_text("".join(lines), "utf-8")


def configured(folder: Path, corpus: dict[str, Any] | None = None, **settings: Any) -> Config:
    given = {"source": "text", "path": str(folder / "{language}.tsv"), **(corpus or {})}
    return load(
        {
            "languages": list(LANGUAGES),
            "models": {"one": {"source": "pypi:a-model==1.0.0", "sha256": "0" * 64}},
            "corpora": {"mine": given, **settings.pop("corpora", {})},
            "lape": {"corpus": "mine"},
            **settings,
        }
    )


def said(config: Config) -> list[str]:
    return list(check_texts(config))


def test_what_all_languages_share_is_said(folder: Path) -> None:
    assert said(configured(folder)) == [
        "corpora.mine: 20 of the 20 segments of en are in all 3 languages (100%)"
    ]
    own = said(configured(folder, {"parallel": False}))
    assert own == ["corpora.mine: 3 languages, of 20 to 20 segments"]


def test_a_missing_sentence_is_named(folder: Path) -> None:
    write(folder, "fr", {f"s{number}": f"fr {number}" for number in range(20) if number != 7})
    assert said(configured(folder)) == [
        "corpora.mine: 19 of the 20 segments of en are in all 3 languages (95%)",
        "corpora.mine: fr: lacks 1 of the 20 segments drawn of en: s7",
    ]


def test_languages_that_share_less_than_half_are_refused_though_each_pair_does_not(
    folder: Path,
) -> None:
    write(folder, "de", {f"s{number}": "de" for number in range(12)})
    write(folder, "fr", {f"s{number}": "fr" for number in range(8, 20)})
    config = configured(folder)
    assert len(config.corpora["mine"].read("de").segments) == 12
    with pytest.raises(NeuroglotError, match=r"corpora\.mine: of the 12 .* only 4 are in all of"):
        said(config)


def test_unequal_lines_name_all_languages(folder: Path) -> None:
    for language, count in zip(LANGUAGES, (20, 21, 20), strict=True):
        (folder / f"{language}.txt").write_text("a line\n" * count)
    with pytest.raises(NeuroglotError, match="20 of 'en'.*21 of 'de'.*20 of 'fr'"):
        said(configured(folder, {"path": str(folder / "{language}.txt")}))


def test_equal_numbers_of_shifted_lines_are_warned_about(folder: Path) -> None:
    lengths = [20 + (37 * n) % 90 for n in range(80)]
    texts = {language: [language * n for n in lengths] for language in LANGUAGES}
    texts["de"] = [*texts["de"][:30], "der Rest der Zeile", *texts["de"][30:-1]]
    for language, lines in texts.items():
        (folder / f"{language}.txt").write_text("".join(f"{line}\n" for line in lines))
    lines = said(configured(folder, {"path": str(folder / "{language}.txt"), **UNCHECKED}))
    assert lines[1:] == [
        "corpora.mine: warning: by their lengths, lines 32 to 80 of 'de' are the translations of "
        "lines 31 to 79 of 'en'; look there for a line that is split or missing"
    ]


def test_text_that_is_not_translated_is_warned_about(folder: Path) -> None:
    mixed = {f"s{n}": f"en {n}" if n in (3, 4, 5) else f"fr {n}" for n in range(20)}
    write(folder, "fr", mixed)
    _, warning = said(configured(folder))
    assert warning.startswith("corpora.mine: warning: 3 of the 20 segments of 'fr' are word for")
    assert warning.endswith("those of 'en': s3, s4, s5, …")


class TestLanguages:
    ENGLISH: ClassVar = {
        f"s{n}": f"Everybody has the right to a house of {n} rooms." for n in range(9)
    }
    GERMAN: ClassVar = {
        f"s{n}": f"Jeder hat das Recht auf ein Haus von {n} Zimmern." for n in range(9)
    }
    FRENCH = "Toute personne a droit à une maison avec beaucoup de chambres."

    def configured(self, folder: Path, **corpus: Any) -> Config:
        write(folder, "en", self.ENGLISH)
        write(folder, "de", {**self.GERMAN, "s4": self.FRENCH})
        return configured(folder, {"languages": ["en", "de"], **corpus})

    def test_segments_in_another_language_are_reported(self, folder: Path) -> None:
        first, *others = said(self.configured(folder))
        assert "9 of the 9 segments" in first
        assert others == [
            "corpora.mine: warning: 1 of 9 segments of 'de' (11%) seem to be in another language: "
            "s4 (fr); check_language: drop leaves them out"
        ]
        assert len(said(self.configured(folder, check_language="off"))) == 1

    def test_they_can_be_left_out(self, folder: Path) -> None:
        config = self.configured(folder, check_language="drop")
        reading = config.corpora["mine"].read("de")
        assert dict(reading.segments) == {k: v for k, v in self.GERMAN.items() if k != "s4"}
        assert "left out 1 segments in other languages: s4 (fr)" in reading.notes
        leaves = [
            self.configured(folder, check_language=how).corpora["mine"].leaf("de")
            for how in ("report", "off", "drop")
        ]
        assert leaves[0] == leaves[1] != leaves[2]

    def test_a_language_that_lingua_does_not_know_is_named(self, folder: Path) -> None:
        write(folder, "wo", self.GERMAN)
        lines = said(self.configured(folder, languages=["en", "wo"], check_language="report"))
        assert "corpora.mine: the identifier does not know wo; their text is not checked" in lines


def test_languages_that_lingua_confuses_pass_for_each_other() -> None:
    bosnian = (
        "Svako ima pravo na životni standard koji odgovara zdravlju i dobrobiti njega samoga i "
        "njegove obitelji, uključujući hranu, odjeću, stan i liječničku njegu."
    )
    assert foreign([bosnian], "sl") == [(0, "hr")]
    assert foreign([bosnian, "Everybody has the right to think freely."], "bs") == [(1, "en")]
    assert foreign(["Hallo.", ""], "en") == [], "too short"


class TestHeldOut:
    def configured(self, folder: Path, **held_out: Any) -> Config:
        given = {"source": "text", "path": str(folder / "{language}.tsv"), **held_out}
        perplexity = {"corpus": "other"}
        chosen_on = {"max_segments": 10}
        return configured(folder, chosen_on, corpora={"other": given}, perplexity=perplexity)

    def test_a_segment_on_which_neurons_are_chosen_is_refused(self, folder: Path) -> None:
        with pytest.raises(
            NeuroglotError, match="segment 's.*' of other in 'en' also stands in mi"
        ):
            said(self.configured(folder))
        assert said(self.configured(folder, skip_segments=10))


class TestTasks:
    ROW: ClassVar = {
        "item": "a",
        "prompt": "Warm is not",
        "gold": [" cold"],
        "candidates": [" cold", " red"],
    }

    def configured(self, folder: Path, **rows: list[dict[str, Any]]) -> Config:
        for language, of in rows.items():
            lines = "".join(json.dumps(row) + "\n" for row in of)
            (folder / f"{language}.jsonl").write_text(lines)
        task = {"source": "table", "path": str(folder / "{language}.jsonl"), "scoring": "rank"}
        return configured(folder, tasks={"asked": task})

    def test_languages_that_a_task_lacks_are_named(self, folder: Path) -> None:
        lines = said(self.configured(folder, en=[self.ROW], de=[self.ROW]))[1:]
        assert lines == [
            "tasks.asked: 1 items in 2 languages",
            "tasks.asked: it has no fr, and is not asked in them",
        ]

    def test_other_items_are_refused(self, folder: Path) -> None:
        config = self.configured(folder, en=[self.ROW], de=[{**self.ROW, "item": "b"}])
        with pytest.raises(NeuroglotError, match="language '..' has no item '.'"):
            said(config)

    def test_answers_without_a_blank_are_warned_about(self, folder: Path) -> None:
        row = {**self.ROW, "gold": ["cold"], "candidates": ["cold", "red"]}
        lines = said(self.configured(folder, en=[row], de=[row]))
        assert any("warning: 2 answers have no blank before them" in line for line in lines)


def test_text_that_would_be_downloaded_is_not_read(folder: Path) -> None:
    config = configured(folder, corpora={"udhr": {"source": "udhr"}})
    assert [line.split(":")[0] for line in said(config)] == ["corpora.mine"]


def test_lost_and_misread_characters_are_told_with_their_share(folder: Path) -> None:
    words = ["Müller fährt", "größere Flüsse", "Привет, мир", "l’été où", "中文 字"]
    plain = {f"s{number}": words[number % 5] for number in range(20)}
    write(folder, "de", plain)
    config = configured(folder, UNCHECKED)
    assert len(said(config)) == 1, "sound text is not suspected"
    damaged = {
        **plain,
        "s3": "l\N{REPLACEMENT CHARACTER}t\N{REPLACEMENT CHARACTER}",
        **{name: plain[name].encode().decode("cp1252", "replace") for name in ("s0", "s1")},
        "s2": plain["s2"].encode().decode("cp1251"),
    }
    assert damaged["s0"] == "MÃ¼ller fÃ¤hrt"
    write(folder, "de", damaged)
    assert said(config)[1:] == [
        "corpora.mine: warning: 1 of 20 segments of 'de' (5%) have U+FFFD in place of characters "
        "that were lost when they were converted to UTF-8: s3; convert them again, from their "
        "source",
        "corpora.mine: warning: 3 of 20 segments of 'de' (15%) seem to be UTF-8 that was read in "
        "another encoding, which makes `Ã¼` of `ü`: s0, s1, s2; convert them again, from their "
        "source",
    ]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "grün und groß"),
        ("cp1252", "l’été"),
        ("cp1252", "naïve café"),
        ("cp1252", "čeština"),
        ("cp1252", "हिन्दी"),
        ("cp1252", "中文"),
        ("cp1251", "Здравствуйте"),
        ("latin-1", "Ünïcödé"),
    ],
)
def test_utf_8_read_in_another_encoding_is_found(encoding: str, text: str) -> None:
    read = "".join(bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in text.encode())
    assert misread(read)
    assert not misread(text)


@pytest.mark.parametrize(
    "text", ["CAFÉ»", "Ça, c’est «Où?»", "Сёстры в США", "ÄÖÜ", "Việt Nam", "ÆØÅ", "ελληνικά", "№5"]
)
def test_sound_text_is_not_taken_for_misread(text: str) -> None:
    assert not misread(text)


def test_damage_in_a_task_is_told(folder: Path) -> None:
    for language in LANGUAGES:
        item = {
            "item": "q",
            "prompt": "MÃ¼ller ist",
            "gold": [" da"],
            "candidates": [" da", " fort"],
        }
        (folder / f"{language}.jsonl").write_text(
            "".join(json.dumps({**item, "item": f"q{number}"}) + "\n" for number in range(2))
        )
    table = {"source": "table", "path": str(folder / "{language}.jsonl"), "scoring": "exact"}
    lines = said(configured(folder, UNCHECKED, tasks={"own": table}, sharing={"tasks": ["own"]}))
    assert any(line.startswith("tasks.own: warning: 2 of 2 items of 'en' (100%)") for line in lines)
