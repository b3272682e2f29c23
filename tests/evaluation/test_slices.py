import numpy as np
import pytest
from scipy.stats import spearmanr

from atft_pipeline.evaluation.slices import (
    Grouping,
    largest_labels,
    months_of,
    quantile_labels,
    rank_ic_within,
    regime_of,
    style_neutral,
    years_of,
)
from atft_pipeline.stats.rank_ic import rank_rows


def cells(days: int = 6, listings: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores, returns = rng.standard_normal((2, days, listings))
    scores[rng.random(scores.shape) < 0.2] = np.nan
    return scores, returns


def test_rank_ic_within_groups_is_scipys() -> None:
    scores, returns = cells()
    labels = np.random.default_rng(1).integers(-1, 3, scores.shape).astype(np.int8)
    (found,) = rank_ic_within(Grouping.of(labels, ("a", "b", "c")), [scores], returns, 3)
    for day in range(len(scores)):
        for group in range(3):
            members = (labels[day] == group) & np.isfinite(scores[day])
            expected = spearmanr(scores[day][members], returns[day][members]).statistic
            assert found[day, group] == pytest.approx(expected)


def test_small_groups_are_undefined() -> None:
    scores, returns = cells()
    labels = np.full(scores.shape, -1, dtype=np.int8)
    labels[:, :4] = 0
    assert np.isnan(rank_ic_within(Grouping.of(labels, ("a",)), [scores], returns, 10)[0]).all()


def test_two_scores_are_judged_on_the_same_listings() -> None:
    scores, returns = cells()
    fuller = np.where(np.isnan(scores), 5.0, scores)
    labels = np.zeros(scores.shape, dtype=np.int8)
    left, right = rank_ic_within(Grouping.of(labels, ("all",)), [scores, fuller], returns, 3)
    np.testing.assert_allclose(left, right)


def test_labels_by_hand() -> None:
    values = np.array([[5.0, 1.0, np.nan, 3.0, 2.0]])
    assert quantile_labels(values, 2).tolist() == [[1, 0, -1, 1, 0]]
    assert largest_labels(values, 2).tolist() == [[0, -1, -1, 0, -1]]
    days = np.array(["2020-12-31", "2021-01-01"], dtype="datetime64[D]")
    assert months_of(days) == ["2020-12", "2021-01"]
    assert years_of(days) == ["2020", "2021"]
    assert regime_of(np.array([1.0, 2.0, 3.0, np.nan])) == ["calm", "middle", "stormy", "unknown"]


def test_style_neutral_is_the_residual_of_a_regression() -> None:
    scores, style = cells()
    ranks, other = rank_rows(scores), rank_rows(np.where(np.isnan(scores), np.nan, style))
    found = style_neutral(ranks, [other, np.full(scores.shape, np.nan)])
    for day in range(len(scores)):
        present = np.isfinite(ranks[day])
        slope, constant = np.polyfit(other[day][present], ranks[day][present], 1)
        expected = (ranks[day] - slope * other[day] - constant)[present] / present.sum()
        np.testing.assert_allclose(found[day][present], expected, atol=1e-10)
        assert np.isnan(found[day][~present]).all()


def test_nothing_is_left_of_a_score_that_is_a_style() -> None:
    scores, _ = cells()
    ranks = rank_rows(scores)
    np.testing.assert_allclose(np.nan_to_num(style_neutral(ranks, [ranks])), 0, atol=1e-10)
