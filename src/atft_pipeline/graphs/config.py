"""Parameters of the monthly graphs."""

from typing import Literal

from atft_pipeline.config import config, require, within


@config
class GraphConfig:
    """How listings become neighbours.

    Attributes:
        window: sessions of returns before the month a graph serves.
        k: neighbours of a listing at most.
        threshold: least absolute (shrunk) correlation of an edge, in [0, 1].
        min_observations: returns a listing needs in the window, and that a pair needs in common.
        clip: daily returns are limited to plus and minus this fraction; null leaves them.
        demean: subtract each day's mean over all listings, over the listing's sector, or nothing.
        halflife: sessions after which a return weighs half; null weighs all alike.
        shrinkage: observations of zero correlation that are mixed in: r becomes r * n / (n + shrinkage).
        min_sector_neighbours: neighbours that come from the own sector wherever it has so many, even below the
            threshold.
        volatility_similarity: exponent a of the factor exp(-a * |log(volatility i / volatility j)|) that ranks
            neighbours; 0 ranks by correlation alone.
        device: ``cpu``, ``cuda``, or ``auto`` (cuda where there is one).
    """

    window: int = within(60, 2, 2000)
    k: int = within(20, 1, 1000)
    threshold: float = within(0.2, 0, 1)
    min_observations: int = within(30, 2, 2000)
    clip: float | None = within(0.5, 0.001, 100.0)
    demean: Literal["market", "sector", "none"] = "market"
    halflife: float | None = within(None, 0.1, 10000.0)
    shrinkage: float = within(10.0, 0, 1000000.0)
    min_sector_neighbours: int = within(4, 0, 1000)
    volatility_similarity: float = within(0.0, 0, 1000.0)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        require(
            self.min_observations <= self.window,
            f"min_observations: must not exceed window {self.window}, got {self.min_observations}",
        )
        require(
            self.min_sector_neighbours <= self.k,
            f"min_sector_neighbours: must not exceed k {self.k}, got {self.min_sector_neighbours}",
        )
