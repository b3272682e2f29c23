"""Splits of the trading days into training, validation and test, purged and embargoed in SESSIONS.

A label of day t looks at the days up to t + span. A training day and an evaluation day must therefore be more than
``span`` sessions apart, on both sides (purge), and an embargo of further sessions is left out of training beside them,
because features reach back. Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 7. Schemes of
several folds: :mod:`atft_pipeline.splits.schemes`.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from atft_pipeline.config import config, require, within
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
    validation_share: float = within(0.15, 0.001, 0.99)
    test_share: float = within(0.25, 0.001, 0.99)
    embargo: int = within(20, 0, 10_000)

    def __post_init__(self) -> None:
        require(
            self.validation_share + self.test_share < 1,
            f"validation_share: with test_share must be below 1, got {self.validation_share + self.test_share}",
        )
        for name in ("validation_start", "test_start", "test_end"):
            parse_date(getattr(self, name), name)
        if self.validation_start and self.test_start:
            require(
                self.validation_start < self.test_start,
                f"test_start: must come after validation_start {self.validation_start}, got {self.test_start}",
            )

    @property
    def paths(self) -> int:
        """Every day is tested once."""
        return 1

    def folds(self, dates: Dates, span: int) -> "list[Fold]":
        """The split as a scheme of one fold, see :mod:`atft_pipeline.splits.schemes`."""
        split = single_split(dates, self, span)
        return [Fold(1, split, (0,) * len(split.test))]


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


@dataclass(frozen=True)
class Fold:
    """One training and what it is tested on.

    Attributes:
        number: from 1.
        split: its days.
        path: for each test day the stitched series it belongs to; 0 where every day is tested once.
    """

    number: int
    split: Split
    path: Days


def single_split(dates: Dates, config: SplitConfig, span: int) -> Split:
    """Cut the days into train | gap | validation | gap | test.

    Args:
        dates: trading days [D].
        config: where to cut.
        span: sessions after a day that its longest label looks at.

    Raises:
        ConfigError: a part would be empty.
    """
    gap = span + config.embargo
    cuts, end = _cuts(dates, config)
    split = _parts(cuts, end, gap, config.embargo)
    for name in ("train", "validation", "test"):
        if not getattr(split, name):
            raise ConfigError(_empty(name, dates, config, span))
    return split


def least_sessions(config: SplitConfig, span: int) -> int:
    """Fewest sessions that leave training, validation and test a day each.

    Args:
        config: where to cut; cuts by date leave only the purge and the embargo to count.
        span: as of :func:`single_split`.
    """
    gap = span + config.embargo
    if config.validation_start or config.test_start:
        return 2 * gap + 3
    training = 1 - config.validation_share - config.test_share
    # Enough for every rounding of the cuts; fewer may do as well.
    count = ceil(max((gap + 2) / config.validation_share, (gap + 2) / training, 1 + 1 / config.test_share))
    while _whole(_parts(_shares(count - 1, config), count - 1, gap)):
        count -= 1
    return count


def _whole(split: Split) -> bool:
    return bool(split.train and split.validation and split.test)


def _cuts(dates: Dates, config: SplitConfig) -> tuple[tuple[int, int], int]:
    """Positions where validation and test begin, and where the test ends."""
    validation, test = _shares(len(dates), config)
    test = _place(dates, config.test_start, test)
    validation = _place(dates, config.validation_start, validation)
    last = np.datetime64(config.test_end) if config.test_end else None
    return (validation, test), len(dates) if last is None else int(np.searchsorted(dates, last, side="right"))


def _shares(count: int, config: SplitConfig) -> tuple[int, int]:
    test = round(count * (1 - config.test_share))
    return round(count * (1 - config.test_share - config.validation_share)), test


def _parts(cuts: tuple[int, int], end: int, gap: int, embargo: int = 0) -> Split:
    validation, test = cuts
    return Split(
        train=tuple(range(max(validation - gap, 0))),
        validation=tuple(range(validation, max(test - gap, validation))),
        test=tuple(range(test, end)),
        embargo=embargo,
    )


def _empty(name: str, dates: Dates, config: SplitConfig, span: int) -> str:
    """Say why a part has no session, and what would give it one."""
    count, gap, least = len(dates), span + config.embargo, least_sessions(config, span)
    why = f"{gap} sessions of purge and embargo ({span} that labels look ahead, split.embargo {config.embargo})"
    if count < least:
        by = f" with validation_share {config.validation_share:g} and test_share {config.test_share:g}"
        cut = "" if config.validation_start or config.test_start else by
        return (
            f"split: {count} sessions leave none for {name}; {why} on both sides of the validation need at least "
            f"{least} sessions{cut}; give prices of more days, or lower split.embargo or the longest of "
            "features.horizons"
        )
    (validation, test), _ = _cuts(dates, config)
    starts = f"validation begins at session {validation}, test at {test} of {count}"
    if name == "test":
        return (
            f"split: no session is left for test: {starts}, prices end on {dates[-1]}; move split.test_start before "
            "that day, or split.test_end after it"
        )
    key = "validation_start" if name == "train" else "test_start"
    return f"split: no session is left for {name}: {starts}, after {why}; move split.{key} to a later day"


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
