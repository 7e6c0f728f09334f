"""Accuracy and log-probability of answers under edits: means over items, and intervals."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.measures.bootstrap import bounded_mean

BASELINE = "baseline"
"""The variant without edits, with which the others are compared."""

ANSWERS: Mapping[str, str] = {
    "accuracy": "share of the judged items that are answered right",
    "accuracy_difference": "change of accuracy from the model as it is, mean over judged items",
    "accuracy_excess": "accuracy less that with as many random neurons, mean over judged items",
    "log_probability": "log-probability of the right answer, mean over judged items",
    "log_probability_difference": "change of the right answer's log-probability from the model as "
    "it is, mean over judged items",
    "log_probability_excess": "log-probability of the right answer less that with as many random "
    "neurons, mean over judged items",
    "log_probability_per_token": "log-probability of the right answer over its number of tokens, "
    "mean over judged items",
    "log_probability_per_token_difference": "change of the right answer's log-probability per "
    "token from the model as it is, mean over judged items",
    "log_probability_per_token_excess": "log-probability per token of the right answer less that "
    "with as many random neurons, mean over judged items",
    "exact_accuracy": "share of the judged items whose right answer would be written word for word",
    "neurons": "neurons that are edited, mean over judged items",
    "chance": "accuracy that needs no knowledge: that of guesses among the candidates, or that of "
    "always giving one answer, the most frequent right one, if it is higher",
    "items": "items that were judged",
    "excluded": "items that cannot be judged in the language",
}
"""Descriptions of the variables of ``answer_statistics``."""


def control(variant: str) -> str:
    """Name a variant's control: ``random_x`` for ``without_x``, ``random_y`` for another ``y``."""
    return f"random_{variant.removeprefix('without_')}"


def answer_statistics(by_item: xr.Dataset, replicates: int) -> xr.Dataset:
    """Average a task's answers over items, and bound the means.

    ``accuracy`` and both ``log_probability`` each have a ``…_difference`` from the variant
    ``baseline`` and a ``…_excess`` over the variant's ``control`` (NaN without a control). These
    are means of each item's difference between two variants, which are judged on the same items.
    So an item's difficulty, which is the same in both variants, does not widen the interval.

    Args:
        by_item: [variant, language, item]: ``correct`` (0 or 1; for a control the mean of its
            draws), ``exact`` (likewise), ``log_probability`` of the right answer in nats,
            ``log_probability_per_token``, and ``neurons``, the number of edited neurons;
            [language, item]: ``guess``, the mean score of an answer chosen at random, and
            ``constant``, the score of the answer that scores most if it is always given. NaN where
            an item cannot be judged in a language.
        replicates: number of bootstrap samples of items.

    Returns:
        [variant, language]: ``accuracy``, ``log_probability`` and ``log_probability_per_token``,
        the two comparisons of each, ``…_low`` and ``…_high`` of all nine, ``exact_accuracy`` and
        ``neurons``; [language]:
        ``chance``, and the numbers of judged ``items`` and of ``excluded`` items.
    """
    judged = by_item["guess"].notnull().sum("item")
    chance = by_item[["guess", "constant"]].mean("item").to_array().max("variable")
    per_token = by_item["log_probability_per_token"]
    variables = {
        **_compared("accuracy", by_item["correct"], "share of items", replicates),
        **_compared("log_probability", by_item["log_probability"], "nats", replicates),
        **_compared("log_probability_per_token", per_token, "nats per token", replicates),
        "exact_accuracy": by_item["exact"].mean("item").assign_attrs(units="share of items"),
        "neurons": by_item["neurons"].mean("item").assign_attrs(units="neurons"),
        "chance": chance.assign_attrs(units="share of items"),
        "items": judged.assign_attrs(units="items"),
        "excluded": (by_item.sizes["item"] - judged).assign_attrs(units="items"),
    }
    return xr.Dataset(variables)


def _compared(
    name: str, values: xr.DataArray, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Means of ``values(variant, language, item)`` and of its differences from both references."""
    controls = values.reindex(variant=[control(str(one)) for one in values["variant"].values])
    by_item = {
        name: values,
        f"{name}_difference": values - values.sel(variant=BASELINE, drop=True),
        f"{name}_excess": values - controls.assign_coords(variant=values["variant"]),
    }
    return {
        key: bound
        for name, own in by_item.items()
        for key, bound in bounded_mean(name, own.assign_attrs(units=units), replicates).items()
    }
