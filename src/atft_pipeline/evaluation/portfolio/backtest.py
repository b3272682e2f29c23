"""What a portfolio earns, marked every session, with costs and capacity.

A sleeve is the sub-portfolio formed on one session and held for the horizon: with h of them, each with 1/h of the
capital, the portfolio overlaps as in Jegadeesh and Titman (1993).


T sessions, N listings, h sessions of the horizon. Returns are fractions of one unit of capital, as are turnover and
exposure; costs are given in basis points of the traded notional.
"""

from dataclasses import dataclass

import numpy as np

from atft_pipeline.stats.arrays import Floats, Ints


@dataclass(frozen=True)
class Backtest:
    """The path of a portfolio; NaN on sessions on which it is not complete or whose return is not known.

    Attributes:
        gross: return of each session before costs [T].
        cost: cost of each session's trades [T].
        turnover: notional bought and sold in each session [T].
        exposure: sum of the absolute weights [T].
        net_exposure: sum of the weights [T].
        contribution: return earned by each listing over the path [N].
        largest: listing that moved the portfolio most in each session [T].
    """

    gross: Floats
    cost: Floats
    turnover: Floats
    exposure: Floats
    net_exposure: Floats
    contribution: Floats
    largest: Ints

    @property
    def net(self) -> Floats:
        """Return of each session after costs [T]."""
        return self.gross - self.cost


def run_backtest(
    weights: Floats, forward: Floats, horizon: int, cost_bp: Floats | float, *, overlapping: bool
) -> Backtest:
    """Hold every sleeve for ``horizon`` sessions and mark the portfolio each session.

    The sleeve of session t is bought with 1/h of the capital (all of it, every h sessions, without overlap) and then
    left alone: its weights drift with the prices. What an ending and a beginning sleeve both hold is not traded.

    Args:
        weights: targets of the sleeve formed on each session [T, N].
        forward: return of the session that follows [T, N]; NaN in whole rows that are not known.
        horizon: sessions that a sleeve is held.
        cost_bp: of the traded notional, one number or one for each session and listing [T, N].
        overlapping: h sleeves of 1/h, or one.
    """
    T, N = weights.shape
    sleeves = np.zeros((horizon if overlapping else 1, N))
    known = np.asarray(np.isfinite(forward).any(axis=1))
    growth = 1.0 + np.nan_to_num(forward, nan=0.0)
    series = np.full((5, T), np.nan)
    contribution, largest = np.zeros(N), np.zeros(T, dtype=np.int64)
    held = np.zeros(N)
    cost = np.broadcast_to(np.asarray(cost_bp) / 1e4, weights.shape)
    for session in range(T):
        if session:
            sleeves *= growth[session - 1]
        before = held if session == 0 else held * growth[session - 1]
        if overlapping:
            sleeves[session % horizon] = weights[session] / horizon
        elif session % horizon == 0:
            sleeves[0] = weights[session]
        held = sleeves.sum(axis=0)
        # Until every sleeve is open only part of the capital is invested: such a session's return is left undefined.
        if not known[session] or (overlapping and session < horizon - 1):
            continue
        earned = held * (growth[session] - 1.0)
        traded = np.abs(held - before)
        series[:, session] = earned.sum(), traded @ cost[session], traded.sum(), np.abs(held).sum(), held.sum()
        contribution += earned
        largest[session] = int(np.abs(earned).argmax())
    gross, cost, turnover, exposure, net_exposure = series
    return Backtest(gross, cost, turnover, exposure, net_exposure, contribution, largest)


def capacity(
    weights: Floats, dollar_volume: Floats, participation: float, horizon: int, *, overlapping: bool
) -> Floats:
    """Capital at which 95 % of the traded value stays within the participation, on each session [T]; NaN if none held.

    A sleeve buys ``|w| x capital / h`` of a listing in one session; the share of the listing's mean daily dollar volume
    that this takes must not exceed ``participation``. In units of the prices' currency.

    Args:
        weights: targets of each session's sleeve [T, N].
        dollar_volume: mean daily dollar volume [T, N].
        participation: share of it that may be traded.
        horizon: sessions that a sleeve is held.
        overlapping: whether a sleeve has 1/h of the capital.
    """
    result = np.full(len(weights), np.nan)
    share = 1.0 / horizon if overlapping else 1.0
    for session in np.flatnonzero((weights != 0).any(axis=1)):
        if not overlapping and session % horizon:
            continue
        held = np.flatnonzero(weights[session])
        size = np.abs(weights[session, held])
        bearable = participation * np.nan_to_num(dollar_volume[session, held]) / (size * share)
        order = np.argsort(bearable)
        position = np.searchsorted(np.cumsum(size[order]), 0.05 * size.sum())
        result[session] = bearable[order[min(position, held.size - 1)]]
    return result


def max_drawdown(returns: Floats) -> float:
    """Largest fall of the compounded value below its highest point so far, zero or negative; NaN without returns."""
    defined = returns[np.isfinite(returns)]
    if defined.size == 0:
        return float("nan")
    wealth = np.cumprod(1.0 + defined)
    return float((wealth / np.maximum(np.maximum.accumulate(wealth), 1.0) - 1.0).min())
