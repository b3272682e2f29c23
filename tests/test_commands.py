"""Every command that the documentation names, as a user types it, in one project with a tiny market."""

import json
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.validation.parameter_validator import ParameterValidator

from atft_pipeline.cli import check_selection, cli
from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.pipeline_registry import register_pipelines
from atft_pipeline.settings import CONFIG_LOADER_ARGS
from tests import ACTIVATED
from tests.browser import browser, open_page
from tests.commands import Kedro, commands_of, documented
from tests.project import ROOT, make_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning"),
    pytest.mark.filterwarnings("ignore:Option '--pipeline'"),
]

# Parts of commands: the command that they are a part of.
PARTS = {
    "--params ingest.universe.min_dollar_volume=0": "kedro run --pipeline=ingest",
    "--params evaluation.lightgbm.leaves=[7,15],training.epochs=2": "kedro run --pipeline=train",
    "--params evaluation.portfolios.execution=close_to_close": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params evaluation.trials=40": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params listings=<file>": "kedro run --pipeline=ingest",
    "--params targets.neutral_to=[]": "kedro run --env=production --pipeline=train",
    "--params runtime.devices=2": "kedro run --pipeline=train",
    "--params training.resume=false": "kedro run --pipeline=train",
    "--params prices=data/01_raw/sample_market/prices.parquet": "kedro run",
    "--params training.from_study=best": "kedro run --pipeline=train",
}
# What needs the developers' tools: `make -n` shows what would run. Benchmarks take real prices and minutes.
SHOWN = {"make demo": "kedro run", "make test": "-m pytest"}
SERVERS = {"kedro viz", "kedro viz run"}
# A mistake on purpose: the documentation shows the line that it ends in.
REFUSED = {
    "kedro run --params training.epoch=3": "error: parameter training.epoch: unknown key; did you mean epochs?\n"
}
# Run one after the other on the tiny market. The other documented runs differ from these by their parameters alone,
# which are built for each of them.
RUN = [
    "kedro run --pipeline=sample_market",
    "kedro run",
    "kedro run --pipeline=hpo",
    "kedro run --pipeline=train --params training.from_study=best",
    "kedro run --pipeline=train",
    "kedro status",
    "kedro refresh",
    "kedro doctor",
    "kedro prune",
    "kedro prune --keep=1 --delete",
    "kedro lineage metrics",
    "kedro lineage model",
    "kedro registry list",
]
# Commands that a Kedro user tries, although no page names them.
BESIDE = ["kedro catalog describe-datasets"]

TINY: dict[str, Any] = {
    "sample_market": {"listings": 30, "sessions": 240},
    "split": {"embargo": 0},
    "batches": {"window": 5, "batch_size": 256, "min_history": 3, "min_listings": 10},
    "model": {"width": 8},
    "training": {"epochs": 1},
    "evaluation": {
        "top_k": 5,
        "universe": 30,
        "lightgbm": {"leaves": [7], "learning_rates": [0.1], "rounds": 5},
        "portfolios": {"max_weight": 0.5},
    },
    "walk_forward": {"validation_sessions": 20, "retrain_every_months": 12},
    "graphs": {"k": 5, "window": 60, "min_observations": 30, "min_sector_neighbours": 0},
    "hpo": {
        "preset": "custom",
        "trials": 1,
        "epochs": 1,
        "space": [{"path": "training.optimizer.lr", "kind": "log", "low": 1e-3, "high": 6e-3}],
    },
    "audit": {"count": 1, "codes": 20},
}


