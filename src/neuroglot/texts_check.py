"""Checks the user's own texts and tasks before any job runs: what can be known from them alone."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from neuroglot.analyses import ANALYSES
from neuroglot.errors import NeuroglotError

if TYPE_CHECKING:
    from neuroglot.config import Config
    from neuroglot.corpora.base import Corpus, Reading, WithText
    from neuroglot.tasks.base import Task

ALIKE = 0.1  # share of a language's segments that may be the pivot's, such as names and numbers
SHOWN = 5
LOOKED_AT = 500  # segments of a language whose language is identified, from the first


def check_texts(config: "Config") -> Generator[str, None, dict[str, int]]:
    """Read the texts and tasks that are files here; say what they share and lack.

    Tasks that come with the package are read if they keep facts for examples. Text in packages and
    on the Hub is not read, because it would have to be downloaded.

    Yields:
        Lines to print.

    Returns:
        The number of segments of each corpus that was read: those that all its languages have or,
        where it is not parallel, those of the language with the fewest.

    Raises:
        NeuroglotError: a text or task cannot be read, its languages do not match, or neurons are
            chosen on held-out text.
    """
    readings: dict[str, dict[str, Reading]] = {}
    sizes: dict[str, int] = {}
    for name, corpus in config.corpora.items():
        languages = config.corpus_languages(name)
        if any(map(corpus.inputs, languages)):
            try:
                readings[name], sizes[name], lines = _read(corpus, languages)
            except NeuroglotError as error:
                raise NeuroglotError(f"corpora.{name}: {error}") from error
            yield from (f"corpora.{name}: {line}" for line in lines)
            yield from (f"corpora.{name}: {line}" for line in _of_damage(readings[name]))
            if corpus.check_language == "report":
                yield from (f"corpora.{name}: {line}" for line in _languages(readings[name]))
    _check_held_out(config, readings)
    for name, task in config.tasks.items():
        languages = config.corpus_languages(name)
        if any(map(task.inputs, languages)) or (task.reserved and task.is_here()):
            try:
                lines = list(_check_task(task, name, languages))
            except NeuroglotError as error:
                raise NeuroglotError(f"tasks.{name}: {error}") from error
            yield from (f"tasks.{name}: {line}" for line in lines)
            if lacking := [each for each in config.languages if each not in languages]:
                yield f"tasks.{name}: it has no {', '.join(lacking)}, and is not asked in them"
    return sizes


def _read(
    corpus: "Corpus", languages: Sequence[str]
) -> tuple[dict[str, "Reading"], int, list[str]]:
    """Read a corpus; return its languages' readings, its size, and lines on what they share."""
    asked = [corpus.pivot, *languages] if corpus.parallel and corpus.pivot else languages
    read = {language: corpus.with_text(language) for language in dict.fromkeys(asked)}
    shared = corpus.check_aligned(read)
    readings = {language: corpus.draw(language, read) for language in languages}
    if not corpus.parallel:
        sizes = [len(reading.segments) for reading in readings.values()]
        lines = [f"{len(sizes)} languages, of {min(sizes)} to {max(sizes)} segments"]
        return readings, min(sizes), lines + _notes(readings)
    drawn = max(reading.drawn for reading in readings.values())
    held = [{segment.id for segment in reading.segments} for reading in readings.values()]
    common = shared.intersection(*held)
    lines = [
        f"{len(common)} of the {drawn} segments of {corpus.pivot} are in all {len(languages)} "
        f"languages ({len(common) / drawn:.0%})"
    ]
    if corpus.numbered:
        lines += _shifts(read)
    lines += _notes(readings)
    for language, reading in readings.items():
        lines += _untranslated(language, reading, corpus.pivot, dict(read[asked[0]].kept))
    return readings, len(common), lines


def _notes(readings: Mapping[str, "Reading"]) -> list[str]:
    return [f"{language}: {note}" for language, of in readings.items() for note in of.notes]


def _shifts(read: Mapping[str, "WithText"]) -> Iterator[str]:
    """Warn about lines that fit other lines of the pivot, the first language, better."""
    from neuroglot.corpora.shifts import find_shift

    texts = {}
    for language, text in read.items():
        texts[language] = [""] * max(each.lines for each in read.values())
        for segment in text.kept:
            texts[language][int(segment.id) - 1] = segment.text
    pivot, *others = texts
    for language in others:
        if shift := find_shift(texts[language], texts[pivot]):
            yield (
                f"warning: by their lengths, lines {shift.first + 1} to {shift.last + 1} of "
                f"{language!r} are the translations of lines {shift.first + 1 + shift.lag} to "
                f"{shift.last + 1 + shift.lag} of {pivot!r}; look there for a line that is split "
                "or missing"
            )


