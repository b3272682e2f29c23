import numpy as np
import pytest
import statsmodels.api as sm

from atft_pipeline.stats.significance import (
    estimate,
    hac_lag,
    information_ratio,
    newey_west_se,
    ratio_of_means,
    slope,
)


def series(seed: int = 0, days: int = 400, memory: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(days)
    for day in range(1, days):
        values[day] += memory * values[day - 1]
    return values + 0.1


@pytest.mark.parametrize("lag", [0, 1, 5, 20])
def test_newey_west_equals_statsmodels(lag: int) -> None:
    values = series()
    fit = sm.OLS(values, np.ones_like(values)).fit(cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": False})
    assert newey_west_se(values, lag) == pytest.approx(float(fit.bse[0]), rel=1e-9)


def test_lag_is_never_below_the_horizon_and_always_below_the_days() -> None:
    assert hac_lag(20, 500) == 20
    assert hac_lag(1, 1000) == 6
    assert hac_lag(20, 10) == 9
    assert hac_lag(5, 0) == 0


def test_error_covers_the_truth_as_often_as_it_says() -> None:
    """Over 300 autocorrelated series the 95 % interval holds the true mean in about 95 % of them."""
    inside = [
        abs(found.mean - 0.1) < 1.96 * found.se for seed in range(300) if (found := estimate(series(seed, 1500), 20))
    ]
    assert 0.88 < np.mean(inside) < 0.98


def test_missing_days_are_left_out() -> None:
    values = series()
    with_holes = np.insert(values, [3, 50], np.nan)
    assert estimate(with_holes, 1) == estimate(values, 1)
    assert np.isnan(estimate(np.array([np.nan]), 1).mean)
    assert np.isnan(estimate(np.array([0.1]), 1).se)


def test_information_ratio_is_mean_over_deviation() -> None:
    values = series(memory=0.0)
    found = information_ratio(values, 1)
    assert found.mean == pytest.approx(values.mean() / values.std(ddof=1))
    # For independent days the error is sqrt((1 + ratio^2 / 2) / n) (Lo, 2002).
    assert found.se == pytest.approx(np.sqrt((1 + found.mean**2 / 2) / len(values)), rel=0.25)


def test_ratio_of_means() -> None:
    rng = np.random.default_rng(0)
    base = 0.3 + 0.1 * rng.standard_normal(500)
    found = ratio_of_means(0.5 * base, base, 1)
    assert found.mean == pytest.approx(0.5)
    assert found.se == pytest.approx(0.0, abs=1e-9)


def test_slope_and_its_error_are_those_of_statsmodels() -> None:
    x, noise = series(1), series(2)
    y = 0.5 + 0.8 * x + noise
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": 20, "use_correction": False})
    found = slope(np.insert(y, 3, np.nan), np.insert(x, 3, 9.0), 20)
    assert found.mean == pytest.approx(fit.params[1])
    assert found.se == pytest.approx(fit.bse[1])
    assert np.isnan(slope(y, np.ones_like(y), 1).mean)
