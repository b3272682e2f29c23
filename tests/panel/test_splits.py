import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.splits import SplitConfig, purged_kfold, single_split, walk_forward
from tests.panel.market import business_days


def distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    return int(np.abs(np.subtract.outer(np.array(first), np.array(second))).min())


@given(
    count=st.integers(300, 900),
    span=st.integers(1, 21),
    embargo=st.integers(0, 30),
    shares=st.tuples(st.floats(0.2, 0.35), st.floats(0.2, 0.35)),
)
def test_single_split_keeps_its_distances(count: int, span: int, embargo: int, shares: tuple[float, float]) -> None:
    config = SplitConfig(validation_share=shares[0], test_share=shares[1], embargo=embargo)
    split = single_split(business_days(count), config, span)
    assert distance(split.train, split.validation) > span + embargo
    assert distance(split.validation, split.test) > span + embargo
    assert max(split.train) < min(split.validation) <= max(split.validation) < min(split.test)
    assert split.test[-1] == count - 1


def test_single_split_by_dates() -> None:
    dates = business_days(500)
    config = SplitConfig(validation_start=str(dates[300]), test_start=str(dates[400]), test_end=str(dates[450]))
    split = single_split(dates, config, 20)
    assert split.train == tuple(range(260))
    assert split.validation == tuple(range(300, 360))
    assert split.test == tuple(range(400, 451))


@given(count=st.integers(200, 700), span=st.integers(1, 20), embargo=st.integers(0, 20), rolling=st.booleans())
def test_walk_forward_tests_tile_the_future(count: int, span: int, embargo: int, rolling: bool) -> None:
    folds = list(
        walk_forward(count, span=span, embargo=embargo, first_train=60, validation=20, test=30, rolling=rolling)
    )
    tests = [day for fold in folds for day in fold.test]
    assert tests == list(range(tests[0], count))
    for fold in folds:
        assert fold.train
        assert max(fold.train) < min(fold.validation)
        assert distance(fold.train, fold.validation) > span + embargo
        assert distance(fold.validation, fold.test) > span + embargo
        assert not rolling or len(fold.train) == 60


@given(count=st.integers(250, 600), folds=st.integers(2, 6), span=st.integers(1, 20), embargo=st.integers(0, 20))
def test_purged_kfold_on_both_sides(count: int, folds: int, span: int, embargo: int) -> None:
    seen: list[int] = []
    for train, held_out in purged_kfold(count, folds, span=span, embargo=embargo):
        assert train
        assert distance(train, held_out) > span + embargo
        seen += held_out
    assert seen == list(range(count))


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="no session is left for train"):
        single_split(business_days(100), SplitConfig(validation_share=0.3, test_share=0.5), 20)
    with pytest.raises(ConfigError, match="test_start 2020-01-01 must come after"):
        SplitConfig(validation_start="2021-01-01", test_start="2020-01-01")
    with pytest.raises(ConfigError, match="test_start must be a date"):
        SplitConfig(test_start="last year")
    with pytest.raises(ConfigError, match="walk_forward"):
        list(walk_forward(100, span=20, embargo=20, first_train=60, validation=20, test=20))
