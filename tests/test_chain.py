"""The whole chain, as its user runs it, on the committed sample market."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.evaluation.grid import fingerprint
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.lineage import hash_file
from atft_pipeline.model.config import GraphAttentionConfig, ModelConfig
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.splits.split import Split, SplitConfig, single_split
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import fit
from tests.project import kedro, kedro_many, kedro_ok, make_project, newest

pytestmark = pytest.mark.slow


@dataclass
class Parts:
    """Artifacts of a finished run."""

    panel: Panel
    graphs: MonthlyGraphs
    listings: pa.Table
    split: Split


def read_parts(project: Path) -> Parts:
    panel = Panel.open(newest(project, "data/05_model_input/panel.arrow"))
    graphs = MonthlyGraphs.open(newest(project, "data/05_model_input/graphs.arrow"))
    listings = pl.read_parquet(newest(project, "data/02_intermediate/listings.parquet")).to_arrow()
    return Parts(panel, graphs, listings, single_split(panel.dates, SplitConfig(), panel.meta.label_span))


def test_run_prints_results_and_where_to_look(finished: tuple[Path, str]) -> None:
    _, printed = finished
    assert "RankIC" in printed
    # What ingest did with the prices comes before everything that is built on them.
    assert printed.index("universe: 91.6% of the rows, 189 listings on a usual session") < printed.index("RankIC")
    assert "duplicate_keys" in printed
    assert "Traceback" not in printed
    assert all(len(line) < 160 for line in printed.splitlines())


def test_model_reaches_most_of_the_oracle_and_beats_ridge(finished: tuple[Path, str]) -> None:
    project, _ = finished
    metrics = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    horizon = metrics["horizons"]["1"]
    model, oracle, ridge = (horizon["scores"][name]["rank_ic"]["mean"] for name in ("model", "oracle", "ridge"))
    assert model >= 0.85 * oracle
    assert model > ridge


def test_metrics_belong_to_the_run_its_model_and_its_predictions(finished: tuple[Path, str]) -> None:
    project, _ = finished
    metrics = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    predictions = pl.read_parquet(newest(project, "data/07_model_output/predictions.parquet"))
    assert metrics["predictions"] == fingerprint(predictions)
    assert predictions["model"].unique().to_list() == [metrics["run"]["model"]]
    assert metrics["run"]["model"] == hash_file(newest(project, "data/06_models/model") / "model.safetensors")
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        runs = {run for (run,) in store.execute("select run_uuid from runs").fetchall()}
        logged = dict(store.execute("select key, value from metrics where key like 'test_rank_ic_%'").fetchall())
    assert metrics["run"]["id"] in runs
    assert logged["test_rank_ic_1/model"] == metrics["horizons"]["1"]["scores"]["model"]["rank_ic"]["mean"]
    assert list(project.rglob("evaluation/report.html"))
    page = newest(project, "data/08_reporting/evaluation.html").read_text()
    assert metrics["run"]["id"] in page


def test_every_baseline_is_judged_on_the_rows_of_the_model(finished: tuple[Path, str]) -> None:
    project, _ = finished
    metrics = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    scores = metrics["horizons"]["5"]["scores"]
    assert {
        "lightgbm",
        "ridge",
        "ridge+lightgbm",
        "model+lightgbm",
        "reversal_1d",
        "reversal_5d",
        "momentum",
        "random",
    } <= set(scores)
    assert {scores[name]["coverage"]["mean"] for name in ("model", "lightgbm", "ridge", "random")} == {1.0}
    assert abs(scores["random"]["rank_ic"]["t"]) < 3
    assert scores["lightgbm"]["rank_ic"]["t"] > 10
    assert set(metrics["horizons"]["5"]["portfolios"]) == {"long_short", "top_k", "sector_neutral", "beta_neutral"}
    card = json.loads(newest(project, "data/08_reporting/baseline_card.json").read_text())
    trees = card["lightgbm"]
    # Memory has room for all of the sample market.
    assert trees["training_rows"] == trees["available_rows"] < trees["row_limit"]
    assert all(fit["chosen"]["rounds"] >= 10 for fit in trees["horizons"].values())
    reached = {name: report["mean"] for name, report in card["validation_rank_ic"]["5"].items()}
    assert set(reached) == {"ridge", "lightgbm", "ridge+lightgbm", "reversal_1d", "reversal_5d", "momentum"}
    assert (
        metrics["horizons"]["5"]["benchmark"] == card["benchmark"]["5"] == max(reached, key=lambda name: reached[name])
    )


def test_every_artifact_of_the_run_is_there(finished: tuple[Path, str]) -> None:
    project, _ = finished
    for artifact in [
        "data/02_intermediate/clean_prices.parquet",
        "data/04_feature/features",
        "data/05_model_input/panel.arrow",
        "data/05_model_input/graphs.arrow",
        "data/06_models/model",
        "data/07_model_output/predictions.parquet",
        "data/08_reporting/run_card.json",
        "data/08_reporting/evaluation.html",
        "data/08_reporting/baseline_card.json",
        "data/08_reporting/backtests_figure.json",
    ]:
        assert newest(project, artifact).exists()
    assert (project / "mlflow.db").exists()


def test_shuffled_labels_teach_nothing(finished: tuple[Path, str], tmp_path: Path) -> None:
    """The same market with each day's labels shuffled among its listings: test RankIC within two errors of zero."""
    project, _ = finished
    parts = read_parts(project)
    shuffled = tmp_path / "features"
    shutil.copytree(newest(project, "data/04_feature/features"), shuffled)
    generator = np.random.default_rng(0)
    for path in sorted(shuffled.glob("*.parquet")):
        table = pl.read_parquet(path)
        labels = [name for name in table.columns if name.startswith(("target_", "return_"))]
        order = (
            table.select("Date", row=pl.int_range(pl.len()), key=pl.Series(generator.random(table.height)))
            .sort("Date", "key")["row"]
            .to_numpy()
        )
        table.with_columns(table[order].select(labels)).write_parquet(path)
    build_panel(shuffled, parts.listings, tmp_path / "panel.arrow", PanelConfig())
    # The same graphs, which do not tell the panel that they were made for.
    graphs = MonthlyGraphs(parts.graphs.path, parts.graphs._reader, replace(parts.graphs.meta, lineage={}))
    experiment = Experiment(
        model=ModelConfig(width=16, graph=GraphAttentionConfig(layers=1)),
        training=TrainingConfig(epochs=1),
        runtime=RuntimeConfig(device="cpu"),
    )
    data = MarketData(Panel.open(tmp_path / "panel.arrow"), graphs)
    result = fit(experiment, data, parts.split, tmp_path)
    frame = Scorer.open(result.checkpoint, data, experiment.runtime).frame(parts.split.test, ["return"])
    model = evaluate(frame, EvaluationConfig()).metrics["horizons"]["1"]["scores"]["model"]["rank_ic"]
    assert abs(model["mean"]) < 2 * model["se"]
    assert model["se"] < 0.01


