import numpy as np
import pytest

from atft_pipeline.evaluation.characteristics import Characteristics
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.evaluate import Extras
from atft_pipeline.evaluation.inputs import Inputs
from atft_pipeline.evaluation.scores import random_scores, scores_of
from tests.evaluation.test_evaluate import predictions


def inputs(**features: np.ndarray) -> Inputs:
    return Inputs.of(predictions(days=30), EvaluationConfig(), Extras(characteristics=Characteristics(features)))


def test_factors_have_the_sign_with_which_they_are_expected_to_rise() -> None:
    feature = np.random.default_rng(0).standard_normal((30, 60))
    found = scores_of(inputs(RET1=feature, MOM252=2 * feature), 1)
    np.testing.assert_array_equal(found["reversal_1d"], -feature)
    np.testing.assert_array_equal(found["momentum"], 2 * feature)
    assert list(found) == ["model", "ridge", "model+ridge", "reversal_1d", "momentum", "random", "oracle"]


def test_factors_stand_on_the_cells_of_the_model_only() -> None:
    given = inputs(RET1=np.ones((30, 60)))
    table = given.table.with_columns(score_1=np.where(np.arange(1800) % 60 == 3, np.nan, 1.0))
    found = scores_of(Inputs.of(table, given.settings, given.extras), 1)
    for name in ("reversal_1d", "random"):
        assert np.isnan(found[name][:, 3]).all()
        assert np.isfinite(np.delete(found[name], 3, axis=1)).all()


def test_random_scores_are_seeded() -> None:
    np.testing.assert_array_equal(random_scores((3, 4), 1), random_scores((3, 4), 1))
    assert (random_scores((3, 4), 1) != random_scores((3, 4), 2)).any()


def test_the_market_return_is_the_capped_mean_of_the_scored_listings() -> None:
    given = inputs()
    returns = given.grid.to_days(given.table["return_1"])
    assert given.market_return == pytest.approx(returns.mean(axis=1))
    jump = given.table.with_columns(return_1=np.where(np.arange(1800) == 7, 90.0, given.table["return_1"]))
    capped = Inputs.of(jump, given.settings, given.extras).market_return
    assert capped[0] == pytest.approx((returns[0].sum() - returns[0, 7] + 0.5) / 60)
