"""``kedro status`` and ``kedro refresh`` on a small project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.audit.finding import PARTS
from atft_pipeline.locks import Lock
from tests.project import kedro_many, kedro_ok, make_project, newest

pytestmark = pytest.mark.slow

SIZE = "sample_market.listings=60,sample_market.sessions=200"
GRAPHS = ["graphs", "graphs_report", "graph_stability_figure"]
DATA = ["clean_prices", "listings", "data_quality", "data_quality_page", "features", "panel", *GRAPHS]
LOOK = """
import json, sys
from pathlib import Path
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
from atft_pipeline.cli import look
found = {}
for name, params in json.loads(sys.argv[1]).items():
    found[name] = {status.artifact: [status.state, status.reason] for status in look(None, params, others=True)}
print("RESULT" + json.dumps(found))
"""

States = dict[str, tuple[str, str]]


def look(project: Path, questions: dict[str, dict]) -> dict[str, States]:
    """Ask for the state of every artifact under several parameters, in one process."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(questions)], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("RESULT")[1])


def stale(states: States) -> list[str]:
    return [name for name in DATA if states[name][0] != "fresh"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_project(tmp_path_factory.mktemp("project"))
    kedro_ok(made, "run", "--pipeline=sample_market", f"--params={SIZE}")
    kedro_ok(made, "run", "--pipeline=data")
    return made


def test_parameters_make_exactly_the_right_stages_stale(project: Path) -> None:
    found = look(
        project,
        {
            "nothing": {},
            "training": {"training": {"epochs": 9}, "model": {"width": 16}},
            "graphs": {"graphs": {"k": 5}},
            "features": {"features": {"clip": 2.5}},
            "ingest": {"ingest": {"universe": {"min_price": 2.0}}},
        },
    )
    assert stale(found["nothing"]) == []
    assert found["nothing"]["model"][0] == "missing"
    assert stale(found["training"]) == []
    assert stale(found["graphs"]) == GRAPHS
    assert stale(found["features"]) == ["features", "panel", *GRAPHS]
    assert stale(found["ingest"]) == DATA
    assert found["graphs"]["graphs"][1] == "parameter graphs changed"
    assert found["features"]["panel"][1] == "input features changed"


def test_a_changed_raw_file_and_a_refresh(project: Path) -> None:
    path = newest(project, "data/01_raw/sample_market/prices.parquet")
    original = path.read_bytes()
    table = pl.read_parquet(path)
    table.with_columns(Volume=pl.col("Volume") + 100).write_parquet(path)
    assert stale(look(project, {"now": {}})["now"]) == DATA
    path.write_bytes(original)
    assert stale(look(project, {"now": {}})["now"]) == []


def test_lineage_says_what_an_artifact_was_made_from(project: Path) -> None:
    panel = newest(project, "data/05_model_input/panel.arrow")
    record = json.loads((panel.parent / "lineage.json").read_text())
    features = newest(project, "data/04_feature/features")
    assert record["inputs"]["features"]["version"] == features.parent.name
    assert set(record["parameters"]) == {"params:panel"}
    assert record["version"] == panel.parent.name
    assert len(record["code"]) >= 12


def test_status_prints_a_table(project: Path) -> None:
    printed = kedro_ok(project, "status", "--params=graphs.k=5")
    assert "parameter graphs changed" in printed
    assert "kedro refresh" in printed


def test_audit_prints_and_saves_its_verdict(project: Path) -> None:
    printed = kedro_ok(project, "run", "--pipeline=audit", "--params=audit.count=1")
    assert "leak audit: PASSED" in printed
    report = json.loads(newest(project, "data/08_reporting/audit.json").read_text())
    assert report["passed"]
    lines = {line["artifact"]: line for line in report["artifacts"]}
    # There is no trained model here, and the sample's listings carry no dates.
    assert set(PARTS) - set(lines) == {"scores", "parts", "listings"}
    assert all(line["values"] > 100 for line in lines.values())
    assert "warning: listings.parquet carries no dates" in printed
    found = look(project, {"same": {"audit": {"count": 1}}, "other": {}})
    assert found["same"]["audit"] == ["fresh", ""]
    assert found["other"]["audit"] == ["stale", "parameter audit changed"]
    assert "metrics" in found["same"]
    assert "trial_table" not in found["same"]


def test_lineage_is_printed_down_to_the_raw_files(project: Path) -> None:
    printed = kedro_ok(project, "lineage", "graphs")
    for name in ("graphs", "panel", "features", "clean_prices", "raw_prices", "params:ingest"):
        assert name in printed
    assert newest(project, "data/05_model_input/panel.arrow").parent.name in printed


def test_a_run_remembers_its_prices_and_refuses_what_does_not_belong_together(project: Path, tmp_path: Path) -> None:
    here = tmp_path / "project"
    shutil.copytree(project, here)
    real = here / "my prices" / "prices.parquet"
    real.parent.mkdir()
    table = pl.read_parquet(newest(here, "data/01_raw/sample_market/prices.parquet"))
    table.filter(pl.col("Code") != table["Code"][0]).write_parquet(real)
    given = f"prices={real},ingest.universe.min_price=0.5"
    done = kedro_many(
        here,
        ["run", "--pipeline=ingest", f"--params={given}"],
        # Clean prices of another market lie beside the features, panel and graphs now.
        ["run", "--pipeline=graphs"],
        ["run", "--pipeline=walk_forward"],
        ["status", "--params=graphs.k=5"],
        ["run", "--pipeline=data"],
        ["status"],
        ["run", "--pipeline=graphs"],
    )
    codes, printed = [code for code, _ in done], [text for _, text in done]
    assert codes == [0, 1, 1, 0, 0, 0, 0], printed
    assert f"prices: prices={real}" in printed[0]
    assert "panel (version" in printed[1]
    assert "was made with another clean_prices" in printed[1]
    # What would stop at its own inputs is no advice.
    for told in printed[1:3]:
        assert told.rstrip().endswith("make it again with: kedro run --pipeline=data")
    assert f"prices={real}, ingest.universe.min_price=0.5 (as the last run that read prices" in printed[3]
    asked = "--params graphs.k=5"
    assert f"run what is stale or missing with: kedro refresh {asked}" in printed[3]
    for name in DATA:
        assert re.search(rf"^ {name} +fresh ", printed[5], flags=re.MULTILINE), name
    # Ingest was killed behind its first output: the old listings lie beside the new prices.
    record = newest(here, "data/02_intermediate/clean_prices.parquet").parent
    for name in ("listings.parquet", "clean_prices.parquet"):
        assert newest(here, f"data/02_intermediate/{name}").parent.name == record.name
    for _ in range(2):
        shutil.rmtree(newest(here, "data/02_intermediate/listings.parquet").parent)
    held = Lock(here / "data/.locks/graphs")
    assert held.claim("another run") is None
    shutil.rmtree(real.parent)
    done = kedro_many(
        here, ["run", "--pipeline=features"], ["run", "--pipeline=graphs"], ["status"], ["run", "--pipeline=ingest"]
    )
    printed = [text for _, text in done]
    assert [code for code, _ in done] == [1, 1, 1, 1]
    assert "was made with another listings than the one that would be read" in printed[0]
    assert "graphs is being made by another run, process" in printed[1]
    assert f"the prices {real} are gone; name them where they are now: --params prices=<file or folder>" in printed[2]
    assert f"raw_prices does not exist ({real}); pass --params prices=<file or folder>" in printed[3]
