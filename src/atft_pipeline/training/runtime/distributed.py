"""Training on several devices: every process takes some days of each step, and their gradients are summed.

The batches of a step and the days in them are known to every process from (seed, epoch), so each takes its share and
weighs its loss by days; the sum of the gradients is that of the union of the days, whatever the number of processes.
One all-reduce of all gradients a step replaces hooks on single parameters, so that blocks may be switched off and the
model compiles as it does alone.
"""

import pickle
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException

from atft_pipeline import errors
from atft_pipeline.errors import UnavailableError
from atft_pipeline.training.runtime.torchrun import joined, losing_peers

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among its peers.

    Attributes:
        rank: number of this process; 0 writes checkpoints and logs.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> list[T]:
        """This process's share of a list that all processes know: every world-th item, beginning at its rank."""
        return list(items[self.rank :: self.world])

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        with losing_peers():
            dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            with losing_peers():
                dist.barrier()

    def sum_gradients(self, model: nn.Module, *, stop: bool) -> bool:
        """Sum the gradients of all processes; a parameter that none of them used stays without.

        Args:
            model: whose gradients.
            stop: this process was asked to stop.

        Returns:
            Whether any process was asked to stop, so that all of them do after the same step.
        """
        if self.world == 1:
            return stop
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=gradients[0].device)
        flat = torch.cat([g.float().flatten() for g in gradients] + [used, used.new_tensor([float(stop)])])
        with losing_peers():
            dist.all_reduce(flat)
        place = 0
        *seen, stopping = flat[-len(parameters) - 1 :].tolist()
        for parameter, users in zip(parameters, seen, strict=True):
            count = parameter.numel()
            parameter.grad = flat[place : place + count].view_as(parameter).to(parameter.dtype) if users else None
            place += count
        return bool(stopping)


def build_fabric(accelerator: str, devices: int, precision: Any) -> Any:
    """Lightning Fabric for one device or several, of one machine or of all that ``torchrun`` joined.

    Raises:
        UnavailableError: more devices than there are, or other ones than ``torchrun`` started processes for.
    """
    from lightning.fabric import Fabric  # noqa: PLC0415  (takes seconds to import, and only a training needs it)

    peers = joined()
    if peers is not None and devices not in (1, peers.per_machine):
        msg = (
            f"runtime.devices: {devices} were asked for, but torchrun started {peers.per_machine} processes a machine; "
            "leave runtime.devices=1"
        )
        raise UnavailableError(msg)
    wanted, machines = (devices, 1) if peers is None else (peers.per_machine, peers.machines)
    there = torch.cuda.device_count() if accelerator == "cuda" else wanted
    if wanted > there:
        asked = "runtime.devices" if peers is None else "torchrun --nproc-per-node"
        msg = f"{asked}: {wanted} were asked for, but there are {there} GPUs; lower it"
        raise UnavailableError(msg)
    if wanted * machines == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    strategy = _strategy(accelerator)
    return Fabric(accelerator=accelerator, devices=wanted, num_nodes=machines, precision=precision, strategy=strategy)


def _strategy(accelerator: str) -> Any:
    from atft_pipeline.training.runtime.summed_gradients import SummedGradients  # noqa: PLC0415  (as Fabric above)

    backend = "nccl" if accelerator == "cuda" else "gloo"
    return SummedGradients(process_group_backend=backend, start_method="popen" if joined() else "spawn")


def launch(fabric: Any, work: Callable[..., T], *arguments: Any) -> T:
    """Start the processes and run ``work(fabric, *arguments)`` in each; returns the first one's result.

    Raises:
        AtftError: what a process raised, in this process.
    """
    # Ctrl-C reaches the processes too: they save and end, and this one waits for them.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # As bytes: Lightning looks for tensors in whatever it passes on, and refuses frozen objects.
        result: T = pickle.loads(fabric.launch(_unpacked, pickle.dumps((work, arguments))))  # noqa: S301  our own
    except ProcessRaisedException as error:
        raise _as_raised(error) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return result


def _unpacked(fabric: Any, packed: bytes) -> bytes:
    work, arguments = pickle.loads(packed)  # noqa: S301  written by launch
    return pickle.dumps(work(fabric, *arguments))


def _as_raised(error: Exception) -> BaseException:
    """The error of this project that a process ended with, or the error itself."""
    last = str(error).strip().splitlines()[-1]
    found = re.fullmatch(r"atft_pipeline\.errors\.(\w+): (.*)", last)
    if found is None:
        return error
    kind: type[BaseException] = getattr(errors, found[1])
    return kind(found[2])
