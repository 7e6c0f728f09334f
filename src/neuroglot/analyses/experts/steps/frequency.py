"""How often experts are active in each language, and which languages share them (sections 3-4)."""

from typing import Any

import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot.analyses.experts.measures import experts as measure
from neuroglot.analyses.experts.measures.uncertainty import sharing, similarity_interval
from neuroglot.analyses.experts.partitions import read_routing
from neuroglot.measures.bootstrap import ratio_interval
from neuroglot.tables import tidy


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Give frequencies, three similarities of languages and the number that share each expert.

    With their intervals by bootstrap over folds of segments, and beside the number of experts that
    are of high frequency in one language alone what chance would make it.
    """
    languages, replicates = settings["languages"], settings["replicates"]
    counted = read_routing(inputs, languages)
    by_fold = counted["active"], counted["tokens"]
    active, tokens = (counts.sum("fold") for counts in by_fold)
    frequency = measure.expert_frequency(active, tokens)
    compared = measure.similarity(frequency)
    shared_by = measure.shared_by(frequency, settings["high_frequency"])
    table = settings["language_table"]
    return xr.Dataset(
        {
            "expert_frequency": frequency,
            **_bounds(frequency, ratio_interval(*by_fold, replicates)),
            "tokens": tokens.assign_attrs(units="tokens"),
            "similarity": compared,
            **_bounds(compared, similarity_interval(*by_fold, replicates)),
            "shared_by": shared_by,
            "shared_histogram": measure.shared_histogram(shared_by, len(languages)),
            **sharing(*by_fold, settings["high_frequency"], replicates),
        },
        coords={
            key: ("language", [table[language][key] for language in languages])
            for key in ("family", "genus")
        },
        attrs={
            "high_frequency": settings["high_frequency"],
            "folds": counted.sizes["fold"],
            "replicates": replicates,
        },
    )


def _bounds(
    value: xr.DataArray, interval: tuple[xr.DataArray, xr.DataArray]
) -> dict[str, xr.DataArray]:
    ends = zip(("low", "high"), interval, strict=True)
    units = {"units": value.attrs["units"]}
    return {f"{value.name}_{end}": bound.drop_attrs().assign_attrs(units) for end, bound in ends}


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Frequencies; similarities; experts by number of languages (table 3), and languages' own."""
    return {
        "frequency": tidy(data[_with_bounds("expert_frequency")]),
        "similarity": tidy(data[_with_bounds("similarity")]),
        "shared_experts": _experts(data, "shared_histogram"),
        "specific_experts": _experts(data, "specific"),
        "specific_by_layer": _experts(data, "specific_by_layer"),
    }


def _with_bounds(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _experts(data: xr.Dataset, name: str) -> pd.DataFrame:
    """A number of experts, its interval, and the number by chance with its range and p value."""
    beside = ("_null", "_null_low", "_null_high", "_p_value")
    table = tidy(data[[*_with_bounds(name), *(f"{name}{end}" for end in beside)]])
    return table.rename(columns=lambda column: str(column).replace(name, "experts"))
