import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.evaluation.quantiles import level_weights, pinball, quantile_days
from tests.panel.market import business_days


def table(levels: np.ndarray, days: int = 40, listings: int = 100, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    center = rng.standard_normal((days, listings))
    target = center + rng.standard_normal((days, listings))
    columns = {
        "Date": np.repeat(business_days(days), listings),
        "Listing": [f"L{n:03d}" for n in range(listings)] * days,
        "target_5": target.ravel(),
    }
    for level in levels:
        columns[f"quantile_5_{level:g}"] = (center + norm.ppf(level) + shift).ravel()
    return pl.DataFrame(columns)


def test_crps_of_the_true_distribution() -> None:
    """A normal forecast of a normal outcome has CRPS 1 / sqrt(pi) (Gneiting and Raftery 2007)."""
    frame = table(np.arange(0.01, 1.0, 0.01).round(2))
    found = quantile_days(frame, Grid.of(frame), 5)
    assert found is not None
    assert found.crps.mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)
    # Constant quantiles know nothing of the centre: CRPS of a normal of variance two.
    assert found.reference.mean() == pytest.approx(np.sqrt(2) / np.sqrt(np.pi), rel=0.03)
    np.testing.assert_allclose(found.below.mean(axis=0), found.levels, atol=0.02)
    assert found.crossed == 0


def test_shifted_quantiles_are_not_calibrated() -> None:
    frame = table(np.array([0.1, 0.5, 0.9]), shift=1.0)
    found = quantile_days(frame, Grid.of(frame), 5)
    assert found is not None
    assert found.below[:, 1].mean() == pytest.approx(norm.cdf(1), abs=0.02)


def test_pinball_and_weights_by_hand() -> None:
    np.testing.assert_allclose(pinball(np.array([2.0, 0.0]), np.array([1.0, 1.0]), 0.9), [0.9, 0.1])
    np.testing.assert_allclose(level_weights(np.array([0.1, 0.5, 0.9])), [0.3, 0.4, 0.3])


def test_missing_targets_do_not_count_and_missing_columns_are_named() -> None:
    frame = table(np.array([0.1, 0.5, 0.9]))
    first = frame["Date"].min()
    cut = frame.with_columns(target_5=pl.when(pl.col("Date") == first).then(None).otherwise("target_5"))
    found = quantile_days(cut, Grid.of(cut), 5)
    assert found is not None
    assert np.isnan(found.crps[0])
    assert np.isfinite(found.crps[1:]).all()
    with pytest.raises(DataError, match="no column target_5"):
        quantile_days(frame.drop("target_5"), Grid.of(frame), 5)
    assert quantile_days(frame.select("Date", "Listing", "target_5"), Grid.of(frame), 5) is None


def test_crossed_quantiles_are_counted() -> None:
    frame = table(np.array([0.1, 0.5, 0.9])).with_columns(pl.col("quantile_5_0.5") - 10)
    found = quantile_days(frame, Grid.of(frame), 5)
    assert found is not None
    assert found.crossed == 1
