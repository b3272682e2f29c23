import numpy as np
import pandas as pd
import pytest

from atft_pipeline.evaluation import metrics
from atft_pipeline.stats.rank_ic import common, rank_rows, rerank_rows


def cells(seed: int = 0, days: int = 20, listings: int = 60, absent: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((days, listings)).round(1)  # ties
    returns = 0.3 * scores + rng.standard_normal((days, listings))
    scores[rng.random(scores.shape) < absent] = np.nan
    returns[rng.random(scores.shape) < absent] = np.nan
    return scores, returns


def test_hit_rate_by_hand() -> None:
    # ranks around the middle 2.5: (-,-) hit, (-,+) miss, (+,+) hit, (+,-) miss
    scores, returns = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 4.0, 3.0, 2.0]])
    assert metrics.hit_rate_rows(scores, returns)[0] == 0.5
    assert metrics.hit_rate_rows(scores, scores)[0] == 1.0


def test_buckets_are_those_of_pandas_qcut() -> None:
    scores = np.random.default_rng(0).standard_normal((8, 57))
    found = metrics.bucket_rows(rank_rows(scores), 10)
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
    kept, _ = common(scores, returns, 5)
    assert np.isnan(kept[3]).all()
    assert np.isfinite(kept[2]).all()


def test_monotonicity_and_precision() -> None:
    rising = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    np.testing.assert_allclose(metrics.monotonicity_rows(rising), [1.0, -1.0])
    bucket = np.array([[0, 1, 1]], dtype=np.int8)
    assert metrics.precision_rows(bucket, np.array([[0, 1, 0]], dtype=np.int8), 2)[0] == 0.5


def test_reranking_equals_ranking_anew() -> None:
    scores, returns = cells()
    ranks, kept = rank_rows(scores), np.isfinite(scores) & np.isfinite(returns)
    again = rerank_rows(ranks, kept)
    np.testing.assert_allclose(again, rank_rows(np.where(kept, scores, np.nan)))
    assert rerank_rows(ranks, np.isfinite(scores)) is ranks


def test_top_k_precision_by_hand() -> None:
    scores = rank_rows(np.array([[4.0, 3.0, 2.0, 1.0]]))
    # The two best scores: one return above the median, one below.
    assert metrics.top_k_precision_rows(scores, rank_rows(np.array([[9.0, 1.0, 2.0, 8.0]])), 2)[0] == 0.5
    assert metrics.top_k_precision_rows(scores, scores, 2)[0] == 1.0
    assert np.isnan(metrics.top_k_precision_rows(scores, scores, 3)[0])
