"""Parameters of an evaluation."""

from atft_pipeline.config import config, require
from atft_pipeline.evaluation.baselines import RidgeConfig
from atft_pipeline.evaluation.boosting import LightGBMConfig
from atft_pipeline.evaluation.bootstrap import BootstrapConfig
from atft_pipeline.evaluation.portfolios import PortfolioConfig


@config
class EvaluationConfig:
    """What is measured.

    Attributes:
        deciles: score buckets of each day.
        min_listings: days with fewer scored and labelled listings are left undefined.
        min_group: listings that a group of listings (a sector, a size bucket) needs on a day.
        top_k: listings of the top-k precision.
        headline: horizon of the verdict, in sessions; ``None``: 5 where there is one, else the shortest.
        rivals: scores that the verdict compares the model with, the first being the one of the slices.
        blends: scores that are blended with the model, as the mean of the ranks of the day.
        size_groups: quantile groups by dollar volume and by volatility.
        universe: listings with the most dollar volume that make the liquid universe.
        trials: configurations that the model was chosen from, for the deflated Sharpe ratio; where a table of trials is
            given, its columns count instead.
        groups: groups of sessions for the probability of overfitting; even.
        seed: of the random baseline.
        styles: columns of the prediction table that describe listings and are no scores.
        ridge: penalties of the linear baseline.
        lightgbm: the tree baseline.
        bootstrap: intervals.
        portfolios: books.
    """

    deciles: int = 10
    min_listings: int = 20
    min_group: int = 10
    top_k: int = 50
    headline: int | None = None
    rivals: tuple[str, ...] = ("lightgbm", "ridge")
    blends: tuple[str, ...] = ("lightgbm", "ridge")
    size_groups: int = 5
    universe: int = 1000
    trials: int = 1
    groups: int = 16
    seed: int = 0
    styles: tuple[str, ...] = ("beta", "volatility", "dollar_volume", "momentum", "size")
    ridge: RidgeConfig = RidgeConfig()
    lightgbm: LightGBMConfig = LightGBMConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    portfolios: PortfolioConfig = PortfolioConfig()

    def __post_init__(self) -> None:
        require(self.deciles >= 2, f"deciles must be at least 2, got {self.deciles}")
        require(
            self.min_listings >= self.deciles,
            f"min_listings must be at least deciles ({self.deciles}), got {self.min_listings}",
        )
        for name in ("min_group", "size_groups"):
            require(getattr(self, name) >= 2, f"{name} must be at least 2, got {getattr(self, name)}")
        for name in ("top_k", "universe", "trials"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.groups >= 4 and self.groups % 2 == 0, f"groups must be even and at least 4, got {self.groups}")