@pytest.fixture(scope="module")
def kedro() -> Iterator[Kedro]:
    with Kedro() as process:
        yield process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose configuration makes everything tiny, before its first run."""
    project = make_project(tmp_path_factory.mktemp("project"))
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump(TINY))
    return project


def covered(command: str) -> bool:
    known = {*PARTS, *SHOWN, *SERVERS, *REFUSED, *RUN}
    # tests/jobs runs the command that prints job files.
    return command in known or command.startswith(("python ", "kedro run", "kedro job "))


def test_commands_are_found_in_blocks_spans_and_tables() -> None:
    page = (
        "Run `kedro status` or\n\n```\nS=prices=<x>\n$ kedro run --params $S,\\\na=1   # all\nother\n```\n"
        "with `--params a=[1]` or `--env`.\n\n| `kedro run --pipeline=` | |\n|---|---|\n| `train` | `x` |\n\nend\n"
    )
    assert commands_of(page) == [
        "kedro run --params prices=<x>,a=1",
        "kedro run --pipeline=train",
        "kedro status",
        "--params a=[1]",
    ]


def test_every_documented_command_is_covered() -> None:
    missing = {command: page for command, page in documented().items() if not covered(command)}
    assert missing == {}
    assert set(PARTS) | set(SHOWN) | set(REFUSED) <= set(documented())
    assert len(documented()) > 40
    for command in documented():
        for script in re.findall(r"benchmarks[/.]\w+", command):
            assert (ROOT / script.replace(".", "/")).with_suffix(".py").is_file()


def runs() -> list[str]:
    """Documented runs, the parts of commands in their places."""
    return [name for name in documented() if name.startswith("kedro run") and name not in REFUSED] + [
        f"{PARTS[name]} {name}" for name in documented() if name in PARTS
    ]


@pytest.mark.parametrize("command", runs())
def test_the_parameters_of_a_documented_run_are_valid(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ["<file or folder>", "<folder>", "<file>"]:
        command = command.replace(place, "/x")
    _, _, *words = shlex.split(command)
    options = cli.commands["run"].make_context("run", words).params
    names = [*options["pipelines"], *([options["pipeline"]] if options["pipeline"] else [])]
    pipelines = register_pipelines()
    monkeypatch.setattr("atft_pipeline.cli.pipelines", pipelines)
    check_selection({**options, "pipelines": names})
    # The winner of a search is there after a search alone.
    options["params"].get("training", {}).pop("from_study", None)
    found = ProjectConfigLoader(ROOT / "conf", options["env"], runtime_params=options["params"], **CONFIG_LOADER_ARGS)
    chosen = {name: pipelines[name] for name in names or ["__default__"]}
    built = ParameterValidator(chosen).validate_raw_params(found["parameters"])
    for name, value in options["params"].items():
        assert name in {"prices", "listings", "size"} or name in built, value


def test_documented_commands_work_as_typed(world: Path, kedro: Kedro) -> None:
    assert set(RUN) <= set(documented())
    for command in [*RUN, *BESIDE]:
        code, printed = kedro(world, *shlex.split(command)[1:])
        assert code == 0, f"{command}\n{printed}"
        assert "Traceback" not in printed, f"{command}\n{printed}"


def test_a_command_that_is_shown_with_its_error_ends_in_it(world: Path, kedro: Kedro) -> None:
    for command, line in REFUSED.items():
        assert kedro(world, *shlex.split(command)[1:]) == (1, line)


@pytest.mark.parametrize("command", SHOWN)
def test_a_target_of_make_would_run_what_is_said(command: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert SHOWN[command] in shown.stdout


def quiet_port() -> int:
    """A free port below those that the system gives to connections: kedro-viz tries five by connecting to them."""
    for port in random.sample(range(20_000, 30_000, 10), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    pytest.fail("no free port from 20000 to 30000")


@contextmanager
def viz(project: Path) -> Iterator[str]:
    """Start ``kedro viz run`` on a free port of this machine; yield its address."""
    port = quiet_port()
    program = "from kedro.framework.cli import main; main()"
    command = [sys.executable, "-c", program, "viz", "run", "--no-browser", "--host=127.0.0.1", f"--port={port}"]
    log = project / "viz.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=project, stdout=output, stderr=output, start_new_session=True)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address + "api/main", timeout=30).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            pytest.fail(log.read_text())
        yield address
    finally:
        # The server is a child of the command; both are of a group of their own.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait(timeout=30)


def test_viz_draws_every_node_of_the_pipeline_in_a_browser(world: Path, tmp_path: Path) -> None:
    browser()
    pipeline = register_pipelines()["__default__"]
    datasets = {name for name in pipeline.datasets() if not name.startswith("params:")}
    expected = sorted([*datasets, *(node.name for node in pipeline.nodes)])
    with viz(world) as address:
        # The browser's clock runs ahead while a crowded machine lays the graph out: it may look too soon.
        for _ in range(4):
            page, said = open_page(address, tmp_path)
            found = re.findall(r'<g [^>]*class="pipeline-node[ "][^>]*data-node-fullname="([^"]+)"', page)
            drawn = sorted(found)
            if drawn == expected:
                break
    assert drawn == expected
    # The page greets on the console; whatever else stands there is an error.
    assert [line for line in said if not line.startswith("Experimental features")] == []
    assert said


def as_typed(project: Path, *words: str) -> str:
    """Run ``kedro`` in a process of its own, without a terminal, the environment first on the path; what it printed."""
    done = subprocess.run(
        [Path(sys.executable).with_name("kedro"), *words],
        cwd=project,
        env=ACTIVATED,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_viz_builds_a_static_site_with_every_node(world: Path) -> None:
    as_typed(world, "viz", "build")
    assert (world / "build" / "index.html").is_file()
    names = {node["name"] for node in json.loads((world / "build" / "api" / "main").read_text())["nodes"]}
    pipeline = register_pipelines()["__default__"]
    assert {node.name for node in pipeline.nodes} <= names
    assert {name for name in pipeline.datasets() if not name.startswith("params:")} <= names


def test_ipython_loads_the_project(world: Path) -> None:
    printed = as_typed(
        world, "ipython", "-c", "print('stages', 'train' in pipelines, catalog.get('raw_prices').load())"
    )
    assert re.search(r"stages True \S+prices.parquet", printed)
