"""Kinds of neurons in every task by layer, and sweeps of them (figures 2 to 7, 19 and 22)."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import xarray as xr

from neuroglot.analyses.sharing.measures.by_fact import by_fact, means_bounded
from neuroglot.analyses.sharing.measures.kind_shares import (
    active_shares,
    dead_shares,
    kind_shares,
    overlap,
)
from neuroglot.analyses.sharing.measures.kinds import (
    KIND,
    Bits,
    KindBits,
    kinds,
    nested_kinds,
    pack_above,
)
from neuroglot.analyses.sharing.measures.specificity import (
    repeated_specificity,
    specific_in_all,
    specific_items,
)
from neuroglot.analyses.sharing.prompts import Prompts, open_prompts, recorded_items, signs
from neuroglot.analyses.sharing.settings import KindsInputs, KindsSettings
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.provenance import digest
from neuroglot.tables import tidy
from neuroglot.tasks.base import facts_of

SPECIFIC = "specific"
RANDOM = "random_languages_share"
REPEATING = (
    "repeating",
    "repeating_null",
    "repeating_null_high",
    "same_language",
    "same_language_null",
)

VARIABLES: Mapping[str, str] = {
    "kind": KIND,
    "threshold": "activation above which a neuron is active",
    "languages": "number of languages by which kinds are told apart",
    "kind_share": "share of the layer's neurons that are of the kind at the end of the prompt, "
    "mean over facts",
    "overlap": "share of the layer's neurons that are of the kind in every item",
    "active_share": "share of the layer's neurons that are active at the end of the prompt, mean "
    "over facts",
    "dead": "share of the layer's non-activated neurons that no token of the prompt activates, "
    "mean over facts",
    "threshold_share": "share of the layer's neurons that are of the kind under another threshold, "
    "mean over facts",
    "language_count_share": "share of the layer's neurons that are of the kind among so many "
    "languages, the first in order, mean over facts",
    "random_languages_share": "share of the layer's neurons that are of the kind among so many "
    "languages, mean over facts and over random sets of languages",
    "random_languages_share_lowest": "the lowest share of these sets",
    "random_languages_share_highest": "the highest share of these sets",
    "items": "items of the task, all of which are counted",
    "facts": "facts that the items ask for: items that word one question differently are one fact",
    "repeating": "neurons of the layer that are specific to the same language in more than half of "
    "the items",
    "repeating_null": "neurons that would repeat so by chance: mean over permutations of the "
    "languages among specific neurons",
    "repeating_null_high": "upper end of the number by chance in 95 % of the permutations",
    "same_language": "share of the pairs of items in which a neuron is specific that are of the "
    "same language",
    "same_language_null": "the same share by chance: mean over permutations of the languages",
    "specific": "items in which the neuron is active in this language alone, of the tasks asked in "
    "the most languages",
    "specific_items": "items of these tasks together",
}


def compute(inputs: KindsInputs, settings: KindsSettings) -> xr.Dataset:
    """Find the kinds in every item of every task, with a few layers in memory at a time."""
    prompts = open_prompts(inputs.prompts, settings.tasks, settings.languages)
    tasks = {}
    for of_task in prompts:
        facts = facts_of(recorded_items(inputs.items[of_task.task], of_task))
        tasks[of_task.task] = _task(of_task, facts, settings)
    data = along("task", {task: shares.drop_vars(SPECIFIC) for task, shares in tasks.items()})
    data = data.reindex(language=settings.languages)
    data = data.assign(specific_in_all(list(tasks.values())).data_vars)
    return data.assign_attrs(threshold=settings.threshold, site=prompts[0].site)


def _task(prompts: Prompts, facts: Sequence[str], settings: KindsSettings) -> xr.Dataset:
    blocks = [_block(prompts, layers, settings) for layers in prompts.blocks()]
    data = xr.concat(blocks, "layer", combine_attrs="override")
    means = means_bounded(data.drop_vars(RANDOM), facts, settings.replicates)
    of_sets = over_sets(by_fact(data[RANDOM], facts).mean("item", keep_attrs=True))
    repeated = repeated_specificity(data[SPECIFIC], len(facts))
    sizes = {
        "items": xr.Variable((), len(facts), {"units": "items"}),
        "facts": xr.Variable((), len(set(facts)), {"units": "facts"}),
    }
    return xr.merge([means, prompts.layers, xr.Dataset(of_sets), repeated]).assign(sizes)


def _block(prompts: Prompts, layers: slice, settings: KindsSettings) -> xr.Dataset:
    activations, neurons = prompts.read(prompts.site, layers), prompts.neurons[layers.start]
    active = signs(activations, settings.threshold)
    ever_active = signs(prompts.read("peak", layers), settings.threshold)
    of_block = kinds(active.values(), neurons)
    counts = {len(active), *(n for n in settings.language_counts if n <= len(active))}
    of_counts = dict(nested_kinds(active.values(), neurons, counts))
    above = [pack_above(values, settings.thresholds) for values in activations.values()]
    of_thresholds = [
        kinds((bits[place] for bits in above), neurons) for place in range(len(settings.thresholds))
    ]
    thresholds = xr.Variable("threshold", settings.thresholds, {"units": "activation"})
    languages = xr.Variable("languages", list(of_counts), {"units": "languages"})
    return xr.Dataset(
        {
            "kind_share": kind_shares(of_block),
            "overlap": overlap(of_block),
            "active_share": active_shares(active, neurons),
            "dead": dead_shares(of_block.non_activated, ever_active, neurons),
            SPECIFIC: specific_items(active, of_block.specific, neurons, max(prompts.neurons)),
            "threshold_share": _sweep(of_thresholds, thresholds),
            "language_count_share": _sweep(of_counts.values(), languages),
            RANDOM: random_languages(active, neurons, languages, settings.language_subsets),
        }
    )


def _sweep(swept: Iterable[KindBits], axis: xr.Variable) -> xr.DataArray:
    """Concatenate the shares of kinds along ``axis``."""
    return xr.concat([kind_shares(bits) for bits in swept], axis)


def random_languages(
    active: Mapping[str, Bits], neurons: int, counts: xr.Variable, subsets: int
) -> xr.DataArray:
    """The shares of kinds among random sets of languages, [subset, languages, item, layer, kind].

    The languages are shuffled ``subsets`` times, by their ids alone, and the first of each order
    are a random set. So sets do not depend on how the languages are listed.
    """

    def of_order(subset: int) -> xr.DataArray:
        order = sorted(active, key=lambda language: digest([subset, language]))
        nested = nested_kinds(
            (active[language] for language in order), neurons, counts.values.tolist()
        )
        return _sweep((bits for _, bits in nested), counts)

    return xr.concat([of_order(subset) for subset in range(subsets)], "subset")


def over_sets(shares: xr.DataArray) -> dict[str, xr.DataArray]:
    """Average shares over random sets of languages, and give their range, from [subset, …]."""
    statistics = {"": shares.mean, "_lowest": shares.min, "_highest": shares.max}
    return {f"{RANDOM}{end}": of("subset", keep_attrs=True) for end, of in statistics.items()}


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Shares of kinds by layer, in all items, and by sweep; active, dead and repeating neurons."""
    return {
        "kinds": tidy(data[[*with_bounds("kind_share"), "overlap"]]),
        "active": tidy(data[with_bounds("active_share", "dead")]),
        "kinds_by_threshold": tidy(data[with_bounds("threshold_share")]),
        "kinds_by_languages": tidy(
            data[
                [
                    *with_bounds("language_count_share"),
                    *(f"{RANDOM}{end}" for end in ("", "_lowest", "_highest")),
                ]
            ]
        ),
        "specific_repeating": tidy(data[[*REPEATING, "items"]]),
    }
