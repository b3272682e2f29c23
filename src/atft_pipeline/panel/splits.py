"""Splits of the trading days into training, validation and test, purged and embargoed in SESSIONS.

A label of day t looks at the days up to t + span. A training day and an evaluation day must therefore be more than
``span`` sessions apart, on both sides (purge), and an embargo of further sessions is left out of training beside them,
because features reach back. Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 7. Schemes of
several folds: :mod:`atft_pipeline.panel.schemes`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atft_pipeline.config import config, require
from atft_pipeline.errors import ConfigError

Dates = npt.NDArray[np.datetime64]
Days = tuple[int, ...]


@config
class SplitConfig:
    """A single split, by dates where they are given, else by shares of the sessions.

    Attributes:
        validation_start: first day of the validation, ISO; ``None``: by share.
        test_start: first day of the test, ISO; ``None``: by share.
        test_end: last day of the test, ISO; ``None``: the last day of the panel.
        validation_share: share of the sessions that validate.
        test_share: share of the sessions that test.
        embargo: sessions left out beside the purge.
    """

    validation_start: str | None = None
    test_start: str | None = None
    test_end: str | None = None
    validation_share: float = 0.15
    test_share: float = 0.25
    embargo: int = 20

    def __post_init__(self) -> None:
        require(self.embargo >= 0, f"embargo must not be negative, got {self.embargo}")
        for name in ("validation_share", "test_share"):
            require(0 < getattr(self, name) < 1, f"{name} must lie in (0, 1), got {getattr(self, name)}")
        require(
            self.validation_share + self.test_share < 1,
            f"validation_share + test_share must be below 1, got {self.validation_share + self.test_share}",
        )
        for name in ("validation_start", "test_start", "test_end"):
            parse_date(getattr(self, name), name)
        if self.validation_start and self.test_start:
            require(
                self.validation_start < self.test_start,
                f"test_start {self.test_start} must come after validation_start {self.validation_start}",
            )


@dataclass(frozen=True)
class Split:
    """Day indices into a panel's dates, each ascending; the three do not touch.

    Attributes:
        train: that the weights are fitted on.
        validation: that choose the best epoch.
        test: that neither looks at.
        embargo: sessions that were left out beside the purge.
    """

    train: Days
    validation: Days
    test: Days
    embargo: int = 0


def single_split(dates: Dates, config: SplitConfig, span: int) -> Split:
    """Cut the days into train | gap | validation | gap | test.

    Args:
        dates: trading days [D].
        config: where to cut.
        span: sessions after a day that its longest label looks at.

    Raises:
        ConfigError: a part would be empty.
    """
    count = len(dates)
    test = _place(dates, config.test_start, round(count * (1 - config.test_share)))
    validation = _place(
        dates, config.validation_start, round(count * (1 - config.test_share - config.validation_share))
    )
    end = int(np.searchsorted(dates, np.datetime64(config.test_end), side="right")) if config.test_end else count
    gap = span + config.embargo
    split = Split(
        train=tuple(range(max(validation - gap, 0))),
        validation=tuple(range(validation, max(test - gap, validation))),
        test=tuple(range(test, end)),
        embargo=config.embargo,
    )
    for name in ("train", "validation", "test"):
        if not getattr(split, name):
            msg = (
                f"split: no session is left for {name} (cuts at {config.validation_start or validation} and "
                f"{config.test_start or test} of {count} sessions, {gap} sessions of purge and embargo); move the cuts"
            )
            raise ConfigError(msg)
    return split


def parse_date(text: str | None, name: str) -> None:
    """Refuse a parameter that is no ISO date.

    Raises:
        ConfigError: naming it.
    """
    if text is None:
        return
    try:
        np.datetime64(text, "D")
    except ValueError as error:
        msg = f"{name} must be a date such as 2016-02-01, got {text}"
        raise ConfigError(msg) from error


def _place(dates: Dates, date: str | None, otherwise: int) -> int:
    return int(np.searchsorted(dates, np.datetime64(date))) if date else otherwise
