"""``torchrun ... -m atft_pipeline.train``: ``kedro run --pipeline=train`` on many devices and machines.

Rank 0 runs Kedro with its catalog, hooks and MLflow, and alone writes; the other ranks compute. Options are those of
``kedro run``. A job that is started again, by ``torchrun --max-restarts`` or by the scheduler, continues from the last
state; ``--params training.resume=false`` begins afresh.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from atft_pipeline.logs import configure_logging
from atft_pipeline.process import under_torchrun
from atft_pipeline.training.loop import train_as_rank
from atft_pipeline.training.ranks import run_in_ranks

RESUME = "training.resume"


def with_resume(arguments: Sequence[str]) -> list[str]:
    """Options of ``kedro run`` that continue a training where they do not say otherwise."""
    given = list(arguments)
    if RESUME in " ".join(given):
        return given
    for place, option in enumerate(given):
        if option == "--params" and place + 1 < len(given):
            given[place + 1] += f",{RESUME}=auto"
            return given
        if option.startswith("--params="):
            given[place] += f",{RESUME}=auto"
            return given
    return [*given, f"--params={RESUME}=auto"]


def run_kedro(arguments: Sequence[str]) -> int:
    """Run the stage ``train`` of the project in the working folder; return its exit code."""
    from kedro.framework.startup import bootstrap_project  # noqa: PLC0415  (of rank 0 alone)

    bootstrap_project(Path.cwd())
    from atft_pipeline.cli import cli  # noqa: PLC0415  (needs the project)

    try:
        cli.main(["run", "--pipeline=train", *with_resume(arguments)], prog_name="train", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def main() -> int:
    """Take part as the rank that ``torchrun`` gave this process."""
    configure_logging()
    if not under_torchrun():
        msg = "no torchrun: start it as torchrun --nproc-per-node=2 -m atft_pipeline.train, or use kedro run"
        sys.stderr.write(f"error: {msg}\n")
        return 1
    return run_in_ranks(lambda: run_kedro(sys.argv[1:]), train_as_rank)


if __name__ == "__main__":
    sys.exit(main())
