"""A gate against results that only broken data can give; it names the listings behind them.

All returns are fractions: 0.01 is one per cent is 100 basis points.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Dates, Grid
from atft_pipeline.evaluation.portfolio.backtest import Backtest
from atft_pipeline.stats.arrays import Floats

SHOWN = 5  # listings and returns that are named
SESSIONS_A_YEAR = 252
"""Sessions that annual figures count."""
# A diversified portfolio that moves by half in a session, or earns ten times its capital a year, has a broken price.
MAX_SESSION_RETURN, MAX_ANNUAL_RETURN = 0.5, 10.0
# Mean daily RankICs that no honest ranking of a market has; where an oracle is known, its share says more.
RANK_IC, RANK_IC_BESIDE_ORACLE = 0.3, 0.6
# A Sharpe ratio after costs that no portfolio of a market keeps; bounce and too low costs reach it easily.
MAX_SHARPE = 5.0
ERRORS = 2.0  # standard errors by which a limit must be exceeded


def check_returns(grid: Grid, returns: Floats, horizon: int) -> None:
    """Refuse realised returns that no price can give.

    Raises:
        DataError: a return below -1, naming listing, day and value.
    """
    wrong = np.argwhere(returns < -1.0)
    if wrong.size:
        day, listing = wrong[0]
        cell = f"{grid.listings[listing]} on {grid.days[day]}: {returns[day, listing]:g}"
        raise DataError(
            f"return_{horizon}: {len(wrong)} returns below -1 (a fraction, not per cent), first {cell}; correct the "
            "prices and run kedro run --pipeline=data"
        )


def implausible_skill(rank_ic: Mapping[str, Any], share: Mapping[str, Any] | None) -> str | None:
    """Say why a skill is implausible: more than the oracle knows, or more than a real market allows.

    Args:
        rank_ic: ``mean`` and ``se`` of the daily RankIC, each a number or ``None``.
        share: ``value`` and ``se`` of the share of the oracle's RankIC, or ``None`` without an oracle.

    Returns:
        The reason, beyond twice the error, or ``None``.
    """
    known = share if share is not None and share["value"] is not None else None
    if known is not None and known["value"] - ERRORS * (known["se"] or 0.0) > 1.0:
        return f"it is {known['value']:.0%} ± {known['se'] or 0.0:.0%} of the oracle's"
    mean, limit = rank_ic["mean"], RANK_IC if known is None else RANK_IC_BESIDE_ORACLE
    if mean is not None and abs(mean) - ERRORS * (rank_ic["se"] or 0.0) > limit:
        return f"a RankIC of {mean:.3f} is beyond {limit:g}, more than a real market allows"
    return None


def can_be_traded(trading: Mapping[str, Any]) -> bool:
    """Say whether the portfolios enter at a price after the one that the scores are made of."""
    return trading["execution"] in ("open_to_open", "session_skipped")


def implausible_sharpe(sharpe: float, trading: Mapping[str, Any]) -> bool:
    """Say whether a Sharpe ratio after costs is implausible: too high to be believed until it is shown to be tradable.

    Args:
        sharpe: of a year.
        trading: ``execution`` and ``half_spread_bp`` of an evaluation; with a later price and estimated spreads the
            ratio is shown.
    """
    return sharpe > MAX_SHARPE and not (can_be_traded(trading) and trading["half_spread_bp"] is not None)


def extreme_returns(grid: Grid, returns: Floats) -> list[dict[str, Any]]:
    """The largest realised returns that the metrics stand on: listing, day, return."""
    filled = np.nan_to_num(np.abs(returns), nan=-1.0).ravel()
    top = np.argpartition(filled, -SHOWN)[-SHOWN:] if filled.size > SHOWN else np.arange(filled.size)
    top = top[np.argsort(-filled[top])]
    cells = [np.unravel_index(cell, returns.shape) for cell in top if filled[cell] >= 0]
    return [
        {"listing": grid.listings[listing], "day": str(grid.days[day]), "return": float(returns[day, listing])}
        for day, listing in cells
    ]


def check_backtest(backtest: Backtest, sessions: Dates, listings: tuple[str, ...]) -> dict[str, Any]:
    """Sanity check of a backtest, with the listings that contributed most to its return.

    Returns:
        plausible, reasons (one line each, naming listings) and ``top_contributors``: the listings with the largest
        contributions and their share of the whole return.
    """
    known = np.flatnonzero(np.isfinite(backtest.gross))
    reasons = [
        f"{backtest.gross[session]:+.1%} in the session after {sessions[session]}, most of it from "
        f"{listings[backtest.largest[session]]}; limit {MAX_SESSION_RETURN:.0%}"
        for session in known[np.abs(backtest.gross[known]) > MAX_SESSION_RETURN][:SHOWN]
    ]
    year = float(backtest.gross[known].mean()) * SESSIONS_A_YEAR if known.size else 0.0
    top_contributors = _top_contributors(backtest, listings)
    if abs(year) > MAX_ANNUAL_RETURN:
        names = ", ".join(
            f"{contributor['listing']} ({contributor['contribution']:+.1%})" for contributor in top_contributors
        )
        reasons.append(f"{year:+.0%} a year, most of it from {names}; limit {MAX_ANNUAL_RETURN:.0%}")
    return {"plausible": not reasons, "reasons": reasons, "top_contributors": top_contributors}


def _top_contributors(backtest: Backtest, listings: tuple[str, ...]) -> list[dict[str, Any]]:
    """Listings with the largest contributions, and their share of the sum of all absolute contributions."""
    size = np.abs(backtest.contribution)
    total = float(size.sum())
    order = np.argsort(-size)[:SHOWN]
    return [
        {
            "listing": listings[position],
            "contribution": float(backtest.contribution[position]),
            "share": float(size[position]) / total if total > 0 else 0.0,
        }
        for position in order
        if size[position] > 0
    ]
