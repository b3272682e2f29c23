import numpy as np
import polars as pl

from atft_pipeline.prices.returns import daily_returns
from tests.prices.frames import weekdays


def test_returns_need_the_session_before() -> None:
    days = weekdays(5)
    frame = pl.DataFrame(
        {
            "Date": [*days, days[0], days[1], days[4]],
            "Listing": ["A"] * 5 + ["B"] * 3,
            "Close": [1.0, 2.0, 1.0, None, 4.0, 10.0, 11.0, 99.0],
        }
    )
    found = daily_returns(frame, np.array(days, dtype="datetime64[D]"), ["A", "B"])
    nan = np.nan
    np.testing.assert_allclose(found[:, 0], [nan, 1.0, -0.5, nan, nan])
    np.testing.assert_allclose(found[:, 1], [nan, 0.1, nan, nan, nan], rtol=1e-6)


def test_what_is_no_stock_on_a_day_has_no_return_there() -> None:
    days = weekdays(3)
    frame = pl.DataFrame({"Date": days, "Listing": ["A"] * 3, "Close": [1.0, 2.0, 3.0], "Stock": [True, True, False]})
    found = daily_returns(frame, np.array(days, dtype="datetime64[D]"), ["A"])
    np.testing.assert_allclose(found[:, 0], [np.nan, 1.0, np.nan])
