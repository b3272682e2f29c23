import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.frames import Rows, fit_baselines
from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.fold_store import FoldRecord
from atft_pipeline.scoring.folds import rank_ics, run_folds
from atft_pipeline.scoring.scorer import Scorer, side_by_side
from atft_pipeline.splits.schemes import CombinatorialPurged, Scheme, WalkForward
from atft_pipeline.splits.split import Fold, single_split
from atft_pipeline.training.config import RuntimeConfig, ScheduleConfig, TargetsConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import fit
from tests.panel.market import listings_table, write_features
from tests.training.runs import BATCHES, MODEL, SPLIT, TRAINING, market

FIRST = 84
EXPERIMENT = Experiment(
    batches=BATCHES,
    model=MODEL,
    training=TrainingConfig(**(TRAINING | {"epochs": 2})),
    runtime=RuntimeConfig(device="cpu"),
)
EVALUATION = EvaluationConfig(deciles=5, min_listings=10)


def walk(panel: Panel, folds: int = 3) -> list[Fold]:
    scheme = WalkForward(
        first_test=str(panel.dates[FIRST]),
        retrain_every_months=None,
        retrain_every_sessions=12,
        validation_sessions=12,
        embargo=2,
    )
    return scheme.folds(panel.dates, panel.meta.label_span)[:folds]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> MarketData:
    return MarketData(*market(tmp_path_factory.mktemp("market")))


@pytest.fixture(scope="module")
def finished(
    planted: MarketData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pl.DataFrame, list[FoldRecord], Path]:
    folder = tmp_path_factory.mktemp("folds")
    return *run_folds(EXPERIMENT, planted, walk(planted.panel), EVALUATION, folder), folder


def test_stitched_predictions_cover_each_test_day_once(
    planted: MarketData, finished: tuple[pl.DataFrame, list[FoldRecord], Path]
) -> None:
    panel, (table, records, _) = planted.panel, finished
    assert table["Date"].unique().sort().to_list() == panel.dates[FIRST:120].astype(object).tolist()
    assert not table.select("Date", "Listing").is_duplicated().any()
    by_fold = table.group_by("fold").agg(pl.col("Date").min().cast(pl.String)).sort("fold")
    assert by_fold.rows() == [(record.fold, record.test[0]) for record in records]
    assert set(table.columns) >= {"score_1", "score_5", "return_1", "ridge_5", "lightgbm_5", "Code", "sector", "market"}
    # What was planted is found out of sample, by each fold.
    assert all(record.rank_ic["1"]["model"]["mean"] > 0.3 for record in records)


def test_numbers_of_a_fold_are_those_of_evaluate(finished: tuple[pl.DataFrame, list[FoldRecord], Path]) -> None:
    table, records, _ = finished
    mine = table.filter(pl.col("fold") == 2)
    metrics = evaluate(mine.drop("fold", "path"), EVALUATION).metrics
    for horizon, scores in records[1].rank_ic.items():
        for name, value in scores.items():
            reference = metrics["horizons"][horizon]["scores"][name]["rank_ic"]
            assert value["mean"] == pytest.approx(reference["mean"])
            assert value["se"] == pytest.approx(reference["se"])
    assert rank_ics(mine, 10) == records[1].rank_ic


def test_a_single_split_is_a_scheme_of_one_fold(planted: MarketData, tmp_path: Path) -> None:
    """What train and evaluate make of the split, bit for bit."""
    panel = planted.panel
    scheme: Scheme = SPLIT
    folds = scheme.folds(panel.dates, panel.meta.label_span)
    table, _ = run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path / "folds")
    split = single_split(panel.dates, SPLIT, panel.meta.label_span)
    result = fit(EXPERIMENT, planted, split, tmp_path / "alone")
    scores = Scorer.open(result.checkpoint, planted, EXPERIMENT.runtime).frame(split.test, ["return"])
    rows = Rows(ResidentPanel.load(panel, ResidencyConfig()), split, BATCHES, EXPERIMENT.targets)
    fitted = fit_baselines(rows, EVALUATION.lightgbm)
    alone = side_by_side(scores, fitted.frame(rows.parts[2], benchmark=True))
    assert table.select(alone.columns).equals(alone)
    assert (scheme.paths, table["path"].unique().to_list(), table["fold"].unique().to_list()) == (1, [0], [1])


