"""Bid-ask spreads estimated from daily highs, lows and closes, strictly from the past (Corwin and Schultz 2012).

The day's high is mostly a trade at the ask and its low one at the bid, so a day's range holds its volatility and the
spread. Over two days the variance doubles and the spread does not: the range of both together tells them apart.

``python benchmarks/spreads.py`` compares this with Roll (1984) on simulated trades whose spread is known: Roll's error
is larger at every spread and volatility. Corwin and Schultz set each two-day estimate below zero to zero before they
average, which makes a narrow spread several times too wide; here the mean of the month is set to zero instead, which
is nearer for the narrow spreads of most traded stocks, and too narrow for the widest.
"""

import numpy as np

from atft_pipeline.features.extras import MONTH
from atft_pipeline.features.rolling import RollingSeries
from atft_pipeline.stats.arrays import Floats

ESTIMATES = 5
"""Two-day estimates that the mean of a month needs; the spread is unknown with fewer."""
BLOCK = 512
"""Listings that are worked on at once: the formula has a dozen arrays between its steps."""
_K = 3 - 2 * np.sqrt(2)


def two_day_spreads(high: Floats, low: Floats, close: Floats) -> Floats:
    """Spread of each pair of successive sessions, given to the later one; may be negative [T, N].

    An overnight move is no range: where the later day lies wholly above or below the close before, it is moved back
    by the gap (section III of the paper).

    Args:
        high: [T, N], NaN where absent.
        low: [T, N].
        close: [T, N].

    Returns:
        Fractions of the price; NaN where a price of either session is absent.
    """
    spread = np.full(high.shape, np.nan)
    if len(high) < 2:
        return spread
    with np.errstate(all="ignore"):
        top, bottom, last = np.log(high), np.log(low), np.log(close[:-1])
        gap = np.maximum(bottom[1:] - last, 0.0) - np.maximum(last - top[1:], 0.0)
        later_top, later_bottom = top[1:] - gap, bottom[1:] - gap
        beta = (top[:-1] - bottom[:-1]) ** 2 + (later_top - later_bottom) ** 2
        gamma = (np.maximum(top[:-1], later_top) - np.minimum(bottom[:-1], later_bottom)) ** 2
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / _K - np.sqrt(gamma / _K)
        spread[1:] = 2 * np.tanh(alpha / 2)
    return spread


def half_spreads(high: Floats, low: Floats, close: Floats) -> Floats:
    """Half of the bid-ask spread as known on each session: the mean of the past month, at least 0 [T, N].

    Args:
        high: [T, N], NaN where absent.
        low: [T, N].
        close: [T, N].

    Returns:
        Fractions of the price: what a trade at the bid or ask loses against the middle. NaN where fewer than
        :data:`ESTIMATES` of the past month's pairs are known.
    """
    found = np.empty(high.shape)
    for begin in range(0, high.shape[1], BLOCK):
        block = slice(begin, begin + BLOCK)
        month = RollingSeries(two_day_spreads(high[:, block], low[:, block], close[:, block]), (MONTH,))
        with np.errstate(invalid="ignore"):
            mean = np.maximum(month.mean(MONTH), 0.0)
        found[:, block] = np.where(month.counts[MONTH] >= ESTIMATES, mean / 2, np.nan)
    return found
