"""The command line: one command per rule of the workflow, each importing only what it uses."""

import errno
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from neuroglot.errors import NeuroglotError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(no_args_is_help=True, help="Check and document the configuration.")
app.add_typer(config_app, name="config")

Settings = Annotated[str, typer.Option("--settings", help="This step's settings, as JSON.")]
Execution = Annotated[
    str, typer.Option("--execution", help="Batch and shard size, as JSON; changes no number.")
]


def _to_write(path: Path) -> Path:
    """Remember what a command writes: the error of a full disk rarely names a file."""
    _written.append(path)
    return path


_written: list[Path] = []
Output = Annotated[Path, typer.Option("--output", help="What to write.", callback=_to_write)]
Config = Annotated[Path, typer.Option("--config", help="The configuration file.")]


def main() -> None:
    """Run a command; bad input and a full disk end with one message and status 1."""
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
    """Escape what a terminal would obey: libraries' messages may quote bytes of damaged files."""
    kept = (c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message.rstrip())
    return "".join(kept)


def _messages(error: Exception) -> list[str]:
    """Word an error that a user can mend; nothing of any other."""
    if full := _disk_full(error):
        return [full]
    if isinstance(error, NeuroglotError):
        return [str(error)]
    if isinstance(error, ValidationError):  # the workflow's settings are checked before
        return [
            f"settings: {'.'.join(map(str, found['loc']))}: {found['msg']}"
            for found in error.errors()
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
    """Word a full disk, whatever a library made of it."""
    while error is not None:
        in_rust = re.search(r"\(os error (\d+)\)", str(error))  # as safetensors words it
        number = int(in_rust[1]) if in_rust else getattr(error, "errno", None)
        if number in FULL:
            return f"{_place(error)}: {FULL[number]}; make room and run the same command again"
        error = error.__cause__ or error.__context__
    return None


def _place(error: BaseException) -> str:
    """The file that an error is about, or what the command was to write."""
    named = (getattr(error, name, None) for name in ("filename2", "filename"))
    return str(next((name for name in [*named, *_written[-1:]] if name is not None), "output"))


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


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NeuroglotError(f"--settings is not JSON: {error}: {text[:200]}") from error


@app.command()
def package(
    reference: Annotated[str, typer.Argument(help="pypi:NAME==VERSION or npm:NAME@VERSION")],
    sha256: Annotated[str, typer.Option(help="Digest of the archive.")],
    output: Output,
) -> None:
    """Download a package's archive; nothing in it is run."""
    from neuroglot.steps import package as step

    step.run(reference, sha256, output)


@app.command()
def model(settings: Settings, output: Output) -> None:
    """Turn any source of a model into safetensors, tokenizer and card."""
    from neuroglot.steps import model as step

    step.run(_json(settings), output)


@app.command()
def corpus(
    settings: Settings,
    language: Annotated[str, typer.Option()],
    output: Output,
    archive: Annotated[Path | None, typer.Option(help="The package that holds the text.")] = None,
) -> None:
    """Read one language of a corpus into Parquet."""
    from neuroglot.steps import corpus as step

    step.run(_json(settings), language, archive, output)


@app.command()
def task(settings: Settings, language: Annotated[str, typer.Option()], output: Output) -> None:
    """Read one language of a task into Parquet."""
    from neuroglot.steps import task as step

    step.run(_json(settings), language, output)


@app.command()
def tokens(
    model: Annotated[Path, typer.Option(help="Folder of the model.")],
    corpus: Annotated[Path, typer.Option(help="Parquet of the language.")],
    output: Output,
    prefix: Annotated[str, typer.Option(help="word or subword")],
    long_segments: Annotated[str, typer.Option(help="truncate or refuse")],
) -> None:
    """Tokenise one language of a corpus."""
    from neuroglot.steps import tokens as step

    step.run(model, corpus, output, prefix, long_segments)  # type: ignore[arg-type]


@app.command()
def capture(
    model: Annotated[Path, typer.Option(help="Folder of the model.")],
    tokens: Annotated[Path, typer.Option(help="Token store.")],
    settings: Settings,
    output: Output,
    plan: Annotated[str, typer.Option(help="What to record, as JSON.")],
    execution: Execution = "{}",
) -> None:
    """Record a model's activations over one language."""
    from neuroglot.capture.record import Wanted
    from neuroglot.capture.settings import group_of

    groups = [group_of(name, fields) for name, fields in _json(plan).items()]
    _record(model, settings, execution, groups, [Wanted(tokens, "corpus", output, {})])


def _record(
    model: Path, settings: str, execution: str, groups: list[Any], wanted: list[Any]
) -> None:
    """Record the same groups of several texts, with a key of all that they are made from."""
    from dataclasses import replace

    from neuroglot.capture.record import record
    from neuroglot.capture.settings import CaptureSettings, ExecutionSettings
    from neuroglot.models.card import read_card
    from neuroglot.packages import file_sha256
    from neuroglot.provenance import digest, fingerprint
    from neuroglot.store import read_record

    card, code = read_card(model).sha256, fingerprint("neuroglot.capture.record")

    def key(one: Any) -> str:
        corpus = one.kind == "corpus"
        text = read_record(one.source).fingerprint if corpus else file_sha256(one.source)
        return digest([card, text, code, _json(settings), one.long_segments])

    record(
        model,
        [replace(one, groups=dict.fromkeys(groups, key(one))) for one in wanted],
        CaptureSettings.model_validate(_json(settings)),
        ExecutionSettings.model_validate(_json(execution)),
    )


@app.command()
def prompts(
    model: Annotated[Path, typer.Option(help="Folder of the model.")],
    tasks: Annotated[list[Path], typer.Argument(help="Parquets of the tasks' items.")],
    settings: Settings,
    site: Annotated[str, typer.Option(help="What says a neuron fires: auto, act or gate.")],
    output: Annotated[
        Path, typer.Option(help="Folder of {task}/{language}.zarr to write.", callback=_to_write)
    ],
    execution: Execution = "{}",
) -> None:
    """Record a model's activations at the end of tasks' prompts in one language."""
    from neuroglot.capture.record import Wanted
    from neuroglot.capture.settings import group_of

    wanted = [
        Wanted(path, "task", output / path.parent.name / f"{path.stem}.zarr", {}) for path in tasks
    ]
    _record(model, settings, execution, [group_of("prompts", {"site": site})], wanted)


@app.command()
def states(
    model: Annotated[Path, typer.Option(help="Folder of the model.")],
    corpus: Annotated[Path, typer.Option(help="Parquet of the language.")],
    settings: Settings,
    output: Output,
    long_segments: Annotated[str, typer.Option(help="truncate or refuse")],
    execution: Execution = "{}",
) -> None:
    """Record a model's hidden states at the end of one language's segments."""
    from neuroglot.capture.record import Wanted
    from neuroglot.capture.settings import StatesGroup

    wanted = Wanted(corpus, "states", output, {}, long_segments)  # type: ignore[arg-type]
    _record(model, settings, execution, [StatesGroup()], [wanted])


@app.command()
def reduce(
    paper: Annotated[str, typer.Argument(help="The analysis, such as roles.")],
    name: Annotated[str, typer.Argument(help="The reduction.")],
    inputs: Annotated[list[Path], typer.Argument(help="Stores, models and texts it reads.")],
    settings: Settings,
    output: Output,
    execution: Execution = "{}",
) -> None:
    """Reduce stores, models and texts to one dataset and its tables."""
    from neuroglot.capture.settings import ExecutionSettings
    from neuroglot.steps.reduce import run

    run(
        paper,
        name,
        inputs,
        _json(settings),
        output,
        ExecutionSettings.model_validate(_json(execution)),
    )


@app.command()
def draw(
    paper: Annotated[str, typer.Argument(help="The analysis, such as roles.")],
    family: Annotated[str, typer.Argument(help="The family of figures.")],
    data: Annotated[list[Path], typer.Argument(help="Reductions to draw.")],
    output: Annotated[Path, typer.Option(help="Folder of the figures.", callback=_to_write)],
) -> None:
    """Draw a family of figures as SVG and PNG."""
    from neuroglot.steps.draw import run

    run(paper, family, data, output)


@app.command()
def summary(config: Config = Path("config.yaml")) -> None:
    """Say where the results are."""
    from neuroglot.steps.summary import run

    run(config)


@config_app.command()
def check(config: Config = Path("config.yaml")) -> None:
    """Validate a configuration file and say what it asks for."""
    from neuroglot.config import load_file

    loaded = load_file(config)
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
