"""Batches built ahead in a thread, so that the model never waits for one.

A panel that lies on the device needs none of this: its batches are a few kernels in the model's own stream. A panel in
host memory is gathered by the host and copied from pinned memory in a stream of its own, and a streamed one is read
from disk besides; both go on while the device computes. The gather, the copy and the reading release Python's lock.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.packing import BatchPlan

# Batches that are ready before they are asked for. One being used, one copied, one built.
AHEAD = 2


class BatchSource(Protocol):
    """Gives the batches of a training, on the device that computes."""

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Yield the batches of some plans, in order."""
        ...


class Prefetch:
    """The batches of a :class:`DayBatches`, the same ones in the same order, built ahead by a thread.

    Args:
        batches: what to build.
        device: where the batches are wanted.
    """

    def __init__(self, batches: DayBatches, device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Yield the batches of some plans, in order; an error of the thread is raised here."""
        waiting: deque[Future[_Built]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
            try:
                for plan in plans:
                    waiting.append(thread.submit(self._build, plan))
                    if len(waiting) > AHEAD:
                        yield self._taken(waiting.popleft().result())
                while waiting:
                    yield self._taken(waiting.popleft().result())
            finally:
                # A caller that stops early waits for the batch at hand only.
                for batch in waiting:
                    batch.cancel()

    def _build(self, plan: BatchPlan) -> "_Built":
        batch = self._batches.build(plan)
        if self._stream is None:
            return batch, None
        with torch.cuda.stream(self._stream):
            moved = batch.pin_memory().to(self._device)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(self._stream)
        return moved, copied

    def _taken(self, built: "_Built") -> DayBatch:
        batch, copied = built
        if copied is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(copied)
            for tensor in batch.tensors():
                # The copy's stream must not hand the memory out again before the model has read it.
                tensor.record_stream(current)
        return batch


_Built = tuple[DayBatch, torch.cuda.Event | None]


def source_of(batches: DayBatches, device: torch.device) -> BatchSource:
    """Who builds the batches for a device: the batches themselves where nothing has to be read or copied, or a thread.

    Args:
        batches: of a panel wherever it lies.
        device: that computes.
    """
    resident = batches.resident
    if resident.choice.value == "mmap" or resident.device.type != device.type:
        return Prefetch(batches, device)
    return batches
