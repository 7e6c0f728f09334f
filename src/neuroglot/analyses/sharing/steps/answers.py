"""A task's answers with neurons of a kind deactivated or converted (tables 2, 3, 5 and 6)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.answers import Asked, Examiner, encoded
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.sharing.measures.kinds import Bits, KindBits, convertible, kinds
from neuroglot.analyses.sharing.prompts import open_prompts, recorded_items
from neuroglot.analyses.sharing.settings import AnswersInputs, AnswersSettings
from neuroglot.capture.answers import Variant
from neuroglot.measures.answers import ANSWERS, BASELINE, answer_statistics
from neuroglot.measures.controls import random_like
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.provenance import digest, fingerprint
from neuroglot.tasks.base import facts_of

WITHOUT = ("all_shared", "partial_shared", "specific")
CONVERTED = {
    "specific": ("specific",),
    "partial_shared": ("partial_shared",),
    "both": ("specific", "partial_shared"),
}
VARIANTS = (
    BASELINE,
    *(f"without_{kind}" for kind in WITHOUT),
    *(f"random_{kind}" for kind in WITHOUT),
    *(f"converted_{kinds}" for kinds in CONVERTED),
    *(f"random_converted_{kinds}" for kinds in CONVERTED),
)

VARIABLES: Mapping[str, str] = {
    **ANSWERS,
    "variant": "the model as it is, without a kind of neurons, with some converted, or the same "
    "with as many random neurons",
}


def compute(inputs: AnswersInputs, settings: AnswersSettings) -> xr.Dataset:
    """Let the model answer every question unedited, without each kind, and with kinds converted."""
    task = settings.task
    [prompts] = open_prompts({task: inputs.prompts}, [task], settings.languages)
    active = prompts.active(settings.threshold)
    items = recorded_items(inputs.items, prompts)
    asked = _Asked(
        task,
        settings.scoring,
        encoded(inputs.model, task, items),
        # Padding neurons of narrower layers are never active, and so never edited.
        kinds(active.values(), max(prompts.neurons)),
        np.stack(list(active.values())),
        prompts.neurons,
    )
    by_item = asked.by_item(_answers(inputs, settings, asked), VARIANTS, facts_of(items))
    data = answer_statistics(by_item, settings.replicates)
    return data.assign_attrs(task=task, scoring=settings.scoring)


@dataclass(frozen=True, eq=False)
class _Asked(Asked):
    """One task's questions in all languages, and the neurons to edit.

    Attributes:
        kinds: kinds of neurons in every item, ``[item, layer, byte]``.
        active: active neurons, ``[language, item, layer, byte]``.
        widths: number of neurons of each layer.
    """

    kinds: KindBits
    active: Bits
    widths: Sequence[int]

    def variants(self, value: float, seeds: int) -> Iterator[tuple[str, Variant | None]]:
        """Give every variant of VARIANTS for the judged questions, controls once per seed.

        Args:
            value: value of converted neurons.
            seeds: number of draws of a control.
        """

        def without(kind: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            mask = self.kinds[self.judged[places, 1]].mask(kind)
            return [Edit(control(mask, seed, places), "set", 0.0)]

        def converted(name: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            languages, items = self.judged[places].T
            active = self.active[languages, items]
            mask = convertible(self.kinds[items], active, CONVERTED[name])
            return [Edit(control(mask, seed, places), "set", value)]

        def control(
            mask: NDArray[np.bool_], seed: int | None, places: NDArray[np.int64]
        ) -> NDArray[np.bool_]:
            return mask if seed is None else random_like(mask, seed, places, self.widths)

        yield BASELINE, None
        for kind in WITHOUT:
            yield f"without_{kind}", partial(without, kind, None)
            for seed in range(seeds):
                yield f"random_{kind}", partial(without, kind, seed)
        for name in CONVERTED:
            yield f"converted_{name}", partial(converted, name, None)
            for seed in range(seeds):
                yield f"random_converted_{name}", partial(converted, name, seed)


def _answers(inputs: AnswersInputs, settings: AnswersSettings, asked: _Asked) -> Piece:
    """Judge one task's answers, or read earlier judgements."""
    measured = {"threshold", "positions", "converted_offset", "random_seeds", "device", "dtype"}
    origin = digest(
        [
            read_card(inputs.model).sha256,
            *asked.identity(),
            hashlib.sha256(asked.active.tobytes()).hexdigest(),
            settings.model_dump(include=measured),
            fingerprint(__name__),
        ]
    )
    value = settings.threshold + settings.converted_offset
    variants = asked.variants(value, settings.random_seeds)
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
