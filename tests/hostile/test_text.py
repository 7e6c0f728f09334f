"""Text of any bytes is read exactly as it stands, or refused with the file and the line."""

import json
import re
import struct
import tracemalloc
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from neuroglot import layout
from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import read_parquet, write_parquet
from neuroglot.corpora.gettext import parse_mo
from neuroglot.errors import NeuroglotError
from neuroglot.store import begin, complete, open_dataset, write_dataset
from neuroglot.tasks import TaskSettings
from neuroglot.tasks.base import read_items, write_items
from neuroglot.tokens import tokenise
from support.tiny_checkpoints import train_tokenizer
from tools import hostile

CORPUS, TASK = TypeAdapter(CorpusSettings), TypeAdapter(TaskSettings)
TOKENIZER = train_tokenizer()

PIECES = [
    *("a", "Ein Satz.", "\t", " ", "", "\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b"),
    *("\x0c",),
    *("\x00", "\x07", "\x1b[31m", "\x1a", "\x1c", "\u200b", "\u200e", "\u202e", "\u2066", "\ufeff"),
    *("\ufffe", "\uffff", "\U0010ffff", "\ue000", "\xad", "e\u0301", "क्षि", "ไทย", "中文", "עברית"),
    *("👩\u200d👩\u200d👧", "👍🏽", "🏴\U000e0067\U000e0062\U000e007f", "\u0300" * 50, "𝔘𝔫𝔦", "ﷺ"),
    *("../../x\t", "s1\t", "0\t", "\t\t", '"', "'", '"unterminated', "</s>", "<pad>", "<s>"),
    *("{language}",),
]  # fmt: skip
RAW = [
    *(b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xc0\x80"),
    *(b"\x80", b"\xe2\x80"),
    *("ä".encode("latin-1"), "я".encode("cp1251"), "中".encode("gbk"), "a\n".encode("utf-16")),
    *(b"\xf5\x80\x80\x80", b"\xef\xbb\xbf", b"\x00" * 3, b"\x1f\x8b\x08", b"PK\x03\x04"),
    *(b"\x89PNG\r\n",),
]  # fmt: skip
LINES = st.lists(st.lists(hostile.one_of(PIECES), max_size=6).map("".join), max_size=12)
TEXT = st.lists(hostile.one_of(PIECES), min_size=1, max_size=6).map("".join)
CLEAN = st.lists(TEXT, min_size=2, max_size=8).map(
    lambda texts: "\n".join(f"s{i}\t{text}" for i, text in enumerate(texts)).encode()
)
WILD = st.lists(
    st.one_of(
        st.sampled_from([piece.encode() for piece in PIECES]),
        hostile.one_of(RAW),
        st.binary(max_size=5),
        st.just(b"\n"),
        st.integers(0, 99).map(lambda number: b"\ns%d\tText %d" % (number, number)),
    ),
    max_size=30,
).map(b"".join)
BYTES = st.one_of(CLEAN, WILD)


def text(path, **settings):
    return CORPUS.validate_python({"source": "text", "path": str(path), **settings})


def carried(reading, folder):
    """Take a reading through its Parquet file and the token store, and see that both hold it."""
    write_parquet(reading, folder / "de.parquet")
    assert read_parquet(folder / "de.parquet") == reading
    data = tokenise(
        TOKENIZER, reading.segments, "subword", None, TOKENIZER.get_vocab_size(), "refuse"
    )
    store = folder / "de.zarr"
    begin(store, "tokens", {})
    write_dataset(store, data)
    complete(store, "tokens", {}, {})
    kept = open_dataset(store, "tokens")
    ids = dict.fromkeys(kept["segment"].values.tolist())
    assert list(ids) == [segment.id for segment in reading.segments]
    for index, segment in enumerate(reading.segments):
        rows = kept["segment_index"].values == index
        ends, ids = kept["end"].values[rows], kept["token_id"].values[rows]
        assert len(ids)
        assert (np.diff(ends) >= 0).all()
        assert ends[-1] == len(segment.text)
        if not any(special in segment.text for special in ("<s>", "</s>", "<pad>", "<unk>")):
            assert TOKENIZER.decode(ids.tolist(), skip_special_tokens=False) == segment.text


def expected_lines(content):
    """The texts of a plain file, by the rule of the documentation and none of the code."""
    lines = content.decode("utf-8").removeprefix("\ufeff").split("\n")
    lines = [line[:-1] if line.endswith("\r") else line for line in lines]
    return [(f"{i:06d}", clean(line)) for i, line in enumerate(lines, 1) if clean(line)]


def clean(text):
    """Compose a text, and take from its ends what is not seen, a character at a time."""
    left = list(unicodedata.normalize("NFC", text))
    for end in (0, -1):
        while left and (left[end].isspace() or left[end] in "\u200b\u2060\ufeff"):
            left.pop(end)
    return "".join(left)


def clean_id(identifier):
    """Whole numbers have one spelling."""
    whole, _, fraction = clean(identifier).partition(".")
    if whole.isdigit() and whole.isascii() and not fraction.strip("0"):
        return str(int(whole)) if fraction or "." not in identifier else clean(identifier)
    return clean(identifier)


@hostile.many(4)
@given(BYTES)
def test_plain_text_is_kept_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("t")
    (folder / "de.txt").write_bytes(content)
    with hostile.attempt("text, plain lines"):
        reading = text(folder / "{language}.txt").read("de")
        assert list(reading.segments) == expected_lines(content)
        carried(reading, folder)


@hostile.many(4)
@given(BYTES)
def test_tab_separated_text_is_kept_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("t")
    (folder / "de.tsv").write_bytes(content)
    with hostile.attempt("text, tab-separated"):
        reading = text(folder / "{language}.tsv").read("de")
        rows = [line.split("\t") for _, line in _whole(content) if line.strip()]
        expected = [(clean_id(row[0]), clean(row[1])) for row in rows if clean(row[1])]
        assert not any("".join(row[2:]).strip() for row in rows), "a further column is refused"
        if b'"' not in content:  # else cells may be a program's
            assert list(reading.segments) == expected
        carried(reading, folder)


def _whole(content):
    lines = content.decode("utf-8").removeprefix("\ufeff").split("\n")
    return enumerate((line[:-1] if line.endswith("\r") else line) for line in lines)


@hostile.many(2)
@given(LINES, st.booleans())
def test_stripping_punctuation_loses_nothing_else(tmp_path_factory, lines, crlf):
    folder = tmp_path_factory.mktemp("t")
    (folder / "de.txt").write_bytes(("\r\n" if crlf else "\n").join(lines).encode())
    with hostile.attempt("text, stripped"):
        plain = text(folder / "{language}.txt").read("de")
        stripped = text(folder / "{language}.txt", strip_punctuation=True).read("de")
        assert [s.id for s in stripped.segments] == [s.id for s in plain.segments]
        carried(stripped, folder)


VALUES = st.one_of(
    st.sampled_from([None, True, 1, -0.0, 1e400, 10**400, [], {}, [[]], {"text": "a"}, "", " "]),
    hostile.one_of([*PIECES, "\ud800", "a\udc00b", "x" * 2000]),
    st.text(max_size=6),
)
ROW = st.fixed_dictionaries(
    {}, optional={"id": VALUES, "text": VALUES, "lang": st.sampled_from(["de", "en", None, "\0"])}
)


@st.composite
def json_lines(draw):
    rows = draw(
        st.one_of(
            st.lists(TEXT, min_size=2, max_size=8).map(
                lambda texts: [_row(number, text) for number, text in enumerate(texts)]
            ),
            st.lists(st.one_of(ROW, st.builds(_row, st.integers(0, 9), VALUES)), max_size=8),
        )
    )
    lines = [json.dumps(row, ensure_ascii=draw(st.booleans())) for row in rows]
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(content)))
        content = (
            content[:at] + draw(hostile.one_of([*RAW, b"[" * 3000, b"9" * 5000])) + content[at:]
        )
    return content


