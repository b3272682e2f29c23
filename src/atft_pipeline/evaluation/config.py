"""Parameters of an evaluation."""

from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.config import config, require, within
from atft_pipeline.evaluation.portfolio.config import PortfolioConfig

BASELINES = ("lightgbm", "ridge")
"""Fitted scores that the model is blended with and whose portfolios are built."""
FITTED = ("ridge", "lightgbm", "ridge+lightgbm")
"""All fitted scores."""


@config
class EvaluationConfig:
    """What is measured.

    Attributes:
        deciles: score buckets of each day.
        min_listings: days with fewer scored and labelled listings are left undefined.
        top_k: listings of the top-k precision and of the long-only portfolio.
        headline: horizon of the conclusions, in sessions; ``None``: 5 where there is one, else the shortest.
        universe: listings with the most dollar volume that make the liquid universe.
        trials: configurations that the model was chosen from, for the deflated Sharpe ratio; where a table of trials is
            given, its columns count instead.
        lightgbm: the tree baseline.
        portfolios: how the scores are traded.
    """

    deciles: int = within(10, 2, 100)
    min_listings: int = within(20, 3, 1_000_000)
    top_k: int = within(50, 1, 1_000_000)
    headline: int | None = within(None, 1, 1000)
    universe: int = within(1000, 1, 1_000_000)
    trials: int = within(1, 1, 1_000_000)
    lightgbm: LightGBMConfig = LightGBMConfig()
    portfolios: PortfolioConfig = PortfolioConfig()

    def __post_init__(self) -> None:
        require(
            self.min_listings >= self.deciles,
            f"min_listings: must be at least deciles ({self.deciles}), got {self.min_listings}",
        )
