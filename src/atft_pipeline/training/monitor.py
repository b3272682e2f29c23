"""Where the time of a training goes, part by part."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
PARTS = ("data", "forward", "backward", "optimizer", "validation", "checkpoint")


class PartTimer:
    """Sums wall time by part; costs two clock reads a part and never waits for a device."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def waiting(self, items: Iterable[T], name: str = "data") -> Iterator[T]:
        """Yield the items and time how long each one is waited for."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds[name] += time.perf_counter() - start
            yield item

    def share(self, name: str) -> float:
        """Share of a part in the training step (validation and checkpoints left aside)."""
        step = sum(self.seconds[part] for part in ("data", "forward", "backward", "optimizer"))
        return self.seconds[name] / step if step else 0.0
