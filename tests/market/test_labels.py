from datetime import date

import numpy as np
import polars as pl
import pytest

from atft_pipeline.market.blocks import price_axis
from atft_pipeline.market.labels import day_targets, forward_returns, group_means
from tests.market.frames import clean_frame, weekdays


def two_listings() -> pl.DataFrame:
    days = weekdays(4, date(2021, 3, 1))
    return pl.DataFrame(
        {
            "Date": [*days, *days[:3]],
            "Listing": ["A"] * 4 + ["B"] * 3,
            "Open": [10.0, 11.0, 12.0, 15.0, 1.0, 2.0, None],
            "High": [20.0] * 7,
            "Low": [1.0] * 7,
            "Close": [10.0, 12.0, 9.0, 18.0, 5.0, None, 6.0],
            "Volume": [1.0] * 7,
            "InUniverse": [True] * 7,
        }
    )


def test_close_to_close_by_hand() -> None:
    axis = price_axis(two_listings())
    nan = np.nan
    np.testing.assert_allclose(
        forward_returns(axis, 1, "close_to_close"), [0.2, -0.25, 1.0, nan, nan, nan, nan], rtol=1e-6
    )
    np.testing.assert_allclose(
        forward_returns(axis, 2, "close_to_close"), [-0.1, 0.5, nan, nan, 0.2, nan, nan], rtol=1e-6
    )


def test_open_to_open_starts_at_the_next_session() -> None:
    axis = price_axis(two_listings())
    nan = np.nan
    np.testing.assert_allclose(
        forward_returns(axis, 1, "open_to_open"), [12 / 11 - 1, 15 / 12 - 1, nan, nan, nan, nan, nan], rtol=1e-6
    )


def test_a_horizon_beyond_the_data_is_missing() -> None:
    assert np.isnan(forward_returns(price_axis(two_listings()), 50, "close_to_close")).all()


def test_labels_are_missing_until_complete_in_every_listing() -> None:
    axis = price_axis(clean_frame())
    for horizon in (1, 5):
        value = forward_returns(axis, horizon, "close_to_close")
        for first, end in zip(axis.start[:-1], axis.start[1:], strict=True):
            assert np.isnan(value[end - horizon : end]).all()
            assert np.isfinite(value[first : end - horizon]).all()


RETURNS = np.array([[0.10, 0.20, 0.30, 0.50, 9.0, np.nan]], dtype=np.float32)
UNIVERSE = np.array([True, True, True, True, False, True])
SECTOR = np.array([1, 1, 2, 2, 1, 2])


def test_raw_targets_are_ranked_over_the_universe() -> None:
    found = day_targets(RETURNS, UNIVERSE, SECTOR, None, "raw", "rank_gauss", 3.0)
    assert np.isnan(found[0, 4:]).all()
    assert (np.diff(found[0, :4]) > 0).all()
    assert found[0, :4].sum() == pytest.approx(0.0, abs=1e-6)


def test_sector_neutral_targets_are_less_the_sector_mean() -> None:
    found = day_targets(RETURNS, UNIVERSE, SECTOR, None, "sector_neutral", "none", 3.0)
    np.testing.assert_allclose(found[0, :4], [-0.05, 0.05, -0.10, 0.10], atol=1e-6)


def test_beta_residual_targets_are_less_beta_times_the_mean() -> None:
    beta = np.array([1.0, 2.0, 0.0, np.nan, 1.0, 1.0], dtype=np.float32)
    found = day_targets(RETURNS, UNIVERSE, SECTOR, beta, "beta_residual", "none", 3.0)
    mean = 0.275
    np.testing.assert_allclose(found[0, :4], [0.1 - mean, 0.2 - 2 * mean, 0.3, 0.5 - mean], atol=1e-6)


def test_unknown_and_lone_sectors_are_compared_with_all() -> None:
    values = np.array([[1.0, 2.0, 3.0, 6.0]], dtype=np.float32)
    found = group_means(values, np.ones(4, dtype=np.bool_), np.array([0, 1, 2, 2]))
    np.testing.assert_allclose(found, [[3.0, 3.0, 4.5, 4.5]])
