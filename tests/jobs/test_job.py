"""Job files: read as their schedulers would, and checked by what checks shell scripts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from atft_pipeline.cli import cli
from atft_pipeline.errors import ConfigError
from atft_pipeline.jobs.job import TrainingJob, render_job

PROGRAMS = Path(sys.executable).parent
JOB = TrainingJob(
    Path("/shared/my project"),
    nodes=3,
    processes=4,
    options=("--env=production", "--params='training.epochs=2,batches.features=[a, b]'"),
)
OURS = "-m atft_pipeline.train --env=production --params='training.epochs=2,batches.features=[a, b]'"


def check_script(text: str) -> None:
    """Bash parses it, and shellcheck, where it is installed, finds nothing."""
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert not done.stderr
    done = subprocess.run(
        [PROGRAMS / "shellcheck", "--exclude=SC1091", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout


def containers(text: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """Replicas and container of each role of a PyTorchJob."""
    found = yaml.safe_load(text)
    assert (found["apiVersion"], found["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert found["spec"]["nprocPerNode"] == "4"
    roles = found["spec"]["pytorchReplicaSpecs"]
    pods = {role: spec["template"]["spec"] for role, spec in roles.items()}
    for pod in pods.values():
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    return {role: (spec["replicas"], pods[role]["containers"][0]) for role, spec in roles.items()}


@pytest.mark.parametrize("image", ["", "/images/atft pipeline.sif"])
@pytest.mark.parametrize("gpus", [True, False])
def test_slurm(image: str, gpus: bool) -> None:
    text = render_job("slurm", replace(JOB, image=image, gpus=gpus))
    check_script(text)
    lines = text.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert {"--nodes=3", "--ntasks-per-node=1", "--requeue"} < set(asked)
    assert ("--gpus-per-node=4" in asked) == gpus
    # SLURM reads no option behind the first command.
    assert max(n for n, line in enumerate(lines) if line.startswith("#SBATCH")) < lines.index("set -euo pipefail")
    (run,) = [line for line in lines if line.startswith("srun")]
    assert run.endswith(OURS)
    assert '--rdzv-endpoint="$first:$port" --rdzv-id="$SLURM_JOB_ID"' in run
    assert ("apptainer exec" in run) == bool(image)
    assert ("--nv" in run) == (gpus and bool(image))
    assert "cd '/shared/my project'" in lines


def test_kubernetes() -> None:
    found = containers(render_job("kubernetes", replace(JOB, image="registry/atft:1")))
    assert {role: count for role, (count, _) in found.items()} == {"Master": 1, "Worker": 2}
    for _, container in found.values():
        assert container["name"] == "pytorch"
        assert container["workingDir"] == "/shared/my project"
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
        (script,) = container["args"]
        check_script("#!/bin/bash\n" + script)
        assert script.startswith("torchrun --nnodes=3 --nproc-per-node=4")
        assert script.endswith(OURS)
    alone = containers(render_job("kubernetes", replace(JOB, image="i", nodes=1, gpus=False)))
    assert set(alone) == {"Master"}
    assert "nvidia.com/gpu" not in alone["Master"][1]["resources"]["limits"]


def test_what_a_cluster_would_refuse_is_one_line() -> None:
    with pytest.raises(ConfigError, match="--image: Kubernetes needs"):
        render_job("kubernetes", JOB)
    with pytest.raises(ConfigError, match=r"--name: must be lower-case letters.*got My_Job"):
        render_job("slurm", replace(JOB, name="My_Job"))


def test_the_command_prints_the_file() -> None:
    asked = ["job", "slurm", "--nodes=3", "--processes=4", "--project=/shared/my project", "--env=production"]
    done = CliRunner().invoke(cli, [*asked, "--params=training.epochs=2,batches.features=[a, b]"])
    assert done.exit_code == 0, done.output
    assert done.output == render_job("slurm", JOB)
    refused = CliRunner().invoke(cli, ["job", "kubernetes"])
    assert refused.exit_code == 1
    assert refused.output.startswith("error: --image")
