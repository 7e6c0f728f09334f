"""The texts shipped for facts, edits and nli: language, script, and words that tell a label."""

import csv
import unicodedata
from collections import defaultdict
from importlib.resources import files

import numpy as np
import pytest
from lingua import IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder
from scipy.stats import binom
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from neuroglot.analyses.boost.identification import identify
from neuroglot.languages import find_language
from neuroglot.tasks.cldr import LANGUAGES, capitals, in_script
from neuroglot.tasks.edits import QUESTION, shipped_layouts
from neuroglot.tasks.facts import COUNTRY, prompts
from neuroglot.tasks.nli import SENTENCE, NliTask

LABELS = ("entailment", "neutral", "contradiction")


def pairs() -> dict[str, list[dict[str, str]]]:
    """Rows of the shipped sentence pairs by language, in the order of their ids."""
    text = files("neuroglot.tasks").joinpath("data/nli.tsv").read_text(encoding="utf-8")
    by_language = defaultdict(list)
    for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        by_language[row["language"]].append(row)
    return by_language


PAIRS = pairs()


def sentences(language_id: str) -> list[str]:
    """All premises and hypotheses of a language."""
    return [row[name] for row in PAIRS[language_id] for name in ("premise", "hypothesis")]


def wordings(language_id: str) -> list[str]:
    """All other texts written for a language, without the places for names and sentences."""
    capital = prompts(language_id)
    template, words = NliTask(source="nli").wording(language_id)
    return [
        *(text.replace(COUNTRY, "") for text in (*capital["statements"], capital["question"])),
        shipped_layouts()[language_id].replace(QUESTION, ""),
        SENTENCE.sub("", template),
        *(word for _, word in words),
    ]


def questions(language_id: str) -> list[str]:
    """The question for every country's capital, with the words for question and answer."""
    question, layout = prompts(language_id)["question"], shipped_layouts()[language_id]
    return [
        layout.replace(QUESTION, question.replace(COUNTRY, fact.country))
        for fact in capitals(language_id)
    ]


@pytest.fixture(scope="module")
def among_shipped() -> LanguageDetector:
    """Tells the shipped languages from each other, which texts of one sentence allow."""
    codes = (IsoCode639_1.from_str(language_id.upper()) for language_id in LANGUAGES)
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_each_text_is_in_its_own_language(
    among_shipped: LanguageDetector, language_id: str
) -> None:
    texts = [f"{row['premise']} {row['hypothesis']}" for row in PAIRS[language_id]]
    texts += [*questions(language_id), " ".join(wordings(language_id))]
    expected = Language.from_iso_code_639_1(IsoCode639_1.from_str(language_id.upper()))
    identified = among_shipped.detect_languages_in_parallel_of(texts)
    assert [pair for pair in zip(texts, identified, strict=True) if pair[1] != expected] == []


def test_all_texts_of_a_language_together_are_in_no_language_but_it() -> None:
    """Among all languages that lingua knows: not Marathi for Hindi, nor Ukrainian for Russian."""
    together = [
        " ".join([*sentences(language_id), *wordings(language_id)]) for language_id in LANGUAGES
    ]
    assert identify(together) == list(LANGUAGES)


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_each_text_is_in_its_languages_script_and_composed(language_id: str) -> None:
    script = find_language(language_id).script
    for text in (*sentences(language_id), *wordings(language_id)):
        assert in_script(text, script), text
        assert unicodedata.is_normalized("NFC", text), text


def test_a_label_cannot_be_told_from_the_hypothesis_alone() -> None:
    """Twelve groups of three pairs, one of each label: a classifier sees eleven, is asked one."""
    right = []
    for language_id in LANGUAGES:
        rows = PAIRS[language_id]
        labels = np.array([row["label"] for row in rows])
        classifier = make_pipeline(
            CountVectorizer(analyzer="char", ngram_range=(1, 3)), MultinomialNB()
        )
        answers = cross_val_predict(
            classifier,
            [row["hypothesis"] for row in rows],
            labels,
            groups=np.arange(len(rows)) // len(LABELS),
            cv=LeaveOneGroupOut(),
        )
        right.append((answers == labels).sum())
    chance = binom(len(PAIRS["en"]), 1 / len(LABELS))
    assert max(right) <= chance.ppf(0.99), dict(zip(LANGUAGES, right, strict=True))
    assert np.mean(right) <= chance.mean() + 0.5 * chance.std()


def test_every_label_has_as_many_negated_hypotheses() -> None:
    negated = ("no ", "not ", "nobody ")
    count = {
        label: sum(
            row["label"] == label and any(word in row["hypothesis"].lower() for word in negated)
            for row in PAIRS["en"]
        )
        for label in LABELS
    }
    assert count == dict.fromkeys(LABELS, 2)
