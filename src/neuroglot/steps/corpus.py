"""Reads one language of a corpus into Parquet."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import write_parquet


def run(settings: dict[str, Any], language: str, archive: Path | None, output: Path) -> None:
    """Write ``segment, text`` of one language; say what was dropped or merged."""
    corpus = TypeAdapter[Any](CorpusSettings).validate_python(settings)
    reading = corpus.read(language, archive)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(reading, output)
    print(f"{language}: {len(reading.segments)} segments")
    for note in reading.notes:
        print(f"  {note}")
