"""The 158 features of Qlib's public Alpha158 formula set, value for value.

Differences by choice, all on degenerate windows: missing values never count as extremes, and a trend or correlation
over a constant series is missing by a relative test (Qlib's is an absolute 2e-5, which depends on the price's unit).
Windows at the start of a listing use the rows that exist, as Qlib's ``min_periods=1`` does. Where the prices have no
vwap, (high + low + close) / 3 stands for it.

Source: https://github.com/microsoft/qlib/blob/main/qlib/contrib/data/loader.py (Alpha158DL).
"""

import numpy as np

from atft_pipeline.features.blocks import Emit, ListingBlock
from atft_pipeline.features.rolling import Floats, RollingPair, RollingSeries, shift

WINDOWS = (5, 10, 20, 30, 60)
HISTORY = 61  # rows before a row that its features read: the longest window on one-row differences
EPSILON = 1e-12
QUANTILES = (0.8, 0.2)

CANDLE = ("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2")
PRICE = ("OPEN0", "HIGH0", "LOW0", "VWAP0")
ROLLING = (
    *("ROC", "MA", "STD", "BETA", "RSQR", "RESI", "MAX", "MIN", "QTLU", "QTLD", "RANK", "RSV", "IMAX", "IMIN", "IMXD"),
    *("CORR", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "VMA", "VSTD", "WVMA", "VSUMP", "VSUMN", "VSUMD"),
)
NAMES = (*CANDLE, *PRICE, *(f"{name}{window}" for name in ROLLING for window in WINDOWS))


def emit_alpha158(block: ListingBlock, emit: Emit) -> None:
    """Hand every feature of a block to ``emit(name, values [rows, listings])``."""
    _candles(block, emit)
    close = RollingSeries(block.close, WINDOWS)
    _levels(block, close, emit)
    _extremes(block, emit)
    _correlations(block, emit)
    _gains(close, emit)
    _volumes(block, emit)


def _candles(block: ListingBlock, emit: Emit) -> None:
    """Shape of the day's bar, and its prices over the close."""
    opened, high, low, close = block.open, block.high, block.low, block.close
    # Qlib adds EPSILON to some denominators and not to others; so do these, to equal it value for value.
    span = high - low + EPSILON
    body, top, bottom = close - opened, high - np.maximum(opened, close), np.minimum(opened, close) - low
    skew = 2.0 * close - high - low
    values = (body, high - low, body, top, top, bottom, bottom, skew, skew)
    for name, value in zip(CANDLE, values, strict=True):
        emit(name, value / (span if name.endswith("2") else opened))
    for name, price in zip(PRICE, (opened, high, low, block.vwap), strict=True):
        emit(name, price / close)


def _levels(block: ListingBlock, close: RollingSeries, emit: Emit) -> None:
    """Past closes, means, spreads, trends, quantiles and ranks over the close."""
    now = block.close
    scale = 1.0 / now
    ranks = close.percent_ranks()
    for window in WINDOWS:
        emit(f"ROC{window}", shift(now, window) * scale)
        emit(f"MA{window}", close.mean(window) * scale)
        emit(f"STD{window}", close.std(window) * scale)
        slope, rsquare, residual = close.trend(window)
        emit(f"BETA{window}", slope * scale)
        emit(f"RSQR{window}", rsquare)
        emit(f"RESI{window}", residual * scale)
        upper, lower = close.quantiles(window, QUANTILES)
        emit(f"QTLU{window}", upper * scale)
        emit(f"QTLD{window}", lower * scale)
        emit(f"RANK{window}", ranks[window])


def _extremes(block: ListingBlock, emit: Emit) -> None:
    """Highs and lows of the window: how far, and how long ago."""
    high, low, close = RollingSeries(block.high, WINDOWS), RollingSeries(block.low, WINDOWS), block.close
    for window in WINDOWS:
        top, bottom = high.max(window), low.min(window)
        emit(f"MAX{window}", top / close)
        emit(f"MIN{window}", bottom / close)
        emit(f"RSV{window}", (close - bottom) / (top - bottom + EPSILON))
        latest, lowest = high.max_position(window), low.min_position(window)
        emit(f"IMAX{window}", latest / window)
        emit(f"IMIN{window}", lowest / window)
        emit(f"IMXD{window}", (latest - lowest) / window)


def _correlations(block: ListingBlock, emit: Emit) -> None:
    """Price with volume, in levels and in changes."""
    level = RollingPair(block.close, np.log(block.volume + 1.0), WINDOWS)
    turnover = np.log(block.volume / shift(block.volume, 1) + 1.0)
    change = RollingPair(finite(block.close / shift(block.close, 1)), finite(turnover), WINDOWS)
    for window in WINDOWS:
        emit(f"CORR{window}", level.correlation(window))
        emit(f"CORD{window}", change.correlation(window))


def _gains(close: RollingSeries, emit: Emit) -> None:
    """Days up and down, and the sums of moves up and down."""
    change = close.values - shift(close.values, 1)
    ups = RollingSeries((change > 0).astype(np.float64), WINDOWS)
    downs = RollingSeries((change < 0).astype(np.float64), WINDOWS)
    for window in WINDOWS:
        up, down = ups.mean(window), downs.mean(window)
        emit(f"CNTP{window}", up)
        emit(f"CNTN{window}", down)
        emit(f"CNTD{window}", up - down)
    _moves("", change, emit)


def _moves(prefix: str, change: Floats, emit: Emit) -> None:
    """Share of the moves up and down in all moves (a strength index)."""
    gains, losses = RollingSeries(np.maximum(change, 0.0), WINDOWS), RollingSeries(np.maximum(-change, 0.0), WINDOWS)
    moves = RollingSeries(np.abs(change), WINDOWS)
    for window in WINDOWS:
        scale = 1.0 / (moves.sum(window) + EPSILON)
        gain, loss = gains.sum(window), losses.sum(window)
        emit(f"{prefix}SUMP{window}", gain * scale)
        emit(f"{prefix}SUMN{window}", loss * scale)
        emit(f"{prefix}SUMD{window}", (gain - loss) * scale)


def _volumes(block: ListingBlock, emit: Emit) -> None:
    """Mean and spread of volume, of price moves weighted by it, and its own moves."""
    volume = RollingSeries(block.volume, WINDOWS)
    weighted = RollingSeries(finite(np.abs(block.close / shift(block.close, 1) - 1.0) * block.volume), WINDOWS)
    scale = 1.0 / (block.volume + EPSILON)
    for window in WINDOWS:
        emit(f"VMA{window}", volume.mean(window) * scale)
        emit(f"VSTD{window}", volume.std(window) * scale)
        emit(f"WVMA{window}", weighted.std(window) / (weighted.mean(window) + EPSILON))
    _moves("V", block.volume - shift(block.volume, 1), emit)


def finite(values: Floats) -> Floats:
    """NaN in place of infinite values: a ratio to zero is unknown, and would spoil every window it enters."""
    return np.where(np.isfinite(values), values, np.nan)
