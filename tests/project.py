"""A copy of the Kedro project in a temporary folder, and its command line."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests import ACTIVATED

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


def kedro_ok(project: Path, *arguments: str, timeout: float = 600) -> str:
    """Run ``kedro``, insist that it succeeds, and return what it printed."""
    done = kedro(project, *arguments, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def newest(project: Path, artifact: str) -> Path:
    """Path of the newest version of an artifact."""
    path = project / artifact
    return sorted(path.glob(f"*/{path.name}"))[-1]


MANY = """
import json, sys
from pathlib import Path
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
from atft_pipeline.cli import cli
for arguments in json.loads(sys.argv[1]):
    code = 0
    try:
        cli.main(args=arguments, prog_name="kedro", standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush(), sys.stderr.flush()
    print(f"\\n=== ended with {code} ===", flush=True)
"""


def kedro_many(project: Path, *commands: Sequence[str], timeout: float = 600) -> list[tuple[int, str]]:
    """Run commands one after the other in one process; return each one's exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, json.dumps(commands)],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    parts = re.split(r"\n=== ended with (\d+) ===\n", done.stdout)
    assert len(parts) == 2 * len(commands) + 1, done.stdout
    return [(int(code), text) for text, code in zip(parts[::2], parts[1::2], strict=False)]
