"""Captions: Jinja2 templates in reStructuredText, filled in with what is true of one run.

A template is ``captions/{stem}.rst`` in the analysis' folder. It may use these names:

- ``model``: id of the model; "" for a figure of several models.
- ``finding``: what the figure shows, as sentences with numbers; "" if nothing.
- ``data``: the dataset that is drawn.
- ``section``, ``capture``, ``perplexity``: the settings of the analysis, of recording, and of
  held-out text (None without).
- ``texts``: a sentence that names the texts and tasks, with source and size.
- ``rows``: sentences that say which tokens count, and whether punctuation was removed.
- the filters ``number`` (1,234), ``percent`` (12.5 %) and ``listed`` (a, b and c).

A value is shown as it is: its characters are neither markup of reStructuredText nor of HTML.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.core import publish_parts
from docutils.utils import SystemMessage
from jinja2 import Environment, StrictUndefined, TemplateError

from neuroglot import layout
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.analyses.base import Analysis, Run, Scope, Step
from neuroglot.capture.settings import GROUPS
from neuroglot.errors import NeuroglotError
from neuroglot.sources import PLACES

if TYPE_CHECKING:
    import xarray as xr

Counted = Callable[[str, str], int]
"""Function that counts the segments or items of a text or task, from its id and a language's."""

# What a step may read of a text: the tokens of a recording, or, without one, these parts of it.
RECORDED = ("prefixes", "last token of each segment", "last prompt token", "every token")
JUDGED, TEXT, ITEMS = "held-out segments", "text", "items"
ROUNDED = "rounded rows"  # read beside the tokens of a recording
COUNTED = {
    "last token of each segment": "Counted are last tokens of segments of {}.",
    "last prompt token": "Counted are last tokens of prompts of {}.",
    "every token": "Counted is every token of {}; special tokens are left out.",
}


@dataclass(frozen=True)
class Usage:
    """How one text or task was used for a dataset.

    Attributes:
        languages: ids, in drawing order.
        over: what counts of it: tokens, as ``RECORDED`` names them, or ``JUDGED``.
        rounded: whether recorded values are read that were rounded to ``capture.keep_bits``.
    """

    languages: tuple[str, ...]
    over: tuple[str, ...]
    rounded: bool


def caption(
    run: Run,
    analysis: Analysis[Any],
    stem: str,
    usages: Mapping[str, Usage],
    counted: Counted,
    *,
    model: str | None,
    data: "xr.Dataset",
    finding: str = "",
) -> str:
    """Render a caption as HTML.

    Args:
        run: the configuration.
        analysis: analysis of the figure or table.
        stem: stem of the figure, or ``table``.
        usages: how the dataset's texts were used; see ``usages_of``.
        counted: gives the sizes of texts.
        model: id of the model; None for all.
        data: the dataset.
        finding: what the figure shows.

    Raises:
        NeuroglotError: the template is missing, uses a name that is not there, or is not proper
            reStructuredText.
    """
    told = rendered(
        analysis.caption(stem),
        {
            "model": model or "",
            "finding": finding,
            "data": data,
            "section": run.section(analysis.name),
            "texts": texts_sentence(run, usages, counted),
            "rows": rows_sentences(run, usages),
            "capture": run.capture,
            "perplexity": run.perplexity,
        },
    )
    return told + rounding(run, usages)


def rounding(run: Run, usages: Mapping[str, Usage]) -> str:
    """Say, as HTML, of which texts rounded values were read; "" if all values were exact."""
    texts = [text for text, usage in usages.items() if usage.rounded]
    bits = run.capture.keep_bits
    return (
        f"<p>Recorded values of {listed(texts)} were rounded to {bits} bits after the leading 1."
        "</p>\n"
        if texts
        else ""
    )


# --- what was read ---------------------------------------------------------------------------


def usages_of(
    run: Run, analysis: Analysis[Any], steps: Iterable[str], scope: Scope
) -> dict[str, Usage]:
    """Say how texts and tasks were used for the datasets of some steps, directly or not.

    Returns:
        Usages by the id of the text or task, in the configuration's order.
    """
    languages: dict[str, set[str]] = {}
    parts: dict[str, set[str]] = {}
    for name in steps:
        for text, language, part in _read_by(run, analysis, analysis.step(name), scope):
            languages.setdefault(text, set()).add(language)
            parts.setdefault(text, set()).add(part)
    return {
        text: Usage(
            languages=tuple(each for each in run.all_languages if each in languages[text]),
            over=_over(parts[text]),
            rounded=ROUNDED in parts[text],
        )
        for text in (*run.corpora, *run.tasks)
        if text in parts
    }


