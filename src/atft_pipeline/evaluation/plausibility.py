"""A gate against results that only broken data can give; it names the listings behind them.

All returns are fractions: 0.01 is one per cent is 100 basis points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Dates, Floats, Grid
from atft_pipeline.evaluation.portfolio.backtest import Book

SHOWN = 5
# Mean daily RankICs that no honest ranking of a market has; where an oracle is known, its share says more.
RANK_IC, RANK_IC_BESIDE_ORACLE = 0.3, 0.6
ERRORS = 2.0


@dataclass(frozen=True)
class Limits:
    """What is still believed.

    Attributes:
        session: largest gain or loss of a book in one session.
        year: largest gain or loss of a book a year, simple.
        sessions_a_year: sessions of a year.
    """

    session: float
    year: float
    sessions_a_year: int


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


def beyond_belief(rank_ic: Mapping[str, Any], share: Mapping[str, Any] | None) -> str | None:
    """Say why a skill cannot be believed: more than the oracle knows, or more than any market gives away.

    Args:
        rank_ic: ``mean`` and ``se`` of the daily RankIC, each a number or ``None``.
        share: ``value`` and ``se`` of the share of the oracle's RankIC, or ``None`` without an oracle.

    Returns:
        The reason, beyond twice the error, or ``None``.
    """
    known = share if share is not None and share["value"] is not None else None
    if known is not None and known["value"] - ERRORS * (known["se"] or 0.0) > 1.0:
        return f"it is {known['value']:.0%} ± {known['se'] or 0.0:.0%} of what could be known"
    mean, limit = rank_ic["mean"], RANK_IC if known is None else RANK_IC_BESIDE_ORACLE
    if mean is not None and abs(mean) - ERRORS * (rank_ic["se"] or 0.0) > limit:
        return f"a RankIC of {mean:.3f} is beyond {limit:g}, which no market gives away"
    return None


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


def judge_book(book: Book, sessions: Dates, listings: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """Say whether the path of a book can be believed, and who made its return.

    Returns:
        believable, reasons (one line each, naming listings) and ``makers``: the listings with the largest
        contributions and their share of the whole return.
    """
    known = np.flatnonzero(np.isfinite(book.gross))
    reasons = [
        f"{book.gross[session]:+.1%} in the session after {sessions[session]}, most of it from "
        f"{listings[book.largest[session]]}; limit {limits.session:.0%}"
        for session in known[np.abs(book.gross[known]) > limits.session][:SHOWN]
    ]
    year = float(book.gross[known].mean()) * limits.sessions_a_year if known.size else 0.0
    makers = _makers(book, listings)
    if abs(year) > limits.year:
        names = ", ".join(f"{maker['listing']} ({maker['contribution']:+.1%})" for maker in makers)
        reasons.append(f"{year:+.0%} a year, most of it from {names}; limit {limits.year:.0%}")
    return {"believable": not reasons, "reasons": reasons, "makers": makers}


def _makers(book: Book, listings: tuple[str, ...]) -> list[dict[str, Any]]:
    """Listings with the largest contributions, and their share of the sum of all absolute contributions."""
    size = np.abs(book.contribution)
    total = float(size.sum())
    order = np.argsort(-size)[:SHOWN]
    return [
        {
            "listing": listings[place],
            "contribution": float(book.contribution[place]),
            "share": float(size[place]) / total if total > 0 else 0.0,
        }
        for place in order
        if size[place] > 0
    ]
