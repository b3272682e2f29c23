from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, TimeSeriesSplit

from atft_pipeline.errors import ConfigError
from atft_pipeline.splits.schemes import CombinatorialPurged, PurgedKFold, Scheme, WalkForward, purged_folds
from atft_pipeline.splits.split import Fold
from tests.panel.market import business_days

SPAN = st.integers(1, 21)
EMBARGO = st.integers(0, 25)


def distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    return int(np.abs(np.subtract.outer(np.array(first), np.array(second))).min())


def check_distances(folds: list[Fold], gap: int) -> None:
    """Every part of every fold is there, and more than the gap away from the others, on both sides."""
    for place, fold in enumerate(folds, start=1):
        split = fold.split
        assert fold.number == place
        assert len(fold.path) == len(split.test)
        assert split.train
        assert split.validation
        assert split.test
        for first, second in combinations((split.train, split.validation, split.test), 2):
            assert distance(first, second) > gap


def times_tested(folds: list[Fold], count: int) -> list[int]:
    return np.bincount([day for fold in folds for day in fold.split.test], minlength=count).tolist()


@given(
    count=st.integers(330, 700),
    first=st.integers(250, 320),
    span=SPAN,
    embargo=EMBARGO,
    months=st.integers(1, 6),
    rolling=st.booleans(),
)
def test_walk_forward_by_months(count: int, first: int, span: int, embargo: int, months: int, rolling: bool) -> None:
    dates = business_days(count)
    scheme = WalkForward(
        first_test=str(dates[first]),
        retrain_every_months=months,
        train_sessions=60 if rolling else None,
        embargo=embargo,
    )
    folds = scheme.folds(dates, span)
    check_distances(folds, span + embargo)
    assert times_tested(folds, count) == [0] * first + [1] * (count - first)
    for fold in folds:
        assert max(fold.split.train) < min(fold.split.validation) < max(fold.split.validation) < min(fold.split.test)
        assert fold.split.train[0] == (fold.split.train[-1] - 59 if rolling else 0)
        tested = dates[list(fold.split.test)].astype("datetime64[M]")
        assert (tested[-1] - tested[0]).astype(int) < months
    # From the second fold on a test begins with a month.
    starts = [fold.split.test[0] for fold in folds[1:]]
    assert all(dates[day].astype("datetime64[M]") != dates[day - 1].astype("datetime64[M]") for day in starts)


@given(
    count=st.integers(300, 600),
    span=SPAN,
    embargo=EMBARGO,
    folds=st.integers(2, 6),
    test=st.integers(5, 30),
    rolling=st.booleans(),
)
def test_walk_forward_by_sessions_equals_time_series_split(
    count: int, span: int, embargo: int, folds: int, test: int, rolling: bool
) -> None:
    """scikit-learn's TimeSeriesSplit with a gap gives the same test days and, before them, what may be learned from."""
    dates = business_days(count)
    gap, first = span + embargo, count - folds * test
    assume(first - 2 * gap - 10 >= 40)
    scheme = WalkForward(
        first_test=str(dates[first]),
        retrain_every_months=None,
        retrain_every_sessions=test,
        validation_sessions=10,
        train_sessions=40 if rolling else None,
        embargo=embargo,
    )
    # What lies before the validation, its gap left out, is scikit-learn's training part.
    reference = TimeSeriesSplit(
        n_splits=folds, test_size=test, gap=2 * gap + 10, max_train_size=40 if rolling else None
    )
    ours = scheme.folds(dates, span)
    check_distances(ours, gap)
    for fold, (train, held) in zip(ours, reference.split(dates), strict=True):
        assert fold.split.train == tuple(train)
        assert fold.split.test == tuple(held)


@given(count=st.integers(400, 700), folds=st.integers(2, 6), span=SPAN, embargo=EMBARGO)
def test_purged_kfold(count: int, folds: int, span: int, embargo: int) -> None:
    dates = business_days(count)
    ours = PurgedKFold(folds_count=folds, embargo=embargo, validation_sessions=20).folds(dates, span)
    check_distances(ours, span + embargo)
    for fold, (rest, held) in zip(ours, KFold(folds).split(dates), strict=True):
        assert fold.split.test == tuple(held)
        assert set(fold.split.train) | set(fold.split.validation) <= set(rest.tolist())
    assert times_tested(ours, count) == [1] * count


