"""Parameters of the features."""

from typing import Literal

from atft_pipeline.config import config, require, within

Method = Literal["rank_gauss", "robust_z", "none"]
Label = Literal["close_to_close", "open_to_open"]
GROUPS = ("alpha158", "extras", "listing", "sector", "market", "calendar")


@config
class FeaturesConfig:
    """What to compute from clean prices, and how to scale it.

    Attributes:
        groups: ``alpha158``, ``extras`` (= ``listing``, ``sector``, ``market``, ``calendar``) or any of its parts.
        passthrough: patterns of numeric columns of the clean frame that become features, such as ``("x_*",)``.
        passthrough_market: patterns of numeric columns equal for all listings of a day; they are scaled over time.
        horizons: sessions ahead of the labels.
        label: ``close_to_close``, or ``open_to_open`` of the next session (tradeable).
        normalisation: per-day map of the features over the universe; ``none`` leaves values, also of market columns.
        target_normalisation: per-day map of the targets.
        clip: bound of normalised values, in standard deviations.
        missing: ``zero`` (the middle of the day), or ``mask``: likewise, and a feature ``MISSING_FRACTION``,
            the fraction of a row's per-listing features that were missing.
    """

    groups: tuple[str, ...] = ("alpha158", "extras")
    passthrough: tuple[str, ...] = ()
    passthrough_market: tuple[str, ...] = ()
    horizons: tuple[int, ...] = within((1, 5, 10, 20), 1, 1000)
    label: Label = "close_to_close"
    normalisation: Method = "rank_gauss"
    target_normalisation: Method = "rank_gauss"
    clip: float = within(3.0, 0.1, 100.0)
    missing: Literal["zero", "mask"] = "zero"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.groups) - set(GROUPS))
        require(not unknown, f"groups: unknown {', '.join(unknown)}; known groups: {', '.join(GROUPS)}")
        ascending = tuple(sorted(set(self.horizons))) == self.horizons
        require(
            bool(self.horizons) and ascending, f"horizons: must be one or more, ascending, got {list(self.horizons)}"
        )
