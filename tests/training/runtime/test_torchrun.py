"""Processes that torchrun starts, on one machine and on two: one large batch, one writer, no hang."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.train import with_resume
from atft_pipeline.training.experiment import MarketData
from atft_pipeline.training.ranks import check_same
from atft_pipeline.training.runtime.torchrun import Peers
from tests.project import ROOT, make_project, newest
from tests.training.runs import market, run, weights
from tests.training.runtime.test_distributed import STILL

LIMIT = 240.0
SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import atft_pipeline
from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.training import epoch
from atft_pipeline.training.loop import train_as_rank
from atft_pipeline.training.ranks import run_in_ranks
from tests.training.runs import run
from tests.training.runtime.test_distributed import STILL

step = epoch.optimizer_step
def slower(trainer):
    time.sleep({pause})
    return step(trainer)
epoch.optimizer_step = slower

def work():
    root = Path({folder!r})
    panel, graphs = Panel.open(root / "panel.arrow"), MonthlyGraphs.open(root / "graphs.arrow")
    run(panel, graphs, root / {name!r}, epochs={epochs}, resume="auto", **STILL)
    return 0

sys.exit(run_in_ranks(work, train_as_rank))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs, Path]:
    folder = tmp_path_factory.mktemp("torchrun")
    return *market(folder, days=90), folder


def script(folder: Path, name: str, *, pause: float = 0.0, epochs: int = 1) -> list[str]:
    path = folder / f"{name}.py"
    path.write_text(SCRIPT.format(root=str(ROOT), folder=str(folder), name=name, pause=pause, epochs=epochs))
    return [str(path)]


def launcher(options: list[str], what: list[str], cwd: Path = ROOT, *, fresh: bool = True) -> "subprocess.Popen[str]":
    """Start torchrun, with a new store for each restart or with its own one."""
    store = f"TORCH_DISABLE_SHARE_RDZV_TCP_STORE={int(fresh)}"
    command = ["env", store, sys.executable, "-m", "torch.distributed.run", *options, *what]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def alone(count: int) -> list[str]:
    return ["--standalone", f"--nproc-per-node={count}"]


def together(machines: int, count: int) -> list[str]:
    """Options of each of several launchers that find one another at a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", f"--rdzv-id=job{port}"]
    return [f"--nnodes={machines}", f"--nproc-per-node={count}", "--local-addr=127.0.0.1", *place]


def ends(process: "subprocess.Popen[str]") -> str:
    printed = output(process)
    assert process.returncode == 0, printed[-3000:]
    return printed


def output(process: "subprocess.Popen[str]") -> str:
    """What was printed, at the end; torchrun takes its processes with it when it is ended."""
    try:
        return process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        process.terminate()
        pytest.fail(f"no end after {LIMIT} s: {process.communicate(timeout=60)[0][-3000:]}")


def check_equal(folder: Path, name: str, one: dict[str, torch.Tensor]) -> None:
    """One model was written, and its weights are those of a training that accumulated."""
    (best,) = (folder / name).glob("*/best-0001")
    found = load_file(best / "model.safetensors")
    assert found.keys() == one.keys()
    for key, weight in one.items():
        torch.testing.assert_close(found[key], weight, atol=1e-5, rtol=1e-4, msg=key)


@pytest.mark.slow
def test_any_layout_of_processes_is_one_that_accumulates(made: tuple[Panel, MonthlyGraphs, Path]) -> None:
    """1 x 2 and 2 x 1 are two jobs at once: their ports do not meet; then 2 x 2."""
    panel, graphs, folder = made
    two, four = (weights(run(panel, graphs, folder / f"{n}", accumulation=n, epochs=1, **STILL)) for n in (2, 4))
    jobs = [launcher(alone(2), script(folder, "1x2"))]
    options, what = together(2, 1), script(folder, "2x1")
    jobs += [launcher(options, what) for _ in range(2)]
    for job in jobs:
        ends(job)
    check_equal(folder, "1x2", two)
    check_equal(folder, "2x1", two)
    options, what = together(2, 2), script(folder, "2x2")
    for job in [launcher(options, what) for _ in range(2)]:
        ends(job)
    check_equal(folder, "2x2", four)


