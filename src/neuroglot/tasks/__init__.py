"""Tasks: questions with known answers. A new task is a file here and an entry in `TaskSettings`."""

from typing import Annotated

from pydantic import Field

from neuroglot.tasks.edits import EditsTask
from neuroglot.tasks.facts import FactsTask
from neuroglot.tasks.mpararel import MpararelTask
from neuroglot.tasks.mzsre import MzsreTask
from neuroglot.tasks.nli import NliTask
from neuroglot.tasks.table import TableTask
from neuroglot.tasks.xnli import XnliTask

TaskSettings = Annotated[
    FactsTask | EditsTask | NliTask | XnliTask | MpararelTask | MzsreTask | TableTask,
    Field(discriminator="source"),
]
