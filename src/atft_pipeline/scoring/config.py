"""Parameters of a prediction."""

from atft_pipeline.config import config, within


@config
class PredictConfig:
    """What is predicted.

    Attributes:
        days: newest days to score.
        min_delivered: least fraction of the usual number of listings (median of the 20 sessions before) that a day must
            have; a day with fewer is taken for an unfinished delivery of prices.
    """

    days: int = within(1, 1, 10_000)
    min_delivered: float = within(0.5, 0, 1)
