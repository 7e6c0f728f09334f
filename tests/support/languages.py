"""The languages of the shipped table."""

import csv
from importlib.resources import files


def known_languages() -> list[str]:
    """List the ids in the table, sorted."""
    text = files("neuroglot").joinpath("data/languages.csv").read_text(encoding="utf-8")
    return sorted(row["tag"] for row in csv.DictReader(text.splitlines()))
