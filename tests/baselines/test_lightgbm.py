from collections.abc import Callable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from atft_pipeline.baselines import lightgbm
from atft_pipeline.baselines.binned import DayTable, row_limit, thin_days
from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.lightgbm import Predict, TreeModel, fit_trees
from atft_pipeline.baselines.ridge import Block, choose_ridge, rank_ic_columns
from atft_pipeline.baselines.rounds import Size, cut_folds, simplest
from atft_pipeline.errors import ConfigError, DataError
from atft_pipeline.stats.significance import estimate

SMALL = LightGBMConfig(leaves=(4, 8), rounds=60)
GAP = 3


def table(blocks: list[Block]) -> DayTable:
    """Days that follow one another."""
    targets = np.concatenate([y for _, y in blocks]) if blocks else np.empty((0, 2))
    return DayTable(
        list(range(len(blocks))),
        [len(x) for x, _ in blocks],
        blocks[0][0].shape[1] if blocks else 1,
        targets.astype(np.float32),
        lambda day: blocks[day][0],
    )


def judge(blocks: list[Block]) -> Callable[[Predict], np.ndarray]:
    return lambda predict: np.stack([rank_ic_columns(predict(x), y) for x, y in blocks])


def fit(training: list[Block], validation: list[Block], settings: LightGBMConfig = SMALL) -> TreeModel:
    ridge = judge(validation)(choose_ridge(training, validation).predict)
    return fit_trees(table(training), judge(validation), ridge, (1, 5), GAP, settings)


def days(count: int, seed: int = 0) -> list[Block]:
    """A product of two features and its opposite: no line finds them."""
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(count):
        features = rng.standard_normal((60, 5)).astype(np.float16)
        signal = (features[:, 0] * features[:, 1]).astype(np.float64)
        targets = np.stack([signal + rng.standard_normal(60), -signal + rng.standard_normal(60)], axis=1)
        targets[rng.random(targets.shape) < 0.1] = np.nan
        blocks.append((features, targets))
    return blocks


def ranks(count: int, signal: float, seed: int, listings: int = 200) -> list[Block]:
    """Days of 16 rank features, of which a straight line through four knows all that can be known."""
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(count):
        features = (rng.permuted(np.tile(np.arange(listings), (16, 1)), axis=1).T / (listings - 1) - 0.5).astype(
            np.float32
        )
        known = features[:, :4].sum(axis=1)
        # Days differ: what held on average is turned round on many of them.
        line = (signal + 2 * signal * rng.standard_normal()) * known
        noise = rng.standard_normal((listings, 2))
        blocks.append((features, line[:, None] + noise))
    return blocks


def test_learns_what_no_line_can() -> None:
    validation = days(20, seed=1)
    model = fit(days(60), validation)
    found = judge(days(20, seed=2))(model.predict).mean(axis=0)
    assert (found > 0.3).all()
    for column, of in enumerate(model.card["horizons"].values()):
        assert of["weak"] is None
        assert not of["stronger"]
        assert len(of["tried"]) == 2
        assert {forest.num_trees() for forest in model.forests[column]} == {of["chosen"]["rounds"]}
        assert of["chosen"]["rounds"] >= 10
        # What they drew differs, and their mean is the score.
        alone = [np.asarray(forest.predict(validation[0][0])) for forest in model.forests[column]]
        assert len(alone) == 2
        assert not np.allclose(alone[0], alone[1])
        np.testing.assert_allclose(model.predict(validation[0][0])[:, column], np.mean(alone, axis=0))
    # The validation RankIC on the card is that of the trees that are kept.
    check = judge(validation)(model.predict)[:, 0].mean()
    assert check == pytest.approx(model.card["horizons"]["1"]["validation_rank_ic"]["mean"])


