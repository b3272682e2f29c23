import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from atft_pipeline.stats.rank_ic import (
    MIN_LISTINGS,
    average_ranks,
    common,
    correlation_rows,
    rank_ic,
    rank_ic_of_tensors,
    rank_rows,
    summarise,
)
from atft_pipeline.stats.significance import estimate


def cells(seed: int = 0, days: int = 20, listings: int = 60, absent: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties and returns of listings, some of both absent."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((days, listings)).round(1)
    returns = 0.3 * scores + rng.standard_normal((days, listings))
    scores[rng.random(scores.shape) < absent] = np.nan
    returns[rng.random(scores.shape) < absent] = np.nan
    return scores, returns


def of_tensors(scores: np.ndarray, returns: np.ndarray) -> np.ndarray:
    mask = np.isfinite(scores) & np.isfinite(returns)
    both = (torch.from_numpy(np.where(mask, values, 0.0)).float() for values in (scores, returns))
    return rank_ic_of_tensors(*both, torch.from_numpy(mask)).double().numpy()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3), st.just(None)), min_size=1, max_size=15))
def test_ranks_are_those_of_scipy(values: list[int | None]) -> None:
    row = np.array([[np.nan if value is None else float(value) for value in values]])
    found = rank_rows(row)[0]
    present = np.isfinite(row[0])
    np.testing.assert_array_equal(np.isnan(found), ~present)
    np.testing.assert_allclose(found[present], rankdata(row[0][present]))
    tensors = average_ranks(torch.from_numpy(np.nan_to_num(row)), torch.from_numpy(present)[None])[0].numpy()
    np.testing.assert_array_equal(tensors, np.nan_to_num(found))


def test_rank_ic_is_scipys_spearman_day_by_day() -> None:
    scores, returns = cells()
    found = rank_ic(scores, returns, 5)
    for day in range(len(scores)):
        present = np.isfinite(scores[day]) & np.isfinite(returns[day])
        expected = spearmanr(scores[day][present], returns[day][present]).statistic
        assert found[day] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), listings=st.integers(1, 40), levels=st.integers(1, 50), absent=st.floats(0, 0.9))
def test_arrays_and_tensors_give_the_same(seed: int, listings: int, levels: int, absent: float) -> None:
    """With ties, absent cells, days of a few listings or none, and constant days."""
    rng = np.random.default_rng(seed)
    scores, returns = (rng.integers(0, levels, (6, listings)).astype(np.float64) for _ in range(2))
    for values in (scores, returns):
        values[rng.random(values.shape) < absent] = np.nan
    np.testing.assert_allclose(of_tensors(scores, returns), rank_ic(scores, returns), rtol=0, atol=2e-6)


@pytest.mark.parametrize("least", [0, 2, 3, 5, 6])
def test_days_with_fewer_listings_are_undefined(least: int) -> None:
    values = np.arange(5.0)[None]
    few = np.where(np.arange(5) < MIN_LISTINGS, values, np.nan)
    pair = np.where(np.arange(5) < MIN_LISTINGS - 1, values, np.nan)
    assert np.isfinite(rank_ic(values, values, least))[0] == (least <= 5)
    assert np.isfinite(rank_ic(few, values, least))[0] == (least <= MIN_LISTINGS)
    assert np.isnan(rank_ic(pair, values, least))[0]
    assert np.isfinite(of_tensors(few, values))[0]
    assert np.isnan(of_tensors(pair, values))[0]


def test_perfect_foresight_is_one_and_its_opposite_minus_one() -> None:
    _, returns = cells()
    for measure in (rank_ic, of_tensors):
        np.testing.assert_allclose(measure(np.exp(returns), returns), 1.0, atol=1e-6)
        np.testing.assert_allclose(measure(-returns, returns), -1.0, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("listings", [60, 6001])
def test_constant_scores_are_undefined_not_zero(constant: float, listings: int) -> None:
    """Also for so many listings that the mean of float32 ranks would be rounded."""
    _, returns = cells(days=2, listings=listings, absent=0.0)
    scores = np.full_like(returns, constant)
    assert np.isnan(rank_ic(scores, returns)).all()
    assert np.isnan(of_tensors(scores, returns)).all()
    assert np.isnan(correlation_rows(*common(scores, returns, 5))).all()


def test_summary_leaves_undefined_days_out() -> None:
    daily = np.array([[0.1, 0.2], [0.3, np.nan], [np.nan, np.nan]])
    summary = summarise(daily, (1, 5))
    assert summary.mean == {1: pytest.approx(0.2), 5: pytest.approx(0.2)}
    assert summary.average == pytest.approx(0.2)
    assert summary.days == 2


def test_training_and_evaluation_give_a_mean_the_same_error() -> None:
    daily = np.random.default_rng(0).standard_normal((300, 2)).cumsum(axis=0)
    summary = summarise(daily, (1, 20), weights=(1, 3))
    assert summary.se == {horizon: estimate(daily[:, column], horizon).se for column, horizon in enumerate((1, 20))}
    assert summary.average == pytest.approx((daily[:, 0].mean() + 3 * daily[:, 1].mean()) / 4)
    # Without gaps the error of the average is that of the daily average, at the lag of the longest horizon.
    assert summary.average_se == pytest.approx(estimate((daily[:, 0] + 3 * daily[:, 1]) / 4, 20).se)


def test_the_error_of_the_average_is_that_of_repeated_draws() -> None:
    """The horizons rise and fall together, and the later days of the longer one are not known yet."""
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(400):
        both = rng.standard_normal((200, 1)) + 0.3 * rng.standard_normal((200, 2))
        both[120:, 1] = np.nan
        draws.append(summarise(both, (1, 5)))
    assert np.mean([draw.average_se for draw in draws]) == pytest.approx(
        np.std([draw.average for draw in draws]), rel=0.15
    )
    unknown = summarise(np.where([True, False], both, np.nan), (1, 5))
    assert np.isnan([unknown.average, unknown.average_se]).all()
