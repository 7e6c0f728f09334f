"""What another precision does to every result: compares the folders of results of two runs.

    python bench/precision.py FIRST SECOND --table TABLE.md --all ALL.csv

FIRST and SECOND are the ``results`` of two runs of one configuration, such as one with
``capture.dtype: float32`` and one with ``bfloat16``. TABLE.md gets a line for each kind of result
and a column for each model; ALL.csv a line for each variable of each reduction. Results that only
one of the runs has are named, and end the program with status 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from neuroglot import store
from neuroglot.measures.bootstrap import ENDS

STAR = 0.05
ROUNDING = 1e-9
"""By how much a value must lie beyond an end to be outside: shares are sums of floating numbers."""
KINDS_OF_STORES = ("activations", "states")
Values = NDArray[Any]


# --- how alike two arrays are ---------------------------------------------------------------------


def spearman(first: Values, second: Values) -> float:
    """Rank correlation over the entries that are finite in both; NaN if one is constant."""
    there = np.isfinite(first) & np.isfinite(second)
    ranks = [rankdata(values[there]) for values in (first, second)]
    if there.sum() < 2 or any(np.ptp(each) == 0 for each in ranks):
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])


def jaccard(first: Values, second: Values) -> float:
    """Entries that are true in both, among those that are true in either; NaN without any."""
    either = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / either if either else np.nan


def differ(first: Values, second: Values) -> int:
    """Number of entries that differ. NaN equals NaN."""
    both_nan = (first != first) & (second != second)
    return int(((first != second) & ~both_nan).sum())


def distances(first: Values, second: Values) -> Values:
    """Absolute differences of the entries that are finite in both."""
    there = np.isfinite(first) & np.isfinite(second)
    return np.abs(first[there].astype(np.float64) - second[there])


def outside(second: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> tuple[int, int]:
    """Entries of the second run that lie outside the first run's interval, and all with one.

    The interval may be that of several entries, such as of a mean of several draws.
    """
    values, lows, highs = (one.values for one in xr.broadcast(second, low, high))
    there = np.isfinite(values) & np.isfinite(lows) & np.isfinite(highs)
    off = np.maximum(lows - values, values - highs)[there]
    return int((off > ROUNDING).sum()), int(there.sum())


def stars(first: Values, second: Values) -> tuple[int, int]:
    """Numbers of p values: that lie on different sides of ``STAR``, and all."""
    there = np.isfinite(first) & np.isfinite(second)
    return int(((first < STAR) != (second < STAR))[there].sum()), int(there.sum())


# --- the results of two runs ----------------------------------------------------------------------


class Compared(NamedTuple):
    """One variable of a reduction in both runs, and the first run's interval if it has one."""

    first: xr.DataArray
    second: xr.DataArray
    ends: tuple[xr.DataArray, ...]


@dataclass(frozen=True)
class Runs:
    """The folders of results of two runs."""

    first: Path
    second: Path

    @cached_property
    def reductions(self) -> list[str]:
        """Paths of the reductions that both runs have."""
        first, second = map(_reductions, self)
        return sorted(first & second)

    def lacking(self) -> list[str]:
        """Paths of the reductions that only one run has."""
        first, second = map(_reductions, self)
        return sorted(first ^ second)

    def models(self) -> list[str]:
        """The models that both runs have."""
        found = [
            {path.parent.name for path in folder.glob("models/*/card.json")} for folder in self
        ]
        return sorted(found[0] & found[1])

    def __iter__(self) -> Iterator[Path]:
        yield from (self.first, self.second)

    def variables(self, reduction: str, name: str = "") -> Iterator[tuple[str, Compared]]:
        """The variables of a reduction, or one; bounds stand beside what they bound.

        Variables whose sizes differ, such as of lists of neurons, are left out. A reduction that a
        run lacks has none.
        """
        if reduction not in self.reductions:
            return
        first, second = (store.open_dataset(folder / reduction, "reduction") for folder in self)
        for variable in [name] if name else map(str, first.data_vars):
            if variable in first and variable in second and not variable.endswith(ENDS):
                a, b = first[variable], second[variable]
                if a.shape == b.shape:
                    bounds = [f"{variable}{end}" for end in ENDS]
                    there = all(bound in first for bound in bounds)
                    ends = tuple(first[bound] for bound in bounds) if there else ()
                    yield variable, Compared(a, b, ends)

    def groups(self, model: str, group: str) -> Iterator[tuple[Path, Path]]:
        """A recorded group of a model, of every text and language."""
        for kind in KINDS_OF_STORES:
            for path in sorted(self.first.glob(f"{kind}/{model}/*/*.zarr/{group}/complete.json")):
                there = path.parent.relative_to(self.first)
                if (self.second / there / "complete.json").is_file():
                    yield self.first / there, self.second / there


