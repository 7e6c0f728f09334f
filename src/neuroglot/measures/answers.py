"""Accuracy and log-probability of answers under edits: means over facts, intervals and tests."""

from collections.abc import Collection, Mapping

import xarray as xr

from neuroglot.measures.bootstrap import bounded_mean
from neuroglot.measures.matching import LEAST_MATCHED
from neuroglot.measures.proportions import bounded_share
from neuroglot.measures.significance import bounded_difference, fewest_units, step_down_p_value

BASELINE = "baseline"
"""The variant without edits, with which the others are compared."""

ANSWERS: Mapping[str, str] = {
    "accuracy": "share of the judged facts that are answered right; of a fact asked in several "
    "wordings, the share of these; in a tie of m candidates, 1 / m",
    "accuracy_difference": "change of accuracy from the model as it is, mean over judged facts",
    "accuracy_excess": "accuracy less that with a control, mean over judged facts",
    "control": "other neurons that get the same edit: naive, as many random ones; activity, as "
    "many that are as active in the item and language; contribution, partners that contribute as "
    "much, of the part of the neurons that has partners",
    "log_probability": "log-probability of the right answer, mean over judged facts",
    "log_probability_difference": "change of the right answer's log-probability from the model as "
    "it is, mean over judged facts",
    "log_probability_excess": "log-probability of the right answer less that with a control, mean "
    "over judged facts",
    "log_probability_excess_p_value": "probability that any language would reach its excess if "
    "none had one: sign flips of facts, adjusted for all languages by step-down maxT",
    "log_probability_per_token": "log-probability of the right answer over its number of tokens, "
    "mean over judged facts",
    "log_probability_per_token_difference": "change of the right answer's log-probability per "
    "token from the model as it is, mean over judged facts",
    "log_probability_per_token_excess": "log-probability per token of the right answer less that "
    "with a control, mean over judged facts",
    "exact_accuracy": "share of the judged facts whose right answer would be written word for word",
    "neurons": "neurons that are edited, mean over judged facts",
    "chance": "accuracy that needs no knowledge: that of guesses among the candidates, or that of "
    "always giving one answer, the most frequent right one, if it is higher",
    "items": "items that were judged",
    "excluded": "items that cannot be judged in the language",
    "facts": "facts that were judged: items that word one question differently are one fact",
    "fewest_facts": "facts that a language needs for its p value to be able to be below 0.05",
}
"""Descriptions of the variables of ``answer_statistics``."""


CONTROLS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "naive": {"without": ("without", "random")},
    "activity": {"without": ("without", "active"), "converted": ("converted", "inactive")},
    "contribution": {"without": ("matched", "partner")},
}
"""By control and what is done to neurons: the beginnings of the names of the two variants that are
compared. ``naive``: as many random neurons. ``activity``: as many that are active, or to be
converted inactive, in the same item and language. ``contribution``: the part of the neurons that
has partners, and these."""


def compared_variants(variants: Collection[str]) -> dict[str, dict[str, tuple[str, str]]]:
    """Find what each variant is compared with: two variants by control and variant."""
    compared: dict[str, dict[str, tuple[str, str]]] = {}
    for control, pairs in CONTROLS.items():
        for variant in variants:
            done, _, chosen = variant.partition("_")
            pair = [f"{name}_{chosen}" for name in pairs.get(done, ())]
            if pair and set(pair) <= set(variants):
                compared.setdefault(control, {})[variant] = (pair[0], pair[1])
    return compared


