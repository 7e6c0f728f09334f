"""Streaming statistics of activations: sums over rows, so that batches and shards add up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neuroglot.capture.settings import Rule
from neuroglot.measures import kernels

if TYPE_CHECKING:
    import torch

Partial = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Collector:
    """A statistic of one site that is a sum over rows.

    Attributes:
        site: whose activations it reads.
        chunk: from rows ``[row, width]`` to named partial sums, ``[width]`` or scalars. The sums
            of two sets of rows add up to those of their union.
        prefixes: leaves out rows that end no prefix.
    """

    site: str
    chunk: Callable[["torch.Tensor"], Partial]
    prefixes: bool = False


@dataclass(frozen=True)
class CrossLayerCollector:
    """A statistic that looks at all layers of a row at once and is a sum over rows.

    Attributes:
        site: whose activations it reads.
        layer: from a layer's index and its rows ``[row, width]`` to what is kept of them until the
            other layers are there, ``[row, kept]``.
        rows: from ``[row, layer, kept]`` to named partial sums, ``[layer, ...]``.
    """

    site: str
    layer: Callable[[int, "torch.Tensor"], "torch.Tensor"]
    rows: Callable[["torch.Tensor"], Partial]


@dataclass
class Totals:
    """Running sums by (name, layer): the monoid the collectors share; its unit is empty."""

    sums: "dict[tuple[str, int], torch.Tensor]" = field(default_factory=dict)

    def add(self, name: str, layer: int, value: "torch.Tensor") -> None:
        key = (name, layer)
        self.sums[key] = self.sums[key] + value if key in self.sums else value

    def merge(self, other: "Totals") -> None:
        for (name, layer), value in other.sums.items():
            self.add(name, layer, value)

    def stacked(self) -> "dict[str, torch.Tensor]":
        """Sums as ``[layer, ...]`` arrays by name."""
        import torch

        names = dict.fromkeys(name for name, _ in self.sums)
        return {
            name: torch.stack(
                [
                    v.cpu()
                    for (n, _), v in sorted(self.sums.items(), key=lambda i: i[0])
                    if n == name
                ]
            )
            for name in names
        }


def role_collectors(rule: Rule, threshold: float) -> list[Collector]:
    """The statistics of the roles paper for detectors (``act``) and combinators (``out``).

    Partial sums are named ``{site}_{statistic}``, and ``out_gelu_count`` counts how often GELU of
    a combinator's value fires, as the published figures do.
    """

    def statistics(site: str) -> Collector:
        def chunk(x: "torch.Tensor") -> Partial:
            sums = kernels.row_statistics(x, rule, threshold)
            return {f"{site}_{name}": value for name, value in sums.items()}

        return Collector(site, chunk, prefixes=True)

    def gelu_count(x: "torch.Tensor") -> Partial:
        return {"out_gelu_count": kernels.fire_count(kernels.gelu(x), rule, threshold)}

    return [statistics("act"), statistics("out"), Collector("out", gelu_count, prefixes=True)]


def firing_collectors(gated: bool) -> list[Collector]:
    """How many rows each neuron is positive in: ``act_positive``, ``gate_positive`` if gated."""

    def positive(site: str) -> Collector:
        return Collector(site, lambda x: {f"{site}_positive": kernels.fire_count(x, "positive")})

    return [positive("act"), *([positive("gate")] if gated else [])]
