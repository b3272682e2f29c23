"""The whole chain, as its user runs it, on the committed sample market."""

import json
from pathlib import Path

import nbformat
import polars as pl
import pytest
from nbclient import NotebookClient

from tests.project import ROOT, kedro, kedro_ok, make_project, newest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after ``kedro run``, and what the run printed."""
    project = make_project(tmp_path_factory.mktemp("project"))
    return project, kedro_ok(project, "run")


def test_run_prints_results_and_where_to_look(finished: tuple[Path, str]) -> None:
    _, printed = finished
    assert "RankIC" in printed
    assert "Traceback" not in printed
    assert all(len(line) < 160 for line in printed.splitlines())


def test_model_reaches_most_of_the_oracle_and_beats_ridge(finished: tuple[Path, str]) -> None:
    project, _ = finished
    metrics = json.loads(newest(project, "data/08_reporting/metrics.json").read_text())
    horizon = metrics["horizons"]["1"]
    model, oracle, ridge = (horizon["scores"][name]["rank_ic"]["mean"] for name in ("model", "oracle", "ridge"))
    assert model >= 0.6 * oracle
    assert model > ridge


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
    ]:
        assert newest(project, artifact).exists()
    assert (project / "mlflow.db").exists()


def test_predict_scores_the_newest_day(finished: tuple[Path, str]) -> None:
    project, _ = finished
    kedro_ok(project, "run", "--pipeline=predict")
    scores = pl.read_parquet(newest(project, "data/07_model_output/newest_scores.parquet"))
    prices = pl.read_parquet(newest(project, "data/02_intermediate/clean_prices.parquet"), columns=["Date"])
    assert scores["Date"].unique().to_list() == [prices["Date"].max()]
    assert scores.height > 50


def test_only_missing_outputs_runs_what_is_missing(finished: tuple[Path, str]) -> None:
    project, _ = finished
    printed = kedro_ok(project, "run", "--pipeline=data", "--only-missing-outputs")
    assert "-> clean_prices" not in printed
    assert "done in" in printed


def test_notebook_looks_at_the_run(finished: tuple[Path, str]) -> None:
    project, _ = finished
    notebook = nbformat.read(ROOT / "notebooks" / "look_at_a_run.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(project / "notebooks")}}).execute()


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
        ("training.epochs=many", "training.epochs: input should be a valid integer"),
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
