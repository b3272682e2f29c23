"""kedro-viz on a finished run: every node is drawn, what people click has a preview, the static site is complete."""

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from atft_pipeline.pipeline_registry import register_pipelines
from tests.browser import browser, open_page
from tests.project import as_typed

pytestmark = pytest.mark.slow


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


def test_viz_draws_every_node_of_the_pipeline_in_a_browser(finished: tuple[Path, str], tmp_path: Path) -> None:
    browser()
    pipeline = register_pipelines()["__default__"]
    datasets = {name for name in pipeline.datasets() if not name.startswith("params:")}
    expected = sorted([*datasets, *(node.name for node in pipeline.nodes)])
    with viz(finished[0]) as address:
        # The browser's clock runs ahead while a crowded machine lays the graph out: it may look too soon.
        for _ in range(4):
            page, said = open_page(address, tmp_path)
            found = re.findall(r'<g [^>]*class="pipeline-node[ "][^>]*data-node-fullname="([^"]+)"', page)
            drawn = sorted(found)
            if drawn == expected:
                break
        with urllib.request.urlopen(address + "api/main", timeout=30) as answer:
            ids = {node["name"]: node["id"] for node in json.load(answer)["nodes"]}
        clicked, said_then = open_page(f"{address}?pid=__default__&sid={ids['evaluation_page']}", tmp_path)
    assert drawn == expected
    assert "Does the model rank stocks?" in clicked
    # The page greets on the console; whatever else stands there is an error.
    assert [line for line in [*said, *said_then] if not line.startswith("Experimental features")] == []
    assert said


# What people click, and how it is shown there.
PREVIEWS = {
    "clean_prices": "TablePreview",
    "features": "TablePreview",
    "panel": "TablePreview",
    "graphs": "TablePreview",
    "predictions": "TablePreview",
    "model": "JSONPreview",
    "metrics": "JSONPreview",
    "data_quality_page": "HTMLPreview",
    "run_card_page": "HTMLPreview",
    "evaluation_page": "HTMLPreview",
    "training_curves_figure": "PlotlyPreview",
    "cumulative_rank_ic_figure": "PlotlyPreview",
}


@pytest.fixture(scope="module")
def built(finished: tuple[Path, str]) -> Path:
    """The static site that ``kedro viz build --include-previews`` makes."""
    project, _ = finished
    as_typed(project, "viz", "build", "--include-previews")
    return project / "build"


def nodes(site: Path) -> dict[str, str]:
    """Names of the nodes of a static site, with their ids."""
    return {node["name"]: node["id"] for node in json.loads((site / "api" / "main").read_text())["nodes"]}


def test_the_static_site_has_every_node(built: Path) -> None:
    assert (built / "index.html").is_file()
    pipeline = register_pipelines()["__default__"]
    assert {node.name for node in pipeline.nodes} <= set(nodes(built))
    assert {name for name in pipeline.datasets() if not name.startswith("params:")} <= set(nodes(built))


@pytest.mark.parametrize("name", PREVIEWS)
def test_what_people_click_is_shown(built: Path, name: str) -> None:
    shown = json.loads((built / "api/nodes" / nodes(built)[name]).read_text())
    assert shown["preview_type"] == PREVIEWS[name]
    assert len(json.dumps(shown["preview"])) > 400
    if PREVIEWS[name] == "TablePreview":
        assert 20 <= len(shown["preview"]["data"]) <= 40
        assert all(isinstance(cell, str) for row in shown["preview"]["data"] for cell in row)
    if PREVIEWS[name] == "HTMLPreview":
        assert not re.search("<script|<style", shown["preview"])
