"""The command line: one command per rule of the workflow, each importing only what it uses."""

import errno
import gc
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from neuroglot.errors import NeuroglotError

if TYPE_CHECKING:
    from neuroglot.config import Config as Configured

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(no_args_is_help=True, help="Check and document the configuration.")
app.add_typer(config_app, name="config")


Config = Annotated[Path, typer.Option("--config", help="The configuration file.")]
CONFIG = Path("config.yaml")
NEW_OBJECTS = 50_000  # between collections of garbage; Python's 700 cost a job half a second
Model = Annotated[str, typer.Argument(help="Id of the model.")]
Corpus = Annotated[str, typer.Argument(help="Id of the corpus.")]
Language = Annotated[str, typer.Argument(help="Id of the language.")]
Languages = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of languages; left out: those that are missing or out of date."),
]
Analysis = Annotated[str, typer.Argument(help="The analysis, such as roles.")]


def main() -> None:
    """Run a command; for bad input or a full disk, print one message and exit with status 1."""
    gc.set_threshold(NEW_OBJECTS)  # importing torch and others makes a million objects that stay
    try:
        app()
    except Exception as error:
        messages = _messages(error)
        if not messages:
            raise
        for message in messages:
            print(f"error: {_printable(message)}", file=sys.stderr)
        sys.exit(1)


def _printable(message: str) -> str:
    """Escape control characters: libraries' messages may quote bytes of damaged files."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1]
        for character in message.rstrip()
    )


def _messages(error: Exception) -> list[str]:
    """Messages for an error that the user can correct; empty for any other error."""
    if full := _disk_full(error):
        return [full]
    if isinstance(error, NeuroglotError):
        return [str(error)]
    if isinstance(error, ValidationError):  # the configuration is checked earlier
        return [
            f"settings: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
    if isinstance(error, OSError) and error.errno in ENVIRONMENT:
        return [f"{_place(error)}: {error.strerror}"]
    return []


ENVIRONMENT = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENOENT),
    *(errno.EIO, errno.EROFS),
)
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


def _disk_full(error: BaseException | None) -> str | None:
    """The message, if a full disk caused an error of whatever type; else None."""
    while error is not None:
        in_rust = re.search(r"\(os error (\d+)\)", str(error))  # safetensors' wording
        number = int(in_rust[1]) if in_rust else getattr(error, "errno", None)
        if number in FULL:
            return f"{_place(error)}: {FULL[number]}; make room and run the same command again"
        error = error.__cause__ or error.__context__
    return None


def _place(error: BaseException) -> str:
    """The file that an error names, or the path that the command was writing."""
    from neuroglot.files import written

    named = (getattr(error, attribute, None) for attribute in ("filename2", "filename"))
    return str(next((path for path in [*named, *written[-1:]] if path is not None), "output"))


@app.callback()
def common(
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs to take for this step alone; 0: all that are visible.")
    ] = 0,
) -> None:
    """How a language model's feed-forward neurons handle many languages."""
    if gpus:
        from neuroglot.devices import claim

        claim(gpus)


def _read(config: Path) -> "Configured":
    from neuroglot.config import load_file

    return load_file(config)


@app.command()
def package(
    reference: Annotated[str, typer.Argument(help="pypi:NAME==VERSION or npm:NAME@VERSION")],
    sha256: Annotated[str, typer.Option(help="Digest of the archive.")],
    output: Annotated[Path, typer.Option("--output", help="What to write.")],
) -> None:
    """Download a package's archive; nothing in it is run."""
    from neuroglot.commands import make_package

    make_package(reference, sha256, output)


@app.command()
def model(model: Model, config: Config = CONFIG) -> None:
    """Turn any source of a model into safetensors, tokenizer and card."""
    from neuroglot.commands import make_model

    make_model(_read(config), model)


@app.command()
def architectures() -> None:
    """Print the page of supported models."""
    from neuroglot.models.reference import markdown

    print(markdown(), end="")


@app.command()
def corpus(corpus: Corpus, languages: Languages = None, config: Config = CONFIG) -> None:
    """Read a corpus into Parquet, a file for each language."""
    from neuroglot.commands import make_texts

    make_texts(_read(config), corpus, languages or [])


@app.command()
def task(
    task: Annotated[str, typer.Argument(help="Id of the task.")],
    languages: Languages = None,
    config: Config = CONFIG,
) -> None:
    """Read a task into Parquet, a file for each language."""
    from neuroglot.commands import make_items

    make_items(_read(config), task, languages or [])


@app.command()
def record(
    model: Model,
    language: Language,
    targets: Annotated[
        list[str],
        typer.Argument(help="What to make: TEXT/tokens, or TEXT/GROUP such as udhr/firing."),
    ],
    config: Config = CONFIG,
) -> None:
    """Tokenise texts of one language, and record a model's neurons while it reads them."""
    from neuroglot.commands import make_recordings

    make_recordings(_read(config), model, language, targets)


@app.command()
def step(
    analysis: Analysis,
    name: Annotated[str, typer.Argument(help="The step.")],
    model: Annotated[
        str | None, typer.Option(help="Id of the model; left out for a step that reads all models.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="The part, for a step that has parts.")] = None,
    config: Config = CONFIG,
) -> None:
    """Reduce recordings, models and texts to one dataset and its tables."""
    from neuroglot.commands import make_reduction

    make_reduction(_read(config), analysis, name, model, part)


@app.command()
def draw(
    analysis: Analysis,
    figure_set: Annotated[str, typer.Argument(help="The set of figures.")],
    model: Annotated[
        str | None, typer.Option(help="Id of the model; left out for figures of all models.")
    ] = None,
    config: Config = CONFIG,
) -> None:
    """Draw a set of figures as SVG and PNG."""
    from neuroglot.commands import make_figures

    make_figures(_read(config), analysis, figure_set, model)


@app.command()
def report(config: Config = CONFIG) -> None:
    """Write all figures, with captions, and tables of a finished run into one HTML file."""
    from neuroglot.commands import make_report

    make_report(_read(config))


@app.command()
def summary(config: Config = CONFIG) -> None:
    """Say where the results are."""
    from neuroglot.summary import run

    run(config)


@config_app.command()
def check(config: Config = CONFIG) -> None:
    """Check a configuration file, and the models and texts that it names and that are here."""
    from neuroglot.config_check import check_inputs

    loaded = _read(config)
    for line in check_inputs(loaded):
        print(line)
    print(
        f"{config} is valid: {len(loaded.models)} models, {len(loaded.corpora)} corpora, "
        f"{len(loaded.languages)} languages"
    )


@config_app.command()
def schema() -> None:
    """Print the JSON schema of the configuration."""
    from neuroglot.config_reference import json_schema

    print(json_schema(), end="")


@config_app.command()
def reference() -> None:
    """Print the reference page of the configuration."""
    from neuroglot.config_reference import markdown

    print(markdown(), end="")
