import numpy as np
import pytest
from sklearn.linear_model import Ridge

from atft_pipeline.baselines.ridge import (
    Block,
    LinearModel,
    accumulate,
    choose_ridge,
    rank_ic_columns,
)
from atft_pipeline.errors import DataError


def days(count: int = 12, seed: int = 0, missing: float = 0.1) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    coefficients = np.array([[0.5, 0.0], [0.0, -0.5], [0.1, 0.1], [0.0, 0.0]])
    blocks = []
    for _ in range(count):
        features = rng.standard_normal((40, 4)).astype(np.float32)
        targets = features @ coefficients + 0.5 * rng.standard_normal((40, 2)) + 0.3
        targets[rng.random(targets.shape) < missing] = np.nan
        blocks.append((features, targets))
    return blocks


def fit_ridge(blocks: list[Block], alpha: float) -> LinearModel:
    """One penalty for all horizons."""
    sums = accumulate(blocks)
    return sums.solve(np.full(sums.rows().size, alpha))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 100.0])
def test_equals_sklearn_for_each_horizon(alpha: float) -> None:
    blocks = days()
    model = fit_ridge(blocks, alpha)
    features = np.concatenate([block[0] for block in blocks]).astype(np.float64)
    targets = np.concatenate([block[1] for block in blocks])
    for horizon in range(2):
        rows = np.isfinite(targets[:, horizon])
        reference = Ridge(alpha=alpha).fit(features[rows], targets[rows, horizon])
        np.testing.assert_allclose(model.coefficients[:, horizon], reference.coef_, rtol=1e-5, atol=1e-7)
        assert model.intercept[horizon] == pytest.approx(float(reference.intercept_), rel=1e-5)


def test_a_constant_feature_does_no_harm() -> None:
    blocks = [(np.column_stack([features, np.ones(len(features))]), targets) for features, targets in days()]
    found = fit_ridge(blocks, 0.0).predict(blocks[0][0])
    np.testing.assert_allclose(found, fit_ridge(days(), 0.0).predict(days()[0][0]), rtol=1e-6, atol=1e-9)


def test_penalty_is_chosen_on_the_validation_days(monkeypatch: pytest.MonkeyPatch) -> None:
    training, validation = days(2, seed=1), days(30, seed=2)
    penalties = (1e-6, 1e-2, 1e3)
    monkeypatch.setattr("atft_pipeline.baselines.ridge.PENALTIES", penalties)
    model = choose_ridge(training, validation)
    rows = np.isfinite(np.concatenate([block[1] for block in training])).sum(axis=0)
    for horizon in range(2):
        means = []
        for penalty in penalties:
            fitted = fit_ridge(training, penalty * rows[horizon])
            means.append(np.mean([rank_ic_columns(fitted.predict(f), t)[horizon] for f, t in validation]))
        assert model.alpha[horizon] == pytest.approx(penalties[int(np.argmax(means))] * rows[horizon])


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="no training day"):
        fit_ridge([], 1.0)
    features, targets = days(1)[0]
    features[0, 0] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_ridge([(features, targets)], 1.0)
    with pytest.raises(DataError, match="target number 1 is missing in every training row"):
        fit_ridge([(days(1)[0][0], np.column_stack([targets[:, 0], np.full(40, np.nan)]))], 1.0)
