"""Sources of text. A new source is one file here and one entry in `CorpusSettings`."""

from typing import Annotated

from pydantic import Field

from neuroglot.corpora.gettext import GettextCorpus
from neuroglot.corpora.hub import HubCorpus
from neuroglot.corpora.pairs import MosesCorpus, TatoebaCorpus
from neuroglot.corpora.table import TableCorpus
from neuroglot.corpora.text import TextCorpus
from neuroglot.corpora.treebank import TreebankCorpus
from neuroglot.corpora.udhr import UdhrCorpus

CorpusSettings = Annotated[
    UdhrCorpus
    | GettextCorpus
    | TextCorpus
    | TableCorpus
    | HubCorpus
    | TreebankCorpus
    | MosesCorpus
    | TatoebaCorpus,
    Field(discriminator="source"),
]
