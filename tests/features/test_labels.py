from datetime import date

import numpy as np
import polars as pl
import pytest

from atft_pipeline.features.blocks import price_axis
from atft_pipeline.features.labels import day_targets, forward_returns, group_means
from tests.prices.frames import clean_frame, weekdays


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


def test_labels_count_sessions_of_the_market() -> None:
    """A listing that is absent on the session that the label reads has no label, whatever its next row says."""
    frame = clean_frame(absent=0.1)
    axis = price_axis(frame)
    close = {(name, day): value for name, day, value in frame.select("Listing", "Date", "Close").iter_rows()}
    sessions = frame["Date"].unique().sort().to_list()
    for horizon in (1, 5):
        expected = []
        for name, day in axis.frame.select("Listing", "Date").iter_rows():
            place = sessions.index(day) + horizon
            later = close.get((name, sessions[place])) if place < len(sessions) else None
            expected.append(np.nan if later is None else later / close[name, day] - 1)
        found = forward_returns(axis, horizon, "close_to_close")
        assert 0.1 < np.isnan(found).mean() < 0.5
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_halt_of_months_is_no_label() -> None:
    days = weekdays(60)
    halted = pl.DataFrame({"Date": [days[0], days[1], days[50]], "Listing": ["A"] * 3, "Close": [1.0, 2.0, 8.0]})
    calm = pl.DataFrame({"Date": days, "Listing": ["B"] * 60, "Close": [1.0] * 60})
    frame = pl.concat([halted, calm]).with_columns(
        **{name: pl.col("Close") for name in ("Open", "High", "Low")}, Volume=pl.lit(1.0), InUniverse=pl.lit(value=True)
    )
    found = forward_returns(price_axis(frame), 1, "close_to_close")
    np.testing.assert_array_equal(found[:3], [1.0, np.nan, np.nan])


RETURNS = np.array([[0.10, 0.20, 0.30, 0.50, 9.0, np.nan]], dtype=np.float32)
UNIVERSE = np.array([True, True, True, True, False, True])
SECTOR = np.array([1, 1, 2, 2, 1, 2])


def test_raw_targets_are_ranked_over_the_universe() -> None:
    found = day_targets(RETURNS, UNIVERSE, "rank_gauss", 3.0)
    assert np.isnan(found[0, 4:]).all()
    assert (np.diff(found[0, :4]) > 0).all()
    assert found[0, :4].sum() == pytest.approx(0.0, abs=1e-6)


def test_unknown_and_lone_sectors_are_compared_with_all() -> None:
    values = np.array([[1.0, 2.0, 3.0, 6.0]], dtype=np.float32)
    found = group_means(values, np.ones(4, dtype=np.bool_), np.array([0, 1, 2, 2]))
    np.testing.assert_allclose(found, [[3.0, 3.0, 4.5, 4.5]])
