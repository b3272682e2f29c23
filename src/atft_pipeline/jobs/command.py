"""``kedro job``: a job file for the training on several machines, on the terminal."""

import shlex
from pathlib import Path
from typing import Any, cast, get_args

import click

from atft_pipeline.jobs.job import Scheduler, TrainingJob, render_job

DEFAULT = TrainingJob(Path())


@click.command()
@click.argument("scheduler", type=click.Choice(get_args(Scheduler)))
@click.option("--project", default=None, help="Folder of the project on the cluster; default: the working folder.")
@click.option("--nodes", type=click.IntRange(1), default=DEFAULT.nodes, show_default=True, help="Machines.")
@click.option("--processes", type=click.IntRange(1), default=DEFAULT.processes, show_default=True, help="Of a machine.")
@click.option("--gpus/--cpu", default=True, help="A GPU a process, or none.")
@click.option("--cpus", type=click.IntRange(1), default=DEFAULT.cpus, show_default=True, help="Cores of a machine.")
@click.option(
    "--memory-gib", type=click.IntRange(1), default=DEFAULT.memory_gib, show_default=True, help="Of a machine."
)
@click.option("--hours", type=click.IntRange(1), default=DEFAULT.hours, show_default=True, help="Limit of SLURM.")
@click.option("--restarts", type=click.IntRange(0), default=DEFAULT.restarts, show_default=True, help="Of dead ranks.")
@click.option("--name", default=DEFAULT.name, show_default=True, help="Of the job.")
@click.option("--image", default="", help="Container image; Kubernetes needs one.")
@click.option("--claim", default=DEFAULT.claim, show_default=True, help="Kubernetes: volume claim with the project.")
@click.option("--env", "-e", default=None, help="Configuration environment, such as production.")
@click.option("--params", default="", help="As of kedro run.")
def job(scheduler: str, project: str | None, env: str | None, params: str, **asked: Any) -> None:
    """Print a job file that trains on several machines, for SLURM (sbatch) or Kubernetes (kubectl apply)."""
    from atft_pipeline.cli import one_line_errors  # noqa: PLC0415  (the group that this command joins)

    options = tuple(f"--{name}={shlex.quote(value)}" for name, value in (("env", env), ("params", params)) if value)
    with one_line_errors(env):
        folder = Path(project) if project else Path.cwd()
        click.echo(render_job(cast("Scheduler", scheduler), TrainingJob(folder, options=options, **asked)), nl=False)
