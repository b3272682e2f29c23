"""Where the time of a training goes, part by part, on the host and on the device."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")
STEP = ("data", "forward", "backward", "optimizer")
# Steps of a process that compile, allocate and warm caches; rates are counted after them.
WARM_UP = 3


class PartTimer:
    """Sums wall time by part, and device time where there is a GPU.

    Costs two clock reads a part, on a GPU also two recorded events; it never waits for the device within an epoch.

    Args:
        device: where the model computes.

    Attributes:
        seconds: wall time by part.
        device_seconds: device time by part, empty without a GPU.
        current: the part that runs now, for samplers in other threads.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.device_seconds: dict[str, float] = defaultdict(float)
        self.current = ""
        self._events = device is not None and device.type == "cuda"
        self._pending: list[tuple[str, Any, Any]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        before, self.current = self.current, name
        ends: list[Any] = [_event() for _ in range(2)] if self._events else []
        for event in ends[:1]:
            event.record()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start
            for event in ends[1:]:
                event.record()
                self._pending.append((name, ends[0], ends[1]))
            self.current = before

    def collect(self) -> None:
        """Add up the device's events; waits for the device, so call it between epochs."""
        if self._pending:
            torch.cuda.synchronize()
        for name, start, end in self._pending:
            self.device_seconds[name] += start.elapsed_time(end) / 1e3
        self._pending.clear()

    def waiting(self, items: Iterable[T], name: str = "data") -> Iterator[T]:
        """Yield the items and time how long each one is waited for."""
        iterator = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def step_seconds(self) -> float:
        """Wall time of the training steps so far."""
        return sum(self.seconds[part] for part in STEP)

    def share(self, name: str) -> float:
        """Share of a part in the training step (validation and checkpoints left aside)."""
        step = self.step_seconds()
        return self.seconds[name] / step if step else 0.0


@contextmanager
def tracing(steps: int, path: Path) -> Iterator[Callable[[], None]]:
    """Trace the first steps with torch.profiler after a warm-up; yields what must be called after each step.

    Args:
        steps: how many; 0 traces nothing.
        path: Chrome trace to write, for chrome://tracing or Perfetto.
    """
    if not steps:
        yield _nothing
        return

    def write(profiler: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(path))

    schedule = torch.profiler.schedule(wait=1, warmup=1, active=steps, repeat=1)
    with torch.profiler.profile(schedule=schedule, on_trace_ready=write, record_shapes=True) as profiler:
        yield profiler.step


def sampling(sampler: AbstractContextManager[object] | None) -> AbstractContextManager[object]:
    """The sampler's context, or one that does nothing."""
    return sampler or nullcontext()


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _nothing() -> None:
    return