def _reductions(folder: Path) -> set[str]:
    return {
        record.parent.relative_to(folder).as_posix()
        for record in folder.rglob("complete.json")
        if json.loads(record.read_text("utf-8"))["content"] == "reduction"
    }


# --- in words -------------------------------------------------------------------------------------


def share(number: int, of: int) -> str:
    """A number and the share that it is."""
    return f"{number:,} of {of:,} ({100 * number / of:.2g} %)" if of else "none"


def in_words(compared: Sequence[Compared]) -> str:
    """How much one variable of one or several reductions differs."""
    first, second = (
        np.concatenate([np.ravel(one[place].values) for one in compared]) for place in (0, 1)
    )
    if first.dtype.kind not in "fiu":
        return f"{share(differ(first, second), first.size)} differ"
    off = distances(first, second)
    if not off.size:
        return "nothing to compare"
    told = [
        f"ρ {spearman(first, second):.5f}",
        f"Δ ≤ {off.max():.2g}, median {np.median(off):.2g}",
    ]
    if first.dtype.kind in "iu":
        told.append(f"{share(differ(first, second), first.size)} differ")
    if all(one.ends for one in compared):
        counts = [outside(one.second, *one.ends) for one in compared]
        told.append(f"{share(*map(sum, zip(*counts, strict=True)))} outside the interval")
    return "; ".join(told)


def variable(
    pattern: str, name: str, seen: Callable[[xr.DataArray], xr.DataArray] = xr.DataArray
) -> Callable[[Runs, str], str]:
    """Compare one variable of a model's reductions whose paths match a pattern, as ``seen``."""

    def told(runs: Runs, model: str) -> str:
        found = [
            Compared(seen(one.first), seen(one.second), tuple(map(seen, one.ends)))
            for path in runs.reductions
            if Path(path).match(pattern.format(model=model))
            for _, one in runs.variables(path, name)
        ]
        if not found:
            return "–"
        if "p_value" in name:
            counts = [stars(one.first.values, one.second.values) for one in found]
            return f"{share(*map(sum, zip(*counts, strict=True)))} stars come or go"
        return in_words(found)

    return told


def as_names(numbers: xr.DataArray) -> xr.DataArray:
    """Numbers of neurons as what they are: names, between which there are no distances."""
    return numbers.astype(str)


def sets(first: Sequence[Values], second: Sequence[Values]) -> str:
    """How much sets of neurons overlap."""
    overlaps = np.array([jaccard(a, b) for a, b in zip(first, second, strict=True)])
    sizes = f"{sum(map(np.count_nonzero, first)):,} and {sum(map(np.count_nonzero, second)):,}"
    if np.isnan(overlaps).all():
        return "no neurons"
    least, middle = np.nanmin(overlaps), np.nanmedian(overlaps)
    return f"Jaccard ≥ {least:.3f}, median {middle:.3f} ({sizes} neurons)"


def lape_sets(runs: Runs, model: str) -> str:
    """The neurons of each language."""
    for _, compared in runs.variables(f"lape/{model}/neurons.zarr", "language_neuron"):
        return sets([*compared.first.values], [*compared.second.values])
    return "–"


