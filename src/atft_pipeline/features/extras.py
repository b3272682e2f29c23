"""Features beside the alpha158 set: risk, liquidity, momentum, sector-relative, market regime, calendar.

``emit_extras`` works per listing on its own rows; ``regime`` and ``calendar`` work per day and are the same for all
listings of a day. Everything has a finite memory (``HISTORY`` rows, ``SCALE_WINDOW`` sessions of the market) and
reads no later row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atft_pipeline.features.alpha158 import finite
from atft_pipeline.features.blocks import Emit, ListingBlock, PriceAxis
from atft_pipeline.features.rolling import Floats, RollingPair, RollingSeries, shift

HISTORY = 254  # rows before a row that its features read: a year of one-row differences
YEAR, QUARTER, MONTH, WEEK = 252, 60, 20, 5
SCALE_WINDOW = 252  # sessions over which a market series is scaled
SCALE_LEAST = 20  # sessions before which a scaled market series is 0
RETURN_CAP = 0.5  # a day's return beyond it counts as this much in market means: one bad tick must not be the market

BETA = "BETAMKT60"
LISTING = (
    *("RET1", "RET5", "RET20", "MOM252", "RV20", "RV60", "MAXRET20", BETA, "IVOL60", "AMIHUD20", "HIGH252", "LOW252"),
    *("OVERNIGHT1", "OVERNIGHT20", "INTRADAY1", "INTRADAY20", "TURN5", "TURN20", "TURN60", "RANGE1", "RANGE20"),
    "ZEROVOL20",
)
SECTOR = {f"SECTOR_{name}": name for name in ("RET1", "RET5", "RET20", "RV20", "TURN20")}
REGIME = (
    *("MARKET_RET1", "MARKET_RET5", "MARKET_RET20", "MARKET_RET60", "MARKET_VOL20", "MARKET_VOL60"),
    *("MARKET_BREADTH1", "MARKET_BREADTH20", "MARKET_DISPERSION1", "MARKET_DISPERSION20"),
    "MARKET_CORR20",
)
CALENDAR = ("WEEKDAY_SIN", "WEEKDAY_COS", "YEARDAY_SIN", "YEARDAY_COS", "MONTHDAY")


def emit_extras(block: ListingBlock, emit: Emit) -> None:
    """Hand every per-listing feature of a block to ``emit(name, values [rows, listings])``."""
    close, before = block.close, shift(block.close, 1)
    change = finite(close / before - 1.0)
    returns = RollingSeries(change, (MONTH, QUARTER))
    emit("RET1", change)
    emit("RET5", close / shift(close, WEEK) - 1.0)
    emit("RET20", close / shift(close, MONTH) - 1.0)
    emit("MOM252", shift(close, MONTH) / shift(close, YEAR) - 1.0)
    emit("RV20", returns.std(MONTH))
    emit("RV60", returns.std(QUARTER))
    emit("MAXRET20", returns.max(MONTH))
    slope, residual = RollingPair(block.market_return, change, (QUARTER,)).regression(QUARTER)
    emit(BETA, slope)
    emit("IVOL60", residual)
    _liquidity(block, change, emit)
    highs, lows = RollingSeries(block.high, (YEAR,)), RollingSeries(block.low, (YEAR,))
    emit("HIGH252", close / highs.max(YEAR) - 1.0)
    emit("LOW252", close / lows.min(YEAR) - 1.0)
    overnight, intraday = finite(block.open / before - 1.0), finite(close / block.open - 1.0)
    for name, part in (("OVERNIGHT", overnight), ("INTRADAY", intraday)):
        emit(f"{name}1", part)
        emit(f"{name}20", RollingSeries(part, (MONTH,)).mean(MONTH))
    span = finite(np.log(block.high / block.low))
    emit("RANGE1", span)
    emit("RANGE20", RollingSeries(span, (MONTH,)).mean(MONTH))


def _liquidity(block: ListingBlock, change: Floats, emit: Emit) -> None:
    """Price impact per money traded (Amihud 2002, in logs), volume over its own mean, days without trade."""
    impact = RollingSeries(finite(np.abs(change) / (block.close * block.volume)), (MONTH,))
    emit("AMIHUD20", finite(np.log(impact.mean(MONTH))))
    volume = RollingSeries(block.volume, (WEEK, MONTH, QUARTER))
    for window in (WEEK, MONTH, QUARTER):
        emit(f"TURN{window}", np.log((block.volume + 1.0) / (volume.mean(window) + 1.0)))
    idle = RollingSeries(np.where(np.isnan(block.volume), np.nan, block.volume == 0), (MONTH,))
    emit("ZEROVOL20", idle.mean(MONTH))


@dataclass(frozen=True)
class DaySeries:
    """Equal-weighted daily aggregates over the universe [D]: mean return, fraction of rises, dispersion of returns."""

    mean: Floats
    breadth: Floats
    dispersion: Floats


def day_series(axis: PriceAxis) -> DaySeries:
    """Aggregate the returns of each day's universe; NaN on a day without any."""
    close = axis.columns["Close"]
    with np.errstate(all="ignore"):
        change = close / axis.previous(close) - 1.0
    kept = np.flatnonzero(axis.universe & np.isfinite(change))
    value, day, size = np.clip(change[kept], -RETURN_CAP, RETURN_CAP), axis.day[kept], len(axis.dates)
    count = np.bincount(day, minlength=size).astype(np.float64)
    count[count == 0] = np.nan
    mean = np.bincount(day, weights=value, minlength=size) / count
    breadth = np.bincount(day, weights=np.sign(value), minlength=size) / count
    spread = np.bincount(day, weights=(value - mean[day]) ** 2, minlength=size) / count
    return DaySeries(mean, breadth, np.sqrt(spread))