def _row(number, value):
    return {"id": f"s{number}", "text": value, "lang": "de"}


@hostile.many(4)
@given(json_lines(), st.sampled_from([None, "id", "lang"]))
def test_json_lines_are_kept_or_refused_with_the_file(tmp_path_factory, content, id_column):
    folder = tmp_path_factory.mktemp("t")
    (folder / "de.jsonl").write_bytes(content)
    settings = {"source": "table", "path": str(folder / "{language}.jsonl"), "id_column": id_column}
    with hostile.attempt("table, JSON lines"):
        reading = CORPUS.validate_python(settings).read("de")
        lines = content.decode("utf-8").removeprefix("\ufeff").removesuffix("\n").split("\n")
        texts = [clean(json.loads(line)["text"] or "") for line in lines]
        assert [s.text for s in reading.segments] == [one for one in texts if one]
        carried(reading, folder)


ITEM = st.fixed_dictionaries(
    {
        "item": st.one_of(st.integers(0, 5).map("i{}".format), VALUES),
        "prompt": st.one_of(st.just("Frage"), VALUES),
        "gold": st.one_of(st.just([" a"]), VALUES, st.lists(VALUES, max_size=2)),
        "candidates": st.one_of(st.just([" a", " b"]), VALUES),
    }
)


@hostile.many(2)
@given(
    st.one_of(
        st.lists(ITEM, max_size=5),
        st.lists(TEXT, min_size=1, max_size=5).map(
            lambda texts: [
                {
                    "item": f"i{i}",
                    "prompt": f"Q{text}",
                    "gold": [f"a{text}"],
                    "candidates": [f"a{text}"],
                }
                for i, text in enumerate(texts)
            ]
        ),
    ),
    st.sampled_from(["", "", "[" * 3000, '{"item": 1', "\ud800"]),
)
def test_items_are_kept_or_refused_with_the_file(tmp_path_factory, rows, tail):
    folder = tmp_path_factory.mktemp("t")
    lines = [json.dumps(row) for row in rows] + ([tail] if tail else [])
    (folder / "de.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    settings = {"source": "table", "path": str(folder / "{language}.jsonl"), "scoring": "exact"}
    with hostile.attempt("tasks, JSON lines"):
        reading = TASK.validate_python(settings).read("de")
        asked = {(item.id, item.prompt) for item in reading.items}
        blanks = re.compile(r"[^\S\r\n]+\Z")  # they move to the answers
        assert asked == {(row["item"], blanks.sub("", row["prompt"])) for row in rows}
        assert len(reading.items) == len(rows)
        write_items(reading, folder / "de.parquet")
        assert read_items(folder / "de.parquet") == reading


WORD = "1\tEin\t_\t_\t_\t_\t_\t_\t_\t_"
ODD_LINES = [
    *("# sent_id = a", "# sent_id = s1", "# text = Ein Satz.", "# text =", "# text = _", "#", ""),
    *("# newdoc", "1-2\tam\t_", "\t" * 9, "1\t_\t_\t_\t_\t_\t_\t_\t_\t_", "# sent_id = \x00", "\r"),
    *("# text = " + "x" * 5000, "# translit = x", WORD),
]
ONE_LINE = st.lists(hostile.one_of([p for p in PIECES if "\n" not in p]), max_size=6).map("".join)


@st.composite
def treebanks(draw):
    """A treebank, and its sentences if no line was changed: else a line was put in or left out."""
    texts = [f"Satz {draw(ONE_LINE)}" for _ in range(draw(st.integers(2, 5)))]
    lines = []
    for number, text in enumerate(texts):
        about = [f"# sent_id = s{number}", f"#text={text}" if number % 2 else f"# text = {text}"]
        lines += [*draw(st.permutations(about)), WORD, WORD.replace("1", "2", 1), ""]
    changes = draw(st.sampled_from([0, 0, 1, 1, 3]))
    for _ in range(changes):
        place = draw(st.integers(0, len(lines) - 1))
        lines[place : place + draw(st.integers(0, 1))] = [draw(hostile.one_of(ODD_LINES))]
    content = draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode()
    if draw(st.integers(0, 9)) == 0:
        changes += 1
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(hostile.one_of(RAW)) + content[place:]
    kept = [(f"s{i}", clean(text)) for i, text in enumerate(texts)]
    return content, None if changes or b"\0" in content else kept


SOUND = f"# sent_id = s0\n# text = Ein\n{WORD}\n\n#text= Zwei \n# sent_id = s1\n{WORD}\n".encode()


@hostile.many(4)
@given(st.one_of(treebanks(), treebanks(), BYTES.map(lambda content: (content, None))))
@example((SOUND, [("s0", "Ein"), ("s1", "Zwei")]))
def test_treebanks_are_kept_or_refused_with_the_file(tmp_path_factory, made):
    content, sentences = made
    folder, kept = tmp_path_factory.mktemp("t"), []
    (folder / "de_pud-ud-test.conllu").write_bytes(content)
    corpus = CORPUS.validate_python({"source": "treebank", "folder": str(folder)})
    with hostile.attempt("treebanks"):
        reading = corpus.read("de")
        kept = list(reading.segments)
        there = unicodedata.normalize("NFC", content.decode("utf-8"))
        assert all(segment.text in there and segment.id in there for segment in kept)
        assert len(kept) <= content.count(b"sent_id")
        carried(reading, folder)
    assert sentences in (None, kept), "what is sound is read as it stands"


@hostile.many(4)
@given(st.tuples(BYTES, BYTES), st.booleans())
def test_pairs_are_kept_or_refused(tmp_path_factory, sides, same):
    folder = tmp_path_factory.mktemp("t")
    for code, content in zip(("de", "en"), (sides[0], sides[0] if same else sides[1]), strict=True):
        (folder / f"x.de-en.{code}").write_bytes(content)
    settings = {"source": "moses", "folder": str(folder), "name": "x", "languages": ["en", "de"]}
    made = CORPUS.validate_python({**settings, "pivot": "en"})
    with hostile.attempt("pairs"):
        english, german = (made.read(language) for language in ("en", "de"))
        assert [segment.id for segment in english.segments] == [s.id for s in german.segments]
        lines = [clean(line) for _, line in _whole(sides[0])]
        assert all(segment.text in lines for segment in german.segments)
        carried(german, folder)


@st.composite
def parquet(draw):
    """A Parquet file of odd columns, sound or with bytes changed or cut off."""
    count = draw(st.sampled_from([0, 1, 4, 4]))
    made = {
        "text": pa.array(["ein Text", "zwei", None, "vier"][:count]),
        "binary": pa.array([b"a", b"\xff", b"", None][:count]),
        "number": pa.array([1, 2, None, 4][:count], pa.int64()),
        "time": pa.array([2**62, 0, None, -(2**62)][:count], pa.timestamp("us")),
        "list": pa.array([["a"], [], None, ["b"]][:count]),
        "words": pa.array(["ja", "nein", "ja", None][:count]).dictionary_encode(),
        "damaged": pa.Array.from_buffers(
            pa.string(),
            count,
            [None, pa.py_buffer(struct.pack("<5i", 0, 1, 2, 3, 4)), pa.py_buffer(b"\xff\x80ab")],
        ),
    }
    columns = draw(st.lists(st.sampled_from(list(made)), min_size=1, unique=True))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: made[name] for name in columns}), sink)
    content = bytearray(sink.getvalue().to_pybytes())
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if draw(st.integers(0, 5)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    return bytes(content), draw(st.sampled_from([*columns, "text"]))


@hostile.many(4)
@given(parquet())
def test_parquet_tables_are_kept_or_refused_with_the_file(tmp_path_factory, made):
    content, column = made
    folder = tmp_path_factory.mktemp("t")
    (folder / "de.parquet").write_bytes(content)
    settings = {
        "source": "table",
        "path": str(folder / "{language}.parquet"),
        "text_column": column,
    }
    with hostile.attempt("table, Parquet"):
        carried(CORPUS.validate_python(settings).read("de"), folder)


def catalogue(entries, charset="UTF-8", overlap=False):
    """A compiled gettext catalogue, of which all strings may be one and the same bytes."""
    header = f"Content-Type: text/plain; charset={charset}\n".encode()
    pairs = [(b"", header), *entries]
    start = 28 + 16 * len(pairs)
    data, tables = b"", ([], [])
    for side in (0, 1):
        for pair in pairs:
            tables[side].append((len(pair[side]), start + len(data)))
            data += pair[side] + b"\0"
    if overlap:
        tables[1][1:] = [(len(data), start)] * (len(pairs) - 1)
    numbers = [number for side in tables for entry in side for number in entry]
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    return head + struct.pack(f"<{len(numbers)}I", *numbers) + data


CHARSETS = [
    *("UTF-8", "latin-1", "utf-7", "utf-16", "unicode_escape", "raw_unicode_escape", "undefined"),
    *("idna", "punycode", "rot13", "hex", "zlib", "base64", "cp65001", "", "no-such", "utf-8-sig"),
]


@hostile.many(4)
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=30)), max_size=6),
    st.sampled_from(CHARSETS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
)
def test_catalogues_are_read_or_refused_by_name(entries, charset, changes):
    content = bytearray(catalogue([(b"a message of five words", b"\\ud800 x"), *entries], charset))
    for at, value in changes:
        if at < len(content):
            content[at] = value
    with hostile.attempt("gettext catalogues", "x.mo"):
        for pair in parse_mo(bytes(content), "x.mo"):
            "".join(pair).encode()