def transfer_lists(runs: Runs, model: str) -> str:
    """The neurons of each type and language, chosen on all segments."""
    reduction, masks = f"transfer/{model}/neurons.zarr", []
    if reduction not in runs.reductions:
        return "–"
    for folder in runs:
        data = store.open_dataset(folder / reduction, "reduction").sel(part="all")
        of_lists = []
        for type_, language in product(data["type"].values, data["language"].values):
            one = data[["rank_layer", "rank_neuron"]].sel(type=type_, language=language)
            mask = np.zeros((data.sizes["layer"], data.sizes["neuron"]), bool)
            there = one["rank_layer"].values >= 0
            mask[one["rank_layer"].values[there], one["rank_neuron"].values[there]] = True
            of_lists.append(mask)
        masks.append(of_lists)
    return sets(*masks)


def summed(runs: Runs, model: str) -> str:
    """Rank correlation over a layer's neurons of activations summed over a text's prefixes."""
    found = []
    for paths in runs.groups(model, "roles"):
        layers = [store.read_sums(path, "act_sum") for path in paths]
        found += [spearman(a, b) for a, b in zip(*layers, strict=True)]
    return f"ρ ≥ {min(found):.5f}, median {np.median(found):.5f}" if found else "–"


def firing(group: str) -> Callable[[Runs, str], str]:
    """Compare which neurons fire at the recorded tokens, by the site that says so."""

    def told(runs: Runs, model: str) -> str:
        other = all_ = 0
        for paths in runs.groups(model, group):
            for fired in zip(*_fired(paths), strict=True):
                other, all_ = other + differ(*fired), all_ + fired[0].size
        return f"{share(other, all_)} change"

    return told


def _fired(paths: Sequence[Path]) -> list[Values]:
    """Where a recorded group's neurons fire, bool ``[layer, row, neuron]`` in each run."""
    site = store.read_completion(paths[0], "activations").origin["group"]["site"]
    return [store.read_rows(path, site) > 0 for path in paths]


def kinds(runs: Runs, model: str) -> str:
    """How many neurons are of another kind in an item: active in all, some, one or no languages."""
    tasks: dict[str, list[list[Values]]] = {}
    for paths in runs.groups(model, "prompts"):
        task = paths[0].parents[1].name
        tasks.setdefault(task, []).append(_fired(paths))
    other = all_ = 0
    for languages in tasks.values():
        of_runs = []
        for fired in zip(*languages, strict=True):
            active = np.sum(fired, axis=0)  # number of languages [layer, item, neuron]
            kind = np.minimum(active, 2)  # in none, one, several
            kind[active == len(languages)] = 3
            of_runs.append(kind)
        other, all_ = other + differ(*of_runs), all_ + of_runs[0].size
    return f"{share(other, all_)} change" if all_ else "–"


