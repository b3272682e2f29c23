"""The processes that ``torchrun`` started, on one machine or several: how they join, and how rank 0 tells the others.

Tensors of a GPU go by NCCL, everything else by gloo. What rank 0 tells goes through a group of its own, on which the
others may wait for hours without a collective of the training running out of time.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from atft_pipeline.errors import TrainingError, UnavailableError

# The other ranks wait so long for rank 0's next training; the death of a process ends the wait at once.
WAIT = timedelta(days=7)
LOST = (
    "another process of the training ended, or the job was stopped; the last state is saved, and the same command "
    "continues there (torchrun --max-restarts=3 starts it again by itself)"
)


@dataclass(frozen=True)
class Peers:
    """The processes of a job.

    Attributes:
        rank: this process's number among all of them.
        world: how many there are.
        machines: on how many machines, or launchers on one.
        control: group by which rank 0 tells the others what to do.
    """

    rank: int
    world: int
    machines: int
    control: Any

    @property
    def per_machine(self) -> int:
        """Processes of a machine, one a device."""
        return self.world // self.machines

    def send(self, message: Any) -> None:
        """Rank 0: hand a message to all other ranks."""
        with losing_peers():
            dist.broadcast_object_list([message], src=0, group=self.control)

    def receive(self) -> Any:
        """Other ranks: wait for rank 0's next message."""
        message: list[Any] = [None]
        with losing_peers():
            dist.broadcast_object_list(message, src=0, group=self.control)
        return message[0]

    def all_gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in order."""
        found: list[Any] = [None] * self.world
        with losing_peers():
            dist.all_gather_object(found, value, group=self.control)
        return found


_JOINED: list[Peers] = []


def joined() -> Peers | None:
    """The processes of the job that this one has joined, ``None`` where it works alone."""
    return _JOINED[0] if _JOINED else None


@contextmanager
def joining() -> Iterator[Peers]:
    """Join the processes of the job for the time of the block.

    Raises:
        UnavailableError: the machines start different numbers of processes, or a restart would hang.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with losing_peers():
        store, rank, world = next(rendezvous("env://"))
        _refuse_used(store, rank)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world)
        control = dist.new_group(backend="gloo", timeout=WAIT)
    peers = Peers(dist.get_rank(), dist.get_world_size(), 1, control)
    # Each launcher starts one process with the local number 0.
    machines = peers.all_gather(dist.get_node_local_rank()).count(0)
    if peers.world % machines:
        msg = f"torchrun: {peers.world} processes on {machines} machines; start as many on each (--nproc-per-node)"
        raise UnavailableError(msg)
    _JOINED.append(Peers(peers.rank, peers.world, machines, control))
    try:
        yield _JOINED[0]
    finally:
        _JOINED.clear()
        dist.destroy_process_group()


def _refuse_used(store: Any, rank: int) -> None:
    """Refuse a store that holds the addresses of the ranks before a restart, which torch would wait for.

    By default torchrun keeps one store for all restarts (pytorch issue 167288, open for torch 2.13).
    """
    if store.add(f"atft/rank-{rank}", 1) > 1:
        msg = (
            "torchrun started the ranks again with the addresses of those that are gone: "
            "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun --max-restarts"
        )
        raise UnavailableError(msg)


@contextmanager
def losing_peers() -> Iterator[None]:
    """Say in one line that another process is gone, whatever a backend raises then.

    Raises:
        TrainingError: in place of the backend's error.
    """
    try:
        yield
    except RuntimeError as error:
        if threading.current_thread() is threading.main_thread():
            # torchrun ends this process too, which is ending already: let it clean up.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TrainingError(LOST) from error