def test_a_catalogue_of_overlapping_messages_takes_no_memory():
    content = catalogue(
        [(b"%06d" % i, b"") for i in range(2000)] + [(b"z", b"x" * 500_000)], overlap=True
    )
    tracemalloc.start()
    with pytest.raises(NeuroglotError, match=r"x\.mo: its messages overlap"):
        list(parse_mo(content, "x.mo"))
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    hostile.count("gettext catalogues", "refused")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tone\nb\t\xed\xa0\x80two\n", "de.tsv: is not UTF-8 at byte 8, line 2"),
        (b"\xff\xfea\0\t\0b\0", "de.tsv: is not UTF-8 at byte 0, line 1"),
        (b"a\tone\rb\ttwo\r", r"de\.tsv: its lines end with a carriage return alone"),
        (b"a\tone\na\x00\ttwo\n", "de.tsv: has a NUL character in line 2"),
        (b"a\tone\n" + b"b" * 1001 + b"\ttwo\n", "is no segment id"),
        (b"a\tone\n\t two\n", "de.tsv: line 2 is not an id"),
        (b"\x1f\x8b\x08\x00" * 9, "de.tsv: is not UTF-8 at byte 1"),
        (b"\n" * 100_000, "de.tsv: is empty"),
        (b"x" * 1_000_000, r"de\.tsv: line 1 is not an id"),
    ],
)
def test_known_traps_of_text_are_told(tmp_path, content, message):
    (tmp_path / "de.tsv").write_bytes(content)
    with pytest.raises(NeuroglotError, match=message) as caught:
        text(tmp_path / "{language}.tsv").read("de")
    hostile.check_message(str(caught.value))
    hostile.count("text, known traps", "refused")


