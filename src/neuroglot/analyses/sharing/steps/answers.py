"""A task's answers with neurons of a kind deactivated or converted (tables 2, 3, 5 and 6).

To *convert* a kind is to activate those of its neurons that are inactive in a language. What says
whether a neuron is active is set above the threshold: in gated models the gate, from which the
model computes the neuron's activation.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.answers import Asked, Examiner, encoded
from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.sharing.measures.kinds import (
    ACTIVE_KINDS,
    Bits,
    KindBits,
    convertible,
    kinds,
    unpack,
)
from neuroglot.analyses.sharing.pairs import KindPairs, layer_value_norms, matched_shares, pairs_of
from neuroglot.analyses.sharing.prompts import Prompts, open_prompts, recorded_items
from neuroglot.analyses.sharing.settings import AnswersInputs, AnswersSettings
from neuroglot.capture.batches import EditsOf
from neuroglot.measures.answers import (
    ANSWERS,
    BASELINE,
    answer_statistics,
    unmatched_left_out,
)
from neuroglot.measures.matching import drawn_like
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit, EditedSite
from neuroglot.provenance import digest, fingerprint
from neuroglot.tasks.base import facts_of

CONVERTED = {
    "specific": ("specific",),
    "partial_shared": ("partial_shared",),
    "both": ("specific", "partial_shared"),
}
OF_WITHOUT = ("without", "random", "active", "matched", "partner")
OF_CONVERTED = ("converted", "inactive")
POOLS = ("random", "active", "inactive")
"""The first words of variants that edit random neurons; each is also the name of the pool from
which the neurons are drawn."""
PAIRED = ("matched", "partner")
VARIANTS = (
    BASELINE,
    *(f"{done}_{kind}" for kind in ACTIVE_KINDS for done in OF_WITHOUT),
    *(f"{done}_{kinds}" for kinds in CONVERTED for done in OF_CONVERTED),
)

VARIABLES: Mapping[str, str] = {
    **ANSWERS,
    "variant": "the model as it is; without a kind of neurons (without), as many random ones "
    "(random), as many other active ones (active), the part of the kind that has partners "
    "(matched) or the partners; with some neurons converted, or as many other inactive ones",
    "matched_share": "share of the kind's active neurons that have a partner of like contribution, "
    "mean over items",
    "matched_contribution": "share of the contribution of the kind's active neurons that comes "
    "from those with such a partner, mean over items",
}


def compute(inputs: AnswersInputs, settings: AnswersSettings) -> xr.Dataset:
    """Let the model answer every question unedited, without each kind, and with kinds converted."""
    task = settings.task
    [prompts] = open_prompts({task: inputs.prompts}, [task], settings.languages)
    active = prompts.active(settings.threshold)
    items = recorded_items(inputs.items, prompts)
    pairs = pairs_of(prompts, active, layer_value_norms(inputs.model), settings.threshold)
    asked = _Asked(
        task,
        settings.scoring,
        encoded(inputs.model, task, items),
        # Padding neurons of narrower layers are never active, and so never edited.
        kinds(active.values(), max(prompts.neurons)),
        np.stack(list(active.values())),
        prompts.neurons,
        pairs,
        prompts.site,
        _converted_to(prompts, settings),
    )
    by_item = asked.by_item(_answers(inputs, settings, asked), VARIANTS, facts_of(items))
    shares = matched_shares(pairs, list(prompts.recorded)).reindex(variant=list(VARIANTS))
    data = answer_statistics(by_item, settings.replicates).merge(shares, join="exact")
    return unmatched_left_out(data).assign_attrs(
        task=task, scoring=settings.scoring, site=prompts.site
    )


def _converted_to(prompts: Prompts, settings: AnswersSettings) -> NDArray[np.float32]:
    """What converted neurons are set to, ``[language, item, layer]``.

    Where no neuron of a layer is active, there is no median: converted neurons are set just above
    the threshold.
    """
    just_above = np.float32(settings.threshold + settings.converted_offset)
    if settings.converted_to == "median_active":
        medians = prompts.median_active(settings.threshold)
        return np.where(np.isnan(medians), just_above, medians)
    return np.full((len(prompts.recorded), len(prompts.items), len(prompts.neurons)), just_above)


@dataclass(frozen=True, eq=False)
class _Asked(Asked):
    """One task's questions in all languages, and the neurons to edit.

    Attributes:
        kinds: kinds of neurons in every item, packed bits ``[item, layer, byte]``.
        active: active neurons, packed bits ``[language, item, layer, byte]``.
        widths: number of neurons of each layer.
        pairs: each kind's active neurons with a partner, and the partners.
        site: what says whether a neuron is active, and what converting a neuron edits.
        converted_to: what converted neurons are set to, ``[language, item, layer]``.
    """

    kinds: KindBits
    active: Bits
    widths: Sequence[int]
    pairs: Mapping[str, KindPairs]
    site: EditedSite
    converted_to: NDArray[np.float32]

    def edited(self) -> Iterator[NDArray[Any]]:
        """Give the arrays that decide which neurons are edited, and how."""
        yield self.active
        yield from (bits for kind in ACTIVE_KINDS for bits in self.pairs[kind].bits)
        yield self.converted_to

    def variants(self, seeds: int) -> Iterator[tuple[str, EditsOf | None]]:
        """Give every variant of VARIANTS for the judged questions, random ones once per seed.

        Variants in ``OF_CONVERTED`` set neurons to ``converted_to``; other variants set them to 0.

        Args:
            seeds: number of draws of a random variant.
        """
        yield BASELINE, None
        for variant in VARIANTS[1:]:
            done, _, name = variant.partition("_")
            for seed in range(seeds if done in POOLS else 1):
                yield variant, partial(self._edits, done, name, seed)

    def _edits(self, done: str, name: str, seed: int, places: NDArray[np.int64]) -> list[Edit]:
        """Give the edit of a variant for some of the judged questions.

        Args:
            done: the variant's first word, which says what is done.
            name: the rest of it: a kind, or a key of ``CONVERTED``.
            seed: seed of random neurons.
            places: which questions, as indices into ``judged``.
        """
        languages, items = self.judged[places].T
        bits, neurons = self.active[languages, items], self.kinds.neurons
        if done in PAIRED:
            paired = self.pairs[name].bits[PAIRED.index(done)]
            return [Edit(unpack(paired[languages, items], neurons))]
        active = unpack(bits, neurons)
        chosen = (
            convertible(self.kinds[items], bits, CONVERTED[name])
            if done in OF_CONVERTED
            else self.kinds[items].mask(name) & active
        )
        if done in POOLS:
            there = np.arange(neurons) < np.array(self.widths)[:, None]
            pool = {"random": there, "active": active, "inactive": there & ~active}[done]
            chosen = drawn_like(chosen, pool & ~chosen, seed, places)
        if done in OF_CONVERTED:
            return [Edit(chosen, "set", self.converted_to[languages, items], self.site)]
        return [Edit(chosen)]


def _answers(inputs: AnswersInputs, settings: AnswersSettings, asked: _Asked) -> Piece:
    """Judge one task's answers, or read earlier judgements."""
    measured = {"positions", "random_seeds", *RUNNING}
    origin = digest(
        [
            read_card(inputs.model).sha256,
            *asked.identity(),
            [hashlib.sha256(array.tobytes()).hexdigest() for array in asked.edited()],
            asked.site,
            settings.model_dump(include=measured),
            fingerprint(__name__),
        ]
    )
    variants = asked.variants(settings.random_seeds)
    examiner = Examiner(
        model=inputs.model,
        device=settings.device,
        dtype=settings.dtype,
        positions=settings.positions,
        batch_tokens=inputs.work.execution.batch_tokens,
    )
    return piece(
        inputs.work.pieces / "answers.npz", origin, lambda: examiner.ask(asked, VARIANTS, variants)
    )
