"""What everybody uses, read from made-up local copies in the original layouts."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import Corpus
from neuroglot.errors import NeuroglotError

REVISION = "0" * 40


def corpus(text: str, **more: Any) -> Corpus:
    """A corpus as its line of YAML in the documentation has it."""
    given = {**yaml.safe_load(text), **more}
    return TypeAdapter[Any](CorpusSettings).validate_python({"pivot": "en", **given})


def put(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def rows(path: Path, *of: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(of)), path)


def texts(made: Corpus, language: str) -> list[str]:
    return [segment.text for segment in made.read(language).segments]


class TestFlores:
    def test_flores_plus(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for code in ("eng_Latn", "deu_Latn", "cmn_Hans", "arb_Arab"):
            iso, script = code.split("_")
            about = {"iso_639_3": iso, "iso_15924": script, "glottocode": "x", "topic": "x"}
            put(
                tmp_path / "flores_plus" / "dev" / f"{code}.jsonl",
                *(json.dumps({"id": i, **about, "text": f"{code} {i}"}) for i in range(5)),
            )
        made = corpus('{source: table, path: "flores_plus/dev/{language}.jsonl", id_column: id}')
        assert made.problems(["en", "de", "zh", "ar"]) == []
        assert texts(made, "zh") == [f"cmn_Hans {i}" for i in range(5)]

    def test_flores_200(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for code in ("eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant"):
            put(tmp_path / "flores200_dataset" / "dev" / f"{code}.dev", code, f"{code} two")
        made = corpus('{source: text, path: "flores200_dataset/dev/{language}.dev"}')
        assert texts(made, "zh") == ["zho_Hans", "zho_Hans two"]
        assert texts(made, "zh-hant") == ["zho_Hant", "zho_Hant two"]

    @pytest.mark.parametrize(
        "said",
        [
            "Dataset 'x/y' is a gated dataset on the Hub. You must be authenticated to access it.",
            "401 Client Error: Unauthorized for url",
        ],
    )
    def test_a_gated_dataset_says_how_to_log_in(
        self, monkeypatch: pytest.MonkeyPatch, said: str
    ) -> None:
        import datasets

        def gated(*_: Any, **__: Any) -> None:
            raise datasets.exceptions.DatasetNotFoundError(said)

        monkeypatch.setattr(datasets, "get_dataset_config_names", gated)
        made = corpus(
            "{source: hub, path: openlanguagedata/flores_plus, id_column: id, split: dev}",
            name="{language}",
            revision=REVISION,
        )
        with pytest.raises(NeuroglotError, match=r"HF_TOKEN") as caught:
            made.read("de")
        message = str(caught.value)
        assert "https://huggingface.co/datasets/openlanguagedata/flores_plus" in message
        assert "hf auth login" in message
        assert "\n" not in message


class TestHub:
    def made(self, folder: Path) -> None:
        """FineWeb-2's columns and names, with the configurations in the dataset's card."""
        codes = ("deu_Latn", "cmn_Hani", "deu_Latn_removed")
        for code in codes:
            path = folder / "data" / code / "train" / "000_00000.parquet"
            row = {"id": "<urn:uuid:1>", "dump": "CC", "url": "x", "language": code[:3]}
            rows(
                path, *({**row, "text": f"{code} {i}", "id": f"<urn:uuid:{i}>"} for i in (1, 2, 3))
            )
        configs = [
            {
                "config_name": code,
                "data_files": [{"split": "train", "path": f"data/{code}/train/*"}],
            }
            for code in codes
        ]
        put(folder / "README.md", "---", yaml.safe_dump({"configs": configs}), "---")

    def test_configurations_are_named_as_the_dataset_spells_the_language(
        self, tmp_path: Path
    ) -> None:
        self.made(tmp_path)
        made = corpus("{source: hub, parallel: false, max_segments: 2}", path=str(tmp_path),
                      name="{language}")  # fmt: skip
        assert texts(made, "de") == ["deu_Latn 1", "deu_Latn 2"]
        assert texts(made, "zh") == ["cmn_Hani 1", "cmn_Hani 2"]
        with pytest.raises(NeuroglotError, match="dataset .*, fr, split train: cannot be read"):
            made.read("fr")

    def test_files_of_a_folder_are_too(self, tmp_path: Path) -> None:
        self.made(tmp_path)
        made = corpus("{source: hub, parallel: false}", path=str(tmp_path),
                      data_files="data/{language}/train/*.parquet")  # fmt: skip
        assert texts(made, "zh") == [f"cmn_Hani {i}" for i in (1, 2, 3)]

    def test_wikipedia(self, tmp_path: Path) -> None:
        for code in ("de", "zh", "zh-min-nan"):
            path = tmp_path / f"20231101.{code}" / "train-00000-of-00001.parquet"
            rows(path, *({"id": str(i), "url": "x", "title": "x", "text": f"{code} {i}"}
                         for i in (7, 8)))  # fmt: skip
        made = corpus("{source: hub, parallel: false, id_column: id}", path=str(tmp_path),
                      data_files="20231101.{language}/*.parquet")  # fmt: skip
        assert texts(made, "zh") == ["zh 7", "zh 8"]
        assert [segment.id for segment in made.read("de").segments] == ["7", "8"]


SENTENCE = """# newdoc id = n01001
# sent_id = {id}
# text = {text}
# text_en = In English.
1\t{text}\t_\tNOUN\tNN\t_\t0\troot\t_\t_
"""


class TestTreebanks:
    def write(self, folder: Path, name: str, code: str, texts: dict[str, str]) -> Path:
        path = folder / f"UD_{name}" / f"{code}-ud-test.conllu"
        put(path, *(SENTENCE.format(id=key, text=text) for key, text in texts.items()))
        return path

    def test_pud(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        ids = [f"n0100101{i}" for i in range(4)]
        release = tmp_path / "ud-treebanks-v2.14"
        self.write(release, "English-PUD", "en_pud", {key: f"Text {key}" for key in ids})
        self.write(release, "German-PUD", "de_pud", {key: f"Satz {key}" for key in ids[1:]})
        self.write(release, "German-GSD", "de_gsd", {"train-1": "Anderes"})
        made = corpus("{source: treebank, folder: ud-treebanks-v2.14, treebank: pud}")
        assert made.available() == {"de", "en"}
        assert made.problems(["en", "de"]) == []
        assert texts(made, "de") == [f"Satz {key}" for key in ids[1:]]
        assert made.read("de").notes == ("lacks 1 of the 4 segments drawn of en: n01001010",)
        (problem,) = made.problems(["fr"])
        assert "no file fr_pud-ud-test.conllu for language 'fr'" in problem

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("# sent_id = a\n1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n", "line 2: .* no `# text =`"),
            ("# text = a\n1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n", "no `# sent_id =`"),
            ("# sent_id = a\n# text = x\n1\tx\n\n", "not the 10 columns of CoNLL-U"),
            ("# sent_id = a\n# text = x\n\n", "holds no sentence in CoNLL-U"),
            ("a text\n", "line 1: .*not the 10 columns"),
            ("# sent_id = a\n# text = _\n1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n", "words are hidden"),
        ],
    )
    def test_what_is_no_treebank_is_refused(
        self, tmp_path: Path, content: str, message: str
    ) -> None:
        (tmp_path / "en_pud-ud-test.conllu").write_text(content)
        made = corpus("{source: treebank}", folder=str(tmp_path))
        with pytest.raises(NeuroglotError, match=rf"en_pud-ud-test\.conllu: .*{message}"):
            made.read("en")


class TestMoses:
    LINE = "{source: moses, folder: opus, name: Tatoeba, languages: [en, de, zh]}"
    DE = (("Hello.", "Hallo."), ("Bye.", "Tschüss."), ("Cat.", "Katze."), ("Hello.", "Servus."))
    ZH = (("Cat.", "猫。"), ("Dog.", "狗。"), (" Hello. ", "你好。"), ("Bye.", "再见。"))

    @pytest.fixture
    def opus(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for pair, of in (("de-en", [(b, a) for a, b in self.DE]), ("en-zh_CN", self.ZH)):
            for place, code in enumerate(pair.split("-")):
                put(tmp_path / "opus" / pair / f"Tatoeba.{pair}.{code}", *(x[place] for x in of))
            put(tmp_path / "opus" / pair / f"Tatoeba.{pair}.xml", "<x/>")
        return tmp_path / "opus"

    def test_the_pivot_has_what_all_pairs_have(self, opus: Path) -> None:
        made = corpus(self.LINE)
        assert made.problems(["en", "de", "zh"]) == []
        assert texts(made, "en") == ["Hello.", "Bye.", "Cat."]
        assert texts(made, "de") == ["Hallo.", "Tschüss.", "Katze."]
        assert texts(made, "zh") == ["你好。", "再见。", "猫。"]
        by_id = [dict(made.read(language).segments) for language in ("en", "de", "zh")]
        assert by_id[0].keys() == by_id[1].keys() == by_id[2].keys()
        assert "left out 1 further translations of a sentence" in made.read("de").notes

    def test_unequal_files_are_refused(self, opus: Path) -> None:
        put(opus / "de-en" / "Tatoeba.de-en.de", "Hallo.")
        for language in ("de", "en"):
            with pytest.raises(NeuroglotError, match=r"en has 4 lines and .*\.de has 1"):
                corpus(self.LINE).read(language)

    def test_what_is_missing_is_named(self, opus: Path) -> None:
        made = corpus("{source: moses, folder: opus, name: Tatoeba, languages: [en, de, fr]}")
        (problem,) = made.problems(["en", "fr"])
        assert "language 'fr': no pair of files Tatoeba.en-fr.*; there are: Tatoeba.de" in problem
        with pytest.raises(ValidationError, match="the pivot 'en' must be among them"):
            corpus("{source: moses, folder: opus, name: Tatoeba, languages: [de, zh]}")
        with pytest.raises(ValidationError, match="languages"):
            corpus("{source: moses, folder: opus, name: Tatoeba}")

    def test_all_pairs_files_count_for_the_pivot_and_who_is_drawn_by_it(self, opus: Path) -> None:
        made = corpus(self.LINE)
        assert len(made.files("en")) == 4
        assert set(made.files("de")) == set(made.files("en"))


class TestTatoeba:
    LINE = '{source: tatoeba, path: "tatoeba/eng-{language}.tsv", languages: [en, de, fr]}'

    def test_pairs_are_joined_by_the_pivots_id(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        put(
            tmp_path / "tatoeba" / "eng-deu.tsv",
            *("\ufeff1276\tLet's try.\t77\tVersuchen wir's.", "1277\tHi.\t78\tHallo."),
            *("1276\tLet's try.\t79\tProbieren wir es.", '1280\t"No."\t80\t"Nein."'),
        )
        put(
            tmp_path / "tatoeba" / "eng-fra.tsv",
            *('1280\t"No."\t90\tNon.', "1276\tLet's try.\t91\tEssayons.", "9\tX.\t92\tX."),
        )
        made = corpus(self.LINE)
        assert made.problems(["en", "de", "fr"]) == []
        assert made.read("en").segments == (("1276", "Let's try."), ("1280", '"No."'))
        assert made.read("de").segments == (("1276", "Versuchen wir's."), ("1280", '"Nein."'))
        assert texts(made, "fr") == ["Essayons.", "Non."]
        (problem,) = corpus(self.LINE, languages=["en", "de", "it"]).problems(["en"])
        assert "'it': tatoeba/eng-it.tsv does not exist; files there are for: deu, fra" in problem

    def test_another_layout_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        put(tmp_path / "tatoeba" / "eng-deu.tsv", "Hi.\tHallo.\tCC-BY 2.0")
        with pytest.raises(NeuroglotError, match=r"eng-deu\.tsv: line 1 is not an id, a sentence"):
            corpus(self.LINE, languages=["en", "de"]).read("de")
