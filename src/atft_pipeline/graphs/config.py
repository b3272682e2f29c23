"""Parameters of the monthly graphs."""

from typing import Literal

from atft_pipeline.config import config, require


@config
class GraphConfig:
    """How listings become neighbours.

    Attributes:
        window: sessions of returns before the month a graph serves.
        k: neighbours of a listing at most.
        threshold: least absolute (shrunk) correlation of an edge, in [0, 1].
        min_observations: returns a listing needs in the window, and that a pair needs in common.
        max_unchanged: share of returns of exactly zero above which a listing takes no part; prices that do not move
            would correlate with each other through the market's mean alone.
        clip: daily returns are limited to plus and minus this fraction; null leaves them.
        demean: subtract each day's mean over all listings, over the listing's sector, or nothing.
        halflife: sessions after which a return weighs half; null weighs all alike.
        shrinkage: observations of zero correlation that are mixed in: r becomes r * n / (n + shrinkage).
        min_sector_neighbours: neighbours that come from the own sector wherever it has so many, even below the
            threshold.
        volatility_similarity: exponent a of the factor exp(-a * |log(volatility i / volatility j)|) that ranks
            neighbours; 0 ranks by correlation alone.
        device: ``cpu``, ``cuda``, or ``auto`` (cuda where there is one).
        block: listings whose correlations are held in memory at a time.
    """

    window: int = 60
    k: int = 20
    threshold: float = 0.2
    min_observations: int = 30
    max_unchanged: float = 0.5
    clip: float | None = 0.5
    demean: Literal["market", "sector", "none"] = "market"
    halflife: float | None = None
    shrinkage: float = 10.0
    min_sector_neighbours: int = 4
    volatility_similarity: float = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    block: int = 128

    def __post_init__(self) -> None:
        require(self.window >= 2, f"graphs.window must be at least 2 sessions, got {self.window}")
        require(self.k >= 1, f"graphs.k must be at least 1, got {self.k}")
        require(0 <= self.threshold <= 1, f"graphs.threshold must lie in [0, 1], got {self.threshold}")
        require(
            2 <= self.min_observations <= self.window,
            f"graphs.min_observations must lie in [2, window = {self.window}], got {self.min_observations}",
        )
        require(0 <= self.max_unchanged <= 1, f"graphs.max_unchanged must lie in [0, 1], got {self.max_unchanged}")
        require(self.clip is None or self.clip > 0, f"graphs.clip must be above 0 or null, got {self.clip}")
        require(
            self.demean in ("market", "sector", "none"),
            f"graphs.demean must be market, sector or none, got {self.demean}",
        )
        require(
            self.halflife is None or self.halflife > 0, f"graphs.halflife must be above 0 or null, got {self.halflife}"
        )
        require(self.shrinkage >= 0, f"graphs.shrinkage must not be negative, got {self.shrinkage}")
        require(
            0 <= self.min_sector_neighbours <= self.k,
            f"graphs.min_sector_neighbours must lie in [0, k = {self.k}], got {self.min_sector_neighbours}",
        )
        require(
            self.volatility_similarity >= 0,
            f"graphs.volatility_similarity must not be negative, got {self.volatility_similarity}",
        )
        require(self.device in ("auto", "cpu", "cuda"), f"graphs.device must be auto, cpu or cuda, got {self.device}")
        require(self.block >= 1, f"graphs.block must be at least 1, got {self.block}")
