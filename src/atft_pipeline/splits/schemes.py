"""Validation schemes as objects: from trading days to folds, purged and embargoed in SESSIONS on both sides.

* :class:`WalkForward`: tests that follow one another; each model knows only what lies before it, all of it (expanding)
  or the last sessions of it (rolling). The only scheme that trades as one could have traded.
* :class:`PurgedKFold`: each session is tested once; models also train on what lies after their test
  (Lopez de Prado, Advances in Financial Machine Learning, 2018, section 7.4).
* :class:`CombinatorialPurged`: every choice of k of N groups is a test, so that several test series arise and
  the spread between them can be seen (the same, section 12.3).

In all of them the parts of a fold are more than span + embargo sessions apart, where span is how far the longest label
looks ahead (purge) and the embargo is left out beside it, because features reach back.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atft_pipeline.config import config, require, within
from atft_pipeline.errors import ConfigError
from atft_pipeline.splits.split import Dates, Fold, Split


class Scheme(Protocol):
    """A way to cut trading days into folds."""

    @property
    def paths(self) -> int:
        """Stitched test series that the folds give."""
        ...

    def folds(self, dates: Dates, span: int) -> list[Fold]:
        """Cut the days [D]; ``span`` is how many sessions after its day the longest label looks at."""
        ...


@config
class WalkForward:
    """Tests that follow one another without gap or overlap; every training day lies before its test.

    Attributes:
        first_test: first test day, ISO.
        last_test: last test day, ISO; ``None`` = the last day there is.
        retrain_every_months: calendar months of each test, from the first of a month on; ``None`` = by sessions.
        retrain_every_sessions: sessions of each test; ``None`` = by months.
        validation_sessions: sessions of each fold's validation, the last ones before its test.
        train_sessions: sessions of a rolling training part; ``None`` = all that lie before (expanding).
        embargo: sessions left out beside the purge.
    """

    first_test: str
    last_test: str | None = None
    retrain_every_months: int | None = within(3, 1, 600)
    retrain_every_sessions: int | None = within(None, 1, 10_000)
    validation_sessions: int = within(60, 1, 10_000)
    train_sessions: int | None = within(None, 1, 100_000)
    embargo: int = within(20, 0, 10_000)

    def __post_init__(self) -> None:
        require(
            (self.retrain_every_months is None) != (self.retrain_every_sessions is None),
            "retrain_every_months: give either retrain_every_months or retrain_every_sessions, and set the other to "
            "null",
        )

    @property
    def paths(self) -> int:
        """Every day is tested once."""
        return 1

    def folds(self, dates: Dates, span: int) -> list[Fold]:
        """Cut the days.

        Raises:
            ConfigError: no day is left to test, or the first fold has too few days before its test.
        """
        first = int(np.searchsorted(dates, np.datetime64(self.first_test)))
        last = None if self.last_test is None else np.datetime64(self.last_test)
        end = len(dates) if last is None else int(np.searchsorted(dates, last, side="right"))
        if first >= end:
            until = self.last_test or dates[-1]
            msg = f"walk_forward: no session lies between first_test {self.first_test} and {until}"
            raise ConfigError(msg)
        edges = [*self._starts(dates, first, end), end]
        return [
            Fold(number, self._split(dates, start, stop, span), (0,) * (stop - start))
            for number, (start, stop) in enumerate(pairwise(edges), start=1)
        ]

    def _starts(self, dates: Dates, first: int, end: int) -> list[int]:
        """First session of each test."""
        if self.retrain_every_sessions is not None:
            return list(range(first, end, self.retrain_every_sessions))
        assert self.retrain_every_months is not None
        month = dates[first].astype("datetime64[M]")
        after = dates[end - 1].astype("datetime64[M]") + np.timedelta64(1, "M")
        months = np.arange(month, after, np.timedelta64(self.retrain_every_months, "M"))
        starts = np.searchsorted(dates, months[1:].astype("datetime64[D]")).tolist()
        return sorted({first, *(start for start in starts if start < end)})

    def _split(self, dates: Dates, start: int, stop: int, span: int) -> Split:
        gap = span + self.embargo
        validation = start - gap - self.validation_sessions
        until = validation - gap
        begin = 0 if self.train_sessions is None else until - self.train_sessions
        if until < 1 or begin < 0:
            msg = (
                f"walk_forward: only {max(until, 0)} training sessions lie before the test of {dates[start]} "
                f"({self.validation_sessions} sessions of validation and twice {gap} of purge and embargo apart), need "
                f"{self.train_sessions or 1}; move first_test or lower train_sessions, validation_sessions or embargo"
            )
            raise ConfigError(msg)
        return Split(
            train=tuple(range(begin, until)),
            validation=tuple(range(validation, start - gap)),
            test=tuple(range(start, stop)),
            embargo=self.embargo,
        )


@config
class PurgedKFold:
    """Contiguous folds, each tested once; trained on what is far enough on both sides.

    Attributes:
        folds_count: number of folds.
        validation_sessions: sessions of each fold's validation: the end of its longest stretch of training days.
        embargo: sessions left out beside the purge.
    """

    folds_count: int = within(5, 2, 1000)
    validation_sessions: int = within(60, 1, 10_000)
    embargo: int = within(20, 0, 10_000)

    @property
    def paths(self) -> int:
        """Every day is tested once."""
        return 1

    def folds(self, dates: Dates, span: int) -> list[Fold]:
        """Cut the days.

        Raises:
            ConfigError: fewer days than folds, or a fold without training days.
        """
        return [
            Fold(number, _around(dates, test, self.validation_sessions, span, self.embargo), (0,) * len(test))
            for number, test in enumerate(_groups(len(dates), self.folds_count), start=1)
        ]


@config
class CombinatorialPurged:
    """Every choice of ``test_groups`` of ``groups`` contiguous groups is a test: C(N, k) folds, C(N-1, k-1) paths.

    Attributes:
        groups: N.
        test_groups: k.
        validation_sessions: sessions of each fold's validation: the end of its longest stretch of training days.
        embargo: sessions left out beside the purge.
    """

    groups: int = within(6, 2, 30)
    test_groups: int = within(2, 1, 29)
    validation_sessions: int = within(60, 1, 10_000)
    embargo: int = within(20, 0, 10_000)

    def __post_init__(self) -> None:
        require(
            self.test_groups < self.groups,
            f"test_groups: must be below the {self.groups} folds, got {self.test_groups}",
        )

    @property
    def paths(self) -> int:
        """How often each day is tested."""
        return comb(self.groups - 1, self.test_groups - 1)

    def folds(self, dates: Dates, span: int) -> list[Fold]:
        """Cut the days; path p of a group is the p-th fold that tests it.

        Raises:
            ConfigError: fewer days than groups, or a fold without training days.
        """
        groups = _groups(len(dates), self.groups)
        seen = [0] * self.groups
        folds = []
        for number, chosen in enumerate(combinations(range(self.groups), self.test_groups), start=1):
            test = [day for group in chosen for day in groups[group]]
            path = [seen[group] for group in chosen for _ in groups[group]]
            for group in chosen:
                seen[group] += 1
            split = _around(dates, test, self.validation_sessions, span, self.embargo)
            folds.append(Fold(number, split, tuple(path)))
        return folds


def _groups(count: int, parts: int) -> list[range]:
    """Contiguous groups of sessions; the first ``count % parts`` have one more, as scikit-learn's KFold."""
    require(parts <= count, f"folds: {parts} groups need as many sessions, there are {count}")
    sizes = [count // parts + (part < count % parts) for part in range(parts)]
    edges = [0, *np.cumsum(sizes).tolist()]
    return [range(start, stop) for start, stop in pairwise(edges)]


def _around(dates: Dates, test: Iterable[int], validation: int, span: int, embargo: int) -> Split:
    """Training and validation from the days that are far enough away from the test."""
    gap = span + embargo
    tested = tuple(test)
    free = _far_from(np.arange(len(dates)), tested, gap)
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    longest = max(runs, key=len)
    held = longest[-validation:]
    train = _far_from(free, held.tolist(), gap)
    if len(held) < validation or not len(train):
        msg = (
            f"folds: the test {dates[tested[0]]} to {dates[tested[-1]]} leaves no training session beside "
            f"{validation} sessions of validation, {gap} of purge and embargo on each side, and {len(dates)} in all; "
            "lower the number of groups, validation_sessions or embargo"
        )
        raise ConfigError(msg)
    return Split(train=tuple(train.tolist()), validation=tuple(held.tolist()), test=tested, embargo=embargo)


def purged_folds(days: Sequence[int], count: int, gap: int) -> list[tuple[npt.NDArray[np.int64], range]]:
    """Cut training days into contiguous folds, each held out once, and purge what is near it from the others.

    Args:
        days: ascending sessions.
        count: folds; fewer days than that give a fold a day.
        gap: sessions between a kept and a held day: span of the longest label and embargo.

    Returns:
        Of each fold the places among ``days`` that are kept and those that are held out. Folds that keep no day are
        left out.
    """
    sessions = np.asarray(days, dtype=np.int64)
    found = []
    for held in _groups(len(sessions), min(count, len(sessions))):
        kept = np.searchsorted(sessions, _far_from(sessions, sessions[held.start : held.stop].tolist(), gap))
        if len(kept):
            found.append((kept, held))
    return found


def _far_from(days: npt.NDArray[np.int64], others: Sequence[int], gap: int) -> npt.NDArray[np.int64]:
    """Days that are more than ``gap`` sessions away from every other one."""
    if not len(days):
        return days
    near = np.zeros(int(max(days.max(), *others)) + gap + 2, dtype=bool)
    for other in others:
        near[max(other - gap, 0) : other + gap + 1] = True
    return days[~near[days]]
