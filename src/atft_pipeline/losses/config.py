"""Parameters of the loss."""

from collections.abc import Mapping
from dataclasses import replace

from atft_pipeline.config import config, require, within

TERMS = ("huber", "quantile", "student_t", "rank_ic", "ic", "spearman", "sharpe")
"""Terms by name; a term of weight 0 is not computed."""
# Independent labels of a horizon from which on it weighs in full: what the US prices of docs/results.md have at 20
# sessions, where equal weights ranked as well as any.
INDEPENDENT = 70


@config
class LossConfig:
    """Weights of the terms and their parameters.

    Attributes:
        huber: weight of the Huber loss of the score.
        quantile: weight of the pinball loss; needs ``model.heads.quantiles``.
        student_t: weight of the Student-t likelihood; needs ``model.heads.student_t``.
        rank_ic: weight of 1 - RankIC, by straight-through ranks.
        ic: weight of 1 - IC.
        spearman: lambda of the regulariser 1 - Spearman with exact pairwise soft ranks; costs n^2 a day.
        sharpe: weight of minus the Sharpe ratio of the soft long-short portfolio over the last ``SHARPE_DAYS`` days,
            those of the batch among them.
        turnover_cost: cost of a unit of turnover that the Sharpe term charges the portfolio, as a fraction
            (0.001 = 10 bp); counted between days of a batch that follow each other, see ``batches.consecutive``.
        horizon_weights: weight of each horizon by its sessions; those not named weigh 1, or less where the training
            days hold few of their labels that do not overlap, see :meth:`for_days`.
        regime_weights: by the name of a market feature, the weights of days in its low, middle and high regime (scores
            below -0.5, between, above 0.5: about a third each); several features multiply. Market features are scaled
            by their own past, so the regime of a day is known on that day.
    """

    huber: float = within(1.0, 0, 1000.0)
    quantile: float = within(0.0, 0, 1000.0)
    student_t: float = within(0.0, 0, 1000.0)
    rank_ic: float = within(0.5, 0, 1000.0)
    ic: float = within(0.3, 0, 1000.0)
    spearman: float = within(0.0, 0, 1000.0)
    sharpe: float = within(0.0, 0, 1000.0)
    turnover_cost: float = within(0.0, 0, 1.0)
    horizon_weights: Mapping[int, float] = within({}, 0, 1000.0)
    regime_weights: Mapping[str, tuple[float, ...]] = within({}, 0, 1000.0)

    def __post_init__(self) -> None:
        require(any(getattr(self, name) for name in TERMS), f"at least one weight of {', '.join(TERMS)} must exceed 0")
        require(
            not self.turnover_cost or self.sharpe > 0,
            f"turnover_cost: {self.turnover_cost} is charged to the Sharpe term; give sharpe a weight",
        )
        for name, levels in self.regime_weights.items():
            require(
                len(levels) == 3 and max(levels) > 0,
                f"regime_weights.{name}: must be three weights (low, middle, high regime), got {tuple(levels)}",
            )

    def for_days(self, horizons: tuple[int, ...], days: int) -> "LossConfig":
        """The same loss with a weight for every horizon that has none, from what so many training days tell of it.

        Labels of h sessions overlap: of D days D / h are independent. A horizon with fewer of them than ``INDEPENDENT``
        weighs proportionally less, because a network learns so few by heart.

        Args:
            horizons: sessions ahead.
            days: of the training.
        """
        told = {horizon: min(1.0, days / (INDEPENDENT * horizon)) for horizon in horizons}
        named = {int(horizon): float(weight) for horizon, weight in self.horizon_weights.items()}
        return replace(self, horizon_weights={**told, **named})

    def weights_of(self, horizons: tuple[int, ...]) -> list[float]:
        """Weights of the horizons; their sum is 1.

        Raises:
            ConfigError: a weight names a horizon that is not predicted, or all weigh 0.
        """
        named = {int(horizon): float(weight) for horizon, weight in self.horizon_weights.items()}
        unknown = sorted(set(named) - set(horizons))
        require(not unknown, f"loss.horizon_weights: horizon {unknown} is not predicted; horizons: {list(horizons)}")
        weights = [named.get(horizon, 1.0) for horizon in horizons]
        require(sum(weights) > 0, f"loss.horizon_weights: at least one horizon must weigh more than 0, got {named}")
        return [weight / sum(weights) for weight in weights]
