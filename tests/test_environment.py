"""The pins in pyproject.toml, envs/ and the environment that runs the tests are the same."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def pinned() -> dict[str, str]:
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        Requirement(line)
        for line in project["dependencies"] + project["optional-dependencies"]["dev"]
    ]


def test_every_dependency_is_pinned_alike() -> None:
    pins = pinned()
    for requirement in declared():
        assert pins.get(canonicalize_name(requirement.name)) == str(requirement.specifier)


def test_everything_is_pinned_to_one_version_and_no_registry_is_named() -> None:
    assert all(specifier.startswith("==") for specifier in pinned().values())
    text = (ROOT / "envs" / "requirements.txt").read_text()
    assert "://" not in text
    assert "-index" not in text


def test_the_tests_run_on_the_pins() -> None:
    for name, specifier in pinned().items():
        assert metadata.version(name).partition("+")[0] == specifier.removeprefix("=="), name


def test_conda_installs_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "environment.yaml").read_text())
    [pip] = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["-r requirements.txt"]


@pytest.mark.parametrize("file", ["envs/requirements.txt", "envs/environment.yaml"])
def test_the_files_say_what_they_are_for(file: str) -> None:
    assert (ROOT / file).read_text().startswith("# ")
