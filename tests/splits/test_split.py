import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atft_pipeline.errors import ConfigError
from atft_pipeline.splits.split import SplitConfig, least_sessions, single_split
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


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="100 sessions leave none for train"):
        single_split(business_days(100), SplitConfig(validation_share=0.3, test_share=0.5), 20)
    with pytest.raises(ConfigError, match="test_start: must come after validation_start 2021-01-01"):
        SplitConfig(validation_start="2021-01-01", test_start="2020-01-01")
    with pytest.raises(ConfigError, match="test_start must be a date"):
        SplitConfig(test_start="last year")


@given(
    span=st.integers(1, 21),
    embargo=st.integers(0, 30),
    shares=st.tuples(st.floats(0.05, 0.5), st.floats(0.05, 0.45)),
)
def test_the_least_number_of_sessions_is_the_least(span: int, embargo: int, shares: tuple[float, float]) -> None:
    config = SplitConfig(validation_share=shares[0], test_share=shares[1], embargo=embargo)
    least = least_sessions(config, span)
    for more in range(30):
        assert single_split(business_days(least + more), config, span).train
    with pytest.raises(ConfigError, match=rf"{least - 1} sessions leave none for .* at least {least} sessions with"):
        single_split(business_days(least - 1), config, span)


def test_too_few_sessions_are_told_with_what_takes_them() -> None:
    with pytest.raises(ConfigError) as caught:
        single_split(business_days(80), SplitConfig(), 20)
    assert str(caught.value) == (
        "split: 80 sessions leave none for validation; 40 sessions of purge and embargo (20 that labels look ahead, "
        "split.embargo 20) on both sides of the validation need at least 272 sessions with validation_share 0.15 and "
        "test_share 0.25; give prices of more days, or lower split.embargo or the longest of features.horizons"
    )
    # Cuts by date cannot help either.
    dates = business_days(80)
    cuts = SplitConfig(validation_start=str(dates[30]), test_start=str(dates[60]))
    with pytest.raises(
        ConfigError, match=r"80 sessions leave none for train; .* need at least 83 sessions; give prices"
    ):
        single_split(dates, cuts, 20)


def test_cuts_that_leave_nothing_name_the_one_to_move() -> None:
    dates = business_days(300)
    early = SplitConfig(validation_start=str(dates[30]), test_start=str(dates[200]))
    with pytest.raises(
        ConfigError, match=r"no session is left for train: validation begins at session 30, test at 200 of"
    ):
        single_split(dates, early, 20)
    close = SplitConfig(validation_start=str(dates[100]), test_start=str(dates[120]))
    with pytest.raises(
        ConfigError, match=r"no session is left for validation: .*; move split.test_start to a later day"
    ):
        single_split(dates, close, 20)
    late = SplitConfig(validation_start=str(dates[100]), test_start="2035-01-01")
    with pytest.raises(
        ConfigError, match=rf"no session is left for test: .*, prices end on {dates[-1]}; move split.test_start"
    ):
        single_split(dates, late, 20)
