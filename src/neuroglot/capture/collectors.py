"""Statistics of activations that are sums over rows, so that they can be added up over batches.

Statistics whose name ends in ``_by_fold`` have a sum for each fold of segments (see
``tokens.Tokens.folds``), from which intervals are computed. The others sum over all rows. In a
parallel text every segment is a fold of its own. Such sums are not added up, but written with their
block, as ``_by_segment``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.measures import kernels
from neuroglot.measures.axes import stack_layers
from neuroglot.measures.folds import FOLDS
from neuroglot.settings import Rule

if TYPE_CHECKING:
    import torch

Partial = Mapping[str, "torch.Tensor"]

BY_FOLD = "_by_fold"
BY_SEGMENT = "_by_segment"
FOLD_NUMBERS = "folds"
ALL = -1


@dataclass(frozen=True)
class Collector:
    """A statistic of one site that is a sum over rows.

    Attributes:
        site: the site whose activations are read.
        chunk: takes rows ``[row, width]`` and their folds ``[fold, row]`` (1 if the row is in the
            fold, else 0). Returns partial sums by name: ``[width]`` or a scalar, with a first
            dimension ``fold`` if the name ends in ``_by_fold``. Whole numbers are counts of rows.
            The sums of two disjoint sets of rows add up to the sums of their union.
    """

    site: str
    chunk: Callable[["torch.Tensor", "torch.Tensor"], Partial]


@dataclass(frozen=True)
class CrossLayerCollector:
    """A statistic that looks at all layers of a row at once and is a sum over rows.

    Attributes:
        site: the site whose activations are read.
        layer: takes a layer's index and its rows ``[row, width]``. Returns the values
            ``[row, kept]`` that are kept until all layers have run.
        rows: takes the kept values ``[row, layer, kept]`` and the rows' folds (see ``Collector``).
            Returns partial sums by name, ``[layer, ...]`` or, by fold, ``[layer, fold, ...]``.
    """

    site: str
    layer: Callable[[int, "torch.Tensor"], "torch.Tensor"]
    rows: Callable[["torch.Tensor", "torch.Tensor"], Partial]


@dataclass
class Totals:
    """Running sums by (name, layer, fold), added up over batches.

    Only folds that have rows take memory. Sums over all rows have the fold ``ALL``.
    """

    sums: "dict[tuple[str, int, int], torch.Tensor]" = field(default_factory=dict)

    def add(self, name: str, layer: int, sums: "torch.Tensor", fold: int = ALL) -> None:
        key = (name, layer, fold)
        self.sums[key] = self.sums[key] + sums if key in self.sums else sums

    def collect(self, partial: Partial, layer: int, folds: Sequence[int]) -> None:
        """Add a collector's partial sums; ``folds`` are the numbers of the folds along ``fold``."""
        for name, sums in partial.items():
            if name.endswith(BY_FOLD):
                for fold, of_fold in zip(folds, sums, strict=True):
                    self.add(name, layer, of_fold, fold)
            else:
                self.add(name, layer, sums)

    def merge(self, other: "Totals") -> None:
        for (name, layer, fold), sums in other.sums.items():
            self.add(name, layer, sums, fold)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sums by ``name/layer``, and the numbers of their folds under ``folds/0``.

        Sums by fold are ``[fold, ...]``. All of them have the same folds, because each batch adds
        to every sum.
        """
        by_fold: dict[str, dict[int, NDArray[Any]]] = {}
        for (name, layer, fold), sums in self.sums.items():
            by_fold.setdefault(f"{name}/{layer}", {})[fold] = sums.cpu().numpy()
        folds = sorted({fold for _, _, fold in self.sums} - {ALL})
        arrays = {
            key: of_key[ALL] if ALL in of_key else np.stack([of_key[fold] for fold in folds])
            for key, of_key in by_fold.items()
        }
        return arrays | {f"{FOLD_NUMBERS}/0": np.array(folds, np.int64)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Totals":
        """Restore the totals from ``arrays``."""
        import torch

        folds, totals = arrays[f"{FOLD_NUMBERS}/0"].tolist(), cls()
        for key, sums in arrays.items():
            name, _, layer = key.rpartition("/")
            if name != FOLD_NUMBERS:
                totals.collect({name: torch.from_numpy(sums)}, int(layer), folds)
        return totals

    def stacked(self) -> dict[str, NDArray[Any]]:
        """Sums ``[layer, ...]`` or ``[layer, FOLDS, ...]``, with 0 in folds without rows."""
        by_name: dict[str, dict[int, NDArray[Any]]] = {}
        arrays = self.arrays()
        folds = arrays.pop(f"{FOLD_NUMBERS}/0")
        for key, sums in arrays.items():
            name, _, layer = key.rpartition("/")
            of_layer = sums
            if name.endswith(BY_FOLD):
                of_layer = np.zeros((FOLDS, *sums.shape[1:]), sums.dtype)
                of_layer[folds] = sums
            by_name.setdefault(name, {})[int(layer)] = of_layer
        return {
            name: stack_layers([layers[layer] for layer in sorted(layers)])
            for name, layers in sorted(by_name.items())
        }


def role_collectors(rule: Rule, threshold: float) -> list[Collector]:
    """The statistics of the roles paper for detectors (``act``) and combinators (``out``).

    Partial sums are named ``{site}_{statistic}``. ``out_gelu_count`` counts the rows in which GELU
    of a combinator's value fires, as in the published figures.
    """

    def statistics(site: str) -> Collector:
        def chunk(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
            sums = kernels.row_statistics(x, rule, threshold, folds)
            return {f"{site}_{name}": value for name, value in sums.items()}

        return Collector(site, chunk)

    def gelu_count(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
        by_fold = kernels.fire_count_by_fold(kernels.gelu(x), folds, rule, threshold)
        return _with_total("out_gelu_count", by_fold)

    return [statistics("act"), statistics("out"), Collector("out", gelu_count)]


def firing_collectors(gated: bool) -> list[Collector]:
    """Rows in which each neuron is positive: ``act_positive``, and ``gate_positive`` if gated."""

    def positive(site: str) -> Collector:
        def chunk(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
            return _with_total(f"{site}_positive", kernels.fire_count_by_fold(x, folds, "positive"))

        return Collector(site, chunk)

    return [positive("act"), *([positive("gate")] if gated else [])]


def _with_total(name: str, by_fold: "torch.Tensor") -> Partial:
    """Counts ``[fold, width]``, and their sum over folds as integers. Both are exact."""
    return {name: by_fold.long().sum(0), f"{name}{BY_FOLD}": by_fold}
