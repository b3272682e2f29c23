"""Parameters of the benchmark."""

from typing import Literal

from atft_pipeline.benchmark.switches import DEFAULT, VARIANTS
from atft_pipeline.config import config, require, within


@config
class BenchmarkConfig:
    """What the benchmark measures.

    Attributes:
        scale: ``tiny`` (seconds) or ``origin`` (4,484 listings x 2,000 days x 112 features, 5.6 million parameters).
        minutes: after which no further variant is begun; what was left out is named.
        only: names of the variants to measure; empty for all.
    """

    scale: Literal["tiny", "origin"] = "tiny"
    minutes: float = within(8.0, 0.000001, 1440.0)
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {variant.name for variant in (DEFAULT, *VARIANTS)}
        unknown = sorted(set(self.only) - known)
        require(not unknown, f"only: there is no {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
