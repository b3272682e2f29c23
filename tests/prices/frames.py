"""Small clean frames for the tests of the features."""

from datetime import date, timedelta

import numpy as np
import polars as pl


def weekdays(count: int, first: date = date(2020, 1, 1)) -> list[date]:
    days = (first + timedelta(days=step) for step in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def clean_frame(
    listings: int = 12, sessions: int = 120, seed: int = 0, absent: float = 0.03, missing: float = 0.0
) -> pl.DataFrame:
    """Random prices: some sessions absent, some values null, listings of unlike length, part outside the universe."""
    rng = np.random.default_rng(seed)
    days = weekdays(sessions)
    parts = []
    for number in range(listings):
        length = sessions if number % 3 else int(rng.integers(sessions // 2, sessions + 1))
        close = 40.0 * np.exp(np.cumsum(rng.normal(0, 0.02, length)))
        opened = close * np.exp(rng.normal(0, 0.01, length))
        volume = np.floor(rng.lognormal(8, 1, length)) * (rng.random(length) > 0.02)
        high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 0.01, length)))
        low = np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 0.01, length)))
        columns = {"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}
        hole = {name: np.where(rng.random(length) < missing, np.nan, values) for name, values in columns.items()}
        part = pl.DataFrame(
            {
                "Date": days[sessions - length :],
                "Listing": [f"L{number:02d}"] * length,
                **{name: pl.Series(values, nan_to_null=True) for name, values in hole.items()},
                "InUniverse": rng.random(length) > 0.15,
            }
        )
        parts.append(part.filter(pl.Series(rng.random(length) >= absent)))
    return pl.concat(parts)


def listings_table(listings: int = 12, sectors: int = 3) -> pl.DataFrame:
    names = [f"L{number:02d}" for number in range(listings)]
    sector = [None if number == 0 else f"s{number % sectors}" for number in range(listings)]
    return pl.DataFrame({"Listing": names, "sector": sector}, schema={"Listing": pl.String, "sector": pl.String})