def test_a_small_table_of_ranks_ends_neither_with_one_tree_nor_below_ridge_unnoticed() -> None:
    """Few validation days with a weak line in 16 rank features: trees stopped by those days would keep one."""
    training, validation = ranks(120, 0.08, seed=0), ranks(9, 0.08, seed=1)
    model = fit(training, validation, LightGBMConfig())
    line = choose_ridge(training, validation)
    test = ranks(150, 0.08, seed=2)
    trees, ridge = (judge(test)(predict).mean(axis=0) for predict in (model.predict, line.predict))
    for column, of in enumerate(model.card["horizons"].values()):
        assert of["chosen"]["rounds"] >= 10
        assert trees[column] > 0.7 * ridge[column] > 0.02
        # Ridge is right here. Who is behind it on the days that choose says so.
        reached = of["validation_rank_ic"]["mean"]
        behind = reached < judge(validation)(line.predict)[:, column].mean()
        assert (of["weak"] is not None) == behind


def with_care(training: list[Block], column: int) -> Callable[[np.ndarray], np.ndarray]:
    """LightGBM by hand: usual values, leaves and trees by the last fifth of the days, grown again on all of them."""
    usual = {
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "learning_rate": 0.05,
    }
    fixed = {"objective": "regression", "min_data_in_leaf": 100, "num_threads": 1, "seed": 1, "verbosity": -1}

    def grown(blocks: list[Block], leaves: int, rounds: int) -> lgb.Booster:
        rows, targets = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return lgb.train(usual | fixed | {"num_leaves": leaves}, lgb.Dataset(rows, targets[:, column]), rounds)

    cut = len(training) * 4 // 5
    reached = {
        (leaves, rounds): np.mean(
            [
                rank_ic_columns(trees.predict(x, num_iteration=rounds)[:, None], y[:, [column]])
                for x, y in training[cut + GAP :]
            ]
        )
        for leaves in (4, 15)
        for trees in [grown(training[:cut], leaves, 150)]
        for rounds in range(10, 151, 10)
    }
    best = grown(training, *max(reached, key=lambda size: reached[size]))
    return lambda rows: np.asarray(best.predict(rows))


def test_is_as_good_as_lightgbm_fitted_with_care_by_hand() -> None:
    """A line in four features and a product of two others, on the same rows."""

    def market(count: int, seed: int) -> list[Block]:
        return [(x, y + 0.7 * (x[:, 4] * x[:, 5])[:, None]) for x, y in ranks(count, 0.08, seed)]

    training, test = market(120, 0), market(150, 2)
    ours = judge(test)(fit(training, market(9, 1), LightGBMConfig()).predict)
    for column in range(2):
        by_hand = with_care(training, column)
        theirs = [rank_ic_columns(by_hand(x)[:, None], y[:, [column]])[0] for x, y in test]
        found = estimate(ours[:, column] - np.array(theirs), horizon=1)
        assert found.mean > -found.se, found


def test_what_stays_behind_ridge_is_tried_again_and_called_weak() -> None:
    training, validation = days(40), days(10, seed=1)
    unbeaten = np.full((10, 2), [0.99, -0.99])
    model = fit_trees(table(training), judge(validation), unbeaten, (1, 5), GAP, SMALL)
    first, second = model.card["horizons"].values()
    assert "is below ridge's 0.9900" in first["weak"]
    assert second["weak"] is None
    assert not second["stronger"]


def test_few_trees_are_weak() -> None:
    model = fit(days(40), days(10, seed=1), replace(SMALL, rounds=5))
    assert [of["weak"] for of in model.card["horizons"].values()] == ["it keeps 5 trees"] * 2


def test_days_too_few_for_a_purged_fold_are_weak() -> None:
    training = days(8)
    validation = days(10, seed=1)
    ridge = np.full((10, 2), -1.0)
    model = fit_trees(table(training), judge(validation), ridge, (1, 5), 20, SMALL)
    assert model.card["folds"] == 0
    assert [of["weak"] for of in model.card["horizons"].values()] == ["it keeps 9 trees"] * 2


