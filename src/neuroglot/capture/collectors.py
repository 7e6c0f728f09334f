"""Statistics of activations that are sums over rows, so that they can be added up over batches.

Statistics whose name ends in ``_by_fold`` have a sum for each fold of segments (see
``tokens.Tokens.folds``), from which intervals are computed. The others sum over all rows. In a
parallel text every segment is a fold of its own. Such sums are not added up, but written with their
block, as ``_by_segment``.
"""

from collections.abc import Callable, Mapping
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

    from neuroglot.models.experts import Routed

Partial = Mapping[str, "torch.Tensor"]

BY_FOLD = "_by_fold"
BY_SEGMENT = "_by_segment"


@dataclass(frozen=True)
class Collector:
    """A statistic of one site that is a sum over rows.

    Attributes:
        site: the site whose activations are read.
        chunk: takes rows ``[row, width]`` and their folds ``[fold, row]`` (1 if the row is in the
            fold, else 0). Returns partial sums by name: ``[width]`` or a scalar, with a first
            dimension ``fold`` if the name ends in ``_by_fold``. Whole numbers are counts of rows.
            The sums of two disjoint sets of rows add up to the sums of their union.
        routed: gives the same for the neurons of routed experts, which are 0 in rows that are not
            routed to their expert; None if that takes a row's neurons together.
    """

    site: str
    chunk: Callable[["torch.Tensor", "torch.Tensor"], Partial]
    routed: "Callable[[Routed, torch.Tensor], Partial] | None" = None


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
    """Running sums by name and layer, added up over batches.

    Sums by fold are ``[FOLDS, ...]``, with 0 in folds without rows.
    """

    sums: "dict[tuple[str, int], torch.Tensor]" = field(default_factory=dict)

    def collect(self, partial: Partial, layer: int, folds: "torch.Tensor") -> None:
        """Add a collector's partial sums; ``folds`` are the numbers of the folds along ``fold``."""
        for name, sums in partial.items():
            key, by_fold = (name, layer), name.endswith(BY_FOLD)
            if key not in self.sums:
                shape = (FOLDS, *sums.shape[1:]) if by_fold else sums.shape
                self.sums[key] = sums.new_zeros(shape)
            if by_fold:
                self.sums[key].index_add_(0, folds.to(sums.device), sums)
            else:
                self.sums[key] += sums

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of the sums by ``name/layer``."""
        return {
            f"{name}/{layer}": np.array(sums.cpu()) for (name, layer), sums in self.sums.items()
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Totals":
        """Restore the totals from ``arrays``."""
        import torch

        sums = {}
        for key, values in arrays.items():
            name, _, layer = key.rpartition("/")
            sums[name, int(layer)] = torch.from_numpy(values)
        return cls(sums)

    def stacked(self) -> dict[str, NDArray[Any]]:
        """Sums ``[layer, ...]`` or ``[layer, FOLDS, ...]``."""
        by_name: dict[str, dict[int, NDArray[Any]]] = {}
        for (name, layer), sums in self.sums.items():
            by_name.setdefault(name, {})[layer] = sums.cpu().numpy()
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
        by_fold = kernels.gelu_count_by_fold(x, folds, rule, threshold)
        return _with_total("out_gelu_count", by_fold)

    return [statistics("act"), statistics("out"), Collector("out", gelu_count)]


def firing_collectors(gated: bool) -> list[Collector]:
    """Rows in which each neuron is positive: ``act_positive``, and ``gate_positive`` if gated."""

    def positive(site: str) -> Collector:
        def chunk(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
            return _with_total(f"{site}_positive", kernels.fire_count_by_fold(x, folds, "positive"))

        def routed(x: "Routed", folds: "torch.Tensor") -> Partial:
            fires = x.map(lambda values, _weight: (values > 0).float())
            return _with_total(f"{site}_positive", fires.sum_by_fold(folds).int())

        return Collector(site, chunk, routed)

    return [positive("act"), *([positive("gate")] if gated else [])]


def reached_collector() -> Collector:
    """Tokens that pass through each neuron of a mixture of experts, ``act_reached``.

    They are all tokens or, of a routed expert's neurons, those that are routed to it.
    """

    def chunk(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
        rows = folds.sum(1, keepdim=True).int()
        return _with_total("act_reached", rows.expand(-1, x.shape[1]))

    def routed(x: "Routed", folds: "torch.Tensor") -> Partial:
        passed = x.map(lambda values, _weight: values.new_ones(()).expand_as(values))
        return _with_total("act_reached", passed.sum_by_fold(folds).int())

    return Collector("act", chunk, routed)


def chosen_collector() -> Collector:
    """Tokens that are routed to each expert, ``chosen_count``."""

    def chosen(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
        return _with_total("chosen_count", (folds @ x).int())

    return Collector("chosen", chosen)


def routing_collectors(slots: int) -> list[Collector]:
    """How a mixture of experts routes tokens, a layer at a time.

    ``chosen_count`` and ``weight_sum`` are by expert: tokens that are routed to it, and the sum of
    the router's weights. Of the router's probabilities there are sums over tokens by expert, of
    their entropy in bits, of the largest, and of how far the last that a token passes through is
    above the next (``slots`` of them are passed).
    """

    def weight(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
        return _with_sum("weight_sum", folds.double() @ x.double())

    def router(x: "torch.Tensor", folds: "torch.Tensor") -> Partial:
        x, folds = x.double(), folds.double()
        likeliest = x.topk(min(slots + 1, x.shape[1])).values
        by_row = {
            "router_entropy_sum": -(x * x.clamp_min(1e-300).log2()).sum(1),
            "router_top_sum": likeliest[:, 0],
            "router_margin_sum": likeliest[:, slots - 1] - likeliest[:, -1],
        }
        sums = _with_sum("router_sum", folds @ x)
        for name, values in by_row.items():
            sums |= _with_sum(name, folds @ values)
        return sums

    return [
        chosen_collector(),
        Collector("weight", weight),
        Collector("router", router),
    ]


def _with_sum(name: str, by_fold: "torch.Tensor") -> dict[str, "torch.Tensor"]:
    """Float64 sums ``[fold, ...]``, and their sum over folds."""
    return {name: by_fold.sum(0), f"{name}{BY_FOLD}": by_fold}


def _with_total(name: str, by_fold: "torch.Tensor") -> Partial:
    """Counts ``[fold, width]``, and their sum over folds as integers. Both are exact."""
    return {name: by_fold.long().sum(0), f"{name}{BY_FOLD}": by_fold}
