"""Turns the validated configuration into plans; every later file asks these functions."""

import json

from snakemake.exceptions import WorkflowError

from neuroglot.config import load
from neuroglot.errors import NeuroglotError
from neuroglot.provenance import fingerprint

try:
    settings = load(config, [Path(file) for file in workflow.configfiles])
except NeuroglotError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    m="|".join(settings.models),
    c="|".join(settings.corpora),
    l="|".join(settings.languages),


def as_json(section):
    """Settings as one line that changes only when a setting does."""
    return json.dumps(section, sort_keys=True, ensure_ascii=False)


def dumped(section):
    return as_json(section.model_dump(mode="json"))


def model_card(wildcards):
    return f"results/models/{wildcards.m}/card.json"


def over(corpora, pattern, **wildcards):
    """Paths of a pattern over corpora and the languages each of them is read in."""
    return [
        pattern.format(c=corpus, l=language, **wildcards)
        for corpus in corpora
        for language in settings.corpus_languages(corpus)
    ]


def language_table(languages):
    """What tables and figures say of the languages; the table's other rows rerun nothing."""
    return {
        language: {"name": known.name, "family": known.family}
        for language, known in ((one, settings.language(one)) for one in languages)
    }
