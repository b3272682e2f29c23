"""The trained model in MLflow: loaded and served by another process it scores as the project does."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.scoring.windows import first_windows, newest_windows
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData
from tests import ACTIVATED
from tests.project import newest

pytestmark = pytest.mark.slow

LOAD = """
import sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
windows = dict(np.load(sys.argv[2]))
mlflow.pyfunc.load_model("models:/atft_pipeline/1").predict(windows).to_json(sys.argv[3])
"""
Windows = dict[str, npt.NDArray[Any]]


@pytest.fixture
def expected(finished: tuple[Path, str]) -> tuple[Windows, pl.DataFrame]:
    """Windows of the panel's last day, and the scores that the project gives it."""
    project, _ = finished
    model = newest(project, "data/06_models/model")
    panel = Panel.open(newest(project, "data/05_model_input/panel.arrow"))
    graphs = MonthlyGraphs.open(newest(project, "data/05_model_input/graphs.arrow"))
    scorer = Scorer.open(model, MarketData(panel, graphs), RuntimeConfig())
    return newest_windows(model, panel, graphs), scorer.frame([len(panel.dates) - 1])


def test_another_process_loads_it_and_scores_alike(
    finished: tuple[Path, str], expected: tuple[Windows, pl.DataFrame], tmp_path: Path
) -> None:
    windows, frame = expected
    np.savez(tmp_path / "windows.npz", **windows)
    store, scores = f"sqlite:///{finished[0] / 'mlflow.db'}", tmp_path / "scores.json"
    command = [sys.executable, "-c", LOAD, store, str(tmp_path / "windows.npz"), str(scores)]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
    found = {name: list(rows.values()) for name, rows in json.loads(scores.read_text()).items()}
    for name in [name for name in frame.columns if name.startswith("score_")]:
        np.testing.assert_allclose(found[name], frame[name].to_numpy(), atol=1e-5)


def test_the_run_is_named_and_holds_model_data_and_report(finished: tuple[Path, str]) -> None:
    with closing(sqlite3.connect(finished[0] / "mlflow.db")) as store:
        (name,) = store.execute("select name from runs").fetchone()
        data = store.execute("select name, digest from datasets order by name").fetchall()
        metrics = {key for (key,) in store.execute("select distinct key from metrics")}
    assert name.startswith("sample market, ")
    assert "parameters, validation RankIC +0." in name
    assert "test RankIC +0." in name
    panel = Panel.open(newest(finished[0], "data/05_model_input/panel.arrow"))
    assert [row[0] for row in data] == ["graphs", "panel"]
    assert data[1][1] == panel.meta.fingerprint
    assert {"validation/val_rank_ic", "loss/loss", "training/lr", "speed/seconds"} <= metrics
    assert all("/" in key for key in metrics)
    assert list((finished[0] / "mlruns").rglob("evaluation/report.html"))
    assert not list((finished[0] / "mlruns").rglob("*.pkl"))


def free_port() -> int:
    for port in range(20000, 30000, 7):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    pytest.fail("no port is free")


def test_mlflow_serves_it(finished: tuple[Path, str], expected: tuple[Windows, pl.DataFrame], tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/atft_pipeline/1"]
    command += ["--env-manager", "local", "--port", str(port)]
    store = ACTIVATED | {"MLFLOW_TRACKING_URI": f"sqlite:///{finished[0] / 'mlflow.db'}"}
    given = first_windows(expected[0], 8)
    body = json.dumps({"inputs": {name: value.tolist() for name, value in given.items()}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=store, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
        try:
            answer = ask(request, server)
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=60)
    assert len(answer["predictions"]) == 8
    assert np.isfinite([row["score_5"] for row in answer["predictions"]]).all()


def ask(request: urllib.request.Request, server: subprocess.Popen[bytes]) -> Any:
    """The answer, once the server is there."""
    for _ in range(240):
        assert server.poll() is None
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        except OSError:
            time.sleep(0.5)
    pytest.fail("the server does not answer")
