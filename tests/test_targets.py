"""A target behind `--configfile` is answered by one line that says what to write."""

import shlex
from pathlib import Path

import pytest

from neuroglot.targets import answer
from support import warm
from support.tiny_workflow import make_workplace


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("--configfile a.yaml roles", "--configfile a.yaml -- roles"),
        ("--configfile a.yaml roles lape -n", "--configfile a.yaml -n -- roles lape"),
        ("--cores all --configfile a.yaml b.json lape", None),
        ("-n --configfiles a.yaml b.yml results/x.csv", None),
        (
            "--configfile a.yaml roles --cores 2 -- lape",
            "--configfile a.yaml --cores 2 -- roles lape",
        ),
        ("--configfile nothing.yaml", ""),
        ("roles --configfile a.yaml", ""),
        ("--configfile a.yaml other.yaml", ""),
        ("--configfile a.yaml plain -n", ""),
        ("roles -n", ""),
    ],
)
def test_what_to_write_is_said(
    given: str, instead: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("languages: [en]\n")  # a configuration may have any name
    said = answer(shlex.split(given))
    if instead == "":
        assert said is None
    else:
        assert said is not None
        *options, target = given.removesuffix(" -n").split()
        command = instead or f"{' '.join(options)} -- {target}"
        assert said.endswith(f"; write: snakemake {command}")


def test_snakemake_says_it_before_it_fails(tmp_path: Path) -> None:
    place = make_workplace(tmp_path / "place")

    def ended(*arguments: str) -> tuple[int, str]:
        process = place.start(*arguments, command=warm.commands() / "snakemake")
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    status, output = ended("-n", "--configfile", "config.yaml", "roles")
    assert status == 1
    assert "Traceback" not in output
    *_, last = output.splitlines()
    assert last.startswith("error: Snakemake takes roles for a configuration")
    written = shlex.split(last.partition("write: ")[2])
    assert written[0] == "snakemake"
    status, output = ended(*written[1:])
    assert status == 0, output
    assert "roles: " in output
