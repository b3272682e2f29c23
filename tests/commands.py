"""The commands that the documentation names, and a process that runs them one after the other as typed.

Run as a script it imports the project once and forks for each command, so that a command costs no start of Python.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.project import ROOT

# What commands import while they run.
LOADED = [
    "IPython.terminal.ipapp",
    "alembic.command",
    "atft_pipeline.datasets.contracts",
    "atft_pipeline.datasets.tables",
    "atft_pipeline.training.loop",
    "atft_pipeline.tuning.study",
    "git",
    "lightgbm",
    "lightning.fabric",
    "lightning.pytorch",
    "mlflow.lightgbm",
    "mlflow.pytorch",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna",
    "pandera.polars",
    "torch._dynamo",
]
OURS = re.compile(r"(kedro|make) |python (-m benchmarks|benchmarks/)")


def documented() -> dict[str, str]:
    """Every command of README.md and docs, by the file that names it; one that begins with ``--`` is a part of one."""
    found: dict[str, str] = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for command in commands_of(path.read_text(encoding="utf-8")):
            found.setdefault(command, str(path.relative_to(ROOT)))
    return found


def commands_of(text: str) -> list[str]:
    """Commands of a Markdown page: lines of its code blocks, spans of code, and the table of stages."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    found = []
    for block in blocks:
        names = dict(re.findall(r"^(\w+)=(\S+)$", block, re.MULTILINE))
        for line in block.replace("\\\n", "").splitlines():
            command = re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip()
            found.append(re.sub(r"\$(\w+)", lambda name, names=names: names.get(name[1], name[0]), command))
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    stages = re.search(r"^\| `(kedro run --pipeline=)`.*?\n\n", rest, re.MULTILINE | re.DOTALL)
    if stages is not None:
        found += [stages[1] + name for name in re.findall(r"^\| `(\w+)`", stages[0], re.MULTILINE)]
        rest = rest.replace(stages[0], "")
    spans = [" ".join(span.replace("\\\n", "").split()) for span in re.findall(r"`([^`]+)`", rest)]
    found += [span for span in spans if not re.fullmatch(r"--\S+", span)]
    return [command for command in found if OURS.match(command) or command.startswith("--")]


class Kedro:
    """``kedro`` in a folder, by a process that has imported the project already."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, project: Path, *arguments: str) -> tuple[int, str]:
        """Run one command; return its exit code and what it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(project), *arguments]) + "\n")
        self.process.stdin.flush()
        code, printed = json.loads(self.process.stdout.readline())
        return code, printed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()


def serve() -> None:
    """Fork for each line of stdin, a list of folder and arguments; answer with exit code and output."""
    from kedro.framework.cli.cli import KedroCLI
    from kedro.framework.project import pipelines

    main = KedroCLI(ROOT)
    dict(pipelines)
    for name in LOADED:
        importlib.import_module(name)

    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.chdir(folder)
                sys.argv = ["kedro", *arguments]
                main()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            answer = [os.waitstatus_to_exitcode(status), output.read()]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
