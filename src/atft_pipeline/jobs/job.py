"""A job that trains on several machines, as a file for SLURM or for Kubernetes; both come from one template."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from atft_pipeline.errors import ConfigError

Scheduler = Literal["slurm", "kubernetes"]
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
TEMPLATE = "job.j2"


@dataclass(frozen=True)
class TrainingJob:
    """What a job asks of its cluster.

    Attributes:
        project: folder of the project, the same on every machine.
        nodes: machines.
        processes: of each machine, one a GPU.
        gpus: the processes compute on GPUs.
        cpus: cores of a machine.
        memory_gib: host memory of a machine.
        hours: after which SLURM ends the job.
        restarts: how often torchrun starts the ranks again when one dies.
        name: of the job.
        image: container image; needed by Kubernetes, optional for SLURM (apptainer).
        claim: Kubernetes' persistent volume claim that holds the project.
        options: of ``kedro run``, quoted for a shell.
    """

    project: Path
    nodes: int = 2
    processes: int = 8
    gpus: bool = True
    cpus: int = 32
    memory_gib: int = 256
    hours: int = 24
    restarts: int = 3
    name: str = "atft-train"
    image: str = ""
    claim: str = "atft-project"
    options: tuple[str, ...] = ()


def render_job(scheduler: Scheduler, job: TrainingJob) -> str:
    """The job file.

    Raises:
        ConfigError: a name that Kubernetes refuses, or no image for it.
    """
    for what, name in (("name", job.name), ("claim", job.claim)):
        if not NAME.fullmatch(name):
            msg = f"--{what}: must be lower-case letters, digits and dashes (at most 52), got {name}"
            raise ConfigError(msg)
    if scheduler == "kubernetes" and not job.image:
        msg = "--image: Kubernetes needs a container image that holds the project's package (see Containerfile)"
        raise ConfigError(msg)
    # Not HTML: what is given is quoted for the shell or as JSON where it stands.
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["quote"] = lambda text: shlex.quote(str(text))
    environment.filters["json"] = lambda text: json.dumps(str(text))
    return environment.get_template(TEMPLATE).render(scheduler=scheduler, job=job) + "\n"
