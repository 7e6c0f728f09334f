"""Methods that name neurons: found in the registry, in their order, an added one behind them."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neuroglot import layout
from neuroglot.analyses import ANALYSES, run
from neuroglot.analyses.agreement import AGREEMENT, compared_languages
from neuroglot.analyses.base import Analysis, AnalysisSettings, Naming, NamingInputs, Scope, Step
from neuroglot.analyses.boost import BOOST, boosted_languages
from neuroglot.analyses.boost.settings import BoostSettings
from neuroglot.analyses.lape.settings import LapeSettings
from neuroglot.analyses.named import (
    ORDER,
    configured_methods,
    find_method,
    known_methods,
    looked_at,
    modules_of,
    named_neurons,
    reductions_of,
)
from neuroglot.running import Running
from neuroglot.settings import PerplexitySettings

LANGUAGES = ["en", "de", "th"]


class Run(SimpleNamespace):
    """A configuration of LAPE on one text and of an analysis that is not ours on another."""

    languages = all_languages = LANGUAGES
    pivot = "en"
    perplexity = PerplexitySettings(corpus="held-out")
    texts: ClassVar = {"read": ["en", "de"], "odd": ["de", "th"], "held-out": LANGUAGES}

    def section(self, analysis: str) -> Any:
        return {"lape": LapeSettings(corpus="read"), "odd": AnalysisSettings()}.get(analysis)

    def corpus_languages(self, *names: str) -> list[str]:
        return [one for one in LANGUAGES if any(one in self.texts[name] for name in names)]

    def running(self, _model: str) -> Running:
        return Running(device="cpu", dtype="float32")

    def facts(self, languages: list[str]) -> dict[str, Any]:
        return {
            one: {"name": one, "family": "f", "genus": "g", "script": "Latn"} for one in languages
        }


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Register an analysis that names every language's odd neurons."""
    analysis: Analysis[AnalysisSettings] = Analysis(
        name="odd",
        title="neurons of odd numbers",
        section=AnalysisSettings,
        steps=(
            Step("count", "", lambda *_: None, lambda *_: None),
            Step("split", "", lambda *_: None, lambda *_: None, parts=lambda *_: ["0", "1"]),
        ),
        naming=(
            Naming(
                "odd-neurons",
                steps=("count", "split"),
                languages=lambda run, _: run.corpus_languages("odd"),
                chosen_on=lambda _: "odd",
            ),
        ),
    )
    module = ModuleType("neuroglot.analyses.odd.naming")

    def named(method: str, inputs: NamingInputs, top_fraction: float) -> xr.DataArray:
        assert (method, top_fraction) == ("odd-neurons", 0.5)
        assert inputs.parts("split").keys() == {"0", "1"}
        mask = np.zeros((3, 4, 2), bool)
        mask[1, :, 0] = True
        return xr.DataArray(mask, {"language": ["de", "th"]}, ("neuron", "layer", "language"))

    module.named = named  # type: ignore[attr-defined]
    module.looked_at = lambda _method, _inputs: np.ones(4, bool)  # type: ignore[attr-defined]
    monkeypatch.setitem(ANALYSES, "odd", analysis)
    monkeypatch.setitem(sys.modules, "neuroglot.analyses.odd", ModuleType("odd"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Run()


def test_every_declared_method_has_its_place_and_its_reader() -> None:
    assert list(known_methods()) == list(ORDER)
    for method in known_methods().values():
        [name] = modules_of([method])
        module = __import__(name, fromlist=["named"])
        assert callable(module.named)
        assert callable(module.looked_at)
        steps = {step.name for step in ANALYSES[method.analysis].steps}
        naming = [one for one in ANALYSES[method.analysis].naming if one.method == method.name]
        assert len(naming) == 1
        assert steps.issuperset(naming[0].steps)


def test_an_added_method_stands_behind_the_others(odd: Run) -> None:
    assert list(known_methods())[-1] == "odd-neurons"
    assert [one.name for one in configured_methods(odd)] == ["lape", "odd-neurons"]


def test_an_added_method_is_read(odd: Run) -> None:
    method = find_method("odd-neurons")
    places = reductions_of(odd, method, "tiny")
    assert places == {
        "count": layout.reduction("odd", "count", "tiny"),
        "split/0": layout.reduction("odd", "split", "tiny", "0"),
        "split/1": layout.reduction("odd", "split", "tiny", "1"),
    }
    inputs = NamingInputs(Path("tiny"), places)
    found = named_neurons(method, inputs, ["th", "en", "de"], 0.5)
    assert list(found) == ["th", "de"]
    assert found["de"].tolist() == [[False, True, False]] * 4
    assert not found["th"].any()
    assert looked_at(method, inputs).tolist() == [True] * 4


def test_an_added_method_is_compared(odd: Run) -> None:
    section = AGREEMENT.section()
    assert list(AGREEMENT.problems(odd, section)) == []
    assert list(AGREEMENT.reads(odd, section)) == ["lape", "odd"]
    assert compared_languages(odd) == ["de"]
    step, scope = AGREEMENT.step("agreement"), Scope(("tiny",))
    inputs, settings = step.inputs(odd, section, scope), step.settings(odd, section, scope)
    assert inputs.reductions["odd"] == reductions_of(odd, find_method("odd-neurons"), "tiny")
    assert inputs.reductions["lape"] == {"neurons": layout.reduction("lape", "neurons", "tiny")}
    assert [one.name for one in settings.methods] == ["lape", "odd-neurons"]
    assert list(step.modules(settings)) == [
        "neuroglot.analyses.lape.naming",
        "neuroglot.analyses.odd.naming",
    ]


def test_what_is_found_by_name_counts_as_code(odd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "fingerprint", lambda *modules: "; ".join(modules))
    for analysis, section in ((AGREEMENT, AGREEMENT.section()), (BOOST, BoostSettings())):
        [step] = analysis.steps
        code = run.code_of(analysis, step, step.settings(odd, section, Scope(("tiny",))))
        assert f"neuroglot.analyses.{analysis.name}.steps.{step.name}" in code
        assert "neuroglot.analyses.lape.naming" in code
        assert ("neuroglot.analyses.odd.naming" in code) == (analysis is AGREEMENT)


def test_an_added_method_is_boosted(odd: Run) -> None:
    section = BoostSettings(method="odd-neurons")
    assert list(BOOST.problems(odd, section)) == []
    assert list(BOOST.reads(odd, section)) == ["odd"]
    assert boosted_languages(odd, section) == ["de", "th"]
    step, scope = BOOST.step("boost"), Scope(("tiny",))
    inputs, settings = step.inputs(odd, section, scope), step.settings(odd, section, scope)
    assert inputs.reductions.keys() == {"count", "split/0", "split/1"}
    assert inputs.held_out.keys() == {"de", "th", "en"}
    assert inputs.chosen_on == {one: layout.tokens("tiny", "odd", one) for one in ("de", "th")}
    assert (settings.method.name, settings.method.analysis) == ("odd-neurons", "odd")
    assert (settings.pivot, settings.languages) == ("en", ["de", "th"])
    assert list(step.modules(settings)) == ["neuroglot.analyses.odd.naming"]
    enum = BoostSettings.model_json_schema()["properties"]["method"]["enum"]
    assert enum == list(known_methods())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perplexity": None}, "boost: prompts and perplexity are taken"),
        ({"perplexity": PerplexitySettings(corpus="odd")}, "'odd' is also odd.corpus, so it is"),
        ({"texts": {"odd": ["th"], "held-out": ["de"]}}, "is not read in the pivot 'en'"),
        ({"texts": {"odd": ["th"], "held-out": ["en"]}}, "in no language whose neurons boost.meth"),
    ],
)
def test_what_boost_refuses(odd: Run, changes: dict[str, Any], message: str) -> None:
    [problem] = BOOST.problems(Run(**changes), BoostSettings(method="odd-neurons"))
    assert message in problem


def test_what_boost_reads_of_what_is_not_there(odd: Run) -> None:
    for method, message in (("type9", "boost.method: unknown method"), ("odd-neurons", "needs")):
        section = BoostSettings(method=method)
        nothing = Run(section=lambda _: None)
        assert list(BOOST.reads(nothing, section)) == []
        [problem] = BOOST.problems(nothing, section)
        assert message in problem
