"""Parameters of the portfolios."""

from typing import Literal

from atft_pipeline.config import config, within


@config
class PortfolioConfig:
    """How portfolios are traded.

    Attributes:
        sleeves: ``overlapping`` opens 1/h of it every session (Jegadeesh and Titman 1993); ``non_overlapping``
            trades all of it every h sessions.
        execution: when trades enter, by the names of :data:`~atft_pipeline.evaluation.market.TIMINGS`; ``auto``: at
            the next open, or with a session skipped where the prices have no opens.
        cost_bp: least cost of trading, in basis points of the traded notional, each way; a listing whose estimated
            half spread is wider costs that.
        max_weight: largest weight of a listing, as a fraction of one unit of capital.
    """

    sleeves: Literal["overlapping", "non_overlapping"] = "overlapping"
    execution: Literal["auto", "close_to_close", "open_to_open", "session_skipped"] = "auto"
    cost_bp: float = within(5.0, 0, 1000)
    max_weight: float = within(0.1, 1e-06, 1)

    @property
    def overlapping(self) -> bool:
        """Whether h sleeves share the capital."""
        return self.sleeves == "overlapping"
