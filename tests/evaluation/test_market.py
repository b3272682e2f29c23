import datetime as dt

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.market import MONTH, YEAR, Market, market_of

LISTINGS = tuple(f"L{n:02d}" for n in range(30))
SESSIONS = 330
T = YEAR + 20


def prices(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=n) for n in range(SESSIONS)]
    common = 0.01 * rng.standard_normal((SESSIONS, 1))
    change = rng.uniform(0.5, 1.5, len(LISTINGS)) * common + 0.01 * rng.standard_normal((SESSIONS, len(LISTINGS)))
    close = 50 * np.cumprod(1 + change, axis=0)
    overnight = close * (1 + 0.003 * rng.standard_normal(close.shape))
    return pl.DataFrame(
        {
            "Date": np.repeat(np.array(days, dtype="datetime64[D]"), len(LISTINGS)),
            "Listing": list(LISTINGS) * SESSIONS,
            "Open": overnight.ravel(),
            "Close": close.ravel(),
            "Volume": rng.uniform(1e3, 1e5, close.size),
        }
    )


def scored() -> np.ndarray:
    return np.datetime64("2020-01-01") + np.arange(T, SESSIONS)


def laid(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy().reshape(SESSIONS, len(LISTINGS))


def market(frame: pl.DataFrame) -> Market:
    found = market_of(frame, scored(), LISTINGS, 5)
    assert found is not None
    return found


def test_dollar_volume_by_hand() -> None:
    frame = prices()
    traded = laid(frame, "Close") * laid(frame, "Volume")
    np.testing.assert_allclose(market(frame).dollar_volume[0], traded[T - MONTH + 1 : T + 1].mean(axis=0))


def test_forward_returns_by_execution() -> None:
    frame = prices()
    found, t = market(frame), T
    close, opened = laid(frame, "Close"), laid(frame, "Open")
    np.testing.assert_allclose(found.forward("close_to_close")[0], close[t + 1] / close[t] - 1)
    np.testing.assert_allclose(found.forward("open_to_open")[0], opened[t + 2] / opened[t + 1] - 1)
    assert np.isnan(found.forward("close_to_close")[-1]).all()
    assert np.isnan(found.forward("open_to_open")[-2:]).all()


def test_what_is_known_on_a_day_reads_no_later_price() -> None:
    """Later prices are replaced: the dollar volume up to that day keeps its bits, the forward return does not."""
    frame, cut = prices(), np.datetime64("2020-01-01") + YEAR + 40
    other = frame.with_columns(
        pl.when(pl.col("Date") > cut.astype(dt.date)).then(pl.col(name) * 3).otherwise(name).alias(name)
        for name in ("Open", "Close", "Volume")
    )
    true, changed = market(frame), market(other)
    np.testing.assert_array_equal(true.dollar_volume[:21], changed.dollar_volume[:21])
    assert (true.dollar_volume[21] != changed.dollar_volume[21]).all()
    assert (true.forward("close_to_close")[20] != changed.forward("close_to_close")[20]).all()


def test_a_halted_listing_earns_its_jump_when_it_trades_again() -> None:
    frame = prices()
    days, close, t = scored(), laid(frame, "Close"), T
    halt = frame.filter(~((pl.col("Listing") == "L03") & pl.col("Date").is_in([days[1].item(), days[2].item()])))
    forward = market(halt).forward("close_to_close")[:, 3]
    np.testing.assert_allclose(forward[:2], 0, atol=1e-15)
    assert forward[2] == pytest.approx(close[t + 3, 3] / close[t, 3] - 1)


def test_prepared_tables_have_no_market_and_missing_sessions_are_named() -> None:
    assert market_of(prices().drop("Close"), scored(), LISTINGS, 5) is None
    with pytest.raises(DataError, match="no session 2020-11-01"):
        market_of(prices().filter(pl.col("Date") != dt.date(2020, 11, 1)), scored(), LISTINGS, 5)


@pytest.mark.parametrize("held", [True, False, None])
def test_whether_returns_hold_dividends_is_told(held: bool | None) -> None:
    frame = prices() if held is None else prices().with_columns(TotalReturn=held)
    market = market_of(frame, scored(), LISTINGS, 5)
    assert market is not None
    assert market.total_returns is held
