import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from atft_pipeline.evaluation import metrics


def cells(seed: int = 0, days: int = 20, listings: int = 60, absent: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((days, listings)).round(1)  # ties
    returns = 0.3 * scores + rng.standard_normal((days, listings))
    scores[rng.random(scores.shape) < absent] = np.nan
    returns[rng.random(scores.shape) < absent] = np.nan
    return scores, returns


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3), st.just(None)), min_size=1, max_size=15))
def test_ranks_are_those_of_scipy(values: list[int | None]) -> None:
    row = np.array([[np.nan if value is None else float(value) for value in values]])
    found = metrics.rank_rows(row)[0]
    present = np.isfinite(row[0])
    np.testing.assert_array_equal(np.isnan(found), ~present)
    np.testing.assert_allclose(found[present], stats.rankdata(row[0][present]))


def test_rank_ic_is_scipys_spearman_day_by_day() -> None:
    scores, returns = metrics.common(*cells(), 5)
    found = metrics.correlation_rows(metrics.rank_rows(scores), metrics.rank_rows(returns))
    for day in range(len(scores)):
        present = np.isfinite(scores[day])
        expected = stats.spearmanr(scores[day][present], returns[day][present]).statistic
        assert found[day] == pytest.approx(expected)


def test_perfect_foresight_is_one_and_its_opposite_minus_one() -> None:
    _, returns = cells()
    ranks = metrics.rank_rows(returns)
    np.testing.assert_allclose(metrics.correlation_rows(ranks, ranks), 1.0)
    np.testing.assert_allclose(metrics.correlation_rows(metrics.rank_rows(-returns), ranks), -1.0)


def test_constant_scores_are_undefined_not_zero() -> None:
    _, returns = cells()
    for constant in (0.0, 0.1, 1e9):
        scores = np.full_like(returns, constant)
        assert np.isnan(metrics.correlation_rows(*metrics.common(scores, returns, 5))).all()
    assert np.isnan(metrics.correlation_rows(metrics.rank_rows(scores), metrics.rank_rows(returns))).all()


def test_hit_rate_by_hand() -> None:
    # ranks around the middle 2.5: (-,-) hit, (-,+) miss, (+,+) hit, (+,-) miss
    scores, returns = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 4.0, 3.0, 2.0]])
    assert metrics.hit_rate_rows(scores, returns)[0] == 0.5
    assert metrics.hit_rate_rows(scores, scores)[0] == 1.0


def test_buckets_are_those_of_pandas_qcut() -> None:
    scores = np.random.default_rng(0).standard_normal((8, 57))
    found = metrics.bucket_rows(metrics.rank_rows(scores), 10)
    for day in range(8):
        np.testing.assert_array_equal(found[day], pd.qcut(scores[day], 10, labels=False))


def test_bucket_means_by_hand() -> None:
    bucket = np.array([[0, 0, 1, -1]], dtype=np.int8)
    returns = np.array([[0.1, 0.3, np.nan, 9.0]])
    found = metrics.bucket_means(bucket, returns, 2)
    assert found[0, 0] == pytest.approx(0.2)
    assert np.isnan(found[0, 1])


def test_turnover_and_autocorrelation_by_hand() -> None:
    bucket = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=np.int8)
    assert metrics.turnover_rows(bucket, 1, 1)[1] == 0.5
    scores = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    np.testing.assert_allclose(metrics.autocorrelation_rows(scores, 1)[1:], [1.0, -1.0])


def test_days_with_few_listings_are_left_undefined() -> None:
    scores, returns = cells(listings=10, absent=0.0)
    scores[3, 4:] = np.nan
    kept, _ = metrics.common(scores, returns, 5)
    assert np.isnan(kept[3]).all()
    assert np.isfinite(kept[2]).all()


def test_monotonicity_and_precision() -> None:
    rising = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    np.testing.assert_allclose(metrics.monotonicity_rows(rising), [1.0, -1.0])
    bucket = np.array([[0, 1, 1]], dtype=np.int8)
    assert metrics.precision_rows(bucket, np.array([[0, 1, 0]], dtype=np.int8), 2)[0] == 0.5


def test_reranking_equals_ranking_anew() -> None:
    scores, returns = cells()
    ranks, kept = metrics.rank_rows(scores), np.isfinite(scores) & np.isfinite(returns)
    again = metrics.rerank_rows(ranks, kept)
    np.testing.assert_allclose(again, metrics.rank_rows(np.where(kept, scores, np.nan)))
    assert metrics.rerank_rows(ranks, np.isfinite(scores)) is ranks


def test_top_k_precision_by_hand() -> None:
    scores = metrics.rank_rows(np.array([[4.0, 3.0, 2.0, 1.0]]))
    # The two best scores: one return above the median, one below.
    assert metrics.top_k_precision_rows(scores, metrics.rank_rows(np.array([[9.0, 1.0, 2.0, 8.0]])), 2)[0] == 0.5
    assert metrics.top_k_precision_rows(scores, scores, 2)[0] == 1.0
    assert np.isnan(metrics.top_k_precision_rows(scores, scores, 3)[0])
