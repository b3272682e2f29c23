"""Raw prices of a calm market, as a user brings them."""

from datetime import date

import numpy as np
import polars as pl

from tests.prices.frames import weekdays


def raw_market(
    codes: list[str] | int = 8, sessions: int = 120, seed: int = 0, first: date | None = None
) -> pl.DataFrame:
    """Date, Code, Open, High, Low, Close, Volume of random walks; each may be held from its 60th session on."""
    names = [f"C{number:02d}" for number in range(codes)] if isinstance(codes, int) else codes
    rng = np.random.default_rng(seed)
    days = weekdays(sessions, first or date(2020, 1, 1))
    parts = []
    for name in names:
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, sessions)))
        opened = close * np.exp(rng.normal(0, 0.005, sessions))
        prices = {
            "Open": opened,
            "High": 1.01 * np.maximum(opened, close),
            "Low": 0.99 * np.minimum(opened, close),
            "Close": close,
            "Volume": np.floor(rng.uniform(5e4, 1e5, sessions)),
        }
        parts.append(pl.DataFrame({"Date": days, "Code": [name] * sessions, **prices}))
    return pl.concat(parts)


def scaled(frame: pl.DataFrame, where: pl.Expr, factor: float, volume: float = 1.0) -> pl.DataFrame:
    """Multiply the prices, and the volume, of some rows."""
    return frame.with_columns(
        *(pl.when(where).then(pl.col(name) * factor).otherwise(name).alias(name) for name in ("Open", "High", "Low")),
        pl.when(where).then(pl.col("Close") * factor).otherwise("Close").alias("Close"),
        pl.when(where).then(pl.col("Volume") * volume).otherwise("Volume").alias("Volume"),
    )
