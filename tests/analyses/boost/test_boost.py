"""Boosted neurons: every text and perplexity against one model call at a time."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.analyses.base import LanguageFacts, Work
from neuroglot.analyses.boost import boosted_languages
from neuroglot.analyses.boost.experiment import read_texts
from neuroglot.analyses.boost.identification import identify
from neuroglot.analyses.boost.settings import BoostInputs, BoostSettings, BoostStepSettings
from neuroglot.analyses.boost.steps import boost as module
from neuroglot.analyses.boost.steps.boost import compute, tables
from neuroglot.analyses.named import Method
from neuroglot.capture.tokenise import write_tokens
from neuroglot.config import load
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.identification import code_of
from neuroglot.measures.controls import SETS, controlled_sets
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load as load_model
from neuroglot.models.normalise import normalise
from neuroglot.models.norms import value_norms
from neuroglot.models.source import ModelSettings
from neuroglot.settings import PerplexitySettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import write_checkpoint

torch.set_num_threads(1)

LANGUAGES = ["en", "de", "wo", "th"]  # wo is none of lingua's, th has no neurons
SCRIPTS = {"en": "Latn", "de": "Latn", "wo": "Latn", "th": "Thai"}
SENTENCES = {
    "en": ["A", "The house stands on a hill above the town.", "She reads a book every night."],
    "de": ["Das Haus steht auf einem Hügel über der Stadt.", "Sie liest ein Buch.", "Ja"],
    "wo": ["Nit ñépp danuy juddu, yam ci tawfeex.", "Nekk na it ku xam dëgg te ànd ak xel."],
    "th": ["บ้านตั้งอยู่บนเนินเขา", "เธออ่านหนังสือทุกคืน"],
}
FACTS = {
    one: LanguageFacts(name=one, family="F", genus="G", script=script)
    for one, script in SCRIPTS.items()
}


def settings_of(**changed: Any) -> BoostStepSettings:
    section = BoostSettings(factors=[4, 1, 0.5], prompts=2, prompt_tokens=5, new_tokens=6)
    told = {
        **section.model_dump(exclude={"models", "judged_models"}),
        "method": Method(name="lape", analysis="lape"),
        "random_seeds": 2,
        "languages": LANGUAGES,
        "language_table": FACTS,
        "device": "cpu",
        "dtype": "float32",
        "perplexity": PerplexitySettings(corpus="held-out", segments=2, tokens_per_segment=6),
        "pivot": "en",
        "model": "model",
    }
    return BoostStepSettings(**told | changed)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, texts that are held out and texts that are not, and LAPE's neurons."""
    folder = tmp_path_factory.mktemp("boost")
    normalise(ModelSettings(source=str(write_checkpoint(folder / "checkpoint"))), folder / "model")
    for corpus, mark in (("held-out", ""), ("read", " Other.")):
        for language, sentences in SENTENCES.items():
            path = folder / corpus / f"{language}.parquet"
            segments = [Segment(f"s{i}", text + mark) for i, text in enumerate(sentences)]
            write_parquet(Reading(tuple(segments)), path)
            output = folder / "tokens" / corpus / f"{language}.zarr"
            chosen = Tokenising(prefix="subword", long_segments="refuse")
            write_tokens(folder / "model", path, output, chosen)
    own = np.random.default_rng(0).random((4, 2, 24)) < 0.3
    own[3] = False
    write_neurons(folder, own)
    return folder


def write_neurons(folder: Path, own: np.ndarray) -> None:
    data = xr.Dataset(
        {"language_neuron": (("language", "layer", "neuron"), own)}, {"language": LANGUAGES}
    )
    origin = {"reduction": "lape/neurons"}
    store.begin(folder / "neurons.zarr", "reduction", origin)
    store.write_dataset(folder / "neurons.zarr", data)
    store.complete(folder / "neurons.zarr", "reduction", origin, {})


def inputs_of(place: Path, pieces: Path) -> BoostInputs:
    held_out, read = (
        {one: place / "tokens" / corpus / f"{one}.zarr" for one in LANGUAGES}
        for corpus in ("held-out", "read")
    )
    return BoostInputs(
        model=place / "model",
        reductions={"neurons": place / "neurons.zarr"},
        held_out=held_out,
        chosen_on=read,
        work=Work(pieces=pieces, progress=pieces / "progress"),
    )


