"""What must hold on a device before its speed means anything: equal scores, no waits, equal batches."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atft_pipeline.benchmark.measure import steps_of, trainer_of
from atft_pipeline.benchmark.switches import EAGER, Variant
from atft_pipeline.benchmark.workload import Workload
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.ensemble import Ensemble
from atft_pipeline.scoring.inference import score_days
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.training.runtime.runtime import choose_runtime
from atft_pipeline.training.trainer import Trainer

# Steps under the sync check; fewer than those between two looks at the loss, which do wait.
STEPS = 40


@dataclass(frozen=True)
class Check:
    """A check's outcome: its name, whether it holds, and the number or reason behind that."""

    name: str
    passed: bool
    detail: str


def check_no_waits(workload: Workload, base: Experiment) -> Check:
    """Train under CUDA's sync debug mode, in which every wait of the host raises."""
    name = "no wait in the training loop"
    if workload.resident.device.type != "cuda":
        return Check(name, passed=True, detail="on a CPU the meta-device test stands for it")
    variant = Variant("no waits", EAGER)
    with trainer_of(workload, base, variant) as trainer:
        steps = steps_of(trainer, STEPS)
        next(steps)  # asks for the first loss
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            count = sum(1 for _ in steps)
        except RuntimeError as error:
            return Check(name, passed=False, detail=str(error).splitlines()[0])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return Check(name, passed=True, detail=f"{count} steps under set_sync_debug_mode('error')")


def check_scores(workload: Workload, base: Experiment) -> list[Check]:
    """Train a little on the device, then score the same days on the CPU and on the device, in float32 and in bf16."""
    device = workload.resident.device
    with trainer_of(workload, base, Variant("scores", EAGER)) as trainer:
        for _ in steps_of(trainer, min(STEPS, trainer.steps)):
            pass
        days = trainer.validation_batches.days[:3]
        exact = _scores(trainer, workload, "cpu", "32", days)
        if device.type != "cuda":
            again = _scores(trainer, workload, "cpu", "32", days)
            return [Check("equal scores twice", bool(np.array_equal(exact, again)), "float32 on the CPU, bit for bit")]
        same = _scores(trainer, workload, "cuda", "32", days)
        low = _scores(trainer, workload, "cuda", "bf16-mixed", days)
    apart = float(np.abs(exact - same).max())
    ranks = float(np.corrcoef(_ranks(exact), _ranks(low))[0, 1])
    return [
        Check("CPU and GPU scores, float32", apart < 1e-4, f"largest difference {apart:.1e} (limit 1e-4)"),
        Check("CPU float32 and GPU bf16 scores", ranks > 0.999, f"rank correlation {ranks:.5f} (limit 0.999)"),
    ]


def _scores(trainer: Trainer, workload: Workload, device: str, precision: Any, days: tuple[int, ...]) -> Any:
    """Scores [R] of the first horizon."""
    runtime = choose_runtime(RuntimeConfig(device=device, precision=precision))  # type: ignore[arg-type]
    model = ATFTGATFAN(trainer.model.config, trainer.model.spec)
    model.load_state_dict({name: weight.cpu() for name, weight in trainer.model.state_dict().items()})
    resident = workload.data("host" if device == "cpu" else "device").resident
    assert resident is not None
    graphs = trainer.train_batches.graphs
    scores = score_days(Ensemble([model]).eval(), resident, graphs, days, trainer.experiment.batches, runtime)
    return scores.score[:, 0]


def _ranks(values: Any) -> Any:
    return np.argsort(np.argsort(values))


def run_tests(folder: Path, seconds: float) -> Check:
    """Run the tests that need a GPU, where this is a checkout that has them."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    name = "tests marked gpu"
    if not (folder / "tests").is_dir():
        return Check(name, passed=True, detail="no tests here: not a checkout")
    where = ["tests/training", "tests/model"]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *where]
    with tempfile.TemporaryFile("w+") as output:
        try:
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=output, timeout=seconds, check=False)  # noqa: S603  our own command
        except subprocess.TimeoutExpired:
            return Check(name, passed=False, detail=f"not done within {seconds:.0f} s")
        output.seek(0)
        lines = [line for line in output.read().splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    passed = done.returncode in {0, 5}
    return Check(name, passed, "; ".join([*failed, lines[-1]] if lines else failed))
