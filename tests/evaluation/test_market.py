import datetime as dt

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.market import MONTH, QUARTER, YEAR, Market, market_of, random_scores

LISTINGS = tuple(f"L{n:02d}" for n in range(30))
SESSIONS = 330


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
            "InUniverse": [True] * close.size,
        }
    )


def scored() -> np.ndarray:
    return np.datetime64("2020-01-01") + np.arange(YEAR + 20, SESSIONS)


def laid(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy().reshape(SESSIONS, len(LISTINGS))


def market(frame: pl.DataFrame) -> Market:
    found = market_of(frame, scored(), LISTINGS)
    assert found is not None
    return found


def test_factors_by_hand() -> None:
    frame = prices()
    found, close, t = market(frame), laid(frame, "Close"), YEAR + 20
    np.testing.assert_allclose(found.factors["reversal_1d"][0], 1 - close[t] / close[t - 1])
    np.testing.assert_allclose(found.factors["reversal_5d"][0], 1 - close[t] / close[t - 5])
    np.testing.assert_allclose(found.factors["momentum"][0], close[t - MONTH] / close[t - YEAR] - 1)
    traded = close * laid(frame, "Volume")
    np.testing.assert_allclose(found.dollar_volume[0], traded[t - MONTH + 1 : t + 1].mean(axis=0))


def test_beta_is_that_of_a_regression() -> None:
    frame = prices()
    change = laid(frame, "Close")[1:] / laid(frame, "Close")[:-1] - 1
    x, t = change.mean(axis=1), YEAR + 20
    window = slice(t - QUARTER, t)  # change[k] ends on session k + 1
    for listing in (0, 7):
        slope, constant = np.polyfit(x[window], change[window, listing], 1)
        left = change[window, listing] - slope * x[window] - constant
        assert market(frame).styles["beta"][0, listing] == pytest.approx(slope, rel=1e-6)
        assert market(frame).styles["idiosyncratic_volatility"][0, listing] == pytest.approx(left.std(), rel=1e-6)


def test_forward_returns_by_execution() -> None:
    frame = prices()
    found, t = market(frame), YEAR + 20
    close, opened = laid(frame, "Close"), laid(frame, "Open")
    np.testing.assert_allclose(found.forward["close"][0], close[t + 1] / close[t] - 1)
    np.testing.assert_allclose(found.forward["open"][0], opened[t + 2] / opened[t + 1] - 1)
    assert np.isnan(found.forward["close"][-1]).all()
    assert np.isnan(found.forward["open"][-2:]).all()


def test_what_is_known_on_a_day_reads_no_later_price() -> None:
    """Later prices are replaced: factors, styles, volume and regime up to that day keep their bits."""
    frame, cut = prices(), np.datetime64("2020-01-01") + YEAR + 40
    other = frame.with_columns(
        pl.when(pl.col("Date") > cut.astype(dt.date)).then(pl.col(name) * 3).otherwise(name).alias(name)
        for name in ("Open", "Close", "Volume")
    )
    true, changed = market(frame), market(other)
    for group in ("factors", "styles"):
        for name, values in getattr(true, group).items():
            np.testing.assert_array_equal(values[:21], getattr(changed, group)[name][:21])
    for name in ("dollar_volume", "volatility", "regime"):
        np.testing.assert_array_equal(getattr(true, name)[:21], getattr(changed, name)[:21])
    assert (true.forward["close"][20] != changed.forward["close"][20]).any()


def test_a_halted_listing_earns_its_jump_when_it_trades_again() -> None:
    frame = prices()
    days, close, t = scored(), laid(frame, "Close"), YEAR + 20
    halt = frame.filter(~((pl.col("Listing") == "L03") & pl.col("Date").is_in([days[1].item(), days[2].item()])))
    forward = market(halt).forward["close"][:, 3]
    np.testing.assert_allclose(forward[:2], 0, atol=1e-15)
    assert forward[2] == pytest.approx(close[t + 3, 3] / close[t, 3] - 1)


def test_prepared_tables_have_no_market_and_missing_sessions_are_named() -> None:
    assert market_of(prices().drop("Close"), scored(), LISTINGS) is None
    with pytest.raises(DataError, match="no session 2020-11-01"):
        market_of(prices().filter(pl.col("Date") != dt.date(2020, 11, 1)), scored(), LISTINGS)


def test_random_scores_are_seeded() -> None:
    np.testing.assert_array_equal(random_scores((3, 4), 1), random_scores((3, 4), 1))
    assert (random_scores((3, 4), 1) != random_scores((3, 4), 2)).any()
