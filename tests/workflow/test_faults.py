"""A full disk and damaged files end in one message that names them, never in other results.

The commands are the workflow's own, run one by one in this process; `damage` counts what it tries.
"""

import contextlib
import errno
import io
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from neuroglot import cli, commands, layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Scope
from neuroglot.capture import tokenise
from neuroglot.config import Config, load_file
from neuroglot.files import to_write
from neuroglot.keys import Keys
from neuroglot.recordings import TOKENS, Recordings
from support.tiny_workflow import Workplace
from tools import kills

KINDS = ("tokens", "items")


def call(*arguments: object) -> tuple[int, str]:
    """Run the command line here; any exception but its own end is a traceback, and a failure."""
    tokenise._tokenizer.cache_clear()  # which a new process would not have
    said = io.StringIO()
    before, sys.argv = sys.argv, ["neuroglot", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()


class Step:
    """One command of the workflow, which can be run again with its output elsewhere."""

    def __init__(self, words: list[str], config: Config) -> None:
        self.words = words
        command, *ids = words[words.index("0") + 1 :] if words[0] == "--gpus" else words
        self.name = " ".join([command, *ids[:2]] if command in ("step", "draw") else [command])
        self.reads, self.outputs = _places(command, ids[: ids.index("--config")], config)

    def only(self, kind: str, config: Config) -> "Step | None":
        """Of a recording, the one that reads a single kind of text, if it does."""
        targets = [word for word in self.words if "/" in word and word.split("/")[0] != "results"]
        other = [one for one in targets if _kind(config, one) != kind]
        if other == targets:
            return None
        step = Step([word for word in self.words if word not in other], config)
        step.name += f" {kind}"
        return step

    def run(self, folder: Path | None = None) -> tuple[int, str]:
        """Run it, with its output in another folder, in place of ``results``, if one is given."""
        with pytest.MonkeyPatch.context() as patch:
            if folder is not None:
                patch.setattr(commands, "to_write", lambda path: to_write(moved(path, folder)))
            return call(*self.words)

    def pieces(self) -> list[Path]:
        """Folders of what is kept of a reduction's parts."""
        return [
            path.with_suffix(".pieces") for path in self.outputs if self.name.startswith("step")
        ]

    def made(self, folder: Path) -> dict[Path, Path]:
        """What was made in a folder, but for kept pieces and what is hidden; by its place."""
        files = {layout.RESULTS / path.relative_to(folder): path for path in folder.rglob("*")}
        return {
            place: path
            for place, path in files.items()
            if path.is_file()
            and ".pieces/" not in str(place)
            and not any(fnmatch(str(place), f"results/{timed}") for timed in kills.TIMED)
            and not path.name.startswith(".")
        }

    def differences(self, folder: Path, part: Path = Path()) -> list[str]:
        """Files in a folder, or in a part of it, that are not those of the finished run."""
        made = {n: p for n, p in self.made(folder).items() if p.is_relative_to(folder / part)}
        assert made, "nothing was made"
        return [str(n) for n, path in made.items() if path.read_bytes() != n.read_bytes()]


def moved(path: Path, folder: Path) -> Path:
    """Where something of the results lies in another folder."""
    return folder / path.relative_to(layout.RESULTS)


def _kind(config: Config, target: str) -> str:
    return Recordings(config, Keys(config)).reads(target.split("/")[0])


def _places(command: str, ids: list[str], config: Config) -> tuple[list[Path], list[Path]]:
    """What a command reads of the results, and where it writes to."""
    named = dict(zip(ids[2::2], ids[3::2], strict=True)) if command in ("step", "draw") else {}
    model, part = named.get("--model"), named.get("--part")
    match [command, *ids]:
        case "model", one:
            return [], [layout.model(one)]
        case "corpus", corpus, *languages:
            return [], [layout.corpus(corpus, language) for language in languages]
        case "task", task, *languages:
            return [], [layout.items(task, language) for language in languages]
        case "record", one, language, *targets:
            source = {
                "tokens": lambda text: layout.tokens(one, text, language),
                "items": lambda text: layout.items(text, language),
            }
            reads, writes = [layout.model(one)], []
            for target in targets:
                text, group = target.split("/")
                if group == TOKENS:
                    reads.append(layout.corpus(text, language))
                    writes.append(layout.tokens(one, text, language))
                    continue
                reads.append(source[_kind(config, target)](text))
                writes.append(layout.recording(one, text, language, group).parent)
            return list(dict.fromkeys(reads)), list(dict.fromkeys(writes))
        case "step", analysis, name, *_:
            step = ANALYSES[analysis].step(name)
            models = wanted.models(config, ANALYSES[analysis], [step])
            scope = Scope(tuple(models) if model is None else (model,), part)
            inputs = step.inputs(config, config.section(analysis), scope)
            return inputs.paths(), [layout.reduction(analysis, name, model, part)]
        case "draw", analysis, family, *_:
            steps = ANALYSES[analysis].figure_set(family).steps
            reads = [layout.reduction(analysis, step, model) for step in steps]
            return reads, [layout.figures(analysis, model)]
    raise AssertionError(f"no command of the workflow: {command} {ids}")


@pytest.fixture(scope="module")
def steps(finished: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Step]]:
    """Every command of a workplace with all analyses, in which all of them were run."""
    place = finished.copy(tmp_path_factory.mktemp("faults") / "place")
    with contextlib.chdir(place.folder):
        config = load_file(Path("config.yaml"))
        steps = [Step(_with_languages(words, config), config) for words in _commands(place)]
        recordings = [step for step in steps if step.name == "record"]
        kinds = [step.only(kind, config) for step in recordings for kind in KINDS]
        yield [*steps, *filter(None, kinds)]