def test_size_is_the_smallest_within_one_error_of_the_best() -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(400)

    def size(rounds: int, mean: float, own: float) -> Size:
        alone = rng.standard_normal(400)
        daily = mean + noise + own * (alone - alone.mean())
        return Size({"num_leaves": 4, "learning_rate": 0.1}, rounds, daily)

    # 0.0299 is not told apart from 0.03; 0.02 is, since the days' common noise cancels.
    sizes = [size(10, 0.02, 0.01), size(40, 0.0299, 0.01), size(90, 0.03, 0.01)]
    assert simplest(sizes, 1).rounds == 40
    undefined = Size({"num_leaves": 2, "learning_rate": 0.1}, 1, np.full(400, np.nan))
    assert simplest([undefined, *sizes], 1).rounds == 40


def test_no_label_of_a_folds_training_reaches_into_its_held_out_days() -> None:
    """Days with a hole in them, as of a purged scheme: distance counts in sessions."""
    sessions = [*range(20), *range(26, 50)]
    blocks = days(50)
    of = DayTable(
        sessions,
        [60] * len(sessions),
        5,
        np.concatenate([blocks[day][1] for day in sessions]).astype(np.float32),
        lambda day: blocks[day][0],
    )
    binned = lightgbm.bin_rows(of, lightgbm._parameters(len(of.targets), 5))
    folds = cut_folds(binned, of, GAP)
    held_once = np.concatenate([fold.held_rows for fold in folds])
    np.testing.assert_array_equal(np.sort(held_once), np.arange(len(of.targets)))
    for fold in folds:
        kept = np.array(sessions)[of.day_of[fold.kept_rows]]
        held = np.array(sessions)[of.day_of[fold.held_rows]]
        near = np.abs(kept[:, None] - np.unique(held)[None]).min()
        assert near == GAP + 1  # and no further: nothing is given away
        assert fold.train.num_data() == len(kept)
        assert fold.held.num_data() == len(held)


def test_same_seed_same_trees() -> None:
    features = days(1, seed=3)[0][0]
    first, second = (fit(days(30), days(10, seed=1)).predict(features) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_as_many_threads_as_cores_and_they_change_no_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    features = days(1, seed=3)[0][0]
    found = []
    for cores in (1, 2):
        monkeypatch.setattr(lightgbm, "available_cores", lambda cores=cores: cores)
        model = fit(days(30), days(10, seed=1), replace(SMALL, leaves=(4,), rounds=10))
        assert model.card["threads"] == cores
        found.append(model.predict(features))
    np.testing.assert_array_equal(found[1], found[0])


def test_days_are_thinned_to_the_row_budget() -> None:
    assert thin_days(list(range(10)), [100] * 10, 1000) == list(range(10))
    kept = thin_days(list(range(10)), [100] * 10, 350)
    assert kept == [0, 4, 9]
    assert thin_days([3, 4], [100, 100], 10) == [4]
    assert thin_days([], [], 10) == []


def test_rows_follow_the_memory() -> None:
    """What is binned at once stays within half of the memory: 864 bytes a row while three folds draw every row.

    Of more rows than 900,000 the folds draw so many; each further row is binned once and takes 276 bytes.
    """

    def limit(memory: int) -> int:
        return row_limit(196, 4, memory, folds=3, fold_rows=900_000)

    assert limit(864_000_000) == 500_000
    assert limit(2 * 864 * 900_000) == 900_000
    assert limit(2 * (864 * 900_000 + 276 * 2_600_000)) == 3_500_000
    assert limit(0) == 1


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="no training day"):
        fit_trees(table([]), judge(days(2)), np.zeros((2, 2)), (1, 5), GAP, SMALL)
    empty = [(x, np.column_stack([y[:, 0], np.full(60, np.nan)])) for x, y in days(5)]
    with pytest.raises(DataError, match="the target of 5 sessions is missing"):
        fit_trees(table(empty), judge(days(2)), np.zeros((2, 2)), (1, 5), GAP, SMALL)
    few = [(x[:15], y[:15]) for x, y in days(1)]
    with pytest.raises(DataError, match=r"15 training rows are too few .* evaluation.lightgbm.enabled=false"):
        fit_trees(table(few), judge(days(2)), np.zeros((2, 2)), (1, 5), GAP, SMALL)
    with pytest.raises(ConfigError, match="leaves: must be from 2"):
        LightGBMConfig(leaves=(1,))
