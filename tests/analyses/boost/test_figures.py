"""What is peculiar to the figures of the boost analysis."""

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
    ds["segments"] = ds["segments"] * 0 + 5
    told = factors.loss_changed(ds)
    assert told == "Changes of the loss cannot be told from 5 segments: a star takes 6."
    words = reading.words(factors.perplexity_boosted(ds))
    assert any("too few for intervals and stars" in word for word in words)


def test_a_finding_counts_the_languages_that_could_be_compared() -> None:
    ds = dataset("factors")
    ds["excess_p_value"][:] = 0.3
    ds["excess_p_value"].loc[{"control": "contribution", "factor": 4, "language": "en"}] = 0.01
    told = factors.loss_changed(ds)
    assert "in 0 of 4 from that with others that fire as often" in told
    assert "in 1 of 3 from that with partners of like contribution" in told
