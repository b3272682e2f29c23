import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.splits import SplitConfig, single_split
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
    with pytest.raises(ConfigError, match="no session is left for train"):
        single_split(business_days(100), SplitConfig(validation_share=0.3, test_share=0.5), 20)
    with pytest.raises(ConfigError, match="test_start 2020-01-01 must come after"):
        SplitConfig(validation_start="2021-01-01", test_start="2020-01-01")
    with pytest.raises(ConfigError, match="test_start must be a date"):
        SplitConfig(test_start="last year")
