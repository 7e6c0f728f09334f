"""The methods that name a language's neurons, and the neurons that each method names."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglot import layout
from neuroglot.analyses.base import Naming, NamingInputs, Run
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.settings import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ORDER = ("lape", "sharing", "type1", "type2", "experts", "lexicon")
"""Methods in the order of tables and figures; methods of other analyses come after them."""


class Method(Strict):
    """A method that names a language's neurons.

    Attributes:
        name: of the method.
        analysis: whose ``naming.py`` says which neurons it names.
    """

    name: str
    analysis: str


# --- for declarations -----------------------------------------------------------------------


def known_methods() -> dict[str, Method]:
    """Every method that a registered analysis declares, by name, in ``ORDER``."""
    from neuroglot.analyses import ANALYSES  # imports this module's users

    declared = {
        naming.method: Method(name=naming.method, analysis=analysis.name)
        for analysis in ANALYSES.values()
        for naming in analysis.naming
    }
    ordered = dict.fromkeys([*(name for name in ORDER if name in declared), *declared])
    return {name: declared[name] for name in ordered}


def find_method(name: str) -> Method:
    """The method with this name.

    Raises:
        NeuroglotError: there is no such method.
    """
    known = known_methods()
    if name not in known:
        raise NeuroglotError(unknown_name("method that names neurons", name, known))
    return known[name]


def configured_methods(run: Run) -> list[Method]:
    """The methods of the configured analyses, in ``ORDER``."""
    known = known_methods().values()
    return [method for method in known if run.section(method.analysis) is not None]


def analyses_of(methods: Iterable[Method]) -> list[str]:
    """The analyses of some methods, without repetition."""
    return list(dict.fromkeys(method.analysis for method in methods))


def naming_of(method: Method) -> Naming[Any]:
    """The method's declaration in its analysis."""
    from neuroglot.analyses import ANALYSES

    declared = ANALYSES[method.analysis].naming
    [naming] = [naming for naming in declared if naming.method == method.name]
    return naming


def languages_of(run: Run, method: Method) -> list[str]:
    """The languages for which a configured method names neurons."""
    return naming_of(method).languages(run, run.section(method.analysis))


def reductions_of(run: Run, method: Method, model: str) -> dict[str, Path]:
    """Paths of the datasets that a method reads for a model: see ``NamingInputs.reductions``."""
    from neuroglot.analyses import ANALYSES

    analysis, paths = ANALYSES[method.analysis], {}
    for name in naming_of(method).steps:
        step = analysis.step(name)
        if step.parts is None:
            paths[name] = layout.reduction(analysis.name, name, model)
        else:
            for part in step.parts(run, run.section(analysis.name)):
                paths[f"{name}/{part}"] = layout.reduction(analysis.name, name, model, part)
    return paths


def modules_of(methods: Iterable[Method]) -> list[str]:
    """The naming modules of some methods."""
    return [_module(analysis) for analysis in analyses_of(methods)]


def _module(analysis: str) -> str:
    return f"neuroglot.analyses.{analysis}.naming"


# --- for steps ------------------------------------------------------------------------------


def named_neurons(
    method: Method, inputs: NamingInputs, languages: Sequence[str], top_fraction: float
) -> "dict[str, NDArray[np.bool_]]":
    """Mark the neurons that a method names for each language.

    Args:
        method: the method.
        inputs: the model, and the datasets of the method's analysis.
        languages: languages to give neurons for.
        top_fraction: largest share of neurons per language, for methods that only rank neurons.

    Returns:
        bool [layer, neuron] by language, in the given order, for the languages that the method was
        run on; for some languages no neuron may be marked.
    """
    named = import_module(_module(method.analysis)).named(method.name, inputs, top_fraction)
    known = {str(language) for language in named["language"].values}
    ordered = named.transpose("language", "layer", "neuron")
    return {
        language: ordered.sel(language=language).to_numpy()
        for language in languages
        if language in known
    }


def looked_at(method: Method, inputs: NamingInputs) -> "NDArray[np.bool_]":
    """Mark the layers in which a method may name neurons, bool [layer]."""
    naming = import_module(_module(method.analysis))
    layers: NDArray[np.bool_] = naming.looked_at(method.name, inputs)
    return layers