@pytest.mark.parametrize("name", ["de.jsonl", "items.jsonl"])
def test_half_a_surrogate_pair_is_told_with_its_line(tmp_path, name):
    row = {"item": "a", "prompt": "b \ud800", "gold": ["c"], "candidates": ["c"], "text": "\ud800"}
    (tmp_path / "de.jsonl").write_text("\n" * 0 + json.dumps({**row, "text": "a", "prompt": "a"}))
    with (tmp_path / "de.jsonl").open("a") as file:
        file.write("\n" + json.dumps(row))
    settings = {"source": "table", "path": str(tmp_path / "{language}.jsonl")}
    made = (
        CORPUS.validate_python(settings)
        if name == "de.jsonl"
        else TASK.validate_python({**settings, "scoring": "exact"})
    )
    with pytest.raises(NeuroglotError, match=r"de\.jsonl: line 2 is not JSON: .*surrogates"):
        made.read("de")
    hostile.count("text, known traps", "refused")


def test_a_million_empty_lines_are_told_in_one(tmp_path):
    (tmp_path / "de.txt").write_bytes(b"eins\n" + b"\n" * 1_000_000 + b"zwei\n")
    with hostile.attempt("text, known traps"):
        reading = text(tmp_path / "{language}.txt").read("de")
        assert [s.text for s in reading.segments] == ["eins", "zwei"]
        (note,) = reading.notes
        assert note.startswith("left out without text: 000002, 000003")
        assert note.endswith("000021 and 999980 more")
        carried(reading, tmp_path)


