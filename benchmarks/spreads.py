"""Which estimate of the bid-ask spread is nearest to a known one: ``python benchmarks/spreads.py``.

Simulated trades at the bid or the ask around a price that walks at random; see docs/evaluation.md. Corwin and Schultz
(2012) with negative two-day estimates set to zero, as in their paper, and with the month's mean set to zero, as in
evaluation/spreads.py; and Roll (1984).
"""

import numpy as np

from atft_pipeline.evaluation.spreads import half_spreads, two_day_spreads
from atft_pipeline.stats.arrays import Floats

MONTH = 20
TRADES = 390
OVERNIGHT = 0.25
"""Share of a day's variance that falls between close and open."""


def simulate(spread: float, volatility: float, sessions: int = 500, listings: int = 40, seed: int = 0) -> list[Floats]:
    """High, low and close of each session, and the middle at the close [T, N].

    Args:
        spread: between bid and ask, a fraction of the price.
        volatility: standard deviation of a session's return.
        sessions: T.
        listings: N.
        seed: of the random walk and of the side of each trade.
    """
    generator = np.random.default_rng(seed)
    step = volatility * np.sqrt((1 - OVERNIGHT) / TRADES) * generator.standard_normal((listings, sessions, TRADES))
    step[:, :, 0] += volatility * np.sqrt(OVERNIGHT) * generator.standard_normal((listings, sessions))
    middle = np.exp(np.cumsum(step.reshape(listings, -1), axis=1)).reshape(step.shape)
    trades = middle * (1 + spread / 2 * generator.choice([-1.0, 1.0], middle.shape))
    return [values.T for values in (trades.max(axis=2), trades.min(axis=2), trades[:, :, -1], middle[:, :, -1])]


def estimates(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    """Spread of each month and listing by estimator [M, N]; no month shares a session with another."""
    months = np.arange(MONTH, len(close), MONTH)
    change = np.diff(np.log(close), axis=0)
    pairs = two_day_spreads(high, low, close)
    zeroed = [np.maximum(pairs[month - MONTH + 1 : month + 1], 0).mean(axis=0) for month in months]
    roll = []
    for month in months:
        moves = change[month - MONTH : month]
        moves = moves - moves.mean(axis=0)
        roll.append(2 * np.sqrt(np.maximum(-(moves[1:] * moves[:-1]).mean(axis=0), 0)))
    return {
        "Corwin-Schultz, month at least 0": 2 * half_spreads(high, low, close)[months],
        "Corwin-Schultz, pairs at least 0": np.array(zeroed),
        "Roll": np.array(roll),
    }


def main() -> None:
    """Mean and root mean squared error of each estimator in basis points."""
    print("| volatility | spread, bp | estimator | mean, bp | error, bp |\n| --- | --- | --- | --- | --- |")
    for volatility in (0.01, 0.02, 0.03):
        for spread in (0.001, 0.005, 0.02):
            high, low, close, _ = simulate(spread, volatility)
            for name, found in estimates(high, low, close).items():
                error = np.sqrt(np.mean((found - spread) ** 2))
                print(
                    f"| {volatility:.0%} | {1e4 * spread:.0f} | {name} | {1e4 * found.mean():.1f} | {1e4 * error:.1f} |"
                )


if __name__ == "__main__":
    main()
