"""Configurations of any content are valid or refused in words; no name reaches a shell as code."""

import copy
import math
import re
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuroglot.config import Config, load, load_file
from neuroglot.errors import NeuroglotError
from neuroglot.packages import PinnedPackage
from support import ROOT
from support.tiny_workflow import make_workplace
from tools import hostile

TEXTS = [(ROOT / name).read_text("utf-8") for name in ("config.yaml", ".ci/config.yaml")]
TREES = [yaml.safe_load(text) for text in TEXTS]
LAUGHS = "a0: &a0 [en, en, en, en, en, en, en, en, en, en]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)

ODD = [
    *(None, True, math.nan, math.inf, -math.inf, -1, 0, 1, 2**63, -(2**63), 10**30, 10**5000),
    *(0.5, 1e308, -0.0, "", " ", [], {}, [[]], [{}], {"": ""}, {None: None}, {1: 2}, {(): 1}),
    *(date(2026, 1, 1), b"\xff\x00", "\x00", "a\x00b", "\x1b[31m", "\u202eabc", "\ufeff", "\u2028"),
    *("\ud800", "de\udfff", "аdmin", "ｅｎ", "👩‍👩‍👧", "e\u0301", "é" * 300, "a" * 300),
    *("x" * 1_000_000),
    *("../x", "a/b", "/etc/passwd", "~", "~root/x", "-rf", "--help", "a b", "a'b", 'a"b', "a\nb"),
    *("$(touch owned)", "`touch owned`", "; touch owned", "| touch owned", "&& touch owned"),
    *("*", "?", "[a-z]*", "{m}", "{language}", "{", "}", "{{}}", "{0.__class__}", "%s", "#", "!x"),
    *("texts/{language}.tsv", "{language}" * 400, "a" * 400 + "/{language}", "\x00{language}"),
    *("./\x00", "./" + "a" * 300, "pypi:a==1\n", "npm:a@1.0.0; x", "hub:a/b\n", "a" * 64 + "\n"),
    *("0" * 64, "udhr", "text", "en", "de", "nan", "null", "1e9", "0x10", "2026-13-45"),
]  # fmt: skip


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def places(tree, path=()):
    """Every place in a tree, as the keys that lead there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@st.composite
def mutated(draw):
    """A valid configuration with one to four changes at places of its own."""
    tree = copy.deepcopy(draw(hostile.one_of(TREES)))
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(tree))
        if not found:
            break
        *parents, key = draw(hostile.one_of(found))
        section = tree
        for part in parents:
            section = section[part]
        value = draw(st.one_of(hostile.one_of(ODD), st.text(max_size=8), st.integers()))
        how = draw(st.sampled_from(["drop", "put", "rename", "nest", "list", "copy"]))
        if how == "drop":
            del section[key]
        elif how == "rename" and isinstance(section, dict):
            section[value if _hashable(value) else repr(value)] = section.pop(key)
        elif how == "nest":
            section[key] = {key: section[key]}
        elif how == "list":
            section[key] = [section[key], value]
        elif how == "copy":
            section[key] = copy.deepcopy(draw(hostile.one_of(TREES)))
        else:
            section[key] = value
    return tree


def _hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


@hostile.many(4)
@given(mutated())
def test_changed_trees_are_valid_or_refused(tree):
    with hostile.attempt("configuration, changed tree"):
        assert isinstance(load(tree), Config)


@hostile.many(2)
@given(mutated())
def test_changed_files_are_valid_or_refused_by_name(tmp_path_factory, tree):
    file = tmp_path_factory.mktemp("c") / "odd.yaml"
    try:
        file.write_bytes(yaml.dump(tree).encode("utf-8", "surrogatepass"))
    except (yaml.YAMLError, ValueError):
        return  # cannot be written as YAML
    with hostile.attempt("configuration, changed file"):
        assert isinstance(load_file(file), Config)


PIECES = [
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\t", b"\r", b"\x85", b"\xe2\x80\xa8"),
    *(b"\xed\xa0\x80",),
    *(b": ", b"- ", b"{", b"[", b"]", b"}", b"'", b'"', b"&a ", b"*a", b"<<: *a\n"),
    *(b"? [a]\n: b\n",),
    *(b"!!python/object/apply:os.system ['touch owned']", b"!!binary x", b"!!set {a}"),
    *(b"!!omap [a]",),
    *(b"!!int x", b"!!float x", b"!!bool x", b"!!timestamp x", b"!!null x", b"!x", b"!!str"),
    *(b"%YAML 9",),
    *(b"2026-13-45", b"9" * 5000, b"1:99:99", b"0b", b"0x", b".nan", b"---\n", b"...\n"),
    *(b"|\n", b">\n"),
    *(b"a: 1\na: 2\n", b"__use_yte__: true\n", b"?import os\n", b"&a [*a]", b"&a {b: *a}"),
    *(b"~: ~\n",),
]  # fmt: skip


@st.composite
def spliced(draw):
    """The bytes of a valid file, cut, doubled, and with pieces of odd YAML put in."""
    content = draw(hostile.one_of(TEXTS)).encode()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        piece = draw(st.one_of(hostile.one_of(PIECES), st.binary(max_size=6)))
        if draw(st.booleans()):  # at the beginning of a line, where YAML looks for keys
            at = content.rfind(b"\n", 0, at) + 1
        how = draw(st.sampled_from(["insert", "replace", "cut", "double"]))
        if how == "insert":
            content = content[:at] + piece + content[at:]
        elif how == "replace":
            content = content[:at] + piece + content[at + length :]
        elif how == "cut":
            content = content[:at]
        else:
            content = content[:at] + content[max(0, at - length) :]
    return content


@hostile.many(2)
@given(spliced())
def test_damaged_files_are_valid_or_refused_by_name(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("c") / "odd.yaml"
    file.write_bytes(content)
    with hostile.attempt("configuration, damaged bytes"):
        assert isinstance(load_file(file), Config)
    assert not Path("owned").exists()


FAULTS = {
    "alias bomb": (f"{LAUGHS}languages: *a9\nmodels: {{m: {{source: a/b}}}}\n", "aliases"),
    "alias bomb in a text": (f"{LAUGHS}models: {{m: {{source: *a9}}}}\n", "aliases"),
    "list within itself": ("languages: &a [*a]\n", "itself"),
    "mapping within itself": ("models: &a {m: *a}\n", ""),
    "deep lists": (f"languages: {'[' * 5000}{']' * 5000}\n", "deep"),
    "deep mappings": (f"models: {'{a: ' * 5000}1{'}' * 5000}\n", "deep"),
    "list as a key": ("? [a, b]\n: c\n", "line 1"),
    "mapping as a key": ("{a: 1}: b\n", "line 1"),
    "no such day": ("languages: [2026-13-45]\n", ""),
    "five thousand digits": (f"languages: {'9' * 5000}\n", ""),
    "no number": ("languages: !!int x\n", ""),
    "no moment": ("languages: !!timestamp x\n", ""),
    "no truth": ("languages: !!bool x\n", ""),
    "key twice, deep": ("roles:\n  corpora: [a]\n  corpora: [b]\n", "lines 2 and 3"),
    "code of Python": ("languages: !!python/object/apply:os.system ['touch owned']\n", "python"),
    "code of Snakemake's templates": (
        "__use_yte__: true\nlanguages: ?__import__('os').system('touch owned')\n",
        "__use_yte__",
    ),
    "megabyte text": (f"languages: {'x' * 1_000_000}\n", "languages"),
    "megabyte key": (f"{'x' * 1000}: 1\nlanguages: [en]\n", "languages"),
    "megabyte in a list": (f"languages: [{'x' * 1_000_000}]\n", "languages"),
    "many unknown languages": (f"languages: [{', '.join(f'zz{i}' for i in range(3000))}]\n", "zz0"),
    "empty": ("", "NoneType"),
    "comments alone": ("# nothing\n", "NoneType"),
    "list at the top": ("- languages\n", "list"),
    "text at the top": ("languages\n", "str"),
    "two documents": ("a: 1\n---\nb: 2\n", "cannot be read as YAML"),
    "tab": ("languages:\n\t- en\n", "cannot be read as YAML"),
    "control character": ("languages: [\x07]\n", "cannot be read as YAML"),
    "lone surrogate": ('languages: ["\\ud800"]\n', "languages"),
    "lone surrogate as a key": ('"\\ud800": 1\n', ""),
    "not a number": ("roles: {corpora: [a], threshold: .nan}\n", "roles.threshold"),
    "endless": ("boost: {factors: [.inf]}\n", "boost.factors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_files_are_told_with_the_file(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    text, word = FAULTS[fault]
    Path("odd.yaml").write_text(text, "utf-8")
    with (
        hostile.attempt("configuration, known traps", "odd.yaml", word),
        pytest.raises(NeuroglotError) as caught,
    ):
        load_file(Path("odd.yaml"))
    hostile.check_message(str(caught.value), "odd.yaml", word)
    hostile.count("configuration, known traps", "refused")
    assert not Path("owned").exists()


@pytest.mark.parametrize("fault", ["alias bomb", "deep lists", "megabyte text", "code of Python"])
def test_the_command_refuses_with_little_memory(tmp_path, fault):
    (tmp_path / "odd.yaml").write_text(FAULTS[fault][0], "utf-8")
    ended = hostile.limited(
        *("config", "check", "--config", "odd.yaml"), cwd=tmp_path, memory=1 << 30, seconds=20
    )
    hostile.refused("configuration, by command", ended, "odd.yaml")
    assert ended.memory < 300 << 20
    assert [path.name for path in tmp_path.iterdir()] == ["odd.yaml"]


@pytest.mark.parametrize("content", [b"\xff\xfeM\x00", b"languages: [\xe9]\n", b"\x80" * 100])
def test_other_encodings_are_refused(tmp_path, content):
    (tmp_path / "odd.yaml").write_bytes(content)
    with pytest.raises(NeuroglotError, match=r"odd\.yaml: cannot be read as YAML"):
        load_file(tmp_path / "odd.yaml")
    hostile.count("configuration, known traps", "refused")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "c.yaml").write_text("\ufeff" + TEXTS[0], "utf-8")
    assert load_file(tmp_path / "c.yaml") == load_file(ROOT / "config.yaml")
    hostile.count("configuration, known traps", "accepted")


# Names that become parts of paths

NAMES = st.one_of(
    hostile.one_of([value for value in ODD if isinstance(value, str)]),
    st.text(max_size=12),
    st.builds("{}{}".format, st.sampled_from(["a", "en", ""]), st.text(min_size=1, max_size=4)),
)


@hostile.many(4)
@given(NAMES, st.sampled_from(["models", "corpora", "tasks"]))
def test_ids_are_safe_parts_of_a_path_or_refused(name, kind):
    tree = copy.deepcopy(TREES[0])
    tree[kind] = {**tree[kind], name: next(iter(tree[kind].values()))}
    safe = re.fullmatch("[a-z0-9][a-z0-9_-]{0,99}", name, re.ASCII) and name != "\n"
    with hostile.attempt("ids"):
        assert name in getattr(load(tree), kind)
        assert safe, f"{name!r} was accepted"


@hostile.many(4)
@given(st.one_of(NAMES, hostile.one_of(["mt", "sr-Latn", "zh_Hant", "deu", "pt-BR", "tlh"])))
def test_languages_are_safe_parts_of_a_path_or_refused(name):
    tree = copy.deepcopy(TREES[0])
    tree["languages"] = [*tree["languages"], name]
    row = {"tag": name, "name": "x", "family": "x", "genus": "x", "script": "Latn"}
    tree["language_table"] = [row]
    tree["corpora"]["lexicon"]["languages"] = ["en", name]
    with hostile.attempt("language tags"):
        for language in load(tree).all_languages:
            assert re.fullmatch("[a-z0-9-]{1,100}", language, re.ASCII)


@pytest.mark.parametrize("kind", ["models", "corpora", "tasks"])
def test_names_too_long_for_a_path_are_refused(kind):
    tree = copy.deepcopy(TREES[0])
    tree[kind]["a" * 100] = next(iter(tree[kind].values()))
    assert "a" * 100 in getattr(load(tree), kind)
    tree[kind]["a" * 101] = next(iter(tree[kind].values()))
    with pytest.raises(NeuroglotError, match="at most 100 of them"):
        load(tree)
    hostile.count("ids", "refused")


@pytest.mark.parametrize("digest", ["a" * 64 + "\n", "a" * 63 + "\n", "A" * 64, "a" * 65, "$(x)"])
def test_a_digest_that_reaches_a_shell_is_hexadecimal(digest):
    with pytest.raises(ValueError, match="sha256"):
        PinnedPackage(registry="pypi", name="a", version="1", sha256=digest)
    hostile.count("package references", "refused")


REFERENCE = re.compile(r"[A-Za-z0-9@/._-]+ [A-Za-z0-9.+!_-]+")


@hostile.many(2)
@given(NAMES, NAMES, st.sampled_from(["pypi", "npm"]))
def test_packages_that_reach_a_shell_have_plain_names(name, version, registry):
    with hostile.attempt("package references"):
        try:
            made = PinnedPackage(registry=registry, name=name, version=version, sha256="0" * 64)
        except ValueError as error:
            raise NeuroglotError(str(error)[:500]) from None
        assert REFERENCE.fullmatch(f"{made.name} {made.version}")
        assert ".." not in made.name.split("/")


PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.]+)(:q)?\}")
SAFE = {
    # ids and languages, of [a-z0-9_-] as tested above, and what is made of them alone
    *("wildcards.m", "wildcards.c", "wildcards.l", "wildcards.t", "log", "output"),
    *("params.model", "params.scope", "params.targets"),
    # numbers of Snakemake's own
    *("threads", "resources.gpu"),
    # names in the workflow's and the library's own files
    *("NEUROGLOT", "CONFIGURATION", "params.command", "params.analyses"),
    # an archive's digest, as tested above
    "params.sha256",
}


@pytest.mark.parametrize("file", sorted((ROOT / "workflow" / "rules").glob("*.smk")), ids=str)
def test_whatever_a_user_words_is_quoted_in_shell_commands(file):
    for command in re.findall(r"shell:\s*\n((?:\s+\"[^\n]*\n)+)", file.read_text("utf-8")):
        for name, quoted in PLACEHOLDER.findall(command):
            assert quoted or name in SAFE, f"{{{name}}} of {file.name} is not quoted"
            hostile.count("placeholders of shell commands", "accepted")


# Through Snakemake

WILD = 'te xt\'s $(touch owned) `touch owned` ; touch owned & "q" *'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_workplace(tmp_path_factory.mktemp("hostile") / "place")


def test_paths_of_models_and_texts_are_no_commands(place, tmp_path):
    place = place.copy(tmp_path / "place")
    (place.folder / "texts" / "plain").rename(place.folder / "texts" / WILD)
    (place.folder / "checkpoints" / "one").rename(place.folder / "checkpoints" / WILD)
    config = place.config
    config["corpora"]["plain"]["path"] = f"texts/{WILD}/{{language}}.tsv"
    place.configure(corpora=config["corpora"], models={"one": {"source": f"./checkpoints/{WILD}"}})
    before = {name for name in hostile.everything(place.folder) if not name.startswith("src")}
    dry = place.plan("-p", "results/tokens/one/plain/en.zarr/complete.json")
    assert dry.status == 0, dry.output
    finished = place.run("results/tokens/one/plain/en.zarr/complete.json")
    assert finished.status == 0, finished.output
    made = {name for name in hostile.everything(place.folder) if not name.startswith("src")}
    assert {name.partition("/")[0] for name in made - before} == {"results", ".snakemake"}
    assert not list(place.folder.rglob("owned"))
    hostile.count("paths through Snakemake", "accepted")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"models": {"$(touch owned)": {"source": "./checkpoints/one"}}}, "models.$(touch owned)"),
        ({"models": {"one": {"source": "./checkpoints/{m}"}}}, "checkpoints/{m} does not exist"),
        (
            {"corpora": {"plain": {"source": "text", "path": "texts/{c}/{language}.tsv"}}},
            "corpora.plain.text.path: braces are wildcards to Snakemake",
        ),
        ({"languages": ["en", "; touch owned"]}, "languages.1: unknown language tag"),
    ],
    ids=["id", "model", "text", "language"],
)
def test_snakemake_tells_what_is_wrong_without_a_traceback(place, changes, word):
    configured = place.folder / "config.yaml"
    before = configured.read_bytes()
    place.configure(roles={"corpora": ["plain"]}, **changes)
    finished = place.plan("-p", "results/corpora/plain/en.parquet")
    configured.write_bytes(before)
    assert finished.status != 0, finished.output
    hostile.check_message(finished.output, word)
    assert not list(place.folder.rglob("owned"))
    hostile.count("paths through Snakemake", "refused")


BRACES = [
    "texts/{c}/{language}.tsv",
    "{language}{",
    "}{language}",
    "{language}/{{x}}",
    "\x00{language}",
]


@pytest.mark.parametrize("path", BRACES)
def test_paths_that_snakemake_would_fill_in_are_refused(path):
    tree = copy.deepcopy(TREES[0])
    for kind, text in {
        "corpora": {"source": "text", "path": path},
        "tasks": {"source": "table", "path": f"{path}.jsonl", "scoring": "exact"},
    }.items():
        with pytest.raises(NeuroglotError, match=rf"{kind}\.odd\..*path: braces are wildcards"):
            load({**tree, kind: {**tree[kind], "odd": text}})
        hostile.count("paths through Snakemake", "refused")
    coded = {"source": "text", "path": "{language}.tsv", "codes": {"de": "{l}"}}
    with pytest.raises(NeuroglotError, match=r"codes: braces are wildcards"):
        load({**tree, "corpora": {**tree["corpora"], "odd": coded}})