def answer_statistics(by_item: xr.Dataset, replicates: int) -> xr.Dataset:
    """Average a task's answers over facts, and bound the means.

    A fact is one unit, however many items ask for it in different words: it counts with their mean.
    Accuracies have Wilson's intervals, mean log-probabilities those of the bootstrap.

    ``accuracy`` and both ``log_probability`` each have a ``…_difference`` from the variant
    ``baseline`` and a ``…_excess`` over each of its ``CONTROLS`` (NaN where it has none). These
    are means of each fact's difference between two variants, which are judged on the same facts.
    So a fact's difficulty, which is the same in both variants, does not widen the interval, which
    is that of the sign-flip test. The languages of one variant and control are a family of tests;
    they share the facts.

    Args:
        by_item: [variant, language, item]: ``correct``, the score from 0 to 1 (1 / m in a tie of
            m; for a control the mean of its draws), ``exact`` (likewise), ``log_probability`` of
            the right answer in nats, ``log_probability_per_token``, and ``neurons``, the number of
            edited neurons; [language, item]: ``guess``, the mean score of an answer chosen at
            random, and ``constant``, the score of the answer that scores most if it is always
            given. NaN where an item cannot be judged in a language. Coordinate ``fact(item)``.
        replicates: number of bootstrap samples of facts.

    Returns:
        [variant, language]: ``accuracy``, ``log_probability`` and ``log_probability_per_token``,
        the two comparisons of each (``…_excess`` also by ``control``), ``…_low`` and ``…_high`` of
        all nine, ``log_probability_excess_p_value``, ``exact_accuracy`` and ``neurons``;
        [language]: ``chance``, the numbers of judged ``items``, of ``excluded`` items and of judged
        ``facts``, and ``fewest_facts``.
    """
    judged = by_item["guess"].notnull().sum("item")
    by_fact = by_item.groupby("fact").mean().rename(fact="item").drop_vars("item")
    accuracy, log_probability = by_fact["correct"], by_fact["log_probability"]
    per_token = by_fact["log_probability_per_token"].assign_attrs(units="nats per token")
    chance = by_fact[["guess", "constant"]].mean("item").to_array().max("variable")
    variables = {
        **bounded_share("accuracy", accuracy.assign_attrs(units="share of facts")),
        **_compared("accuracy", accuracy, "share of facts"),
        **bounded_mean("log_probability", log_probability.assign_attrs(units="nats"), replicates),
        **_compared("log_probability", log_probability, "nats"),
        **bounded_mean("log_probability_per_token", per_token, replicates),
        **_compared("log_probability_per_token", per_token, "nats per token"),
        "log_probability_excess_p_value": step_down_p_value(
            excess_over_controls(log_probability), "language"
        ),
        "exact_accuracy": by_fact["exact"].mean("item").assign_attrs(units="share of facts"),
        "neurons": by_fact["neurons"].mean("item").assign_attrs(units="neurons"),
        "chance": chance.assign_attrs(units="share of facts"),
        "items": judged.assign_attrs(units="items"),
        "excluded": (by_item.sizes["item"] - judged).assign_attrs(units="items"),
        "facts": by_fact["guess"].notnull().sum("item").assign_attrs(units="facts"),
        # By language, so that tables leave out languages that the task lacks.
        "fewest_facts": xr.full_like(judged, fewest_units()).assign_attrs(units="facts"),
    }
    return xr.Dataset(variables)


def unmatched_left_out(data: xr.Dataset) -> xr.Dataset:
    """Leave out comparisons by contribution where too few neurons have a partner.

    Likewise where those with a partner have too little of the contribution: ``LEAST_MATCHED``.

    Args:
        data: ``…_excess(control, variant, language)``; ``matched_share(variant, language)`` and
            ``matched_contribution``.
    """
    shares = data[["matched_share", "matched_contribution"]].to_array().min("variable")
    told = (data["control"] != "contribution") | (shares >= LEAST_MATCHED)
    excess = {name: data[name].where(told) for name in data if "_excess" in str(name)}
    return data.assign(excess)


def by_control(data: xr.Dataset) -> xr.Dataset:
    """Make one variable for each control, ``…_excess_{control}``, for tables."""
    compared = {str(name): values for name, values in data.items() if "control" in values.dims}
    return data.drop_dims("control").assign(
        {
            name.replace("_excess", f"_excess_{control}"): values.sel(control=control, drop=True)
            for name, values in compared.items()
            for control in data["control"].values
        }
    )


def _compared(name: str, values: xr.DataArray, units: str) -> dict[str, xr.DataArray]:
    """Mean differences of ``values(variant, language, item)`` from both references."""
    difference = values - values.sel(variant=BASELINE, drop=True)
    return {
        **bounded_difference(f"{name}_difference", difference.assign_attrs(units=units)),
        **bounded_difference(
            f"{name}_excess", excess_over_controls(values).assign_attrs(units=units)
        ),
    }


def excess_over_controls(values: xr.DataArray) -> xr.DataArray:
    """Subtract the values of each variant's controls, [control, variant, …]; NaN without a control.

    Args:
        values: [variant, ...], variants named as in ``CONTROLS``.
    """
    variants = [str(variant) for variant in values["variant"].values]
    by_control = []
    compared = compared_variants(variants)
    for pairs in compared.values():
        chosen, others = (
            values.sel(variant=[pair[end] for pair in pairs.values()]) for end in (0, 1)
        )
        excess = chosen.assign_coords(variant=[*pairs]) - others.assign_coords(variant=[*pairs])
        by_control.append(excess.reindex(variant=variants))
    return xr.concat(by_control, xr.Variable("control", [*compared]), coords="minimal")