def test_predict_scores_the_newest_day(finished: tuple[Path, str]) -> None:
    project, _ = finished
    kedro_ok(project, "run", "--pipeline=predict")
    scores = pl.read_parquet(newest(project, "data/07_model_output/newest_scores.parquet"))
    prices = pl.read_parquet(newest(project, "data/02_intermediate/clean_prices.parquet"), columns=["Date"])
    assert scores["Date"].unique().to_list() == [prices["Date"].max()]
    assert scores.height > 50
    # The evaluation was of this model: its benchmark stands beside it, under its name.
    card = json.loads(newest(project, "data/08_reporting/baseline_card.json").read_text())
    assert scores["benchmark_name_5"].unique().to_list() == [card["benchmark"]["5"]]
    for column in ("benchmark_5", "model+benchmark_5"):
        assert scores[column].is_finite().all()


def test_only_missing_outputs_runs_what_is_missing(finished: tuple[Path, str]) -> None:
    project, _ = finished
    printed = kedro_ok(project, "run", "--pipeline=data", "--only-missing-outputs")
    assert "-> clean_prices" not in printed
    assert "done in" in printed


def test_numbers_are_made_again_without_fitting_the_baselines_again(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Other costs, the same predictions: the scores of the model and of the baselines are read, not made."""
    project = tmp_path / "project"
    shutil.copytree(finished[0], project)
    first = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    settings = "--params=evaluation.portfolios.cost_bp=50"
    kedro_ok(project, "run", "--pipeline=evaluate", "--from-nodes=collect", settings)
    again = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    assert again["predictions"] == first["predictions"]
    for name, portfolio in again["horizons"]["5"]["portfolios"].items():
        assert portfolio != first["horizons"]["5"]["portfolios"][name]
    for made_once in ("model_scores", "baseline_scores", "reference_scores"):
        assert len(list((project / f"data/07_model_output/{made_once}.parquet").glob("*/*.parquet"))) == 1


def test_predictions_of_another_model_are_not_judged_as_this_ones(finished: tuple[Path, str], tmp_path: Path) -> None:
    project, _ = finished
    other = tmp_path / "project"
    shutil.copytree(project, other)
    model = newest(other, "data/06_models/model")
    (model / "model.safetensors").write_bytes(b"other")
    # Without the record of what was saved it is another model, not a damaged one.
    model.with_name("contents.json").unlink()
    done = kedro(other, "run", "--pipeline=evaluate", "--from-nodes=evaluate")
    assert done.returncode != 0
    assert "the predictions were not made by" in done.stdout + done.stderr


def test_a_model_is_not_tested_on_its_own_days_nor_asked_for_what_it_was_not_trained_with(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished[0], project)
    before = sorted(project.rglob("data/0[78]*/*/*/*"))
    split, window, same = kedro_many(
        project,
        ["run", "--pipeline=evaluate", "--params=split.test_share=0.6"],
        ["run", "--pipeline=predict", "--params=batches.window=10"],
        ["run", "--pipeline=predict", "--params=model.width=32,training.epochs=9"],
    )
    assert (split[0], window[0], same[0]) == (1, 1, 0), split[1] + window[1] + same[1]
    (line,) = [line for line in split[1].splitlines() if line.startswith("error:")]
    assert "the split tests " in line
    assert "but the model's training was " in line
    assert "error: parameter batches.window=10: the model was trained with " in window[1]
    assert "warning: parameter model, training: this run does not read it" in same[1]
    after = sorted(project.rglob("data/0[78]*/*/*/*"))
    assert {path.parent.parent.name for path in set(after) - set(before)} <= {
        "newest_scores.parquet",
        "baseline_scores.parquet",
        "baseline_card.json",
        "explanation.json",
        "feature_weights_figure.json",
        "lag_weights_figure.json",
    }


def test_mlflow_holds_parameters_metrics_and_the_run_card(finished: tuple[Path, str]) -> None:
    project, _ = finished
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        parameters = dict(store.execute("select key, value from params").fetchall())
        epochs = store.execute("select step from metrics where key = 'validation/val_rank_ic' order by step").fetchall()
        (place,) = store.execute("select artifact_uri from runs").fetchone()
    assert parameters["training.epochs"] == "4"
    assert parameters["model.width"] == "32"
    assert parameters["training.optimizer.lr"] == "0.002"
    assert [step for (step,) in epochs] == [1, 2, 3, 4]
    assert list(Path(place.removeprefix("file://")).glob("run_card.json")) or list(project.rglob("run_card.json"))


def test_what_the_run_card_warns_of_is_said_on_the_terminal(finished: tuple[Path, str], tmp_path: Path) -> None:
    assert "run card:" not in finished[1]
    project = tmp_path / "project"
    shutil.copytree(finished[0], project)
    printed = kedro_ok(project, "run", "--pipeline=train", "--params=training.epochs=1,training.max_batches=2")
    assert "warning: run card: training.max_batches: only 2 of" in printed


def test_a_version_is_taken_by_name(finished: tuple[Path, str]) -> None:
    project, _ = finished
    version = newest(project, "data/02_intermediate/clean_prices.parquet").parent.name
    kedro_ok(project, "run", "--pipeline=graphs", f"--load-versions=clean_prices:{version}")
    done = kedro(project, "run", "--pipeline=graphs", "--load-versions=clean_prices:2001-01-01T00.00.00.000Z")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "version 2001-01-01T00.00.00.000Z of clean_prices does not exist" in line


def test_missing_input_names_the_command(tmp_path: Path) -> None:
    done = kedro(make_project(tmp_path), "run", "--pipeline=train")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "make it with: kedro run --pipeline=" in lines[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("training.epoch=3", "training.epoch: unknown key"),
        ("training.epochs=many", "training.epochs: must be a whole number or null, got 'many'"),
        ("trainign.epochs=3", "parameter trainign: nothing reads it"),
    ],
)
def test_wrong_parameter_stops_before_any_work(tmp_path: Path, parameters: str, message: str) -> None:
    project = make_project(tmp_path)
    done = kedro(project, "run", f"--params={parameters}")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project / "data/02_intermediate").exists()
