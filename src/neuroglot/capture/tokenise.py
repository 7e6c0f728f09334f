"""Tokenises one language of a corpus with one model's tokenizer."""

from pathlib import Path

from neuroglot import store
from neuroglot.corpora.base import read_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.provenance import digest, fingerprint
from neuroglot.tokens import Tokenising, tokenise

CODE = f"{__name__}:write_tokens"


def write_tokens(model: Path, corpus: Path, output: Path, chosen: Tokenising) -> None:
    """Write the token store of a corpus file ``results/corpora/{corpus}/{language}.parquet``."""
    card = read_card(model)
    reading = read_parquet(corpus)
    segments = reading.segments
    origin = {
        "model": model.name,
        "corpus": corpus.parent.name,
        "language": corpus.stem,
        "card": card.sha256,
        "text": digest([segments, reading.places, reading.drawn]),
        "settings": chosen.model_dump(),
        "code": fingerprint(CODE),
    }
    if store.begin(output, "tokens", origin):
        return
    try:
        data = tokenise(
            read_tokenizer(model),
            segments,
            chosen.prefix,
            card.context_window,
            card.vocabulary,
            chosen.long_segments,
            reading.places,
            reading.drawn,
        )
    except NeuroglotError as error:
        raise NeuroglotError(f"{corpus}: {error}") from error
    store.write_dataset(output, data)
    counts = {"rows": data.sizes["row"], "segments": len(segments)}
    store.complete(output, "tokens", origin, counts)
    print(
        f"{corpus.stem}: {counts['rows']} tokens, {int(data['ends_prefix'].sum())} prefixes "
        f"in {counts['segments']} segments"
    )
    if data.attrs["truncated"]:
        print(
            f"warning: {data.attrs['truncated']} segments were longer than the model's context "
            f"window of {card.context_window} tokens and were truncated"
        )
