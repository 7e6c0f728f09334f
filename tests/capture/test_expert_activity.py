"""What experts do while a model reads: against segments read alone."""

import numpy as np
import pytest
import torch

from neuroglot.capture.expert_activity import ExpertActivity
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.models.ffn import backbone, record
from support.tiny_mixtures import EXPERTS, mixture_of

LENGTHS, GROUP, BEFORE = (5, 9, 3, 7), np.array([0, 1, 1, 0]), [1]


@pytest.mark.parametrize(("name", "routed"), [("olmoe", [0, 1]), ("qwen3_moe:some_dense", [1, 3])])
def test_sums_are_those_of_segments_read_alone(name: str, routed: list[int]) -> None:
    model, generator = mixture_of(name), np.random.default_rng(0)
    segments = [generator.integers(3, 30, length) for length in LENGTHS]
    activity = ExpertActivity(model, GROUP)
    negative_log_likelihood(model, segments, BEFORE, 16, activity=activity)
    assert activity.layers == routed
    chosen, weight = np.zeros((2, 2, len(routed), EXPERTS))
    for group, segment in zip(GROUP, segments, strict=True):

        def keep(
            site: str, _stack: str, layer: int, value: torch.Tensor, group: int = group
        ) -> None:
            sums = chosen if site == "chosen" else weight
            sums[group, routed.index(layer)] += value[0, len(BEFORE) :].double().sum(0).numpy()

        with torch.inference_mode(), record(model, {"chosen", "weight"}, keep):
            backbone(model)(torch.tensor([[*BEFORE, *segment.tolist()]]))
    np.testing.assert_array_equal(activity.chosen, chosen)
    np.testing.assert_allclose(activity.weight, weight, rtol=1e-5)
    assert activity.tokens.tolist() == [12, 12]
    np.testing.assert_allclose(activity.frequency().sum(-1), 2)
    np.testing.assert_allclose(activity.contribution(), weight / 12, rtol=1e-5)
