"""Intervals of ``sharing``: against loops over the same resamples, and the order that is kept."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroglot.analyses.answers import Asked
from neuroglot.analyses.run import merged
from neuroglot.analyses.sharing.measures.by_fact import by_fact, means_bounded
from neuroglot.analyses.sharing.measures.contribution import SHARES, contributions_bounded
from neuroglot.analyses.sharing.measures.effective import score_statistics, scores_bounded
from neuroglot.analyses.sharing.measures.kind_shares import kind_shares
from neuroglot.analyses.sharing.measures.kinds import KINDS, KindBits, kinds, pack
from neuroglot.analyses.sharing.measures.maxima import (
    CANDIDATES,
    maximum_interval,
    resampled_maxima,
)
from neuroglot.capture.questions import Question
from neuroglot.measures.answers import (
    answer_statistics,
    by_control,
    compared_variants,
    unmatched_left_out,
)
from neuroglot.measures.bootstrap import expanded_percentiles, resample_weights, with_bounds
from neuroglot.measures.significance import (
    difference_interval,
    difference_p_value,
    step_down_p_value,
)
from neuroglot.tables import tidy

REPLICATES = 200


def resamples(items: int, replicates: int = REPLICATES) -> list[list[int]]:
    """The items of each resample, one as often as it was drawn."""
    weights = np.concatenate([*resample_weights(items, replicates, 0)]).astype(int)
    return [np.repeat(np.arange(items), own).tolist() for own in weights]


def names(facts: int) -> list[str]:
    """As many facts, of one item each."""
    return [f"fact {number}" for number in range(facts)]


def quantiles(drawn, units) -> np.ndarray:
    """Low and high of [replicate, ...], with the number of items of each variable."""
    drawn = np.array(drawn)
    units = np.broadcast_to(units, drawn.shape[1:])
    bounds = expanded_percentiles(drawn.reshape(len(drawn), -1).T, units.ravel())
    return bounds.reshape(2, *units.shape)


def test_the_band_of_a_share_is_that_of_whole_resamples():
    active = np.random.default_rng(0).random((3, 12, 2, 40)) < 0.6
    found = kinds(map(pack, active), 40)
    share, facts = kind_shares(found), names(12)
    data = means_bounded(xr.Dataset({"share": share}), facts, REPLICATES)
    again = [
        kind_shares(kinds(map(pack, active[:, drawn]), 40)).mean("item") for drawn in resamples(12)
    ]
    xr.testing.assert_allclose(data["share"], share.mean("item"), rtol=1e-14)
    low, high = quantiles([share.values for share in again], 12)
    np.testing.assert_allclose(data["share_low"], low, rtol=1e-12)
    np.testing.assert_allclose(data["share_high"], high, rtol=1e-12)
    assert list(data) == with_bounds("share")
    assert data["share_low"].attrs["units"] == "share of neurons"
    turned = kind_shares(kinds(map(pack, active[::-1]), 40))
    other = means_bounded(xr.Dataset({"share": turned}), facts, REPLICATES)
    xr.testing.assert_identical(other["share_low"], data["share_low"])


def test_bands_of_shares_cover_the_truth():
    generator, covered = np.random.default_rng(1), []
    for _ in range(150):
        of_item = generator.uniform(0.2, 0.6, 40)[:, None, None]  # the truth is 0.4
        active = pack(generator.random((40, 1, 64)) < of_item)
        found = kinds([active, active], 64)
        data = means_bounded(xr.Dataset({"share": kind_shares(found)}), names(40), REPLICATES)
        own = data.sel(kind="all_shared").isel(layer=0)
        covered.append(bool((own["share_low"] <= 0.4) & (own["share_high"] >= 0.4)))
    assert 0.88 < np.mean(covered) <= 0.99


def test_a_fact_in_several_wordings_is_one_unit_of_every_mean():
    """However many wordings there are, means and intervals are those of the facts."""
    generator = np.random.default_rng(7)
    once = generator.random((3, 9, 2))  # [language, item, layer]
    once[0, 4] = np.nan
    spread = generator.normal(0, 0.2, once.shape)
    asked = np.array([1, 0, 2, 3, 4, 5, 6, 7, 8, 8, 0, 4, 4])  # the facts of 13 items
    worded = once[:, asked].copy()
    worded[:, [1, 10]] = once[:, [0, 0]] + spread[:, [0, 0]] * np.array([1, -1])[:, None]
    dims = ("language", "item", "layer")
    facts = [f"f{number}" for number in asked]
    by_item = xr.DataArray(worded, dims=dims, attrs={"units": "share"})
    found = by_fact(by_item, facts)
    order = list(dict.fromkeys(asked.tolist()))
    np.testing.assert_allclose(found.transpose(*dims), once[:, order], rtol=1e-12)
    assert found.attrs == {"units": "share"}
    data = means_bounded(xr.Dataset({"share": by_item}), facts, REPLICATES)
    expected = means_bounded(xr.Dataset({"share": (dims, once[:, order])}), names(9), REPLICATES)
    xr.testing.assert_allclose(data, expected, rtol=1e-12)
    alone = means_bounded(xr.Dataset({"share": by_item}), names(13), REPLICATES)
    assert (abs(alone["share"] - data["share"]) > 1e-6).all()
    doubled = xr.concat([by_item, by_item], "item")
    twice = means_bounded(xr.Dataset({"share": doubled}), facts * 2, REPLICATES)
    xr.testing.assert_allclose(twice, data, rtol=1e-12)


def test_contributions_and_scores_of_a_fact_are_drawn_together():
    values = np.random.default_rng(9).random((1, 2, 6, 4))  # [layer, language, item, kind]
    names_of = {"language": ["en", "de"], "kind": list(KINDS)}
    dims = ("layer", "language", "item", "kind")
    once = xr.Dataset(dict.fromkeys(SHARES, (dims, values)), names_of)
    twice = xr.concat([once, once], "item")
    facts = names(6)
    xr.testing.assert_allclose(
        contributions_bounded(twice, facts * 2, REPLICATES),
        contributions_bounded(once, facts, REPLICATES),
        rtol=1e-12,
    )
    score, kind = np.random.default_rng(10).normal(size=(12, 8)), np.arange(96).reshape(12, 8) % 3
    found = KindBits(8, *(pack(kind == k) for k in range(4)))
    statistics = score_statistics(score, found).assign_coords(item=np.arange(12))
    data = scores_bounded({"en": [statistics]}, facts * 2, REPLICATES).squeeze("language")
    apart = scores_bounded({"en": [statistics]}, names(12), REPLICATES).squeeze("language")
    xr.testing.assert_allclose(data[["max", "min", "mean"]], apart[["max", "min", "mean"]])
    for place, name in enumerate(KINDS[:3]):
        masked = np.where(kind == place, score, np.nan)
        drawn = [np.nanmean(masked[[*some, *(i + 6 for i in some)]]) for some in resamples(6)]
        highest = [np.nanmax(masked[[*some, *(i + 6 for i in some)]]) for some in resamples(6)]
        own = data.sel(kind=name)
        np.testing.assert_allclose(
            [own["mean_low"].item(), own["mean_high"].item()], quantiles(drawn, 6), rtol=1e-12
        )
        assert own["max_low"].item() == pytest.approx(np.quantile(highest, 0.025))
    assert (data["mean_low"] != apart["mean_low"])[:3].all()


@pytest.mark.parametrize("items", [1, 7, CANDIDATES + 25])
def test_maxima_of_resamples(items: int):
    values = np.random.default_rng(2).normal(size=(2, 3, items))
    values[0, 0] = np.nan
    values[0, 1, 1:] = np.nan
    labelled = xr.DataArray(values, dims=("language", "layer", "item"))
    found = resampled_maxima(labelled.transpose("item", "language", "layer"), REPLICATES)
    assert found.dims == ("language", "layer", "replicate")
    for place, drawn in enumerate(resamples(items)):
        for language, layer in np.ndindex(2, 3):
            own = [x for x in values[language, layer, drawn] if not np.isnan(x)]
            expected = max(own) if own else np.nan
            np.testing.assert_equal(float(found[language, layer, place]), expected)


def test_an_interval_of_a_maximum_ends_at_it():
    values = xr.DataArray(np.random.default_rng(3).normal(size=(4, 30)), dims=("language", "item"))
    maxima = resampled_maxima(values, REPLICATES)
    low, high = maximum_interval(values.max("item"), maxima)
    xr.testing.assert_identical(high, values.max("item"))
    np.testing.assert_allclose(low, np.quantile(maxima, 0.025, axis=-1), rtol=1e-14)
    assert (low < high).all()
    low, high = maximum_interval(values.max("item").mean(), maxima.mean("language"))
    assert low.item() == pytest.approx(np.quantile(maxima.mean("language"), 0.025))
    assert high.item() == pytest.approx(values.max("item").mean().item())


def test_contributions_are_averaged_over_languages_item_by_item():
    values = np.random.default_rng(5).random((2, 3, 9, 4))  # [layer, language, item, kind]
    values[1, 0, 2] = np.nan  # a silent layer
    by_item = xr.Dataset(
        {
            name: (("layer", "language", "item", "kind"), values * factor)
            for factor, name in enumerate(SHARES, 1)
        },
        {"language": ["en", "de", "fr"], "kind": list(KINDS)},
    )
    data = contributions_bounded(by_item, names(9), REPLICATES)
    assert set(data) == {*with_bounds(*SHARES, *(f"{name}_of_languages" for name in SHARES))}
    of_languages, items = np.nanmean(values, axis=1), np.isfinite(values).sum(2)
    for factor, name in enumerate(SHARES, 1):
        mean = np.nanmean(values * factor, axis=2)
        np.testing.assert_allclose(data[name], mean, rtol=1e-14)
        np.testing.assert_allclose(data[f"{name}_of_languages"], mean.mean(1), rtol=1e-14)
        again = [np.nanmean(values[:, :, drawn] * factor, 2) for drawn in resamples(9)]
        low, _ = quantiles(again, items)
        np.testing.assert_allclose(data[f"{name}_low"], low, rtol=1e-12)
        again = [np.nanmean(of_languages[:, drawn] * factor, 1) for drawn in resamples(9)]
        _, high = quantiles(again, 9)
        np.testing.assert_allclose(data[f"{name}_of_languages_high"], high, rtol=1e-12)


def test_scores_are_summed_up_over_layers_and_bounded_over_items():
    generator, items = np.random.default_rng(6), 8
    judged = {"en": [0, 1, 2, 3, 4, 5, 7], "de": [0, 1, 2, 4, 5]}  # none in item 6
    score, kind = generator.normal(size=(2, 3, items, 12)), generator.integers(0, 3, (3, items, 12))
    scores = {
        language: [
            score_statistics(
                score[place, layer, there],
                KindBits(12, *(pack(kind[layer, there] == k) for k in range(4))),
            ).assign_coords(item=there)
            for layer in range(3)
        ]
        for place, (language, there) in enumerate(judged.items())
    }
    data = scores_bounded(scores, names(items), REPLICATES)
    for one, (language, there) in enumerate(judged.items()):
        for place, name in enumerate(KINDS[:3]):  # no neuron is of the last kind
            own = data.sel(language=language, kind=name)
            masked = np.where(kind == place, score[one], np.nan)[:, there]
            assert own["max"] == np.nanmax(masked)
            assert own["min"] == np.nanmin(masked)
            np.testing.assert_allclose(own["mean"], np.nanmean(masked), rtol=1e-13)
            np.testing.assert_array_equal(own["max_by_layer"], np.nanmax(masked, axis=(1, 2)))
            again = [[there.index(i) for i in some if i in there] for some in resamples(items)]
            drawn = [masked[:, places] for places in again if places]
            expected = {
                "max_low": np.quantile([np.nanmax(one) for one in drawn], 0.025),
                "max_high": np.nanmax(masked),
                "min_low": np.nanmin(masked),
                "min_high": np.quantile([np.nanmin(one) for one in drawn], 0.975),
            }
            means = np.array([np.nanmean(one) for one in drawn])
            expected["mean_low"], expected["mean_high"] = quantiles(means, len(there))
            for bound, value in expected.items():
                np.testing.assert_allclose(own[bound], value, rtol=1e-12, err_msg=bound)
    assert data.sel(kind="non_activated").to_array().isnull().all()
    average = data["max_by_layer"].mean("language")
    xr.testing.assert_allclose(data["max_by_layer_of_languages"], average, rtol=1e-14)
    xr.testing.assert_allclose(data["max_by_layer_of_languages_high"], average, rtol=1e-14)
    assert (data["max_by_layer_of_languages_low"] <= average).sel(kind=[*KINDS[:3]]).all()
    assert all(
        variable.attrs["units"] == "logits before the final norm" for variable in data.values()
    )


def question(complete: bool = True) -> Question:
    return Question([1] if complete else [], [[2, 4]], [[2, 4], [3]])


def asked(items: int = 9) -> Asked:
    """Two languages; the last item of the second cannot be judged."""
    full = [question() for _ in range(items)]
    return Asked("facts", "rank", {"en": full, "de": [*full[:-1], question(False)]})


def statistics(questions: Asked, found: dict[str, Any]) -> xr.Dataset:
    facts = [f"f{number}" for number, _ in enumerate(questions.questions["en"])]
    return answer_statistics(questions.by_item(found, VARIANTS, facts), REPLICATES)


VARIANTS = ("baseline", "without_specific", "random_specific", "converted_both", "random_lone")


def test_differences_are_of_the_same_items():
    questions = asked()
    judged = len(questions.judged)
    assert judged == 17
    generator = np.random.default_rng(4)
    easy = generator.normal(-5, 3, judged)  # what an item is worth in all variants
    rows = easy + generator.normal(0, 0.1, (5, judged)) - np.arange(5.0)[:, None]
    found = {
        "correct": rows > -5,
        "exact": rows > -4,
        "log_probability": rows,
        "neurons": np.ones((5, judged)),
    }
    data = statistics(questions, found)
    of_language = {"en": rows[:, :9], "de": np.c_[rows[:, 9:], np.full(5, np.nan)]}
    for language, values in of_language.items():
        one = data.sel(language=language)
        for variant, own in zip(VARIANTS, values, strict=True):
            pairs = {"difference": own - values[0]}
            if variant == "without_specific":
                pairs["excess"] = own - values[2]
            else:
                assert one["log_probability_excess"].sel(variant=variant).isnull()
            for name, by_item in pairs.items():
                shown = one.sel(variant=variant).squeeze("control")
                ends = difference_interval(xr.DataArray(by_item, dims="item"))
                expected = [np.nanmean(by_item), *ends]
                names = with_bounds(f"log_probability_{name}")
                np.testing.assert_allclose(
                    [shown[key].item() for key in names], expected, atol=1e-12
                )
    width = data["log_probability_high"] - data["log_probability_low"]
    paired = data["log_probability_difference_high"] - data["log_probability_difference_low"]
    assert (paired < width / 4).all()
    assert data["accuracy_excess"].attrs["units"] == "share of facts"
    for end in ("", "_difference", "_high"):  # every right answer has two tokens
        np.testing.assert_allclose(
            data[f"log_probability_per_token{end}"], data[f"log_probability{end}"] / 2
        )
    assert data["log_probability_per_token"].attrs["units"] == "nats per token"
    correct = found["correct"][:, :9].mean(1)
    np.testing.assert_allclose(
        data["accuracy_difference"].sel(language="en"), correct - correct[0], atol=1e-15
    )


def test_answers_that_need_no_knowledge():
    """Of six questions in English, four have one answer; in German every answer is another."""
    labels = [[2], [3], [4]]
    english = [Question([1], [labels[label]], labels) for label in (0, 0, 1, 0, 2, 0)]
    german = [Question([1], [labels[i % 3]], labels) for i in range(5)]
    questions = Asked("nli", "string", {"en": english, "de": [*german, question(complete=False)]})
    rows = np.ones((len(VARIANTS), 11))
    found = dict.fromkeys(("correct", "exact", "log_probability", "neurons"), rows)
    data = statistics(questions, found)
    np.testing.assert_allclose(data["chance"], [4 / 6, 2 / 5])
    assert data["items"].values.tolist() == [6, 5]
    assert data["excluded"].values.tolist() == [0, 1]
    labels.append([5])
    one_each = Asked("nli", "string", {"en": [Question([1], [gold], labels) for gold in labels]})
    by_item = one_each.by_item(
        {name: row[:, :4] for name, row in found.items()}, VARIANTS, ["a", "a", "b", "b"]
    )
    assert by_item["fact"].values.tolist() == ["a", "a", "b", "b"]
    assert by_item["guess"].values.tolist() == [[1 / 4] * 4]
    assert by_item["constant"].values.tolist() == [[1, 0, 0, 0]]


def test_a_fact_asked_in_several_wordings_is_one_unit():
    """However many wordings there are, the intervals and tests are those of the facts."""
    facts, variants = [f"fact-{number}" for number in range(9)], VARIANTS[:3]
    rows = np.random.default_rng(8).normal(size=(3, 17)) - np.arange(3.0)[:, None]
    found = {
        "correct": rows > -1,
        "exact": rows > 0,
        "log_probability": rows,
        "neurons": np.ones((3, 17)),
    }
    once = answer_statistics(asked().by_item(found, variants, facts), REPLICATES)
    excess = [rows[1, :9] - rows[2, :9], np.append(rows[1, 9:] - rows[2, 9:], np.nan)]
    excess = xr.DataArray(excess, dims=("language", "item"))
    p = once["log_probability_excess_p_value"]
    expected = step_down_p_value(excess, "language")
    assert (expected > difference_p_value(excess)).any()
    np.testing.assert_array_equal(p.sel(variant="without_specific", control="naive"), expected)
    assert p.drop_sel(variant="without_specific").isnull().all()
    elsewhere = once.reindex(language=["en", "de", "fr"])
    assert set(tidy(elsewhere)["language"]) == {"en", "de"}
    twice = {name: np.c_[own[:, :9], own[:, :9], own[:, 9:]] for name, own in found.items()}
    twice["log_probability"] = twice["log_probability"] + np.repeat([0.5, -0.5, 0], [9, 9, 8])
    questions = {"en": [question()] * 18, "de": [*[question()] * 8, *[question(False)] * 10]}
    worded = Asked("facts", "rank", questions).by_item(twice, variants, [*facts, *facts])
    data = answer_statistics(worded, REPLICATES)
    assert data["items"].values.tolist() == [18, 8]
    assert data["facts"].values.tolist() == once["facts"].values.tolist() == [9, 8]
    same = [name for name in data if name not in ("items", "excluded")]
    xr.testing.assert_allclose(data[same], once[same], rtol=1e-12)


def test_what_is_compared_with_what():
    done = ("baseline", "without", "random", "active", "matched", "partner")
    variants = [f"{one}_specific" for one in done] + ["converted_both", "inactive_both"]
    found = compared_variants(variants)
    assert found == {
        "naive": {"without_specific": ("without_specific", "random_specific")},
        "activity": {
            "without_specific": ("without_specific", "active_specific"),
            "converted_both": ("converted_both", "inactive_both"),
        },
        "contribution": {"without_specific": ("matched_specific", "partner_specific")},
    }
    # As for transfer neurons, which have no other controls.
    assert list(compared_variants(["baseline", "without_type1", "random_type1"])) == ["naive"]


def test_each_control_is_subtracted_from_its_own_variant():
    variants = [f"{one}_specific" for one in ("without", "random", "active", "matched", "partner")]
    variants = ["baseline", *variants, "converted_both", "inactive_both"]
    questions = asked(8)
    rows = np.arange(8.0)[:, None] ** 2 + np.zeros(len(questions.judged))
    right = np.ones_like(rows)
    found = {"correct": right, "exact": right, "log_probability": -rows, "neurons": right}
    facts = [f"f{number}" for number in range(8)]
    data = answer_statistics(questions.by_item(found, variants, facts), REPLICATES)
    excess = data["log_probability_excess"].sel(language="en").to_series().dropna()
    assert excess.to_dict() == {
        ("naive", "without_specific"): 4 - 1,
        ("activity", "without_specific"): 9 - 1,
        ("activity", "converted_both"): 49 - 36,
        ("contribution", "without_specific"): 25 - 16,
    }
    table = tidy(by_control(data))
    assert {"log_probability_excess_naive_p_value", "accuracy_excess_activity_low"} <= {*table}
    assert len(table) == len(variants) * 2


def test_where_few_have_partners_no_like_neurons_exist():
    shares = xr.DataArray([[0.9, 0.7]], dims=("variant", "language"))
    excess = xr.DataArray(np.ones((2, 1, 2)), dims=("control", "variant", "language"))
    data = xr.Dataset(
        {
            "accuracy_excess": excess,
            "matched_share": shares,
            "matched_contribution": shares[:, ::-1],
        },
        {"control": ["activity", "contribution"]},
    )
    told = unmatched_left_out(data)["accuracy_excess"]
    assert told.sel(control="activity").values.tolist() == [[1, 1]]
    assert np.isnan(told.sel(control="contribution")).all(), "one of the shares is too small"
    enough = unmatched_left_out(
        data.assign(matched_share=shares + 0.2, matched_contribution=shares + 0.2)
    )
    assert enough["accuracy_excess"].values.tolist() == [[[1, 1]], [[1, 1]]]


def test_merged_reductions_keep_the_first_ones_order_and_values():
    tasks, languages = ["nli", "facts", "edits"], ["zh", "en", "de"]
    contributions = xr.Dataset(
        {"top": (("task", "language"), np.arange(6.0).reshape(2, 3))},
        {"task": tasks[:2], "language": languages},
        {"model": "one"},
    )
    shares = xr.Dataset(
        {"share": ("task", [3.0, 1.0, 2.0]), "top": ("task", [0.0, 0.0, 0.0])},
        {"task": ["edits", "nli", "facts"]},
        {"model": "another"},
    )
    data = merged([contributions, shares])
    assert data["task"].values.tolist() == tasks
    assert data["language"].values.tolist() == languages
    assert data["share"].values.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(data["top"], [[0, 1, 2], [3, 4, 5], [0, 0, 0]])
    assert data.attrs == {"model": "one"}
    assert merged([shares])["task"].values.tolist() == ["edits", "nli", "facts"]
    assert isinstance(data.indexes["task"], pd.Index)
