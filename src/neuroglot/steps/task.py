"""Reads one language of a task into Parquet."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from neuroglot.tasks import TaskSettings
from neuroglot.tasks.base import write_items


def run(settings: dict[str, Any], language: str, output: Path) -> None:
    """Write ``item, prompt, gold, candidates`` of one language; say what was left out."""
    task = TypeAdapter[Any](TaskSettings).validate_python(settings)
    reading = task.read(language)
    write_items(reading, output)
    print(f"{language}: {len(reading.items)} items")
    for note in reading.notes:
        print(f"  {note}")
