"""A copy of the Kedro project in a temporary folder, and its command line."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def make_project(folder: Path) -> Path:
    """Copy what a run needs; the code itself is the installed package."""
    for name in ["conf", "data/01_raw", "notebooks"]:
        shutil.copytree(ROOT / name, folder / name)
    for name in ["pyproject.toml", ".telemetry"]:
        shutil.copy(ROOT / name, folder / name)
    (folder / "src").mkdir()
    return folder


def kedro(project: Path, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run ``kedro`` as a user types it."""
    program = "from kedro.framework.cli import main; main()"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=timeout, check=False)


def kedro_ok(project: Path, *arguments: str, timeout: float = 600) -> str:
    """Run ``kedro``, insist that it succeeds, and return what it printed."""
    done = kedro(project, *arguments, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def newest(project: Path, artifact: str) -> Path:
    """Path of the newest version of an artifact."""
    path = project / artifact
    return sorted(path.glob(f"*/{path.name}"))[-1]