def test_ridge_is_fitted_on_the_training_days_of_its_fold(
    planted: MarketData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to scikit-learn's Ridge on the same rows, at the same penalty."""
    panel = planted.panel
    fold = walk(panel, 1)
    monkeypatch.setattr("atft_pipeline.baselines.ridge.PENALTIES", (0.01,))
    table, _ = run_folds(EXPERIMENT, planted, fold, EVALUATION, tmp_path)
    rows: dict[str, list[np.ndarray]] = {"x": [], "y": []}
    history = np.zeros(len(panel.listings))
    seen = []
    for day in range(fold[0].split.train[-1] + 1):
        view = panel.day(day)
        here = np.zeros(len(panel.listings))
        here[view.listing] = 1
        seen.append(here)
        history = np.sum(seen[-BATCHES.window :], axis=0)
        keep = view.universe & (history[view.listing] >= BATCHES.min_history) & np.isfinite(view.targets[:, 0])
        if day >= BATCHES.window - 1:
            rows["x"].append(view.features[keep].astype(float))
            rows["y"].append(view.targets[keep, 0].astype(float))
    x, y = np.concatenate(rows["x"]), np.concatenate(rows["y"])
    ridge = Ridge(alpha=0.01 * len(y)).fit(x, y)
    day = fold[0].split.test[3]
    mine = table.filter(pl.col("Date") == panel.dates[day].astype(object))
    view = panel.day(day)
    place = [int(np.flatnonzero(view.listing == panel.listings.index(name))[0]) for name in mine["Listing"]]
    np.testing.assert_allclose(mine["ridge_1"], ridge.predict(view.features[place].astype(float)), atol=1e-6)


def test_lightgbm_is_left_out_where_it_is_switched_off(planted: MarketData, tmp_path: Path) -> None:
    evaluation = replace(EVALUATION, lightgbm=replace(EVALUATION.lightgbm, enabled=False))
    table, records = run_folds(EXPERIMENT, planted, walk(planted.panel, 1), evaluation, tmp_path)
    assert not [name for name in table.columns if name.startswith("lightgbm")]
    assert set(records[0].rank_ic["1"]) == {"model", "ridge", "benchmark"}
    assert records[0].benchmark == {"1": "ridge", "5": "ridge"}
    assert table["benchmark_5"].equals(table["ridge_5"].alias("benchmark_5"))


def test_the_panel_is_loaded_once_and_not_at_all_for_finished_folds(
    planted: MarketData,
    finished: tuple[pl.DataFrame, list[FoldRecord], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[Panel] = []
    original = ResidentPanel.load

    def load(panel: Panel, *rest: object) -> ResidentPanel:
        loads.append(panel)
        return original(panel, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ResidentPanel, "load", load)
    panel = planted.panel
    again, records = run_folds(EXPERIMENT, planted, walk(panel), EVALUATION, finished[2])
    assert loads == []
    assert again.equals(finished[0])
    assert records == finished[1]
    run_folds(EXPERIMENT, planted, walk(panel, 3), EVALUATION, tmp_path)
    assert len(loads) == 2  # for the model of every fold, and the labels alone for the baselines of every fold


def test_a_fold_is_known_by_all_that_decides_it(
    planted: MarketData, finished: tuple[pl.DataFrame, list[FoldRecord], Path], tmp_path: Path
) -> None:
    """Each of these trains anew; the folder of finished folds grows by one."""
    panel = planted.panel
    folds, folder = walk(panel, 1), finished[2]
    known = {path.name for path in folder.iterdir()}
    others = [
        (replace(EXPERIMENT, training=replace(EXPERIMENT.training, seed=5)), EVALUATION),
        (replace(EXPERIMENT, model=replace(MODEL, dropout=0.3)), EVALUATION),
        (replace(EXPERIMENT, loss=LossConfig(ic=0.1)), EVALUATION),
        (EXPERIMENT, replace(EVALUATION, lightgbm=LightGBMConfig(rounds=7))),
    ]
    for number, (experiment, evaluation) in enumerate(others, start=1):
        run_folds(experiment, planted, folds, evaluation, folder)
        assert len({path.name for path in folder.iterdir()} - known) == number
    fewer = replace(folds[0].split, train=folds[0].split.train[:-1])
    run_folds(EXPERIMENT, planted, [replace(folds[0], split=fewer)], EVALUATION, folder)
    assert len({path.name for path in folder.iterdir()} - known) == len(others) + 1
    # A resumed training is the same training.
    resumed = replace(EXPERIMENT, training=replace(EXPERIMENT.training, resume=True))
    run_folds(resumed, planted, folds, EVALUATION, folder)
    assert len({path.name for path in folder.iterdir()} - known) == len(others) + 1


def test_a_fold_knows_nothing_of_its_test_or_later(planted: MarketData, tmp_path: Path) -> None:
    """Other labels from the first test day on: the same scores, bit for bit."""
    panel = planted.panel
    folds = walk(panel, 1)
    write_features(tmp_path / "features", signal=1.0, days=120, listings=30)
    first = panel.dates[FIRST].astype(object)
    for path in (tmp_path / "features").glob("*.parquet"):
        frame = pl.read_parquet(path)
        labels = [name for name in frame.columns if name.startswith(("target_", "return_"))]
        later = pl.col("Date") >= first
        frame.with_columns(pl.when(later).then(-pl.col(name)).otherwise(name).alias(name) for name in labels).cast(
            dict.fromkeys(labels, pl.Float32)
        ).write_parquet(path)
    build_panel(tmp_path / "features", listings_table(30), tmp_path / "panel.arrow", PanelConfig())
    other = Panel.open(tmp_path / "panel.arrow")
    assert other.meta.fingerprint != panel.meta.fingerprint
    scores = ["Date", "Listing", "score_1", "score_5", "ridge_1", "ridge_5"]
    one, _ = run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path / "one")
    two, _ = run_folds(EXPERIMENT, MarketData(other, planted.graphs), folds, EVALUATION, tmp_path / "two")
    assert one.select(scores).equals(two.select(scores))
    assert not one["return_1"].equals(two["return_1"])


def test_warm_start_begins_where_the_fold_before_ended(planted: MarketData, tmp_path: Path) -> None:
    panel = planted.panel
    optimizer = replace(EXPERIMENT.training.optimizer, lr=1e-12)
    still = replace(EXPERIMENT.training, optimizer=optimizer, schedule=ScheduleConfig(name="constant"), epochs=1)
    unmoved = replace(EXPERIMENT, training=still)
    _, records = run_folds(unmoved, planted, walk(panel, 2), EVALUATION, tmp_path, warm_start=True)
    assert [record.warm for record in records] == [False, True]
    first, second = (load_file(tmp_path / record.fingerprint[:16] / "model.safetensors") for record in records)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    # Without it the second fold starts from its seed, as if it were alone.
    _, cold = run_folds(EXPERIMENT, planted, walk(panel, 2), EVALUATION, tmp_path / "cold")
    _, warm = run_folds(EXPERIMENT, planted, walk(panel, 2), EVALUATION, tmp_path / "warm", warm_start=True)
    assert cold[0].fingerprint == warm[0].fingerprint
    assert cold[1].fingerprint != warm[1].fingerprint
    assert cold[1].rank_ic != warm[1].rank_ic


def test_paths_of_combinatorial_folds(planted: MarketData, tmp_path: Path) -> None:
    panel = planted.panel
    folds = CombinatorialPurged(groups=3, test_groups=2, validation_sessions=10, embargo=0).folds(panel.dates, 5)
    # A third of the days holds too few rows for the trees.
    evaluation = replace(EVALUATION, lightgbm=replace(EVALUATION.lightgbm, enabled=False))
    table, _ = run_folds(replace(EXPERIMENT, training=TrainingConfig(epochs=1)), planted, folds, evaluation, tmp_path)
    assert table["path"].unique().to_list() == [0, 1]
    assert not table.select("Date", "Listing", "path").is_duplicated().any()
    first, second = (table.filter(pl.col("path") == path) for path in (0, 1))
    assert first.select("Date", "Listing").equals(second.select("Date", "Listing"))
    assert not first["score_1"].equals(second["score_1"])


def test_a_damaged_fold_is_named(
    planted: MarketData, finished: tuple[pl.DataFrame, list[FoldRecord], Path], tmp_path: Path
) -> None:
    panel = planted.panel
    folds = walk(panel, 1)
    _, records = run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path)
    path = tmp_path / records[0].fingerprint[:16] / "fold.json"
    text = path.read_text()
    for damaged in [
        text[:50],
        "",
        "[]",
        text.replace("test_days", "test_dayz"),
        text.replace('"fold": 1', '"fold": 9'),
    ]:
        path.write_text(damaged)
        with pytest.raises(ArtifactError, match=r"fold\.json is missing or damaged .* to train the fold again"):
            run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path)
    path.write_text(text)
    scores = path.with_name("predictions.parquet")
    scores.write_bytes(scores.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"predictions\.parquet is missing or damaged; remove .* to train the fold"):
        run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path)


