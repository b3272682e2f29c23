"""MLflow watches runs and never stops one: damaged, absent, away, copied."""

import logging
import re
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlflow
import pytest
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

from atft_pipeline.errors import ConfigError
from atft_pipeline.pipelines.tracking import WATCH, shown
from atft_pipeline.pipelines.train.tracking import MlflowCallback
from atft_pipeline.pipelines.walk_forward.tracking import MlflowFolds
from atft_pipeline.scoring.fold_store import FoldRecord
from atft_pipeline.tracking_hooks import TrackingHooks
from tests.test_locks import held

# Of MLflow's own tables and queries.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]


# The mean of two baselines has a plus sign in its name, which MLflow's names cannot have.
RANK_IC = {"5": {"model": {"mean": 0.02}, "ridge+lightgbm": {"mean": 0.01}}}
FOLD = cast("FoldRecord", SimpleNamespace(fold=1, rank_ic=RANK_IC))


class Loader(dict[str, Any]):
    runtime_params = None


def context(project: Path, address: str, **conf: Any) -> Any:
    loader = {"mlflow": {"tracking_uri": address, "untracked": ["ingest"], **conf}}
    return SimpleNamespace(project_path=project, config_loader=Loader(loader))


def run(hooks: TrackingHooks, pipeline: str = "train") -> None:
    """All that a run of one node does to the store."""
    hooks.before_pipeline_run({"tags": None, "pipeline_names": [pipeline]})
    hooks.before_node_run({"params:rate": 0.5})
    callback = MlflowCallback(1)
    callback.on_epoch({"epoch": 1, "seed": 1, "loss": 0.25})
    callback.on_run_card({"seed": 1})
    MlflowFolds().on_fold(FOLD)
    hooks.after_pipeline_run()


def tracked_run(project: Path, address: str | None = None, pipeline: str = "train") -> None:
    hooks = TrackingHooks()
    hooks.after_context_created(context(project, address or f"sqlite:///{project / 'mlflow.db'}"))
    run(hooks, pipeline)
    assert mlflow.active_run() is None


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's folders lie where the process stands."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store holds a run."""
    project = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        tracked_run(project)
    return project


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(query).fetchall()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_run_is_tracked(tracked: Path) -> None:
    store = tracked / "mlflow.db"
    assert rows(store, "select name, status from runs") == [("train", "FINISHED")]
    assert rows(store, "select key, value from params") == [("rate", "0.5")]
    assert rows(store, "select key, value from metrics order by key") == [
        ("fold_rank_ic_5/model", 0.02),
        ("fold_rank_ic_5/ridge_and_lightgbm", 0.01),
        ("loss/loss", 0.25),
        ("training/epoch", 1.0),
    ]
    (card,) = tracked.rglob("run_card.json")
    assert card.is_relative_to(tracked / "mlruns")


def put(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content(path.read_bytes())), None)[1]


def flip(page: int) -> Callable[[Path], None]:
    def overwrite(content: bytes) -> bytes:
        start = page * 4096 % len(content)
        return content[:start] + bytes(byte ^ 0x5A for byte in content[start : start + 64]) + content[start + 64 :]

    return put(overwrite)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def drop_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table experiments")
        connection.commit()


def other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update alembic_version set version_num = 'ffffffff'")
        connection.commit()


@pytest.mark.parametrize(
    "damage",
    [
        put(lambda content: content[:1]),
        put(lambda content: content[:100]),
        put(lambda content: content[:5000]),
        put(lambda content: content[: len(content) // 2]),
        put(lambda _: b"no database\n" * 1000),
        put(lambda _: b"{}"),
        flip(0),
        flip(1),
        flip(5),
        folder,
        drop_table,
        other_version,
    ],
)
def test_a_damaged_store_is_one_warning_and_the_run_goes_on(
    tracked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    store = tmp_path / "mlflow.db"
    shutil.copyfile(tracked / "mlflow.db", store)
    damage(store)
    began = time.monotonic()
    tracked_run(tmp_path)
    told = [line for line in warnings(caplog) if "mlflow.db" in line]
    assert len(told) == 1, caplog.text
    assert told[0].startswith(f"{store}: ")
    assert told[0].endswith("the run goes on without MLflow, its results are saved as ever")
    assert len(told[0].splitlines()) == 1
    assert time.monotonic() - began < 100  # MLflow itself asks for minutes
    assert not held(tmp_path / "mlflow.db.lock")


def test_looking_and_untracked_runs_open_no_store(tmp_path: Path) -> None:
    """As `kedro status` and `kedro lineage`, and stages whose tracking is off."""
    hooks = TrackingHooks()
    found = context(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    hooks.after_context_created(found)
    run(hooks, "ingest")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_breaks_under_a_run_is_told_once(
    tracked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copyfile(tracked / "mlflow.db", tmp_path / "mlflow.db")
    hooks = TrackingHooks()
    hooks.after_context_created(context(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}"))
    hooks.before_pipeline_run({"pipeline_names": ["train"]})
    assert mlflow.active_run() is not None
    (tmp_path / "mlflow.db").write_bytes(b"gone" * 5000)
    callback = MlflowCallback(1)
    for epoch in (1, 2):
        callback.on_epoch({"epoch": epoch, "seed": 1, "loss": 0.5})
    hooks.before_node_run({"params:rate": 0.5})
    hooks.after_pipeline_run()
    assert len([line for line in warnings(caplog) if "goes on without MLflow" in line]) == 1
    assert mlflow.active_run() is None


@contextmanager
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def absent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://user:secret@127.0.0.1:{port}"


class Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def other_server() -> Iterator[str]:
    """A server, though not of MLflow."""
    server = HTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("server", [silent_server, absent_server, other_server])
def test_a_server_that_is_away_costs_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, server: Callable[[], Any]
) -> None:
    with server() as address:
        began = time.monotonic()
        tracked_run(tmp_path, address)
        assert time.monotonic() - began < 100  # MLflow itself asks for minutes
    (line,) = [line for line in warnings(caplog) if "goes on without MLflow" in line]
    assert line.startswith(f"{shown(address)}: ")
    assert "secret" not in caplog.text
    assert WATCH.lost


def test_a_copied_project_keeps_its_files_to_itself(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tracked, copy)
    monkeypatch.chdir(copy)
    before = sorted(tracked.rglob("*"))
    for _ in range(2):
        tracked_run(copy)
    assert sorted(tracked.rglob("*")) == before
    places = [place for (place,) in rows(copy / "mlflow.db", "select artifact_uri from runs order by start_time")]
    assert len(places) == 3
    assert all(Path(place.removeprefix("file://")).is_relative_to(copy) for place in places[1:])
    assert len(list((copy / "mlruns").rglob("run_card.json"))) == 3


@pytest.mark.parametrize(
    ("conf", "line"),
    [
        ({"servers": {}}, "conf/*/mlflow.yml: servers: unknown key"),
        ({"experiment": 3}, "experiment: must be a text"),
        ({"server": {}}, "use tracking_uri in place of server.mlflow_tracking_uri"),
    ],
)
def test_a_wrong_key_of_the_configuration_is_one_line(tmp_path: Path, conf: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)):
        TrackingHooks().after_context_created(context(tmp_path, "sqlite:///x.db", **conf))


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("https://user:p%40ss@mlflow.example:5000/path?token=x", "https://mlflow.example:5000"),
        ("postgresql+psycopg://user:word@host/db?password=x", "postgresql+psycopg://host"),
        ("./mlruns", "./mlruns"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, place: str) -> None:
    assert shown(address) == place


def test_the_patience_with_a_server_is_short() -> None:
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() * (1 + MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) <= 10