def ranks_of(process: "subprocess.Popen[str]", path: str) -> Iterator[int]:
    """Processes that a launcher started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.search(r"^PPid:\s+(\d+)", (entry / "status").read_text(), re.MULTILINE)[1])  # type: ignore[index]
            told = (entry / "cmdline").read_bytes().decode()
        except (OSError, TypeError):
            continue
        if parent == process.pid and path in told:
            yield int(entry.name)


def wait_for(folder: Path, pattern: str) -> None:
    until = time.monotonic() + LIMIT
    while not list(folder.glob(pattern)):
        assert time.monotonic() < until, f"no {pattern} in {folder}"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ends", "restarts", "cannot restart"])
def test_a_killed_rank_ends_the_job_in_one_line_or_restarts_it(
    made: tuple[Panel, MonthlyGraphs, Path], case: str
) -> None:
    _, _, folder = made
    what = script(folder, case, pause=0.2, epochs=3)
    options = [*alone(2), f"--max-restarts={int(case != 'ends')}"]
    job = launcher(options, what, fresh=case != "cannot restart")
    wait_for(folder / case, "*/epoch-0001")
    os.kill(max(ranks_of(job, what[0])), signal.SIGKILL)
    printed = output(job)
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "rank 0: another process of the training ended" in lines[0]
    if case == "cannot restart":
        assert job.returncode
        assert "rank 0: torchrun started the ranks again with the addresses" in lines[1]
        return
    assert len(lines) == 1, printed
    assert (job.returncode == 0) == (case == "restarts"), printed
    if case == "restarts":
        assert re.search(r"resumed after epoch [12]", printed)
        assert [path.name for path in (folder / case).glob("*/epoch-0003")] == ["epoch-0003"]


@pytest.mark.slow
def test_rank_0_runs_kedro_and_alone_writes(finished: tuple[Path, str], tmp_path: Path) -> None:
    """As typed, in a project: one version of the model; a second start continues; kedro in all ranks is refused."""
    (tmp_path / "project").mkdir()
    project = make_project(tmp_path / "project")
    for artifact in ("data/05_model_input/panel.arrow", "data/05_model_input/graphs.arrow"):
        found = newest(finished[0], artifact)
        target = project / found.relative_to(finished[0])
        target.parent.mkdir(parents=True)
        for path in found.parent.iterdir():
            (target.parent / path.name).symlink_to(path)
    params = "--params=training.epochs=1,training.max_batches=4,runtime.device=cpu"
    printed = ends(launcher(together(1, 2), ["-m", "atft_pipeline.train", params], project))
    assert printed.count("done in") == 1
    assert len(list((project / "data/06_models/model").glob("*/model"))) == 1
    again = ends(launcher(alone(2), ["-m", "atft_pipeline.train", params], project))
    assert "resumed after epoch 1" in again
    job = launcher(
        alone(2), ["--no-python", sys.executable, "-c", "from kedro.framework.cli import main; main()", "run"]
    )
    refused = output(job)
    assert job.returncode
    assert "torchrun shares a training, and only that" in refused


class Gathered(Peers):
    """A rank to which the others have said what they see."""

    def all_gather(self, value: Any) -> list[Any]:
        return [value, *self.control]


@pytest.mark.slow
def test_a_rank_that_sees_another_panel_is_named(made: tuple[Panel, MonthlyGraphs, Path]) -> None:
    panel, graphs, _ = made
    data = MarketData(panel, graphs)
    seen = [str(panel.path), panel.meta.fingerprint, graphs.meta.fingerprint]

    def check(*others: tuple[str, list[str], str]) -> None:
        check_same(Gathered(0, 1 + len(others), 1, others), data, "")

    check(("b", seen, ""), ("c", seen, ""))
    with pytest.raises(
        ArtifactError, match=r"rank 2 on c does not see the panel of rank 0 .*another one \(fingerprint 0000"
    ):
        check(("b", seen, ""), ("c", [seen[0], "0000000000", seen[2]], ""))
    with pytest.raises(ArtifactError, match="rank 1 on b does not see the graphs of rank 0"):
        check(("b", [*seen[:2], "f" * 32], ""))
    with pytest.raises(ArtifactError, match=r"rank 1 on b .*panel.arrow does not exist; every machine needs"):
        check(("b", ["", "", ""], "panel.arrow does not exist"))


def test_a_job_that_begins_again_continues() -> None:
    assert with_resume([]) == ["--params=training.resume=auto"]
    assert with_resume(["--params", "a.b=1", "--env=x"]) == ["--params", "a.b=1,training.resume=auto", "--env=x"]
    assert with_resume(["--params=a=1"]) == ["--params=a=1,training.resume=auto"]
    assert with_resume(["--params=training.resume=false"]) == ["--params=training.resume=false"]


def test_without_torchrun_it_says_how_to_start_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "atft_pipeline.train"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no torchrun: start it as torchrun")
