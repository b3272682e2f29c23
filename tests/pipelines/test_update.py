"""The daily update, predict and walk-forward as Kedro runs on a small market."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from tests.project import kedro, make_project, newest

pytestmark = pytest.mark.slow

SESSIONS = """
import json, sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
for name, params in json.loads(sys.argv[1]):
    with KedroSession.create(project_path=Path.cwd(), runtime_params=params) as session:
        session.run(pipeline_names=[name])
from atft_pipeline.cli import look
print("RESULT" + json.dumps({item.artifact: item.state for item in look(None, params)}))
"""
SMALL = {
    "split": {"embargo": 0},
    "training": {"epochs": 1},
    "model": {"width": 8},
    "walk_forward": {"validation_sessions": 20, "retrain_every_months": 2, "warm_start": True},
}
NEW_DAYS = 3


def run_all(project: Path, *runs: tuple[str, dict]) -> dict[str, str]:
    """Run pipelines one after the other in one process; return the state of every artifact."""
    command = [sys.executable, "-c", SESSIONS, json.dumps(runs)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states: dict[str, str] = json.loads(done.stdout.split("RESULT")[1])
    return states


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """A project that was updated, one that was built from all prices at once, and the states of the first."""
    updated = make_project(tmp_path_factory.mktemp("updated"))
    size = {"sample_market": {"listings": 60, "sessions": 260}}
    run_all(updated, ("sample_market", size))
    long, short = updated / "long", updated / "short"
    for folder in (long, short):
        folder.mkdir()
        for name in ("prices", "listings", "oracle"):
            path = newest(updated, f"data/01_raw/sample_market/{name}.parquet")
            shutil.copy(path, folder / f"{name}.parquet")
    prices = pl.read_parquet(long / "prices.parquet")
    cut = prices["Date"].unique().sort()[-NEW_DAYS]
    prices.filter(pl.col("Date") < cut).write_parquet(short / "prices.parquet")
    whole = make_project(tmp_path_factory.mktemp("whole"))
    given = SMALL | {"prices": str(long / "prices.parquet")}
    run_all(whole, ("data", given))
    states = run_all(
        updated,
        ("data", SMALL | {"prices": str(short / "prices.parquet")}),
        ("train", given),
        ("update", given),
        ("evaluate", given),
        ("predict", given | {"predict": {"days": 3}}),
        ("walk_forward", given),
    )
    return updated, whole, states


def test_updated_artifacts_equal_rebuilt_ones(worlds: tuple[Path, Path, dict[str, str]]) -> None:
    updated, whole, _ = worlds
    for artifact in ("data/02_intermediate/clean_prices.parquet", "data/02_intermediate/listings.parquet"):
        assert pl.read_parquet(newest(updated, artifact)).equals(pl.read_parquet(newest(whole, artifact)))
    folders = [newest(world, "data/04_feature/features") for world in (updated, whole)]
    names = sorted(path.name for path in folders[1].iterdir())
    assert sorted(path.name for path in folders[0].iterdir()) == names
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)
    first, second = (Panel.open(newest(world, "data/05_model_input/panel.arrow")) for world in (updated, whole))
    assert first.index == second.index
    assert first.meta.index_fingerprint == second.meta.index_fingerprint
    for day in range(len(second.dates)):
        assert first.batch(day).serialize().equals(second.batch(day).serialize())
    graphs = [MonthlyGraphs.open(newest(world, "data/05_model_input/graphs.arrow")) for world in (updated, whole)]
    assert graphs[0].meta.fingerprint == graphs[1].meta.fingerprint
    for month in range(len(graphs[1])):
        assert graphs[0].batch(month).serialize().equals(graphs[1].batch(month).serialize())


def test_what_an_update_made_is_fresh(worlds: tuple[Path, Path, dict[str, str]]) -> None:
    """So that a refresh does not rebuild history; the model was trained before and is told to be older."""
    states = worlds[2]
    data = ("clean_prices", "listings", "data_quality", "features", "panel", "graphs", "graphs_report")
    assert {name: states[name] for name in data} == dict.fromkeys(data, "fresh")
    assert states["model"] == "stale"


def test_predict_equals_evaluate_for_the_same_days_bit_for_bit(worlds: tuple[Path, Path, dict[str, str]]) -> None:
    updated = worlds[0]
    scores = pl.read_parquet(newest(updated, "data/07_model_output/newest_scores.parquet")).sort("Date", "Listing")
    tested = pl.read_parquet(newest(updated, "data/07_model_output/predictions.parquet"))
    days = tested["Date"].unique().sort()[-3:]
    assert scores["Date"].unique().sort().equals(days)
    same = tested.filter(pl.col("Date").is_in(days.implode())).sort("Date", "Listing")
    columns = ["Date", "Listing", *(name for name in scores.columns if name.startswith(("score_", "quantile_")))]
    assert len(columns) > 5
    assert scores.select(columns).equals(same.select(columns))
    assert scores["model_version"].unique().to_list() == [newest(updated, "data/06_models/model").parent.name]


def test_walk_forward_gives_one_stitched_table(worlds: tuple[Path, Path, dict[str, str]]) -> None:
    updated = worlds[0]
    table = pl.read_parquet(newest(updated, "data/07_model_output/walk_forward_predictions.parquet"))
    tested = pl.read_parquet(newest(updated, "data/07_model_output/predictions.parquet"))
    # The same days and rows as those of the single split, and a fold for each.
    assert table.select("Date", "Listing").equals(tested.select("Date", "Listing"))
    kinds = ("score", "return", "ridge", "oracle")
    shared = {"Code", "sector", "market", *(f"{kind}_{horizon}" for kind in kinds for horizon in (1, 5, 10, 20))}
    assert shared <= set(table.columns)
    assert shared <= set(tested.columns)
    same = [name for name in shared if not name.startswith(("score", "ridge"))]
    assert table.select(same).equals(tested.select(same))
    metrics = json.loads(newest(updated, "data/08_reporting/walk_forward_metrics.json").read_text())
    folds = json.loads(newest(updated, "data/08_reporting/walk_forward_folds.json").read_text())
    assert table["fold"].unique().sort().to_list() == [fold["fold"] for fold in folds] == [1, 2]
    assert [fold["warm"] for fold in folds] == [False, True]
    assert metrics["rows"] == table.height
    # The same baselines and breakdowns as those of the single split; each fold has a benchmark of its own.
    single = json.loads(newest(updated, "data/08_reporting/metrics.json").read_text())
    of_folds, of_split = (set(found["horizons"]["1"]["scores"]) for found in (metrics, single))
    blends = {name for name in of_folds | of_split if name.startswith("model+")}
    assert of_folds - blends == (of_split - blends) | {"benchmark"}
    assert "model+benchmark" in blends & of_folds
    assert set(metrics["horizons"]["1"]["slices"]) == set(single["horizons"]["1"]["slices"])
    assert metrics["horizons"]["1"]["scores"]["ridge"]["rank_ic"]["se"] > 0
    # And the same entries: next open and a session skipped, with the spreads of the same prices.
    for timing, found in metrics["horizons"]["1"]["timings"].items():
        assert found["all"]["scores"]["model"]["se"] > 0
        assert (
            found["all"]["scores"]["ridge"]["n_days"]
            == (single["horizons"]["1"]["timings"][timing]["all"]["scores"]["ridge"]["n_days"])
        )
        assert {"model", "ridge", "benchmark"} <= set(found["most_traded"]["scores"])
    assert metrics["trading"] == single["trading"]
    assert metrics["trading"]["execution"] == "open_to_open"
    assert len(list((updated / "data/06_models/folds").glob("*/model.safetensors"))) == 2


def test_nothing_new_is_one_line(worlds: tuple[Path, Path, dict[str, str]]) -> None:
    updated = worlds[0]
    done = kedro(updated, "run", "--pipeline=update", f"--params=prices={updated / 'short/prices.parquet'}")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "there is nothing to update; pass newer --params prices=" in line


def test_predict_refuses_prices_that_were_not_read(worlds: tuple[Path, Path, dict[str, str]], tmp_path: Path) -> None:
    updated = worlds[0]
    prices = pl.read_parquet(updated / "long/prices.parquet")
    path = tmp_path / "prices.parquet"
    prices.with_columns(pl.col("Date").dt.offset_by("7d")).write_parquet(path)
    done = kedro(updated, "run", "--pipeline=predict", f"--params=prices={path}")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"update with: kedro run --pipeline=update --params prices={path}" in line
