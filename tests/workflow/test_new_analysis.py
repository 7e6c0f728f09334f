"""An analysis is a folder and a line: one is added to a copy of the library and drawn."""

from pathlib import Path

import pandas as pd
import pytest

from support.tiny_workflow import Workplace, make_workplace, unsaid

FILES = {
    "__init__.py": '''
        """How often neurons fire at all."""

        from collections.abc import Iterator

        from neuroglot.analyses.base import Analysis, FigureSet, Run, Scope, Step, Wish
        from neuroglot.analyses.planning import labels, recordings
        from neuroglot.analyses.restless.settings import RateInputs, RateSettings, RestlessSettings
        from neuroglot.capture.settings import FiringGroup


        def _recordings(_run: Run, section: RestlessSettings) -> Iterator[Wish]:
            yield Wish(section.corpus, FiringGroup())


        def _inputs(run: Run, section: RestlessSettings, scope: Scope) -> RateInputs:
            recorded = recordings(run, scope.model, [section.corpus], "firing")
            return RateInputs(firing=recorded[section.corpus])


        def _settings(run: Run, section: RestlessSettings, scope: Scope) -> RateSettings:
            languages = run.corpus_languages(section.corpus)
            return RateSettings(model=scope.model, floor=section.floor, **labels(run, languages))


        def _problems(_run: Run, section: RestlessSettings) -> Iterator[str]:
            if section.floor > 1:
                yield f"restless.floor: no rate is above {section.floor}; lower it"


        RESTLESS = Analysis(
            name="restless",
            title="how often neurons fire at all",
            section=RestlessSettings,
            recordings=_recordings,
            problems=_problems,
            steps=(Step("rate", "rates of {model}", _inputs, _settings, tables=("rate",)),),
            figures=(FigureSet("rate", ("rate_by_layer",), ("rate",)),),
        )
    ''',
    "settings.py": '''
        """The section, and what the step gets."""

        from collections.abc import Mapping
        from dataclasses import dataclass
        from pathlib import Path

        from pydantic import Field

        from neuroglot.analyses.base import AnalysisSettings, Inputs, StepSettings
        from neuroglot.settings import CorpusId


        class RestlessSettings(AnalysisSettings):
            """How often neurons fire."""

            corpus: CorpusId = Field(description="The text that is read.")
            floor: float = Field(0.0, description="Rates under it count as this.")


        @dataclass(frozen=True, kw_only=True)
        class RateInputs(Inputs):
            """How often neurons fire, by language."""

            firing: Mapping[str, Path]


        class RateSettings(StepSettings):
            """The least rate."""

            floor: float
    ''',
    "steps/__init__.py": '"""Steps."""',
    "steps/rate.py": '''
        """Mean rate of a layer's neurons."""

        from collections.abc import Mapping

        import numpy as np
        import xarray as xr

        from neuroglot.analyses.restless.settings import RateInputs, RateSettings
        from neuroglot.capture.recorded import open_recorded

        TABLE = ("rate",)

        VARIABLES: Mapping[str, str] = {
            "rate": "share of all tokens at which a neuron fires, mean over the layer",
        }


        def compute(inputs: RateInputs, settings: RateSettings) -> xr.Dataset:
            """Divide by the number of tokens."""
            recorded = {one.language: one for one in open_recorded(inputs.firing.values())}
            rates = [
                recorded[one].data["act_positive"].mean("neuron") / recorded[one].counts["rows"]
                for one in settings.languages
            ]
            axis = xr.Variable("language", np.array(settings.languages, str))
            rate = xr.concat(rates, axis).clip(min=settings.floor)
            return xr.Dataset({"rate": rate.assign_attrs(units="share of tokens")})
    ''',
    "figures/__init__.py": '"""Figures."""',
    "figures/rate.py": '''
        """Rates by layer."""

        from matplotlib.figure import Figure
        from xarray import Dataset

        from neuroglot.figures import languages, sheets
        from neuroglot.figures.findings import extremes
        from neuroglot.figures.style import Drawing


        def rate_by_layer(ds: Dataset) -> Figure:
            """Rates of each language."""
            figure = languages.by_layer(ds, "rate", "rate (share of tokens)")
            return sheets.title(figure, ds, "firing of all neurons")


        def finding(ds: Dataset) -> str:
            """Where neurons fire least and most."""
            return extremes(ds["rate"], "The rate", "of tokens")


        FIGURES = {"rate_by_layer": Drawing(rate_by_layer, finding)}
    ''',
    "captions/table.rst": "Rates of {{ model }}, no lower than {{ section.floor | percent }}.",
    "captions/rate_by_layer.rst": "{{ finding }}\n\nRates by layer. {{ texts }} {{ rows }}",
}


def dedented(text: str) -> str:
    lines = text.strip("\n").split("\n")
    return "\n".join(line.removeprefix("        ") for line in lines).rstrip() + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace whose library has one analysis more: a folder, and a line in the registry."""
    place = make_workplace(tmp_path_factory.mktemp("new") / "place")
    folder = place.folder / "src/neuroglot/analyses/restless"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedented(text), "utf-8")
    registry = "src/neuroglot/analyses/__init__.py"
    place.edit(
        registry,
        "from neuroglot.analyses.roles",
        "from neuroglot.analyses.restless import RESTLESS\nfrom neuroglot.analyses.roles",
    )
    place.edit(registry, "        BOOST,\n", "        BOOST,\n        RESTLESS,\n")
    place.configure(roles=None, restless={"corpus": "plain"})
    return place


def test_it_runs_to_its_figure_and_the_report(place: Workplace) -> None:
    run = place.run()
    assert run.status == 0, run.output
    assert "restless: rates of one" in run.jobs
    results = place.folder / "results/restless/one"
    table = pd.read_csv(results / "rate.csv")
    assert {name: unsaid(data) for name, data in place.reductions().items()} == {
        "restless/one/rate": set()
    }
    assert table["rate"].between(0, 1).all()
    assert sorted(table["layer"].unique()) == list(range(1, len(table["layer"].unique()) + 1))
    assert (results / "figures/rate_by_layer.png").stat().st_size > 5000
    report = (place.folder / "results/report.html").read_text("utf-8")
    assert "The rate is lowest (" in report
    assert "no lower than 0 %" in report
    assert "Counted is every token of plain; special tokens are left out." in report


def test_it_is_a_target_with_settings_that_are_checked(place: Workplace, tmp_path: Path) -> None:
    place = place.copy(tmp_path / "place")
    for settings, message in (
        ({"corpus": "plian"}, "restless.corpus: unknown corpus 'plian'; did you mean 'plain'?"),
        ({"corpus": "plain", "flor": 1}, "restless.flor: unknown key 'flor'"),
        ({"corpus": "plain", "floor": 2}, "restless.floor: no rate is above 2.0; lower it"),
        ({"corpus": "plain", "models": ["onne"]}, "restless.models[0]: unknown model 'onne'"),
    ):
        place.configure(restless=settings)
        run = place.run("restless")
        assert run.status != 0
        assert message in run.output
        assert "Traceback" not in run.output


def test_a_change_to_it_reruns_it_alone(place: Workplace, tmp_path: Path) -> None:
    place = place.copy(tmp_path / "place")
    run = place.run("restless")
    assert run.status == 0, run.output
    place.configure(restless={"corpus": "plain", "floor": 0.5})
    run = place.run("restless")
    assert run.status == 0, run.output
    assert run.jobs == {
        "restless: rates of one",
        "restless: figures of rate",
        "restless: how often neurons fire at all",
    }
    assert pd.read_csv(place.folder / "results/restless/one/rate.csv")["rate"].min() >= 0.5
