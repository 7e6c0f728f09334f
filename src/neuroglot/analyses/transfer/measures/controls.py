"""Neurons that are deactivated instead of chosen ones, and the variants of a model without them.

A *set* is the neurons that are chosen for a language: its Type 1, its Type 2, or others.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.lists import ALL, OTHER_HALF
from neuroglot.measures.axes import layer_widths
from neuroglot.measures.controls import random_like
from neuroglot.measures.matching import LEAST_MATCHED, Mask, activity_matched, contribution_matched

BASELINE = "baseline"
DRAWN = ("random", "active")
"""What is drawn several times: random neurons, and neurons that are active about as often."""
DONE = ("without", *DRAWN, "matched", "partner")
"""First words of variants: without the set; without random neurons of the same layers; without
others that fire about as often; without the part of the set that has partners of like contribution;
and without these partners."""


DRAWS = 10
"""Draws of neurons for a comparison of what is known of them; they cost no run of the model."""


def variants_of(sets: Iterable[str]) -> list[str]:
    """Name the unedited model, and those without each set and without its controls."""
    return [BASELINE, *(f"{done}_{name}" for name in sets for done in DONE)]


@dataclass(frozen=True, eq=False)
class Described:
    """What a language's neurons do at the last tokens of some segments.

    Of the lists of halves, these are the segments that did not choose them.

    Attributes:
        language: id.
        active_share: share of the segments at whose last token a neuron fires, [layer, neuron];
            NaN for padding neurons.
        contribution: mean of |act_i| ‖v_i‖ over these tokens, [layer, neuron]; likewise.
        widths: number of neurons of each layer.
    """

    language: str
    active_share: NDArray[np.floating]
    contribution: NDArray[np.floating]
    widths: list[int]

    @classmethod
    def of(cls, lists: xr.Dataset, language: str, part: str) -> "Described":
        """Read the description from the result of the step ``neurons``."""
        data = lists[["active_share", "contribution"]].sel(language=language, part=part)
        return cls(
            language,
            data["active_share"].values,
            data["contribution"].values,
            layer_widths(lists["score"]),
        )

    def controls(self, chosen: Mask, seeds: int) -> dict[str, list[Mask]]:
        """Give the neurons of each of DONE, [layer, neuron] once per draw.

        A language's draws do not depend on the other languages.

        Args:
            chosen: the set, bool [layer, neuron].
            seeds: number of draws of those in DRAWN.
        """
        item = zlib.crc32(self.language.encode())
        pairs = contribution_matched(chosen, self.contribution.astype(np.float64))
        return {
            "without": [chosen],
            "random": [
                random_like(chosen[None], seed, [item], self.widths)[0] for seed in range(seeds)
            ],
            "active": [
                activity_matched(
                    chosen,
                    self.active_share,
                    np.random.default_rng([seed, item]),
                    widths=self.widths,
                ).control
                for seed in range(seeds)
            ],
            "matched": [pairs.chosen],
            "partner": [pairs.control],
        }

    def sums(self, mask: Mask) -> NDArray[np.float64]:
        """Count the neurons of a mask and add up their contributions, [2]."""
        contribution = self.contribution.astype(np.float64)
        return np.array([mask.sum(), contribution[mask].sum()])


@dataclass(frozen=True, eq=False)
class Controlled:
    """A set and its controls, chosen on all segments or on each half of them.

    Attributes:
        masks: by the words of DONE, the neurons of each draw, [draw, chosen on, layer, neuron].
            ``chosen on`` is ``all``, or the HALVES. No draw of ``matched`` and ``partner`` if too
            few neurons have a partner.
        matched_share: share of the set's neurons that have a partner of like contribution.
        matched_contribution: share of the set's contribution that comes from these.
        neurons: number of neurons by the words of DONE, mean over draws and halves.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    matched_share: float
    matched_contribution: float
    neurons: Mapping[str, float]


def controlled(
    chosen: Mapping[str, Mask], lists: xr.Dataset, language: str, seeds: int
) -> Controlled:
    """Find the controls of a language's set.

    Args:
        chosen: the set by the part that chose it: ``all``, or both HALVES. The controls of a half's
            set are matched by what neurons do in the other half, which chose nothing.
        lists: result of the step ``neurons``, with ``active_share`` and ``contribution``.
        language: id.
        seeds: number of draws.
    """
    by_part, sums = [], np.zeros((2, 2))
    for part, mask in chosen.items():
        described = Described.of(lists, language, OTHER_HALF.get(part, ALL))
        masks = described.controls(mask, seeds)
        by_part.append(masks)
        sums += [described.sums(masks["matched"][0]), described.sums(mask)]
    of_matched, of_set = sums
    share, contribution = of_matched / np.where(of_set > 0, of_set, np.nan)
    draws = {
        done: np.array([*zip(*(masks[done] for masks in by_part), strict=True)]) for done in DONE
    }
    neurons = {done: float(of_done.sum((-2, -1)).mean()) for done, of_done in draws.items()}
    if not min(share, contribution) >= LEAST_MATCHED:
        draws |= {done: draws[done][:0] for done in ("matched", "partner")}
    return Controlled(draws, float(share), float(contribution), neurons)


def matched_shares(
    sets: Mapping[str, Mapping[str, Controlled]], variants: Sequence[str]
) -> xr.Dataset:
    """Tell how many neurons of each set have partners, at the variant without the set.

    Args:
        sets: by language and name of the set.
        variants: result of ``variants_of``.

    Returns:
        ``matched_share`` and ``matched_contribution(variant, language)``, NaN for other variants.
    """
    shares = np.full((2, len(variants), len(sets)), np.nan)
    for place, of_language in enumerate(sets.values()):
        for name, of_set in of_language.items():
            at = variants.index(f"without_{name}"), place
            shares[(0, *at)], shares[(1, *at)] = of_set.matched_share, of_set.matched_contribution
    dims = ("variant", "language")
    return xr.Dataset(
        {
            "matched_share": (dims, shares[0], {"units": "share of neurons"}),
            "matched_contribution": (dims, shares[1], {"units": "share of contribution"}),
        },
        {"variant": list(variants), "language": list(sets)},
    )
