"""Finds the languages of corpora and tasks that have to be read, or read again.

Keys are compared while the workflow is parsed, so that the workflow has one rule for each text,
with exactly the missing languages as its outputs.
"""

from collections.abc import Mapping
from pathlib import Path

from neuroglot import layout
from neuroglot.config import Config
from neuroglot.corpora.parquet import key_of
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys


def place(config: Config, text: str, language: str) -> Path:
    """The file of one language of a corpus or task."""
    return (layout.items if text in config.tasks else layout.corpus)(text, language)


def missing(config: Config, keys: Keys) -> Mapping[str, list[str]]:
    """The languages that are missing or out of date, by corpus or task; each has one or more."""
    found = {}
    for text in (*config.corpora, *config.tasks):
        languages = [
            language
            for language in config.corpus_languages(text)
            if not _is_current(config, keys, text, language)
        ]
        if languages:
            found[text] = languages
    return found


def _is_current(config: Config, keys: Keys, text: str, language: str) -> bool:
    file = place(config, text, language)
    if not file.is_file():
        return False
    try:
        return key_of(file) == keys.source(text, language)
    except NeuroglotError:  # a file of the user is missing; the job says which
        return False
