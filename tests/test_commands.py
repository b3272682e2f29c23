"""Every command that the documentation names, as a user types it, in one project with a tiny market."""

import datetime as dt
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from atft_pipeline.pipeline_registry import register_pipelines
from atft_pipeline.pipelines.hpo.winner import overlay
from tests import CI
from tests.commands import Kedro, commands_of, documented
from tests.project import ROOT, make_project, newest

pytestmark = pytest.mark.slow

NEW_DAYS = 2
# Parts of commands: the command that they are a part of.
PARTS = {
    "--params evaluation.portfolios.execution=open": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params evaluation.trials=40": "kedro run --pipeline=evaluate --from-nodes=evaluate",
    "--params listings=<file>": "kedro run --pipeline=ingest",
    "--params loss.neutral_to=[]": "kedro run --env=production --pipeline=train",
    "--params runtime.devices=2": "kedro run --pipeline=train",
    "--params training.from_study=best": "kedro run --pipeline=train",
}
# What needs the developers' tools: `make -n` shows what would run. Benchmarks take real prices and minutes.
SHOWN = {"make demo": "kedro run", "make test": "-m pytest"}
SERVERS = {"kedro viz", "kedro viz run"}
# A mistake on purpose: the documentation shows the line that it ends in.
REFUSED = {
    "kedro run --params training.epoch=3": "error: parameter training.epoch: unknown key; did you mean epochs?\n"
}
# Before the others, in this order; `update` and `predict` come last, on newer prices.
FIRST = [
    "kedro run --pipeline=sample_market",
    "kedro run",
    "kedro run --pipeline=hpo",
    "kedro run --pipeline=train --params training.from_study=best",
]
# Commands that a Kedro user tries, although no page names them.
BESIDE = [
    "kedro catalog describe-datasets",
    "kedro ipython -c 'print(type(catalog).__name__)'",
    "kedro run --pipeline=train --params 'loss.neutral_to=[BETAMKT60, RET1],training.phases=[]'",
]

TINY: dict[str, Any] = {
    "sample_market": {"listings": 30, "sessions": 240},
    "split": {"embargo": 0},
    "batches": {"window": 5, "batch_size": 256, "bucket": 64, "min_history": 3, "min_listings": 10},
    "model": {"width": 8},
    "training": {"epochs": 1},
    "evaluation": {
        "top_k": 5,
        "universe": 30,
        "bootstrap": {"draws": 100},
        "lightgbm": {"leaves": [7], "learning_rates": [0.1], "rounds": 5, "patience": 5, "max_rows": 2000},
        "portfolios": {"top_k": 5, "max_weight": 0.5},
    },
    "walk_forward": {"embargo": 0, "validation_sessions": 20, "retrain_every_months": 12},
    "graphs": {"k": 5, "window": 60, "min_observations": 30, "min_sector_neighbours": 0},
    "hpo": {
        "preset": "custom",
        "trials": 1,
        "epochs": 1,
        "space": [{"path": "training.optimizer.lr", "kind": "log", "low": 1e-3, "high": 6e-3}],
    },
    "audit": {"count": 1, "codes": 20},
}
PHASES = [{"name": "baseline", "epochs": 1, "graph": False}, {"name": "graph", "epochs": 1}]
MODEL = {"width": 16, "graph": {"layers": 1}}


@dataclass
class World:
    """A project, the prices that commands name, and dates for those in the documentation."""

    project: Path
    old: Path
    new: Path
    dates: dict[str, str]

    def typed(self, command: str, *, newer: bool = False) -> list[str]:
        """Words of a command with the places and dates of this project."""
        prices = self.new if newer else self.old
        command = command.replace("/path/to/prices", str(prices)).replace("<file or folder>", str(prices))
        command = command.replace("listings=<file>", f"listings={self.old / 'listings.parquet'}")
        command = command.replace("<folder>", str(prices))
        command = re.sub(r"(\w+)=\d{4}-\d{2}-\d{2}", lambda found: f"{found[1]}={self.dates[found[1]]}", command)
        return shlex.split(command)[1:]


