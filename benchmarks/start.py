"""Processor time that commands take from their start to their end, as a user types them.

User and system time of the whole process, the least of the repeats; and which of the large libraries it loaded.

    python benchmarks/start.py [PROJECT] [--repeats 3]

PROJECT is the folder of a project after ``kedro run``.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

COMMANDS = ["--version", "registry list", "status", "lineage metrics", "run --pipeline=predict"]
LARGE = [
    "lightgbm",
    "lightning",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "pandera",
    "plotly",
    "polars",
    "scipy",
    "torch",
]
PROGRAM = f"""
import atexit, json, sys
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps([name for name in {LARGE} if name in sys.modules])))
from kedro.framework.cli import main; main()
"""


def measure(project: Path, command: str) -> tuple[float, list[str]]:
    """Processor seconds of a command, and what it loaded."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-c", PROGRAM, *command.split()]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, json.loads(done.stderr.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=Path())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for command in COMMANDS:
        found = [measure(arguments.project, command) for _ in range(arguments.repeats)]
        seconds, loaded = min(found)
        print(f"kedro {command:24s} {seconds:5.2f} s   {' '.join(loaded)}", flush=True)


if __name__ == "__main__":
    main()