def regime(series: DaySeries, clip: float) -> dict[str, Floats]:
    """Market state of each day [D], scaled by the mean and deviation of the sessions up to it.

    Scaling per day would make these columns 0; scaling by the whole sample would look ahead.
    """
    mean = RollingSeries(series.mean[:, None], (WEEK, MONTH, QUARTER))
    breadth = RollingSeries(series.breadth[:, None], (MONTH,))
    dispersion = RollingSeries(series.dispersion[:, None], (MONTH,))
    squares = RollingSeries(series.dispersion[:, None] ** 2, (MONTH,))
    with np.errstate(all="ignore"):
        raw = {f"MARKET_RET{window}": mean.mean(window) for window in (1, WEEK, MONTH, QUARTER)}
        raw |= {f"MARKET_VOL{window}": mean.std(window) for window in (MONTH, QUARTER)}
        raw |= {f"MARKET_BREADTH{window}": breadth.mean(window) for window in (1, MONTH)}
        raw |= {f"MARKET_DISPERSION{window}": dispersion.mean(window) for window in (1, MONTH)}
        raw["MARKET_CORR20"] = common_variance(mean.std(MONTH), squares.mean(MONTH))
    return {name: causal_score(raw[name][:, 0], clip) for name in REGIME}


def common_variance(deviation: Floats, dispersion_squared: Floats) -> Floats:
    """Fraction of the listings' variance that moves together, which is about their mean pairwise correlation.

    For equal volatilities and correlations the equal-weighted mean has variance rho sigma^2, and the day's dispersion
    around it has mean square (1 - rho) sigma^2.

    Args:
        deviation: standard deviation of the market's mean return.
        dispersion_squared: mean of the squared dispersion over the same sessions.
    """
    together = deviation**2
    return together / (together + dispersion_squared)


def causal_score(values: Floats, clip: float) -> Floats:
    """Score of each session [D] against the last ``SCALE_WINDOW`` sessions and itself, clipped; 0 where unknown."""
    window = RollingSeries(values[:, None], (SCALE_WINDOW,))
    with np.errstate(all="ignore"):
        score = (values[:, None] - window.mean(SCALE_WINDOW)) / window.std(SCALE_WINDOW)
    known = np.isfinite(score) & (window.counts[SCALE_WINDOW] >= SCALE_LEAST)
    return np.clip(np.where(known, score, 0.0), -clip, clip)[:, 0]


def calendar_columns(dates: NDArray[np.datetime64]) -> dict[str, Floats]:
    """Weekday and day of the year on circles, day of the month from -1 to 1 [D]."""
    day = dates.astype("datetime64[D]")
    weekday = (day.astype(np.int64) - 4) % 7 * (2 * np.pi / 7)  # day 0, 1970-01-01, was a Thursday
    yearday = (day - day.astype("datetime64[Y]")).astype(np.int64) * (2 * np.pi / 365.25)
    monthday = (day - day.astype("datetime64[M]")).astype(np.int64) / 15.0 - 1.0
    values = (np.sin(weekday), np.cos(weekday), np.sin(yearday), np.cos(yearday), monthday)
    return dict(zip(CALENDAR, values, strict=True))