@pytest.fixture(scope="module")
def kedro() -> Iterator[Kedro]:
    with Kedro() as process:
        yield process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, kedro: Kedro) -> World:
    """A project whose configuration makes everything tiny, before its first run."""
    project = make_project(tmp_path_factory.mktemp("project"))
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump(TINY))
    production = project / "conf/production/parameters.yml"
    settings = overlay(yaml.safe_load(production.read_text()), {**TINY, "loss": {"neutral_to": ["BETAMKT60"]}})
    settings["training"]["phases"] = PHASES
    settings["training"]["epochs"] = None
    production.write_text(yaml.safe_dump(settings))
    for env in ["local", "production"]:
        (project / f"conf/{env}/globals.yml").write_text(yaml.safe_dump({"models": {"production": MODEL}}))
    code, printed = kedro(project, "run", "--pipeline=sample_market")
    assert code == 0, printed
    old, new = project / "old", project / "new"
    for folder in [old, new]:
        folder.mkdir()
        for name in ["prices", "listings"]:
            shutil.copy(newest(project, f"data/01_raw/sample_market/{name}.parquet"), folder / f"{name}.parquet")
    prices = pl.read_parquet(new / "prices.parquet")
    days = sorted(prices["Date"].unique())
    prices.filter(pl.col("Date") <= days[-1 - NEW_DAYS]).write_parquet(old / "prices.parquet")
    names = {"validation_start": 0.6, "test_start": 0.75, "first_test": 0.8, "last_test": 0.97}
    dates = {name: day(days[int(share * len(days))]) for name, share in names.items()}
    return World(project, old, new, dates)


def day(date: dt.date) -> str:
    return f"{date:%Y-%m-%d}"


def covered(command: str) -> bool:
    return (
        command in PARTS
        or command in SHOWN
        or command in SERVERS
        or command in REFUSED
        or command.startswith("python ")
        or re.match(r"kedro (run|status|refresh|lineage|registry list|catalog)\b", command) is not None
    )


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


def test_every_documented_command_works_as_typed(world: World, kedro: Kedro) -> None:
    others = [name for name in documented() if name.startswith("kedro") and name not in SERVERS | set(REFUSED)]
    parts = [f"{PARTS[name]} {name}" for name in documented() if name in PARTS]
    late = [name for name in others if re.search("pipeline=(update|predict)", name)]
    rest = [name for name in [*others, *parts, *BESIDE] if name not in [*FIRST, *late]]
    plan = [*FIRST, *sorted(rest, key=lambda name: "production" in name), *sorted(late)]
    seconds = {}
    for command in plan:
        began = time.perf_counter()
        code, printed = kedro(world.project, *world.typed(command, newer=command in late))
        seconds[command] = time.perf_counter() - began
        assert code == 0, f"{command}\n{printed}"
        assert "Traceback" not in printed, f"{command}\n{printed}"
        if command == BESIDE[1]:
            assert "DataCatalog" in printed


def test_a_command_that_is_shown_with_its_error_ends_in_it(world: World, kedro: Kedro) -> None:
    for command, line in REFUSED.items():
        assert kedro(world.project, *world.typed(command)) == (1, line)


@pytest.mark.parametrize("command", SHOWN)
def test_a_target_of_make_would_run_what_is_said(command: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert SHOWN[command] in shown.stdout


@contextmanager
def viz(project: Path) -> Iterator[str]:
    """Start ``kedro viz run`` on a free port of this machine; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def test_viz_draws_every_node_of_the_pipeline_in_a_browser(world: World, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None and not CI:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    assert browser is not None, "no chromium on this machine: apt-get install --no-install-recommends chromium"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1600,1200", "--enable-logging=stderr"]
    limits = [f"--user-data-dir={tmp_path}", "--virtual-time-budget=30000", "--dump-dom"]
    with viz(world.project) as address:
        page = subprocess.run(
            [browser, *flags, *limits, address], capture_output=True, text=True, check=True, timeout=120
        )
    drawn = re.findall(r'<g [^>]*class="pipeline-node[ "][^>]*data-node-fullname="([^"]+)"', page.stdout)
    pipeline = register_pipelines()["__default__"]
    datasets = {name for name in pipeline.datasets() if not name.startswith("params:")}
    assert sorted(drawn) == sorted(datasets | {node.name for node in pipeline.nodes})
    # The page greets on the console; whatever else stands there is an error.
    said = re.findall(r":CONSOLE:\d+\] \"?(.*)", page.stderr)
    assert [line for line in said if not line.startswith("Experimental features")] == []
    assert said