ROWS: dict[str, Callable[[Runs, str], str]] = {
    "activations summed over a text's prefixes, by layer": summed,
    "firing at the last token of a prompt": firing("prompts"),
    "firing at the last token of a segment": firing("states"),
    "`roles`: activation frequency": variable("roles/{model}/activation_frequency.zarr", "mean"),
    "`roles`: flatness": variable("roles/{model}/flatness.zarr", "flatness_mean"),
    "`roles`: dominant neuron": variable(
        "roles/{model}/dominant_neurons.zarr", "most_often_maximum", as_names
    ),
    "`roles`: distance of prefixes": variable("roles/{model}/distance.zarr", "distance_mean"),
    "`roles`: rank correlation of languages": variable(
        "roles/{model}/rank_correlation.zarr", "rank_correlation"
    ),
    "`roles`: without shared tokens": variable(
        "roles/{model}/rank_correlation.zarr", "without_shared_tokens"
    ),
    "`lexicon`: association with languages": variable(
        "lexicon/{model}/association.zarr", "association"
    ),
    "`sharing`: kind of a neuron in an item": kinds,
    "`sharing`: shares of kinds": variable("sharing/{model}/kinds.zarr", "kind_share"),
    "`sharing`: ln p of answers": variable("sharing/{model}/answers/*.zarr", "log_probability"),
    "`sharing`: accuracy": variable("sharing/{model}/answers/*.zarr", "accuracy"),
    "`sharing`: ln p less that with a control": variable(
        "sharing/{model}/answers/*.zarr", "log_probability_excess"
    ),
    "`sharing`: its test": variable(
        "sharing/{model}/answers/*.zarr", "log_probability_excess_p_value"
    ),
    "`experts`: frequency": variable("experts/{model}/frequency.zarr", "expert_frequency"),
    "`experts`: languages that share an expert": variable(
        "experts/{model}/frequency.zarr", "shared_by"
    ),
    "`experts`: similarity of languages": variable("experts/{model}/frequency.zarr", "similarity"),
    "`experts`: ln perplexity with few experts": variable(
        "experts/{model}/inference.zarr", "perplexity", np.log
    ),
    "`lape`: a language's neurons": lape_sets,
    "`lape`: activation probability": variable(
        "lape/{model}/neurons.zarr", "activation_probability"
    ),
    "`lape`: ln perplexity": variable("lape/{model}/perplexity.zarr", "baseline", np.log),
    "`lape`: change of ln perplexity": variable("lape/{model}/perplexity.zarr", "change"),
    "`lape`: its excess over controls": variable("lape/{model}/perplexity.zarr", "excess"),
    "`lape`: its test": variable("lape/{model}/perplexity.zarr", "excess_p_value"),
    "`transfer`: scores": variable("transfer/{model}/neurons.zarr", "score"),
    "`transfer`: lists": transfer_lists,
    "`transfer`: mutual neighbours": variable("transfer/{model}/space.zarr", "mutual_knn"),
    "`transfer`: similarity of translations": variable("transfer/{model}/space.zarr", "parallel"),
    "`transfer`: that without neurons": variable(
        "transfer/{model}/deactivation.zarr", "similarity_excess"
    ),
    "`transfer`: ln p of answers": variable("transfer/{model}/tasks.zarr", "log_probability"),
    "`transfer`: accuracy": variable("transfer/{model}/tasks.zarr", "accuracy"),
    "`transfer`: its test": variable(
        "transfer/{model}/tasks.zarr", "log_probability_excess_p_value"
    ),
    "`agreement`: overlap of methods": variable("agreement/{model}/agreement.zarr", "jaccard_all"),
    "`agreement`: its test": variable("agreement/{model}/agreement.zarr", "p_value_holm"),
    "`boost`: change of ln perplexity": variable("boost/{model}/boost.zarr", "change"),
    "`boost`: share of texts in the language": variable("boost/{model}/boost.zarr", "share"),
    "`boost`: texts written": variable("boost/{model}/boost.zarr", "continuation"),
    "`boost`: its test": variable("boost/{model}/boost.zarr", "excess_p_value"),
}
"""What is compared, by the words of its line."""


def table(runs: Runs) -> str:
    """The lines of ``ROWS`` in Markdown, with a column for each model."""
    models = runs.models()
    lines = [["result", *models], ["---"] * (1 + len(models))]
    lines += [[words, *(told(runs, model) for model in models)] for words, told in ROWS.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def every_variable(runs: Runs) -> pd.DataFrame:
    """A line for each variable of each reduction."""
    lines = []
    for reduction in runs.reductions:
        for name, compared in runs.variables(reduction):
            first, second = compared.first.values, compared.second.values
            line: dict[str, Any] = {"reduction": reduction, "variable": name, "entries": first.size}
            line["differ"] = differ(first, second)
            if first.dtype.kind in "fiu" and len(off := distances(first, second)):
                line["spearman"] = spearman(np.ravel(first), np.ravel(second))
                line["largest"], line["median"] = off.max(), np.median(off)
            if compared.ends:
                line["outside"], line["with_interval"] = outside(compared.second, *compared.ends)
            if "p_value" in name:
                line["stars_changed"], line["tested"] = stars(first, second)
            lines.append(line)
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--all", type=Path, required=True)
    told = parser.parse_args()
    runs = Runs(told.first, told.second)
    told.table.write_text(table(runs), "utf-8")
    every_variable(runs).to_csv(told.all, index=False, float_format="%.6g")
    print(f"{told.table} and {told.all} are written")
    if lacking := runs.lacking():
        sys.exit("only one of the runs has " + ", ".join(lacking))


if __name__ == "__main__":
    main()
