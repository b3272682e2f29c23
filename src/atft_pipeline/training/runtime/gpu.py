"""Utilisation, memory and power of a GPU by NVML, sampled beside the training and summed by part."""

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

GIB = 2**30


@dataclass(frozen=True)
class Sample:
    """One reading.

    Attributes:
        busy: share of the last interval in which a kernel ran, 0 to 1; says nothing of how well.
        memory: GiB in use on the device, by all processes.
        watts: power draw.
    """

    busy: float
    memory: float
    watts: float


def nvml_reader(index: int) -> Callable[[], Sample] | None:
    """A function that reads one GPU, or ``None`` where NVML is missing."""
    with suppress(ImportError):
        import pynvml  # noqa: PLC0415  only a run on a GPU needs it

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)

            def read() -> Sample:
                return Sample(
                    busy=pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
                    memory=pynvml.nvmlDeviceGetMemoryInfo(handle).used / GIB,
                    watts=pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
                )

            return read
    return None


class GpuSampler:
    """Samples a GPU in a thread while it is open, and counts each sample to the part that then runs.

    Args:
        read: gives one sample.
        part: gives the name of the part that runs now.
        seconds: between samples.
    """

    def __init__(self, read: Callable[[], Sample], part: Callable[[], str], seconds: float = 0.1) -> None:
        self._read, self._part, self._seconds = read, part, seconds
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start to sample."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, name="gpu sampler", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to sample."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def summary(self) -> dict[str, Any]:
        """Mean utilisation and power and highest memory, by part and of everything."""
        everything = [sample for samples in self._samples.values() for sample in samples]
        parts = {name or "other": _describe(samples) for name, samples in sorted(self._samples.items())}
        return {"samples": len(everything), "all": _describe(everything), "by_part": parts}

    def _work(self) -> None:
        while not self._stop.wait(self._seconds):
            self._samples[self._part()].append(self._read())


def _describe(samples: list[Sample]) -> dict[str, float]:
    count = max(len(samples), 1)
    return {
        "busy": sum(sample.busy for sample in samples) / count,
        "memory_gib": max((sample.memory for sample in samples), default=0.0),
        "watts": sum(sample.watts for sample in samples) / count,
    }
