"""``kedro run --pipeline=hpo`` and the training of its winner, as a user types them, on a small market."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.pipelines.hpo.nodes import FinishedStudy, report_study, tabulate_study
from atft_pipeline.pipelines.hpo.pipeline import create_pipeline
from atft_pipeline.pipelines.hpo.winner import with_winner
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.tuning.callbacks import TrialOutcome
from atft_pipeline.tuning.config import DRY
from tests.project import kedro, kedro_ok, make_project, newest
from tests.tuning.postgres import server
from tests.tuning.studies import Script, scripted, search_config

pytestmark = pytest.mark.slow

SIZE = "sample_market.listings=40,sample_market.sessions=320"
SMALL = "split.embargo=5,model.width=8,batches.window=10,batches.min_history=5"
SPACE = [
    {"path": "training.optimizer.lr", "kind": "log", "low": 5e-4, "high": 1e-2},
    {"path": "model.width", "kind": "categorical", "choices": [8, 16]},
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after a search of three trials of two epochs, and what it printed."""
    project = make_project(tmp_path_factory.mktemp("project"))
    text = yaml.safe_dump({"hpo": {"preset": "custom", "trials": 3, "epochs": 2, "space": SPACE}})
    (project / "conf/local/parameters_hpo.yml").write_text(text)
    kedro_ok(project, "run", "--pipeline=sample_market", f"--params={SIZE}")
    kedro_ok(project, "run", "--pipeline=data")
    return project, kedro_ok(project, "run", "--pipeline=hpo", f"--params={SMALL}")


def read(project: Path, artifact: str) -> str:
    return newest(project, artifact).read_text()


def test_the_search_leaves_its_artifacts(searched: tuple[Path, str]) -> None:
    project, printed = searched
    report = json.loads(read(project, "data/08_reporting/hpo_report.json"))
    table = pl.read_parquet(newest(project, "data/08_reporting/trial_table.parquet"))
    assert set(table["state"]) <= {"COMPLETE", "PRUNED"}
    assert table.height == 3
    assert report["winner"]["val_rank_ic"] == table["best_rank_ic"].max()
    assert report["test"]["looks"] == 1
    assert "null trials" in printed
    assert "Traceback" not in printed
    for name in ["history", "importance", "slices", "parallel", "timeline"]:
        assert newest(project, f"data/08_reporting/hpo_{name}_figure.json").exists()


def test_every_trial_is_a_nested_run_with_parameters_epochs_and_card(searched: tuple[Path, str]) -> None:
    project, _ = searched
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        nested = store.execute("select run_uuid from tags where key = 'mlflow.parentRunId'").fetchall()
        widths = store.execute("select value from params where key = 'model.width'").fetchall()
        names = dict(store.execute("select run_uuid, name from runs").fetchall())
        for (run,) in nested:
            epochs = store.execute(
                "select count(*) from metrics where key = 'validation/val_rank_ic' and run_uuid = ?", (run,)
            ).fetchone()
            assert epochs[0] in {1, 2}
            assert names[run].startswith("trial ")
    assert len(nested) == 3
    assert len(widths) == 4  # of the search itself and of each trial
    assert len(list(project.rglob("run_card.json"))) >= 3
    assert list(project.rglob("best_parameters.yml"))


def test_a_finished_search_trains_nothing_again(searched: tuple[Path, str]) -> None:
    project, _ = searched
    printed = kedro_ok(project, "run", "--pipeline=hpo", f"--params={SMALL}")
    assert "epoch " not in printed
    assert json.loads(read(project, "data/08_reporting/hpo_report.json"))["test"]["looks"] == 1


def test_train_takes_the_winner_and_says_so(searched: tuple[Path, str]) -> None:
    project, _ = searched
    report = json.loads(read(project, "data/08_reporting/hpo_report.json"))
    kedro_ok(project, "run", "--pipeline=train", f"--params={SMALL.split(',', maxsplit=1)[0]},training.from_study=best")
    card = json.loads(read(project, "data/08_reporting/run_card.json"))
    assert card["result"]["val_rank_ic"] == pytest.approx(report["winner"]["val_rank_ic"], abs=1e-12)
    record = json.loads((newest(project, "data/06_models/model").parent / "lineage.json").read_text())
    assert record["inputs"]["tuned_parameters"]["fingerprint"]
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        (rate,) = store.execute(
            "select value from params join runs on runs.run_uuid = params.run_uuid "
            "where key = 'training.optimizer.lr' order by start_time desc limit 1"
        ).fetchone()
    assert float(rate) == report["winner"]["parameters"]["training.optimizer.lr"]
    # Its evaluation knows that it is the best of the search's trials.
    kedro_ok(project, "run", "--pipeline=evaluate", f"--params={SMALL.split(',', maxsplit=1)[0]}")
    returns = pl.read_parquet(newest(project, "data/08_reporting/trial_returns.parquet"))
    metrics = json.loads(read(project, "data/08_reporting/metrics.json"))
    assert returns.columns == ["Date", "trial_0", "trial_1", "trial_2"]
    assert metrics["trials"]["count"] == 3


def test_the_winners_file_is_parameters_as_it_is(searched: tuple[Path, str]) -> None:
    project, _ = searched
    report = json.loads(read(project, "data/08_reporting/hpo_report.json"))
    tuned = project / "conf/local/parameters_tuned.yml"
    tuned.write_text(read(project, "data/06_models/best_parameters.yml"))
    try:
        kedro_ok(project, "run", "--pipeline=train", f"--params={SMALL.split(',', maxsplit=1)[0]}")
    finally:
        tuned.unlink()
    card = json.loads(read(project, "data/08_reporting/run_card.json"))
    assert card["result"]["val_rank_ic"] == pytest.approx(report["winner"]["val_rank_ic"], abs=1e-12)


