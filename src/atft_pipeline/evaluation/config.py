"""Parameters of an evaluation."""

from atft_pipeline.baselines.lightgbm import LightGBMConfig
from atft_pipeline.baselines.ridge import RidgeConfig
from atft_pipeline.config import config, require, within
from atft_pipeline.evaluation.characteristics import FACTORS
from atft_pipeline.evaluation.portfolio.weights import PortfolioConfig
from atft_pipeline.stats.bootstrap import BootstrapConfig

BASELINES = ("lightgbm", "ridge")


@config
class EvaluationConfig:
    """What is measured.

    Attributes:
        deciles: score buckets of each day.
        min_listings: days with fewer scored and labelled listings are left undefined.
        min_group: listings that a group of listings (a sector, a size bucket) needs on a day.
        top_k: listings of the top-k precision.
        headline: horizon of the conclusions, in sessions; ``None``: 5 where there is one, else the shortest.
        benchmarks: scores that the conclusions compare the model with, the first being the one of the slices.
        blends: scores that are blended with the model, as the mean of the ranks of the day.
        size_groups: quantile groups by dollar volume and by volatility.
        universe: listings with the most dollar volume that make the liquid universe.
        trials: configurations that the model was chosen from, for the deflated Sharpe ratio; where a table of trials is
            given, its columns count instead.
        groups: groups of sessions for the probability of overfitting; even.
        seed: of the random baseline.
        ridge: penalties of the linear baseline.
        lightgbm: the tree baseline.
        bootstrap: intervals.
        portfolios: how the scores are traded.
    """

    deciles: int = within(10, 2, 100)
    min_listings: int = within(20, 2, 1_000_000)
    min_group: int = within(10, 2, 1_000_000)
    top_k: int = within(50, 1, 1_000_000)
    headline: int | None = within(None, 1, 1000)
    benchmarks: tuple[str, ...] = ("lightgbm", "ridge")
    blends: tuple[str, ...] = ("lightgbm", "ridge")
    size_groups: int = within(5, 2, 100)
    universe: int = within(1000, 1, 1_000_000)
    trials: int = within(1, 1, 1_000_000)
    groups: int = within(16, 4, 20)
    seed: int = within(0, 0, 2**31 - 1)
    ridge: RidgeConfig = RidgeConfig()
    lightgbm: LightGBMConfig = LightGBMConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    portfolios: PortfolioConfig = PortfolioConfig()

    def __post_init__(self) -> None:
        require(
            self.min_listings >= self.deciles,
            f"min_listings: must be at least deciles ({self.deciles}), got {self.min_listings}",
        )
        known = (*BASELINES, *FACTORS, "random")
        refuse_unknown("benchmarks", self.benchmarks, (*known, *(f"model+{name}" for name in BASELINES)))
        refuse_unknown("blends", self.blends, BASELINES)
        refuse_unknown("portfolios.scores", self.portfolios.scores, ("model", *known))
        require(self.groups % 2 == 0, f"groups: must be even, got {self.groups}")


def refuse_unknown(key: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse names of scores that nothing makes."""
    unknown = [name for name in names if name not in known]
    require(not unknown, f"{key}: no score is called {', '.join(unknown)}; there are: {', '.join(known)}")
