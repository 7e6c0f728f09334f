"""Three hundred languages, two corpora: every command stays short, and the workflow is planned."""

import csv
from pathlib import Path

from support import ROOT
from support.tiny_workflow import Workplace, make_workplace

KERNEL_LIMIT = 128 << 10  # bytes of one argument
SHORT = 1000
LANGUAGES = 300


def many_languages() -> list[str]:
    with (ROOT / "src/neuroglot/data/languages.csv").open(encoding="utf-8") as table:
        tags = [row["tag"].lower() for row in csv.DictReader(table) if row["tag"] != "en"]
    assert len(tags) >= LANGUAGES
    return sorted(tags, key=len, reverse=True)[:LANGUAGES]  # the longest


def commands(output: str) -> list[str]:
    """The shell commands that a dry run prints."""
    return [line.strip() for line in output.splitlines() if " neuroglot " in f" {line}"]


def test_no_command_grows_with_the_languages(tmp_path: Path) -> None:
    place: Workplace = make_workplace(tmp_path / "place")
    languages = many_languages()
    assert len(" ".join(languages)) > SHORT  # so that a command that names all is not short
    for corpus in ("plain", "other"):
        for language in languages:
            (place.folder / "texts" / corpus / f"{language}.tsv").write_text(
                f"s0\tone two three {language}\ns1\tfour five six {language}\n", "utf-8"
            )
    place.configure(
        languages=["en", *languages],
        lexicon={"corpus": "plain", "top_tokens": 5, "minimum_coverage": 0.0},
        lape={"corpus": "plain"},
        transfer={"corpus": "other", "k": [1]},
    )
    plan = place.plan("-p")
    assert plan.status == 0, plan.output[-4000:]
    found = commands(plan.output)
    recorded = sum(" record one " in one for one in found)
    assert recorded == LANGUAGES + 1
    assert max(map(len, found)) < SHORT < KERNEL_LIMIT