def _untranslated(
    language: str, reading: "Reading", pivot: str | None, of_pivot: Mapping[str, str]
) -> list[str]:
    """Warn if many of a language's segments are the pivot's, such as those not yet translated."""
    if language == pivot:
        return []
    same = [each.id for each in reading.segments if of_pivot.get(each.id) == each.text]
    if len(same) <= ALIKE * len(reading.segments):
        return []
    return [
        f"warning: {len(same)} of the {len(reading.segments)} segments of {language!r} are word "
        f"for word those of {pivot!r}: {', '.join(same[:SHOWN])}, …"
    ]


def _of_damage(readings: Mapping[str, "Reading"]) -> Iterator[str]:
    """Say which segments were damaged when they were converted."""
    for language, reading in readings.items():
        texts = {segment.id: segment.text for segment in reading.segments}
        yield from _damaged(f"segments of {language!r}", texts)


def _damaged(noun: str, texts: Mapping[str, str]) -> Iterator[str]:
    from neuroglot.corpora.damage import LOST, misread

    for ids, what in (
        (
            [name for name, text in texts.items() if LOST in text],
            "have U+FFFD in place of characters that were lost when they were converted to UTF-8",
        ),
        (
            [name for name, text in texts.items() if misread(text)],
            "seem to be UTF-8 that was read in another encoding, which makes `Ã¼` of `ü`",
        ),
    ):
        if ids:
            more = ", …" if len(ids) > SHOWN else ""
            yield (
                f"warning: {len(ids)} of {len(texts)} {noun} ({len(ids) / len(texts):.0%}) {what}: "
                f"{', '.join(ids[:SHOWN])}{more}; convert them again, from their source"
            )


def _languages(readings: Mapping[str, "Reading"]) -> Iterator[str]:
    """Say which segments seem to be in another language, and which languages are not checked."""
    from neuroglot.corpora.base import in_other_language

    unknown = []
    for language, reading in readings.items():
        segments = reading.segments[:LOOKED_AT]
        others = in_other_language(language, segments)
        if others is None:
            unknown.append(language)
        elif others:
            warning = "warning: " if len(others) > ALIKE * len(segments) else ""
            worst = [f"{segment.id} ({code})" for segment, code in others.values()][:SHOWN]
            more = ", …" if len(others) > SHOWN else ""
            yield (
                f"{warning}{len(others)} of {len(segments)} segments of {language!r} "
                f"({len(others) / len(segments):.0%}) seem to be in another language: "
                f"{', '.join(worst)}{more}; check_language: drop leaves them out"
            )
    if unknown:
        yield f"the identifier does not know {', '.join(unknown)}; their text is not checked"


def _check_held_out(config: "Config", readings: Mapping[str, Mapping[str, "Reading"]]) -> None:
    """Refuse held-out text on which neurons are chosen."""
    if config.perplexity is None or config.perplexity.corpus not in readings:
        return
    from neuroglot.corpora.punctuation import strip_punctuation

    name = config.perplexity.corpus
    for analysis in config.analyses:
        section = config.section(analysis)
        for chosen_on in {naming.chosen_on(section) for naming in ANALYSES[analysis].naming}:
            for language, reading in readings.get(chosen_on or "", {}).items():
                seen = {strip_punctuation(each.text): each.id for each in reading.segments}
                for segment in readings[name].get(language, reading).segments:
                    if language in readings[name] and strip_punctuation(segment.text) in seen:
                        raise NeuroglotError(
                            f"perplexity: segment {segment.id!r} of {name} in {language!r} also "
                            f"stands in {chosen_on}, on which {analysis} chooses neurons, so it is "
                            "not held out; set skip_segments or take another text"
                        )


def _check_task(task: "Task", name: str, languages: Sequence[str]) -> Iterator[str]:
    """Read a task; yield a line on its items, and its warnings."""
    from neuroglot.tasks.base import check_same_items

    readings = {language: task.read(language) for language in languages}
    items = {language: [item.id for item in of.items] for language, of in readings.items()}
    check_same_items(name, items)
    yield f"{len(next(iter(items.values())))} items in {len(languages)} languages"
    for language, reading in readings.items():
        yield from (f"{language}: {note}" for note in reading.notes)
        texts = {item.id: " ".join([item.prompt, *item.gold]) for item in reading.items}
        yield from _damaged(f"items of {language!r}", texts)