def test_a_line_of_a_megabyte_is_one_segment(tmp_path):
    (tmp_path / "de.txt").write_text("wort " * 200_000 + "\n" + "zwei\n", "utf-8")
    with hostile.attempt("text, known traps"):
        reading = text(tmp_path / "{language}.txt").read("de")
        assert [len(s.text) for s in reading.segments] == [999_999, 4]
        carried(reading, tmp_path)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"a\tone\nb\xff\ttwo\n", "line 2"), (b"", "is empty"), (b"\x00" * 1000, "line 1")],
    ids=["encoding", "empty", "zeros"],
)
def test_the_command_names_file_and_line_and_writes_nothing(tmp_path, content, word):
    (tmp_path / "de.tsv").write_bytes(content)
    (tmp_path / "en.tsv").write_text("a\tone\nb\ttwo\n")
    hostile.configure(tmp_path, corpora={"odd": {"source": "text", "path": "{language}.tsv"}})
    ended = hostile.limited("corpus", "odd", "de", cwd=tmp_path, memory=2 << 30)
    hostile.refused("text, by command", ended, "de.tsv", word)
    assert not (tmp_path / layout.corpus("odd", "de")).exists()


@pytest.mark.parametrize(
    ("source", "files", "words"),
    [
        (
            {"source": "text", "path": "{language}.txt"},
            {"en.txt": "a\nb\nc\n", "de.txt": "a\nb\nc\nd\n"},
            ("4 of 'de' (de.txt)", "3 of 'en' (en.txt)"),
        ),
        (
            {"source": "treebank", "folder": "."},
            {"en_pud-ud-test.conllu": "1\ta\n", "de_pud-ud-test.conllu": "1\ta\n"},
            ("_pud-ud-test.conllu: line 1",),
        ),
        (
            {"source": "moses", "folder": ".", "name": "x", "languages": ["en", "de"]},
            {"x.de-en.en": "a\nb\n", "x.de-en.de": "a\n"},
            ("x.de-en.en has 2 lines", "x.de-en.de has 1"),
        ),
        (
            {"source": "tatoeba", "path": "eng-{language}.tsv", "languages": ["en", "de"]},
            {"eng-deu.tsv": "Hi.\tHallo.\n"},
            ("eng-deu.tsv: line 1 is not an id, a sentence",),
        ),
    ],
    ids=["lines", "treebank", "moses", "tatoeba"],
)
def test_the_command_and_the_check_refuse_other_layouts(tmp_path, source, files, words):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    hostile.configure(tmp_path, languages=["en", "de"], corpora={"odd": source})
    for command in (("corpus", "odd", "de"), ("config", "check")):
        ended = hostile.limited(*command, cwd=tmp_path, memory=2 << 30)
        hostile.refused("text, by command", ended, *words[: 1 if command[0] == "config" else 2])
    assert not (tmp_path / "results" / "corpora").exists()