def _over(read: set[str]) -> tuple[str, ...]:
    """The tokens that count: those of recordings or, if nothing is recorded, those of the text."""
    if recorded := tuple(tokens for tokens in RECORDED if tokens in read):
        return recorded
    if JUDGED in read:
        return (JUDGED,)
    return ("every token",) if TEXT in read else ()


def _read_by(
    run: Run, analysis: Analysis[Any], step: Step[Any, Any, Any], scope: Scope
) -> Iterator[tuple[str, str, str]]:
    """The texts, the languages and the parts of them that a job of a step reads, directly or not.

    A part is one of ``RECORDED``, or JUDGED, TEXT, ITEMS or ROUNDED.
    """
    inputs = step.inputs(run, run.section(analysis.name), scope)
    for path in dict.fromkeys(inputs.paths()):
        match path.relative_to(layout.RESULTS).parts:
            case ["models", _]:
                pass
            case ["corpora", text, file]:
                yield text, Path(file).stem, TEXT
            case ["tasks", task, file]:
                yield task, Path(file).stem, ITEMS
            case ["tokens", _, text, store]:
                judged = run.perplexity is not None and text == run.perplexity.corpus
                yield text, Path(store).stem, JUDGED if judged else TEXT
            case ["activations" | "states", _, text, store, group]:
                yield text, Path(store).stem, GROUPS[group].over
                if GROUPS[group].kept_bits(run.capture):
                    yield text, Path(store).stem, ROUNDED
            case [name, *folders, store]:
                yield from _read_by(run, *_job(run, ANALYSES[name], folders, Path(store).stem))


def _job(
    run: Run, analysis: Analysis[Any], folders: list[str], stem: str
) -> tuple[Analysis[Any], Step[Any, Any, Any], Scope]:
    """The job that makes a dataset, from its path as ``layout.reduction`` makes it."""
    match folders:
        case []:
            step = analysis.step(stem)
            return analysis, step, Scope(tuple(wanted.models(run, analysis, [step])))
        case [model]:
            return analysis, analysis.step(stem), Scope((model,))
        case [model, step_name]:
            return analysis, analysis.step(step_name), Scope((model,), stem)
    raise TypeError(f"no step of {analysis.name} writes {'/'.join([*folders, stem])}")


def texts_sentence(run: Run, usages: Mapping[str, Usage], counted: Counted) -> str:
    """Name texts and tasks with source, size and number of languages; "" for none."""
    named = [
        f"{text} ({source_of(run, text)}: {size(run, text, usage.languages, counted)})"
        for text, usage in usages.items()
    ]
    return f"Read: {listed(named)}." if named else ""


def source_of(run: Run, text: str) -> str:
    """The source of a text or task, with its place if it has one."""
    origin = {**run.corpora, **run.tasks}[text].origin()
    return ", ".join(str(origin[key]) for key in ("source", *PLACES) if key in origin)


def size(run: Run, text: str, languages: Sequence[str], counted: Counted) -> str:
    """Write how many segments or items a text or task has in how many languages."""
    counts = [counted(text, language) for language in languages]
    low, high = min(counts), max(counts)
    span = number(low) if low == high else f"{number(low)} to {number(high)}"
    noun = "item" if text in run.tasks else "segment"
    return f"{span} {_plural(noun, high)} in {_quantity(len(languages), 'language')}"