@pytest.fixture(scope="module")
def data(place: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return compute(inputs_of(place, tmp_path_factory.mktemp("pieces")), settings_of())


@pytest.fixture(scope="module")
def model(place: Path) -> Any:
    return load_model(place / "model", "cpu", "float32")


def sets_of(place: Path, model: Any, tokenizer: Tokenizer, language: str) -> list[np.ndarray]:
    """The language's neurons and its controls, with what every segment does run alone."""
    own = store.open_dataset(place / "neurons.zarr", "reduction")["language_neuron"]
    own = own.sel(language=language).values
    kept: dict[str, list[np.ndarray]] = {"act": [], "gate": []}

    def keep(site: str, _stack: str, layer: int, value: torch.Tensor) -> None:
        kept[site].append(value[0, 1:].numpy().copy())

    for ids in segments_of(tokenizer, language):
        with record(model, {"act", "gate"}, keep), torch.no_grad():
            model(torch.tensor([[1, *ids]]))
    act, gate = ([np.concatenate(rows[layer::2]) for layer in (0, 1)] for rows in kept.values())
    norms = [value_norms(ffn) for ffn in ffns(model)]
    sizes = [np.abs(rows).mean(0) * norm for rows, norm in zip(act, norms, strict=True)]
    frequency = np.stack([(rows > 0).mean(0) for rows in gate])
    sets = controlled_sets(own, frequency, np.stack(sizes), 2, [24, 24])
    return [mask for name in SETS for mask in sets.draws[name]]


def segments_of(tokenizer: Tokenizer, language: str) -> list[list[int]]:
    sentences = tokenizer.encode_batch(SENTENCES[language], add_special_tokens=False)
    return [sentence.ids[:6] for sentence in sentences if len(sentence.ids) > 1][:2]


def one_by_one(model: Any, tokenizer: Tokenizer, text: str, edits: list[Edit]) -> str:
    """The first five tokens' greedy continuation, everything read again for every token."""
    prompt = tokenizer.encode(text, add_special_tokens=False).ids[:5]
    ids = [1, *prompt]
    for _ in range(6):
        text = torch.arange(len(ids))[None] > 0  # special tokens are not edited
        with intervened(model, edits, text), torch.no_grad():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == 2:
            ids.pop()
            break
    begun = tokenizer.decode(prompt).rstrip("�")
    return tokenizer.decode(ids[1:])[len(begun) :]


def one_perplexity(model: Any, segments: list[list[int]], edits: list[Edit]) -> float:
    losses = []
    for ids in segments:
        text = torch.arange(len(ids) + 1)[None] > 0
        with intervened(model, edits, text), torch.no_grad():
            logits = model(torch.tensor([[1, *ids]]), use_cache=False).logits[0, :-1].double()
        losses += (-logits.log_softmax(-1)[range(len(ids)), ids]).tolist()
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("language", ["en", "de", "wo"])
def test_every_text_is_what_the_model_writes(
    place: Path, data: xr.Dataset, model: Any, language: str
) -> None:
    tokenizer = Tokenizer.from_file(str(place / "model" / "tokenizer.json"))
    sources = {"own": SENTENCES[language], "pivot": SENTENCES["en"]}
    if language == "en":
        del sources["pivot"]
    differ = 0
    for prompted, sentences in sources.items():
        long = [text for text in sentences if len(tokenizer.encode(text).ids) > 5][:2]
        for i, text in enumerate(long):
            for chosen, mask in enumerate(sets_of(place, model, tokenizer, language)):
                for factor in (0.5, 1, 4):
                    found = data["continuation"].sel(
                        prompted=prompted, factor=factor, language=language
                    )[chosen, i]
                    edits = [Edit(mask, "scale", factor)]
                    assert found.item() == one_by_one(model, tokenizer, text, edits)
                    differ += found.item() != one_by_one(model, tokenizer, text, [])
    assert differ


def test_perplexity_is_of_the_boosted_language(place: Path, data: xr.Dataset, model: Any) -> None:
    tokenizer = Tokenizer.from_file(str(place / "model" / "tokenizer.json"))
    for language in ("en", "de", "wo"):
        sets, segments = (
            sets_of(place, model, tokenizer, language),
            segments_of(tokenizer, language),
        )
        plain = one_perplexity(model, segments, [])
        for factor in (0.5, 1, 4):
            found = data.sel(factor=factor, language=language)
            values = [
                one_perplexity(model, segments, [Edit(mask, "scale", factor)]) for mask in sets
            ]
            values[4:] = [math.sqrt(values[4] * values[5])]  # two draws of random neurons
            np.testing.assert_allclose(found["perplexity"], values, rtol=1e-4)
            np.testing.assert_allclose(found["change"], np.log(values) - math.log(plain), atol=1e-4)
    assert len(np.unique(data["perplexity"].sel(language="de").values.round(6))) > 8
    sizes = [sum(map(len, segments_of(tokenizer, language))) for language in LANGUAGES]
    assert data["predicted_tokens"].values.tolist() == sizes
    assert data["segments"].values.tolist() == [2] * 4


def test_two_segments_have_no_intervals_and_no_stars(data: xr.Dataset) -> None:
    assert data["change_low"].isnull().all()
    assert data["excess_low"].isnull().all()
    assert (data["excess_p_value"].fillna(1) >= 0.5).all()
    assert (data["fewest_segments"] == 6).all()


def test_factor_one_is_the_plain_text(data: xr.Dataset) -> None:
    plain = data.sel(factor=1)
    assert (plain["continuation"] == plain["continuation"].isel(drawn=0)).all()
    for name in ("share", "perplexity"):
        values = plain[name].dropna("language", how="all")
        np.testing.assert_allclose(
            values.sel(variant="chosen"), values.sel(variant="random"), rtol=1e-12
        )
    assert (plain["change"] == 0).all()
    assert plain["excess"].isnull().all()


def test_what_has_no_numbers(data: xr.Dataset) -> None:
    assert data.attrs["unidentified"] == ["wo"]
    assert data["share"].sel(language="wo").isnull().all()
    assert data["undetermined"].sel(language="wo").notnull().all()
    assert data["share"].sel(language="en", prompted="pivot").isnull().all()
    assert (data["continuation"].sel(language="en", prompted="pivot") == "").all()
    assert (data["neurons"].sel(language="th") == 0).all()
    for name in ("share", "perplexity"):
        values = data[name].sel(language="th")
        assert values.sel(factor=[0.5, 4]).isnull().all()
        assert values.sel(factor=1).notnull().all()


def test_shares_count_texts(
    place: Path, data: xr.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A planted identifier: texts of even length are German, of odd length in no language."""

    def planted(texts: Any) -> list[str]:
        return ["und" if len(text) % 2 else "de" for text in texts]

    monkeypatch.setattr(module, "identify", planted)
    found = compute(inputs_of(place, tmp_path), settings_of()).sel(language="de")
    even = np.vectorize(len)(data["continuation"].sel(language="de").values) % 2 == 0
    for place_of, name in enumerate(SETS[:-1]):
        np.testing.assert_allclose(found["share"].sel(variant=name), even[:, place_of].mean(-1))
    np.testing.assert_allclose(found["share"].sel(variant="random"), even[:, 4:].mean((1, -1)))
    np.testing.assert_allclose(found["undetermined"].values, 1 - found["share"].values)
    assert (found["share_low"] <= found["share"]).all()
    assert (found["share"] <= found["share_high"]).all()
    assert (found["share_low"] < found["share_high"]).any()


def test_a_language_has_the_same_numbers_among_others(
    place: Path, data: xr.Dataset, tmp_path: Path
) -> None:
    turned = compute(inputs_of(place, tmp_path), settings_of(languages=["th", "wo", "de"]))
    same = data.sel(language=["th", "wo", "de"])
    for name in ("share", "share_low", "undetermined", "continuation", "neurons"):
        xr.testing.assert_equal(turned[name], same[name])
    np.testing.assert_allclose(turned["perplexity"], same["perplexity"], rtol=1e-6)


def test_pieces_are_kept(
    place: Path, data: xr.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = compute(inputs_of(place, tmp_path), settings_of(languages=["de"]))
    monkeypatch.setattr("neuroglot.analyses.boost.experiment.load", None)
    again = compute(inputs_of(place, tmp_path), settings_of(languages=["de"]))
    xr.testing.assert_identical(first, again)
    with pytest.raises(TypeError):
        compute(inputs_of(place, tmp_path), settings_of(languages=["de"], new_tokens=7))


def test_tables(data: xr.Dataset) -> None:
    found = tables(data)
    numbers, texts = found["boost"], found["continuations"]
    index = ["language", "prompted", "variant", "factor"]
    assert not numbers.duplicated(index).any()
    # de and wo by two kinds of prompts, en by one; th at factor 1 only.
    assert len(numbers) == 5 * (3 * 5 + 2)
    assert len(texts) == 2 * 6 * (3 * 5 + 2)
    assert set(found["contrasts"]["factor"]) == {0.5, 4}
    assert {"matched_share", "excess_p_value", "segments"} <= set(found["contrasts"])
    assert isinstance(texts, pd.DataFrame)
    assert (texts["prompt"] != "").all()
    assert all("units" in variable.attrs for variable in data.data_vars.values())


def test_too_few_long_segments(place: Path, tmp_path: Path) -> None:
    with pytest.raises(
        NeuroglotError, match=r"de\.zarr: 2 segments have 5 tokens .* and 3 prompts"
    ):
        compute(inputs_of(place, tmp_path), settings_of(prompts=3, languages=["de", "en"]))


def test_segments_that_begin_alike_give_one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [np.array(ids) for ids in ([5, 6, 7], [5, 6, 8], [6, 6, 7], [9])]
    held_out = SimpleNamespace(language="en", whole=whole)
    monkeypatch.setattr("neuroglot.analyses.boost.experiment.read_held_out", lambda *_: [held_out])
    inputs: Any = SimpleNamespace(model=None, held_out={"en": "en.zarr"}, chosen_on={})
    texts = read_texts(inputs, settings_of(prompts=2, prompt_tokens=2), ["en"])
    assert texts["en"].prompts.tolist() == [[5, 6], [6, 6]]
    few = r"en\.zarr: 3 segments .* 2 of them with a beginning of their own, and 3 prompts"
    with pytest.raises(NeuroglotError, match=few):
        read_texts(inputs, settings_of(prompts=3, prompt_tokens=2), ["en"])


def test_which_languages_are_known() -> None:
    known = {"de": "Latn", "pt-br": "Latn", "zh": "Hans", "zh-hant": "Hant", "sr": "Cyrl"}
    assert [code_of(*one) for one in known.items()] == ["de", "pt", "zh", "zh", "sr"]
    assert [code_of(one, "Latn") for one in ("fil", "no", "nb")] == ["tl", "nb", "nb"]
    assert [code_of(one, "Thai" if one == "th" else "Jpan") for one in ("th", "ja")] == ["th", "ja"]
    assert [code_of(one, "Latn") for one in ("wo", "sr-latn", "gl", "hi")] == [None] * 4


def test_identifies_languages() -> None:
    texts = [
        "Niemand weiß, wo der Fluss im Frühling beginnt.",
        "Personne ne sait où la rivière commence.",
        "",
        "12 + 7 …",
        "没有人知道河流从哪里开始。",
        "कोई नहीं जानता कि नदी कहाँ से शुरू होती है।",
    ]
    assert identify(texts) == ["de", "fr", "und", "und", "zh", "hi"]
    assert identify([]) == []


CONFIG: dict[str, Any] = {
    "languages": ["en", "de"],
    "models": {"one": {"source": "owner/name"}},
    "corpora": {
        "read": {"source": "udhr", "max_segments": 10},
        "held-out": {"source": "udhr", "skip_segments": 40},
        "german": {"source": "udhr", "skip_segments": 40, "languages": ["de"]},
    },
    "perplexity": {"corpus": "held-out"},
    "lape": {"corpus": "read"},
    "boost": {},
}


def test_configured() -> None:
    found = load(CONFIG)
    assert boosted_languages(found, found.section("boost")) == ["en", "de"]
    assert found.section("boost").factors == [1, 2, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boost": {"method": "type1"}}, "boost.method: 'type1' needs the section 'transfer'"),
        ({"boost": {"method": "lap"}}, "boost.method: unknown method .* did you mean 'lape'"),
        ({"perplexity": None}, "boost: .* add a section perplexity"),
        ({"perplexity": {"corpus": "read"}}, "'read' is also lape.corpus"),
        ({"perplexity": {"corpus": "german"}}, "not read in the pivot 'en'"),
        ({"boost": {"factors": [1]}}, "name another factor"),
        ({"boost": {"factors": [2, 2]}}, "listed twice"),
        ({"boost": {"factors": [-1]}}, "greater than or equal to 0"),
    ],
)
def test_misconfigured(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglotError, match=message):
        load(CONFIG | changes)
