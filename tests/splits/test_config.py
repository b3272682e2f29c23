import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.splits.config import WalkForwardConfig
from atft_pipeline.splits.schemes import CombinatorialPurged, PurgedKFold, WalkForward
from atft_pipeline.splits.split import Split
from tests.panel.market import business_days


def test_each_name_gives_its_scheme_with_its_parameters() -> None:
    dates = business_days(400)
    single = Split(tuple(range(100)), tuple(range(150, 200)), tuple(range(300, 360)), embargo=7)
    first, last = str(dates[300]), str(dates[359])
    given, common = {"validation_sessions": 30}, {"validation_sessions": 30, "embargo": 7}
    assert WalkForwardConfig(**given).choose(dates, single) == WalkForward(first_test=first, last_test=last, **common)
    rolling = WalkForwardConfig(
        scheme="rolling",
        train_sessions=100,
        retrain_every_months=None,
        retrain_every_sessions=25,
        first_test="2021-06-01",
        last_test="2022-01-10",
        **given,
    )
    assert rolling.choose(dates, single) == WalkForward(
        first_test="2021-06-01",
        last_test="2022-01-10",
        train_sessions=100,
        retrain_every_months=None,
        retrain_every_sessions=25,
        **common,
    )
    folds = WalkForwardConfig(scheme="purged_kfold", folds=4, **given).choose(dates, single)
    assert folds == PurgedKFold(folds_count=4, **common)
    groups = WalkForwardConfig(scheme="combinatorial", folds=5, test_groups=3, **given).choose(dates, single)
    assert groups == CombinatorialPurged(groups=5, test_groups=3, **common)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scheme": "rolling"}, "rolling needs it; got None"),
        ({"train_sessions": 100}, "train_sessions: belongs to the scheme rolling"),
        ({"scheme": "purged_kfold", "warm_start": True}, "warm_start: would show the model its test"),
        ({"scheme": "combinatorial", "first_test": "2020-01-01"}, "first_test: with last_test belongs to walk_forward"),
        ({"first_test": "soon"}, "first_test must be a date such as 2016-02-01, got soon"),
        ({"retrain_every_months": 0}, "retrain_every_months: must be from 1 to 600, got 0"),
        ({"folds": 1}, "folds: must be from 2"),
        ({"scheme": "combinatorial", "folds": 2}, "test_groups: must be below the 2 folds, got 2"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WalkForwardConfig(**given)