@given(
    count=st.integers(700, 900),
    groups=st.integers(3, 7),
    test_groups=st.integers(1, 3),
    span=st.integers(1, 10),
    embargo=st.integers(0, 10),
)
def test_combinatorial_purged(count: int, groups: int, test_groups: int, span: int, embargo: int) -> None:
    assume(test_groups < groups - 1)
    scheme = CombinatorialPurged(groups=groups, test_groups=test_groups, embargo=embargo, validation_sessions=20)
    folds = scheme.folds(business_days(count), span)
    check_distances(folds, span + embargo)
    assert len(folds) == comb(groups, test_groups)
    # Lopez de Prado's number of paths: k/N C(N, k).
    assert scheme.paths == test_groups * len(folds) // groups
    assert times_tested(folds, count) == [scheme.paths] * count
    # Each path tests each day exactly once.
    cells = {(day, path) for fold in folds for day, path in zip(fold.split.test, fold.path, strict=True)}
    assert cells == {(day, path) for day in range(count) for path in range(scheme.paths)}


def test_combinatorial_paths_of_the_book() -> None:
    """Six groups, two tested: fifteen splits and five paths, figures 12.1 and 12.2 of the book."""
    count = 600
    folds = CombinatorialPurged(embargo=2, validation_sessions=10).folds(business_days(count), 5)
    table = np.zeros((6, 15), dtype=int)
    for fold in folds:
        for day, path in zip(fold.split.test, fold.path, strict=True):
            table[day // 100, fold.number - 1] = path + 1
    assert table.tolist() == [
        [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 4, 5, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 2, 0, 0, 3, 0, 0, 4, 5, 0],
        [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 3, 0, 4, 0, 5],
        [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 3, 0, 4, 5],
    ]


def test_purge_by_hand() -> None:
    """Twelve days, three folds, labels of one day, an embargo of one: the middle fold keeps two days on each side."""
    (_, middle, _) = PurgedKFold(folds_count=3, embargo=1, validation_sessions=1).folds(business_days(12), 1)
    # Of the first four days, two lie within two sessions of the test 4..7, likewise of the last four. Both stretches
    # that are left, 0..1 and 10..11, are as long; the end of the first validates and takes its neighbour along.
    assert middle.split.test == (4, 5, 6, 7)
    assert middle.split.validation == (1,)
    assert middle.split.train == (10, 11)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        (WalkForward(first_test="2021-02-01"), "only 0 training sessions lie before the test of 2021-02-01"),
        (WalkForward(first_test="2021-10-01", train_sessions=100), "need 100; move first_test"),
        (WalkForward(first_test="2030-01-01"), "no session lies between first_test 2030-01-01"),
        (PurgedKFold(validation_sessions=180), "leaves no training session"),
        (PurgedKFold(folds_count=999), "999 groups need as many sessions, there are 200"),
        (CombinatorialPurged(groups=4, test_groups=3), "leaves no training session"),
    ],
)
def test_what_cannot_be_cut_is_refused(scheme: Scheme, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scheme.folds(business_days(200), 20)


def test_training_days_are_cut_into_folds_with_the_gap_counted_in_sessions() -> None:
    """A hole in the days is part of the gap; each day is held out once; a fold without training days is left out."""
    days = [*range(10), *range(14, 24)]
    folds = purged_folds(days, 2, gap=5)
    assert [[days[place] for place in held] for _, held in folds] == [days[:10], days[10:]]
    assert [[days[place] for place in kept] for kept, _ in folds] == [list(range(15, 24)), list(range(9))]
    assert purged_folds(days, 2, gap=30) == []
    assert [len(held) for _, held in purged_folds(list(range(2)), 5, gap=0)] == [1, 1]


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="either retrain_every_months or retrain_every_sessions"):
        WalkForward(first_test="2021-01-01", retrain_every_sessions=20)
    with pytest.raises(ConfigError, match="validation_sessions: must be from 1"):
        WalkForward(first_test="2021-01-01", validation_sessions=0)
    with pytest.raises(ConfigError, match="test_groups: must be below the 6 folds, got 6"):
        CombinatorialPurged(test_groups=6)
    with pytest.raises(ConfigError, match="folds_count: must be from 2 to"):
        PurgedKFold(folds_count=1)
