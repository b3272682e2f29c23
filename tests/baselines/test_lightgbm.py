from dataclasses import replace

import numpy as np
import pytest

from atft_pipeline.baselines import lightgbm
from atft_pipeline.baselines.lightgbm import LightGBMConfig, fit_trees, thin_days
from atft_pipeline.baselines.ridge import rank_ic_columns
from atft_pipeline.errors import ConfigError, DataError

SMALL = LightGBMConfig(leaves=(4, 8), rounds=30, patience=5, min_rows=20)


def days(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(count):
        features = rng.standard_normal((60, 5)).astype(np.float16)
        signal = (features[:, 0] * features[:, 1]).astype(np.float64)
        targets = np.stack([signal + rng.standard_normal(60), -signal + rng.standard_normal(60)], axis=1)
        targets[rng.random(targets.shape) < 0.1] = np.nan
        blocks.append((features, targets))
    return blocks


def test_learns_what_no_line_can_and_stops_at_the_best_validation_round() -> None:
    model = fit_trees(days(60), days(20, seed=1), (1, 5), SMALL)
    test = days(20, seed=2)
    found = np.mean([rank_ic_columns(model.predict(f), t) for f, t in test], axis=0)
    assert (found > 0.3).all()
    for column, fit in enumerate(model.card["horizons"]):
        best = max(item["validation_rank_ic"]["mean"] for item in fit["tried"])
        assert fit["chosen"]["validation_rank_ic"]["mean"] == best
        assert len(fit["tried"]) == 2
        assert model.boosters[column].num_trees() == fit["chosen"]["rounds"]
    # The reported validation RankIC is that of the trees that are kept.
    check = np.mean([rank_ic_columns(model.predict(f), t)[0] for f, t in days(20, seed=1)])
    assert check == pytest.approx(model.card["horizons"][0]["chosen"]["validation_rank_ic"]["mean"], abs=1e-4)


def test_same_seed_same_trees() -> None:
    features = days(1, seed=3)[0][0]
    first, second = (fit_trees(days(30), days(10, seed=1), (1, 5), SMALL).predict(features) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_as_many_threads_as_cores_and_they_change_no_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    features = days(1, seed=3)[0][0]
    found = []
    for cores in (1, 2):
        monkeypatch.setattr(lightgbm, "available_cores", lambda cores=cores: cores)
        settings = replace(SMALL, leaves=(4,), rounds=5)
        model = fit_trees(days(30), days(10, seed=1), (1, 5), settings)
        assert model.card["threads"] == cores
        found.append(model.predict(features))
    np.testing.assert_array_equal(found[1], found[0])


def test_days_are_thinned_to_the_row_budget() -> None:
    assert thin_days(list(range(10)), [100] * 10, 1000) == list(range(10))
    kept = thin_days(list(range(10)), [100] * 10, 350)
    assert kept == [0, 4, 9]
    assert thin_days([3, 4], [100, 100], 10) == [4]
    assert thin_days([], [], 10) == []


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="no training day"):
        fit_trees([], days(2), (1, 5), SMALL)
    empty = [(f, np.column_stack([t[:, 0], np.full(60, np.nan)])) for f, t in days(5)]
    with pytest.raises(DataError, match="target number 1 is missing"):
        fit_trees(empty, days(2), (1, 5), SMALL)
    with pytest.raises(DataError, match=r"lower evaluation.lightgbm.min_rows, now 100000"):
        fit_trees(days(5), days(2), (1, 5), replace(SMALL, min_rows=100_000))
    with pytest.raises(ConfigError, match="leaves: must be from 2"):
        LightGBMConfig(leaves=(1,))