def _commands(place: Workplace) -> Iterator[list[str]]:
    results, aside = place.folder / "results", place.folder / "aside"
    results.rename(aside)  # what is recorded would not be recorded
    plan = place.plan("--forceall", "--printshellcmds")
    shutil.rmtree(results, ignore_errors=True)
    aside.rename(results)
    assert plan.status == 0, plan.output
    for line in plan.output.splitlines():
        if " --config " in line and "neuroglot " in line:
            words = shlex.split(line.partition(" 2>&1")[0])
            command = words[words.index("neuroglot") + 1 :]
            if command[0] != "report":  # it reads figures and tables, which have no checksums
                yield command


def _with_languages(words: list[str], config: Config) -> list[str]:
    """Name the languages of a text, of which none is missing here."""
    if words[0] in ("corpus", "task"):
        command, text, *options = words
        return [command, text, *config.corpus_languages(text), *options]
    return words


def step_named(steps: list[Step], name: str) -> Step:
    return next(step for step in steps if step.name == name)


# --- a full disk ----------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def leave(disk: Path, pages: int) -> Path:
    """Fill a disk but for some pages, and return the file that fills it."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail - pages
    filler.write_bytes(bytes(free * os.statvfs(disk).f_bsize))
    assert os.statvfs(disk).f_bavail == pages
    return filler


FULL = (
    "model",
    "corpus",
    "task",
    *(f"record {kind}" for kind in KINDS),
    "step roles distance",
    "step lexicon counts",
    "step transfer neurons",
    "step lape neurons",
    "draw roles distance",
)


@pytest.mark.parametrize(
    "share",
    [pytest.param(0.0, marks=pytest.mark.slow), 0.3, pytest.param(0.8, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_named_and_room_is_all_it_takes(
    steps: list[Step], disk: Path, name: str, share: float
) -> None:
    step = step_named(steps, name)
    shutil.rmtree(disk / "out", ignore_errors=True)
    out = disk / "out"
    out.mkdir()
    free = os.statvfs(disk).f_bavail
    status, said = step.run(out)
    assert status == 0, said
    needed = free - os.statvfs(disk).f_bavail
    shutil.rmtree(out)
    out.mkdir()
    filler = leave(disk, int(needed * share))
    status, said = step.run(out)
    assert status == 1, "it fitted"
    assert said.startswith(f"error: {out}"), said
    assert "the disk is full; make room and run the same command again" in said
    assert len(said.splitlines()) == 1, said
    assert not list(out.rglob("card.json"))
    for record in out.rglob("complete.json"):  # of a group, that had room
        assert name.startswith("record")
        assert step.differences(out, record.parent) == []
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    for folder in {output.parent for output in step.outputs}:
        for path in moved(folder, out).glob("*"):
            if path.is_file():  # what has its name is whole
                assert path.read_bytes() == (folder / path.name).read_bytes()
    filler.unlink()
    status, said = step.run(out)
    assert status == 0, said
    assert step.differences(out) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full; make room"),
        (errno.EDQUOT, "the disk quota is used up; make room"),
        (errno.EIO, "Input/output error"),
        (errno.EROFS, "Read-only file system"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_other_faults_of_a_disk_are_said_in_one_line(
    number: int, says: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), *([str(tmp_path / "inside")] * inside))

    monkeypatch.setattr("neuroglot.corpora.base.write_parquet", fail)
    monkeypatch.chdir(tmp_path)
    for language in ("en", "de"):
        Path(f"{language}.txt").write_text("one\ntwo\n")
    config = {
        "languages": ["en", "de"],
        "models": {"one": {"source": "owner/name"}},
        "corpora": {"plain": {"source": "text", "path": "{language}.txt"}},
        "lape": {"corpus": "plain"},
    }
    Path("config.yaml").write_text(json.dumps(config))
    status, said = call("corpus", "plain", "en")
    assert status == 1
    named = tmp_path / "inside" if inside else layout.corpus("plain", "en")
    assert said.startswith(f"error: {named}: ")
    assert says in said
    assert len(said.splitlines()) == 1


# --- damaged files --------------------------------------------------------------------------


def flip(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


FAULTS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flip": flip,
    "half": lambda content, _: content[: len(content) // 2],
    "empty": lambda *_: b"",
    "delete": lambda *_: None,
}
tried: Counter[str] = Counter()


def kind(path: Path) -> str:
    """What sort of file it is."""
    if path.name in ("complete.json", "origin.json", "zarr.json", "card.json", "tokenizer.json"):
        return path.name
    if path.suffix in (".parquet", ".npz", ".safetensors"):
        return path.suffix
    if path.parts[1] == "models":
        return "settings of a model"
    array = next(one for one in path.parents if (one / "zarr.json").is_file())
    if array.name in store.SITES:
        return "shard of rows"
    return "sums" if array.name.endswith(("_by_fold", "_by_segment")) else "chunk"


def read_by(step: Step) -> list[Path]:
    """Every file that a step may read: its inputs and the pieces it has kept."""
    places = [*step.reads, *step.pieces()]
    files = [
        path for place in places for path in ([place] if place.is_file() else place.rglob("*"))
    ]
    return sorted(path for path in files if path.is_file())


def damage(step: Step, path: Path, fault: str, seed: int, folder: Path) -> str | None:
    """Run a step over a damaged file; say what is wrong with what came of it, None if nothing."""
    whole = path.read_bytes()
    content = FAULTS[fault](whole, random.Random(seed)) if whole else None
    kept = [pieces for pieces in step.pieces() if pieces in path.parents]
    try:
        path.unlink() if content is None else path.write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for pieces in kept:
            shutil.copytree(pieces, moved(pieces, folder))
        try:
            status, said = step.run(folder)
        except Exception as error:  # what a user would see as a traceback
            return f"a traceback: {type(error).__name__}: {error}"
        if status == 0:
            tried[f"{kind(path)}, {fault}: same result"] += 1
            # A record tells its inputs' bytes, of which some are not data.
            records = (store.COMPLETE, store.ORIGIN)
            changed = [n for n in step.differences(folder) if Path(n).name not in records]
            return f"other results without an error: {changed}" if changed else None
        tried[f"{kind(path)}, {fault}: refused"] += 1
        if len(said.splitlines()) != 1:
            return f"not one line: {said}"
        places = [place for place in step.reads if place == path or place in path.parents]
        return None if any(str(place) in said for place in places) else f"unnamed: {said}"
    finally:
        path.write_bytes(whole)


def chosen(
    steps: list[Step], seed: int, each: int, by_step: bool
) -> list[tuple[Step, Path, str, int]]:
    """Faults to try: some of every kind of file, or of every kind that each step reads."""
    chance = random.Random(seed)
    found: dict[tuple[str, str], list[tuple[Step, Path]]] = {}
    for step in {step.name: step for step in steps}.values():
        for path in read_by(step):
            found.setdefault((step.name if by_step else "", kind(path)), []).append((step, path))
    return [
        (*one, fault, chance.randrange(1 << 30))
        for _, files in sorted(found.items())
        for fault in FAULTS
        for one in chance.sample(files, min(each, len(files)))
    ]


def try_all(faults: list[tuple[Step, Path, str, int]], folder: Path) -> list[str]:
    return [
        f"{step.name}: {fault} {path} ({seed}): {wrong}"
        for step, path, fault, seed in faults
        if (wrong := damage(step, path, fault, seed, folder))
    ]


def test_damaged_files_are_refused_by_name_or_make_no_difference(
    steps: list[Step], tmp_path: Path
) -> None:
    faults = chosen(steps, seed=0, each=1, by_step=False)
    assert {kind(path) for _, path, _, _ in faults} >= {
        *("complete.json", "origin.json", "zarr.json", "card.json", "tokenizer.json"),
        *(".parquet", ".npz", ".safetensors", "settings of a model"),
        *("shard of rows", "sums", "chunk"),
    }
    wrong = try_all(faults, tmp_path / "out")
    assert not wrong, "\n".join(wrong)
    assert sum(tried.values()) == len(faults)


@pytest.mark.slow
def test_files_of_every_kind_that_any_step_reads_may_be_damaged(
    steps: list[Step], tmp_path: Path
) -> None:
    wrong = try_all(chosen(steps, seed=1, each=1, by_step=True), tmp_path / "out")
    for what, times in sorted(tried.items()):
        print(f"{what}: {times}")
    assert not wrong, "\n".join(wrong)