def test_a_preset_that_does_not_exist_is_one_clear_line(searched: tuple[Path, str]) -> None:
    done = kedro(searched[0], "run", "--pipeline=hpo", "--params=hpo.preset=huge")
    assert done.returncode == 1
    assert "parameter hpo.preset: must be quick, medium" in done.stderr
    assert "Traceback" not in done.stderr


def asking(value: Any) -> dict[str, Any]:
    return {"training": {"from_study": value, "epochs": 4}, "split": {"embargo": 1}}


def test_a_winner_that_is_not_there_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.from_study: must be best or null, got worst"):
        with_winner(asking("worst"), {}, tmp_path)
    with pytest.raises(ArtifactError, match="make it with: kedro run --pipeline=hpo"):
        with_winner(asking("best"), {}, tmp_path)
    write_winner(tmp_path, DRY + "training: {epochs: 2}\n")
    with pytest.raises(ArtifactError, match="the newest search was a dry run"):
        with_winner(asking("best"), {}, tmp_path)


@pytest.mark.parametrize("text", ["training: {epochs", "- 1\n", ""])
def test_a_damaged_winner_is_named_with_its_command(tmp_path: Path, text: str) -> None:
    write_winner(tmp_path, text)
    with pytest.raises(ArtifactError, match=r"best_parameters .* is damaged: .*; write it again with: kedro run"):
        with_winner(asking("best"), {}, tmp_path)


@pytest.mark.parametrize("text", ["loss: {listnet: 0.2}\n", "books: {top: 3}\n"])
def test_a_winner_of_another_version_is_named_with_its_command(tmp_path: Path, text: str) -> None:
    write_winner(tmp_path, text)
    line = r"best_parameters .* was written by another version of the project .*; search again with: kedro run"
    with pytest.raises(ArtifactError, match=line):
        with_winner(asking("best"), {}, tmp_path)


def test_the_winner_replaces_groups_and_the_command_line_stays(tmp_path: Path) -> None:
    write_winner(tmp_path, "training: {epochs: 5, seed: 3}\n")
    given = {"training": {"from_study": "best", "epochs": 9}}
    assert with_winner(asking(None), given, tmp_path) == asking(None)
    assert with_winner(asking("best"), given, tmp_path) == {
        "training": {"epochs": 9, "seed": 3, "from_study": "best"},
        "split": {"embargo": 1},
    }


@pytest.mark.parametrize("group", [3, [], None, "best", True])
def test_a_group_that_is_no_group_asks_for_no_winner(tmp_path: Path, group: object) -> None:
    assert with_winner({"training": group}, {}, tmp_path) == {"training": group}


def write_winner(project: Path, text: str) -> None:
    path = project / "data/06_models/best_parameters.yml/2026-01-01T00.00.00.000Z/best_parameters.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_table_is_saved_though_no_trial_completed(tmp_path: Path) -> None:
    """It belongs to a node of its own, which the report, and its one line, come after."""
    url, config = f"sqlite:///{tmp_path}/optuna.db", search_config(2)
    failing = Script(tmp_path, act=lambda slot: TrialOutcome("FAILED", f"epoch 1: the loss is nan in slot {slot}"))
    scripted(url, config, tmp_path, failing).run()
    finished = FinishedStudy("study", "fingerprint", tmp_path)
    table, returns = tabulate_study(finished, url, Params(config))
    assert table["state"].to_list() == ["FAILED", "FAILED"]
    assert table["reason"].to_list() == ["epoch 1: the loss is nan in slot 0", "epoch 1: the loss is nan in slot 1"]
    assert returns.columns == ["Date"]
    with pytest.raises(ArtifactError, match=r"no trial of the study completed \(trial 0 FAILED: epoch 1: the loss is"):
        report_study(finished, table, None, None, url, None, None, Params(config))  # type: ignore[arg-type]
    nodes = {node.name: node for node in create_pipeline().nodes}
    assert "trial_table" in nodes["tabulate_study"].outputs
    assert "trial_table" in nodes["report_study"].inputs


CANARY = "Zx9%7B%7DCANARY%40%25(s)"


def test_a_password_reaches_nothing_that_a_search_writes_or_prints(searched: tuple[Path, str]) -> None:
    """A real search in PostgreSQL, and one whose server is away: terminal, MLflow, artifacts, records, logs."""
    project, _ = searched
    credentials = project / "conf/local/credentials.yml"
    small = f"--params={SMALL},hpo.trials=1,hpo.epochs=1,hpo.study=secret"
    try:
        with server() as url:
            place = url.replace("tester@", f"tester:{CANARY}@") + f"?application_name=CANARY&password={CANARY}"
            credentials.write_text(yaml.safe_dump({"hpo_storage": {"url": place}}))
            printed = kedro_ok(project, "run", "--pipeline=hpo", small)
        away = kedro(project, "run", "--pipeline=hpo", small)
    finally:
        credentials.unlink()
    assert "study secret: 1 trials in postgresql+psycopg://127.0.0.1" in printed
    assert (away.returncode, away.stderr.count("the database does not answer")) == (1, 1)
    for text in (printed, away.stdout, away.stderr):
        assert "CANARY" not in text
        assert "Traceback" not in text
    told = [path for path in project.rglob("*") if path.is_file() and b"CANARY" in path.read_bytes()]
    assert told == []
