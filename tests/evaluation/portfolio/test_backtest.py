import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atft_pipeline.evaluation.portfolio.backtest import capacity, max_drawdown, run_backtest
from atft_pipeline.evaluation.portfolio.weights import portfolio_weights
from atft_pipeline.stats.rank_ic import rank_rows
from atft_pipeline.stats.significance import information_ratio


def noise(seed: int = 0, sessions: int = 60, listings: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((sessions, listings)), 0.02 * rng.standard_normal((sessions, listings))


def test_sharpe_and_drawdown_are_those_of_empyrical() -> None:
    returns = 0.0005 + 0.01 * np.random.default_rng(0).standard_normal(500)
    assert max_drawdown(returns) == pytest.approx(empyrical.max_drawdown(pd.Series(returns)), rel=1e-9)
    found = information_ratio(returns, 1, np.sqrt(252)).mean
    assert found == pytest.approx(empyrical.sharpe_ratio(pd.Series(returns), annualization=252), rel=1e-9)
    assert max_drawdown(np.array([0.1, 0.1])) == 0
    assert max_drawdown(np.array([-0.5, 0.1])) == -0.5


def test_one_session_portfolio_by_hand() -> None:
    weights = np.array([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]])
    forward = np.array([[0.1, 0.0], [0.0, 0.2], [0.0, 0.0]])
    backtest = run_backtest(weights, forward, 1, cost_bp=10, overlapping=True)
    np.testing.assert_allclose(backtest.gross, [0.1, 0.2, 0.0])
    # Bought 1 + 1; then 1.1 sold to -1 and -1 to 1; then 1.2 sold back to 1.
    np.testing.assert_allclose(backtest.turnover, [2.0, 2.1 + 2.0, 0.2])
    np.testing.assert_allclose(backtest.cost, backtest.turnover * 1e-3)
    np.testing.assert_allclose(backtest.net, backtest.gross - backtest.cost)
    np.testing.assert_allclose(backtest.contribution, [0.1, 0.2])


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([2, 5]))
def test_a_sleeve_earns_the_return_over_its_horizon(seed: int, horizon: int) -> None:
    """One sleeve alone: the sum of its marks is its weights times the compounded returns, Jegadeesh and Titman."""
    _, forward = noise(seed, 12, 6)
    weights = np.zeros((12, 6))
    weights[horizon] = np.array([0.5, 0.5, 0.0, -0.5, -0.5, 0.0])
    backtest = run_backtest(weights, forward, horizon, 0.0, overlapping=True)
    whole = np.prod(1 + forward[horizon : 2 * horizon], axis=0) - 1
    assert np.nansum(backtest.gross) == pytest.approx(weights[horizon] @ whole / horizon)


def test_without_overlap_the_portfolio_is_traded_every_h_sessions() -> None:
    scores, forward = noise()
    weights = portfolio_weights("long_short", rank_rows(scores), 1.0, 10, 50)
    backtest = run_backtest(weights, forward, 5, 5.0, overlapping=False)
    assert np.flatnonzero(backtest.turnover > 1e-9).tolist() == list(range(0, 60, 5))
    whole = np.prod(1 + forward[:5], axis=0) - 1
    assert backtest.gross[:5].sum() == pytest.approx(weights[0] @ whole)


def test_sessions_before_all_sleeves_and_after_the_data_are_left_out() -> None:
    scores, forward = noise()
    forward[-1] = np.nan
    weights = portfolio_weights("long_short", rank_rows(scores), 0.1, 10, 50)
    backtest = run_backtest(weights, forward, 5, 5.0, overlapping=True)
    assert np.isnan(backtest.gross[:4]).all()
    assert np.isfinite(backtest.gross[4:-1]).all()
    assert np.isnan(backtest.gross[-1])


def test_perfect_foresight_gains_and_its_opposite_loses() -> None:
    _, forward = noise()
    for sign in (1, -1):
        weights = portfolio_weights("long_short", rank_rows(sign * forward), 0.1, 10, 50)
        gross = run_backtest(weights, forward, 1, 0.0, overlapping=True).gross
        assert (sign * gross > 0).all()


def test_a_steady_score_is_hardly_traded() -> None:
    scores, forward = noise()
    steady = np.repeat(scores[:1], len(scores), axis=0)
    portfolios = [
        run_backtest(portfolio_weights("top_k", rank_rows(values), 0.1, 10, 5), forward, 5, 5.0, overlapping=True)
        for values in (steady, scores)
    ]
    assert np.nanmean(portfolios[0].turnover[5:]) < 0.1 * np.nanmean(portfolios[1].turnover[5:])


def test_capacity_by_hand() -> None:
    weights = np.array([[0.5, 0.5, 0.0]])
    volume = np.array([[1e6, 3e6, 1.0]])
    # One session, one per cent: 10,000 may be bought of the first, which takes half of the capital.
    assert capacity(weights, volume, 0.01, 1, overlapping=True)[0] == pytest.approx(20_000)
    # Over five sleeves a fifth is bought a session.
    assert capacity(weights, volume, 0.01, 5, overlapping=True)[0] == pytest.approx(100_000)
    assert capacity(weights, volume, 0.01, 5, overlapping=False)[0] == pytest.approx(20_000)
    assert np.isnan(capacity(np.zeros((1, 3)), volume, 0.01, 1, overlapping=True)[0])
