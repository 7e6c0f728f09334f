"""What is peculiar to the figures of the boost analysis."""

import numpy as np
import pytest

from analyses.boost.figure_data import dataset
from neuroglot.analyses.boost.figures import factors
from support import reading


@pytest.mark.parametrize(("prompts", "intervals"), [(4, False), (24, True)])
def test_few_prompts_are_counted_and_have_no_intervals(prompts: int, intervals: bool) -> None:
    ds = dataset("factors", prompts=prompts)
    figure = factors.share_of_text(ds)
    assert f"texts in the language, of {prompts}" in reading.words(figure)
    ends = (ds["share_low"].sel(factor=4, prompted="own") * prompts).values
    assert (reading.missing(figure, ends).size == 0) == intervals
    assert ("cannot be told" in factors.texts_written(ds)) != intervals


def test_a_language_that_cannot_be_identified_is_left_out() -> None:
    words = reading.words(factors.share_of_text(dataset("factors")))
    assert "Thai (1,204)" in words
    assert "Wolof (1,203)" not in words


def test_little_text_gives_no_finding_but_says_so() -> None:
    ds = dataset("factors")
    ds["predicted_tokens"] = ds["predicted_tokens"] * 0 + 31
    assert factors.loss_changed(ds) == "Changes of the loss cannot be told from 31 tokens."
    assert np.isfinite(factors.change(ds).sel(language="en")).all()