def _quantity(count: int, noun: str) -> str:
    return f"{number(count)} {_plural(noun, count)}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def rows_sentences(run: Run, usages: Mapping[str, Usage]) -> str:
    """Say which tokens count, and in which texts punctuation was removed; "" for no text."""
    texts: dict[str, list[str]] = {}
    for text, usage in usages.items():
        for tokens in usage.over:
            texts.setdefault(tokens, []).append(text)
    sentences = [
        *_prefixes(run, {text: usages[text] for text in texts.get("prefixes", [])}),
        *(
            form.format(listed(texts[tokens]))
            for tokens, form in COUNTED.items()
            if tokens in texts
        ),
    ]
    if JUDGED in texts and run.perplexity:
        most, tokens = (
            run.perplexity.segments,
            _quantity(run.perplexity.tokens_per_segment, "token"),
        )
        which = "all segments" if most is None else f"at most {_quantity(most, 'segment')}"
        sentences.append(
            f"Models are judged on {which} a language of {listed(texts[JUDGED])}, on at most "
            f"{tokens} of each from its first."
        )
    return " ".join([*sentences, *_punctuation(run, usages)])


def _prefixes(run: Run, usages: Mapping[str, Usage]) -> Iterator[str]:
    """Define the prefixes of texts, which end at words, at subwords, or at either by language."""
    by_setting: dict[str, list[str]] = {}
    for text in usages:
        by_setting.setdefault(run.corpora[text].prefix, []).append(text)
    for texts in by_setting.values():
        ends = {
            language: run.tokenising(text, language).prefix
            for text in texts
            for language in usages[text].languages
        }
        by_subword = [language for language, end in ends.items() if end == "subword"]
        where = "up to the end of each word, at the word's last subword"
        if len(by_subword) == len(ends):
            where = "up to each subword"
        elif by_subword:
            names = [facts.name for facts in run.facts(by_subword).values()]
            where = f"{where}; in {listed(names)}, up to each subword"
        yield f"Counted are prefixes of {listed(texts)}: the text {where}."
    if by_setting:
        yield "Prefixes of one subword are left out."


def _punctuation(run: Run, usages: Mapping[str, Usage]) -> Iterator[str]:
    corpora = [text for text in usages if text in run.corpora]
    removed = [text for text in corpora if run.corpora[text].strip_punctuation]
    kept = [text for text in corpora if text not in removed]
    if removed:
        where = f" from {listed(removed)}" if kept else ""
        yield f"All punctuation but a segment's last mark was removed{where}."
    if kept:
        yield f"Punctuation was kept{f' in {listed(kept)}' if removed else ''}."


# --- how it is written -----------------------------------------------------------------------


def number(value: Any) -> str:
    """Write a number: whole ones and those from 1000 without decimals, others to four digits."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and math.isnan(plain):
        return "unknown"
    whole = isinstance(plain, int) or 1000 <= abs(plain) < math.inf
    return (f"{round(plain):,}" if whole else f"{plain:.4g}").replace("-", "−")


def percent(share: Any) -> str:
    """Write a share of 1 as per cent: 0.125 is "12.5 %"."""
    return f"{number(float(share) * 100)} %"


def listed(names: Iterable[Any]) -> str:
    """Write a list as in a sentence: "a, b and c"."""
    *first, last = list(map(str, names)) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


# A value is put into a template as hexadecimal digits between two characters for private use. To
# docutils that is plain text wherever it stands. It is turned back into the value in the HTML.
VEIL = re.compile("\ue000([0-9a-f]*)\ue001")


def _veiled(value: Any) -> str:
    if value is None:
        raise TemplateError("a value is None; ask for it with if")
    return f"\ue000{str(value).encode().hex()}\ue001"


def _unveiled(veiled: re.Match[str]) -> str:
    return bytes.fromhex(veiled[1]).decode()


TEMPLATES = Environment(undefined=StrictUndefined, finalize=_veiled, autoescape=False)
TEMPLATES.filters.update(number=number, percent=percent, listed=listed)
DOCUTILS = {
    "_disable_config": True,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 2,  # warnings
    "warning_stream": False,  # what halts is in the exception
}


def rendered(path: Path, context: Mapping[str, Any]) -> str:
    """Render a template as HTML.

    Raises:
        NeuroglotError: it is missing, uses a name that is not there, or is not proper
            reStructuredText.
    """
    try:
        text = TEMPLATES.from_string(path.read_text("utf-8")).render(context)
        parts = publish_parts(text, writer="html5", settings_overrides=DOCUTILS)
    except (OSError, TemplateError, SystemMessage, ValueError, TypeError, LookupError) as error:
        raise NeuroglotError(f"{path}: {VEIL.sub(_unveiled, str(error))}") from error
    return VEIL.sub(lambda veiled: html.escape(_unveiled(veiled)), parts["fragment"])
