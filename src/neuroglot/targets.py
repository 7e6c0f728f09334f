"""Answers a command line in which Snakemake takes targets for configurations."""

import shlex
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

OPTIONS = ("--configfile", "--configfiles")
FILES = (".yaml", ".yml", ".json")


def refuse_targets_as_files() -> None:
    """Exit with one line if targets stand after ``--configfile`` and its file.

    Snakemake takes all words there for configurations, and would fail to open the targets. The
    default profile calls this, because nothing else of a workflow is read before.
    """
    if message := answer(sys.argv[1:]):
        print(message, file=sys.stderr)
        sys.exit(1)


def answer(words: Sequence[str]) -> str | None:
    """Say what to write in place of ``words``, the arguments of Snakemake; None if all is well."""
    for place, word in enumerate(words):
        if word not in OPTIONS:
            continue
        files = [*takewhile(lambda each: not each.startswith("-"), words[place + 1 :])]
        targets = [each for each in files[1:] if not (each.endswith(FILES) or Path(each).is_file())]
        if targets:
            before = [*words[: place + 1], *(each for each in files if each not in targets)]
            after = words[place + 1 + len(files) :]
            options, _, more = shlex.join([*before, *after]).partition(" -- ")
            command = f"snakemake {options} -- {shlex.join(targets)} {more}".strip()
            return (
                f"error: Snakemake takes {', '.join(targets)} for a configuration, as all words "
                f"after {word}; write: {command}"
            )
    return None
