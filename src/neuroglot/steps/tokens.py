"""Tokenises one language of a corpus or the prompts of a task with one model's tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.corpora.base import Segment, read_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card
from neuroglot.provenance import digest, fingerprint
from neuroglot.tasks.base import read_items
from neuroglot.tokens import Prefix, tokenise


def run(
    model: Path,
    corpus: Path,
    output: Path,
    prefix: Prefix,
    long_segments: Literal["truncate", "refuse"],
) -> None:
    """Write the token store of a corpus, or with ``prefix="last"`` of a task.

    ``corpus`` is ``results/corpora/{corpus}/{language}.parquet`` or
    ``results/tasks/{task}/{language}.parquet``.
    """
    card = read_card(model)
    segments = _prompts(corpus) if prefix == "last" else read_parquet(corpus).segments
    settings = {"prefix": prefix, "long_segments": long_segments}
    origin = {
        "model": model.name,
        "corpus": corpus.parent.name,
        "language": corpus.stem,
        "card": card.sha256,
        "text": digest([list(segment) for segment in segments]),
        "settings": settings,
        "code": fingerprint(__name__),
    }
    if store.begin(output, "tokens", origin):
        return
    try:
        data = tokenise(
            Tokenizer.from_file(str(model / "tokenizer.json")),
            segments,
            prefix,
            card.context_window,
            card.vocabulary,
            long_segments,
        )
    except NeuroglotError as error:
        raise NeuroglotError(f"{corpus}: {error}") from error
    store.write_dataset(output, data)
    counts = {"rows": data.sizes["row"], "segments": len(segments)}
    store.complete(output, "tokens", origin, counts)
    print(
        f"{corpus.stem}: {counts['rows']} tokens, {int(data['snapshot'].sum())} prefixes "
        f"in {counts['segments']} segments"
    )
    if data.attrs["truncated"]:
        print(
            f"warning: {data.attrs['truncated']} segments were longer than the model's context "
            f"window of {card.context_window} tokens and were truncated"
        )


def _prompts(path: Path) -> Sequence[Segment]:
    return [Segment(item.id, item.prompt) for item in read_items(path).items]
