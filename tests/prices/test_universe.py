from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from atft_pipeline.prices.universe import UniverseConfig, add_universe
from tests.features.market import raw_market
from tests.prices.frames import weekdays

OPEN = UniverseConfig(min_price=0, min_dollar_volume=0, min_history=1, stocks=None)
NONE = pl.Series([], dtype=pl.String)


def prices(sessions: int = 200, listings: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    market = rng.normal(0, 0.01, sessions)
    parts = []
    for number in range(listings):
        own = rng.normal(0, 0.01, sessions)
        returns = {0: market, 1: np.full(sessions, 1e-4)}.get(number, market + own)
        close = 10 * np.exp(np.cumsum(returns))
        name = f"L{number:02d}"
        parts.append(
            pl.DataFrame(
                {
                    "Date": weekdays(sessions),
                    "Code": [name] * sessions,
                    "Listing": [name] * sessions,
                    "Close": close,
                    "Volume": [1000.0] * sessions,
                }
            )
        )
    return pl.concat(parts)


def test_price_volume_and_history() -> None:
    frame = prices()
    assert add_universe(frame, NONE, OPEN)["InUniverse"].all()
    young = add_universe(frame, NONE, replace(OPEN, min_history=10))
    assert young.filter(pl.col("Listing") == "L05")["InUniverse"].to_list() == [False] * 9 + [True] * 191
    cheap = add_universe(frame, NONE, replace(OPEN, min_price=10.0))
    assert cheap["InUniverse"].equals((frame["Close"] >= 10.0).alias("InUniverse"))
    thin = add_universe(frame, NONE, replace(OPEN, min_dollar_volume=1e9))
    assert not thin["InUniverse"].any()


def test_the_mask_of_a_day_does_not_change_when_days_are_added() -> None:
    frame = prices()
    day = weekdays(150)[-1]
    whole = add_universe(frame, NONE, UniverseConfig()).filter(pl.col("Date") <= day)
    cut = add_universe(frame.filter(pl.col("Date") <= day), NONE, UniverseConfig())
    assert whole.equals(cut)


@pytest.mark.parametrize("volume", [0.0, None, "carried"])
def test_days_without_trade_are_out_and_weigh_on_the_turnover(volume: float | str | None) -> None:
    """A suspension of fifteen sessions: the price is carried, the volume is zero, blank, or carried too."""
    frame = raw_market(3, 160).with_columns(Listing="Code")
    days = frame["Date"].unique().sort()
    closed = (pl.col("Code") == "C01") & pl.col("Date").is_between(days[100], days[114])
    carried = frame.filter((pl.col("Code") == "C01") & (pl.col("Date") == days[99])).row(0, named=True)
    new = dict.fromkeys(("Open", "High", "Low", "Close"), carried["Close"]) | {"Volume": volume}
    if volume == "carried":
        new = {name: carried[name] for name in new}
    cells = [pl.when(closed).then(pl.lit(value)).otherwise(name).alias(name) for name, value in new.items()]
    frame = frame.with_columns(cells)
    marked = add_universe(frame, NONE, UniverseConfig(stocks=None))
    assert marked.filter(closed)["_idle"].to_list() == [True] * 15
    assert not marked.filter(closed)["InUniverse"].any()
    # Ten days without trade of twenty make the median zero, until enough days were traded again.
    after = marked.filter((pl.col("Code") == "C01") & (pl.col("Date") > days[114]))["InUniverse"].to_list()
    assert after == [False] * 9 + [True] * 36
    assert marked.filter(pl.col("Code") != "C01")["_idle"].sum() == 0


def test_an_unknown_volume_at_a_new_price_is_a_trade() -> None:
    frame = raw_market(2, 80).with_columns(Listing="Code")
    blank = pl.col("Date") == frame["Date"].max()
    frame = frame.with_columns(Volume=pl.when(~blank).then("Volume"))
    assert add_universe(frame, NONE, UniverseConfig(stocks=None)).filter(blank)["InUniverse"].all()
