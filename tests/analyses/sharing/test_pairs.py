"""Partners of like contribution, against one row at a time."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from neuroglot.analyses.sharing.measures.kinds import ACTIVE_KINDS, kinds, pack, unpack
from neuroglot.analyses.sharing.pairs import matched_shares, pairs_of
from neuroglot.analyses.sharing.prompts import Prompts
from neuroglot.measures.matching import contribution_matched

WIDTHS = (60, 33)
LANGUAGES = ("en", "de", "fr")


def test_pairs_are_of_the_kinds_active_neurons() -> None:
    generator = np.random.default_rng(0)
    act = [generator.normal(size=(len(LANGUAGES), 4, width)) for width in WIDTHS]
    fired = [values > 0.3 for values in act]
    norms = [generator.uniform(0.5, 2, width) for width in WIDTHS]

    def by_layer(threshold: float) -> Any:
        assert threshold == 0.3
        for values, on in zip(act, fired, strict=True):
            of_layer = dict(zip(LANGUAGES, values, strict=True))
            yield of_layer, kinds([pack(mask) for mask in on], values.shape[-1])

    prompts = SimpleNamespace(
        recorded=dict.fromkeys(LANGUAGES), items=list("abcd"), neurons=WIDTHS, by_layer=by_layer
    )
    active = {}
    for place, language in enumerate(LANGUAGES):
        active[language] = np.zeros((4, 2, 8), np.uint8)
        for layer, on in enumerate(fired):
            packed = pack(on[place])
            active[language][:, layer, : packed.shape[-1]] = packed
    pairs = pairs_of(cast(Prompts, prompts), active, norms, 0.3)

    speakers = [on.sum(0) for on in fired]
    numbers = {"all_shared": (3,), "partial_shared": (2,), "specific": (1,)}
    for kind in ACTIVE_KINDS:
        for place in range(len(LANGUAGES)):
            for item in range(4):
                parts = np.zeros((2, 2))  # with a partner and all; neurons and contribution
                for layer, width in enumerate(WIDTHS):
                    here = np.isin(speakers[layer][item], numbers[kind])
                    chosen = here & fired[layer][place, item]
                    weight = np.abs(act[layer][place, item]) * norms[layer]
                    expected = contribution_matched(chosen, weight)
                    for bits, mask in zip(pairs[kind].bits, expected, strict=True):
                        found = unpack(bits[place, item, layer], max(WIDTHS))
                        assert (found[:width] == mask).all()
                        assert not found[width:].any()
                    for end, mask in enumerate((expected.chosen, chosen)):
                        parts[end] += mask.sum(), weight[mask].sum()
                shares = parts[0] / parts[1]
                found = pairs[kind].share[place, item], pairs[kind].contribution[place, item]
                np.testing.assert_allclose(found, shares)
    data = matched_shares(pairs, LANGUAGES)
    mean = pairs["specific"].share[1].mean()
    assert data["matched_share"].sel(variant="without_specific", language="de") == mean
    assert (data["matched_contribution"] <= 1).all()