def test_other_code_is_told(planted: MarketData, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    panel = planted.panel
    folds = walk(panel, 1)
    _, records = run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path)
    path = tmp_path / records[0].fingerprint[:16] / "fold.json"
    record = json.loads(path.read_text()) | {"code": "of yesterday"}
    # Without its checksum, as earlier versions of this project wrote it.
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "checksum"}))
    run_folds(EXPERIMENT, planted, folds, EVALUATION, tmp_path)
    assert "fold 1 was trained by other code" in caplog.text


@pytest.mark.slow
def test_killed_runs_continue_fold_by_fold(
    planted: MarketData, finished: tuple[pl.DataFrame, list[FoldRecord], Path], tmp_path: Path
) -> None:
    """Killed in the second fold, begun again: the first fold is taken from disk, the table is the same bit for bit."""
    panel = planted.panel
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from atft_pipeline.panel.panel import Panel\n"
        "from atft_pipeline.graphs.graphs import MonthlyGraphs\n"
        "from atft_pipeline.scoring.folds import run_folds\n"
        "from atft_pipeline.training.experiment import MarketData\n"
        "from tests.scoring.test_folds import EVALUATION, EXPERIMENT, walk\n"
        f"panel = Panel.open(Path({str(panel.path)!r}))\n"
        f"graphs = MonthlyGraphs.open(Path({str(planted.graphs.path)!r}))\n"
        "data = MarketData(panel, graphs)\n"
        f"run_folds(EXPERIMENT, data, walk(panel), EVALUATION, Path({str(tmp_path)!r}))\n"
    )
    first = finished[1][0].fingerprint[:16]
    second = finished[1][1].fingerprint[:16]
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(f"{second}.training/*/epoch-0001")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / first / "fold.json").is_file()
    assert not (tmp_path / second).exists()
    before = (tmp_path / first / "fold.json").stat().st_mtime_ns
    table, records = run_folds(EXPERIMENT, planted, walk(panel), EVALUATION, tmp_path)
    assert (tmp_path / first / "fold.json").stat().st_mtime_ns == before
    assert table.equals(finished[0])
    assert [record.fingerprint for record in records] == [record.fingerprint for record in finished[1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(record.fingerprint[:16] for record in records)


def test_baselines_learn_from_the_models_targets(planted: MarketData, tmp_path: Path) -> None:
    """What is planted follows the first feature; targets neutral to it leave the baselines next to nothing to say."""
    panel = planted.panel
    spread = {}
    neutral = TargetsConfig(neutral_to=panel.meta.feature_names[:1])
    for name, targets in (("plain", TargetsConfig()), ("neutral", neutral)):
        table, _ = run_folds(replace(EXPERIMENT, targets=targets), planted, walk(panel, 1), EVALUATION, tmp_path / name)
        spread[name] = {baseline: table[f"{baseline}_1"].std() for baseline in ("ridge", "lightgbm")}
    for baseline, value in spread["neutral"].items():
        assert value < 0.3 * spread["plain"][baseline]
    rows = Rows(
        ResidentPanel.load(panel, ResidencyConfig()),
        walk(panel, 1)[0].split,
        BATCHES,
        TargetsConfig(neutral_to=("NO_SUCH",)),
    )
    with pytest.raises(ConfigError, match=r"targets\.neutral_to: NO_SUCH is not among the features"):
        fit_baselines(rows, LightGBMConfig(enabled=False))
