"""Day batches built by worker processes, for a panel that is streamed from its map.

A resident panel needs none of this: its batches are one gather each, and two workers made them several times slower
than the process itself. Reading a cold map is different: workers read ahead while the model computes.

Workers are spawned, never forked: a fork copies the locks of torch's and Polars' threads without the threads that
hold them, and hangs. The limits of all thread pools are in the environment before a worker imports torch, see
:mod:`atft_pipeline.process`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from atft_pipeline.panel.batches import BatchPlan, DayBatch, DayBatches


class BatchSource(Protocol):
    """Whoever builds the batches of a training."""

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Yield the batches of some plans, in order."""
        ...


class _Plans(Sampler[BatchPlan]):
    """The plans of the epoch that is asked for next."""

    def __init__(self) -> None:
        self.plans: list[BatchPlan] = []

    def __iter__(self) -> Iterator[BatchPlan]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)


class _Builder(Dataset[DayBatch]):
    """Builds the batch of a plan, in a worker."""

    def __init__(self, batches: DayBatches) -> None:
        self.batches = batches

    def __getitem__(self, plan: BatchPlan) -> DayBatch:
        return self.batches.build(plan)


class WorkerLoader:
    """The batches of a :class:`DayBatches`, the same ones in the same order, built by processes that stay.

    Args:
        batches: what to build; its panel must be streamed.
        workers: processes, at least 1.
        prefetch: batches that each worker keeps ready.
        pin: put them into pinned memory, for a GPU.
    """

    def __init__(self, batches: DayBatches, workers: int, prefetch: int, *, pin: bool) -> None:
        self._batches = batches
        self._plans = _Plans()
        self._loader: DataLoader[DayBatch] = DataLoader(
            _Builder(batches),
            batch_size=None,
            sampler=self._plans,
            num_workers=workers,
            prefetch_factor=prefetch,
            multiprocessing_context="spawn",
            persistent_workers=True,
            pin_memory=pin,
            worker_init_fn=_one_thread,
        )

    def epoch(self, epoch: int = 0) -> Iterator[DayBatch]:
        """Yield the batches of an epoch."""
        yield from self.build_all(self._batches.plan(epoch))

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Yield the batches of some plans, in order."""
        self._plans.plans = list(plans)
        yield from self._loader


def _one_thread(_worker: int) -> None:
    """One torch thread a worker: the workers themselves are the parallelism."""
    torch.set_num_threads(1)
