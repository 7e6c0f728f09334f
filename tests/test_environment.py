"""The pins in pyproject.toml, envs/ and the environment that runs the tests are the same."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import ROOT


def pinned() -> dict[str, str]:
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> list[Requirement]:
    lines = project()["dependencies"] + project()["optional-dependencies"]["dev"]
    return [Requirement(line) for line in lines]


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


def imported(*folders: str) -> set[str]:
    """Distributions, by canonical name, whose modules the Python files of some folders import."""
    modules: set[str] = set()
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    known = metadata.packages_distributions()
    ours = {name for file in files for name in (file.stem, file.parent.name)} - set(known)
    modules -= sys.stdlib_module_names | ours
    return {
        canonicalize_name(name)
        for module in modules - {"neuroglot"}
        for name in known.get(module, [module])
    }


def names(lines: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_what_is_imported_is_declared() -> None:
    extras = project()["optional-dependencies"]
    here = names([*project()["dependencies"], *extras["harness"]])
    assert imported("src") <= here
    assert imported("tests") <= here | names(extras["dev"])


def test_what_is_declared_and_not_imported_says_why() -> None:
    used = imported("src", "tests")
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        pin = re.match(r'\s*"([A-Za-z0-9._-]+)==[^"]*",?(\s+# \S.*)?$', line)
        if pin and canonicalize_name(pin[1]) not in used:
            assert pin[2], f"{pin[1]}: nothing imports it; say in pyproject.toml what it is for"


def test_files_that_a_profile_names_exist() -> None:
    for profile in (ROOT / "workflow" / "profiles").rglob("*.yaml"):
        for path in re.findall(r"(?:workflow|src)/[\w./-]*\w", profile.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{profile.parent.name}: {path}"
