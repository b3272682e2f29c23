"""A batch size by measurement: the one with the most samples per second that fits into memory."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from atft_pipeline.errors import UnavailableError
from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.day_graphs import NeighborSource
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.training.memory import is_out_of_memory
from atft_pipeline.training.runtime.runtime import Runtime

log = logging.getLogger(__name__)

# A doubled batch must be this much faster to be worth its memory.
GAIN = 1.05
REPEATS = 3


@dataclass(frozen=True)
class BatchSizeProbe:
    """What measuring a batch size needs."""

    network: ATFTGATFAN
    module: nn.Module
    fabric: Any
    runtime: Runtime
    resident: ResidentPanel
    graphs: NeighborSource | None
    days: Sequence[int]
    loss: LossConfig

    def rate(self, batches: BatchConfig) -> float | None:
        """Samples per second of forward and backward on the largest batch; ``None`` where memory ends."""
        source = DayBatches(self.resident, self.graphs, self.days, batches, shuffle=True, seed=0)
        plan = max(source.plan(), key=lambda found: sum(len(source.samples_of(day)) for day in found.days))
        loss = CompositeLoss(self.loss, self.network.spec.horizons, self.network.config.heads.quantiles)
        try:
            batch = source.build(plan).to(self.fabric.device)
            regime = torch.zeros(len(batch.days), len(self.loss.regime_weights), device=self.fabric.device)
            for repeat in range(REPEATS):
                if repeat == 1:
                    self._wait()
                    start = time.perf_counter()
                with self.runtime.computing():
                    output = self.module(batch.inputs(), batch.mask, *batch.context())
                result = loss(
                    output.arranged(batch.by_day),
                    batch.by_day(batch.targets),
                    batch.by_day(batch.returns),
                    batch.by_day(batch.label_mask),
                    days=batch.days,
                    listing=batch.by_day(batch.listing + 1) - 1,
                    regime=regime,
                )
                self.fabric.backward(result.total)
            self._wait()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        finally:
            self.network.zero_grad(set_to_none=True)
        return (REPEATS - 1) * batch.real_samples / (time.perf_counter() - start)

    def all_days(self, batches: BatchConfig) -> DayBatches:
        """The training days, one a batch."""
        return DayBatches(self.resident, None, self.days, replace(batches, batch_size=1), shuffle=False, seed=0)

    def widest(self, batches: BatchConfig) -> int:
        """Samples of the day that has the most."""
        days = self.all_days(batches)
        return max(len(days.samples_of(day)) for day in days.days)

    def _wait(self) -> None:
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize()


def measured_batch_size(probe: BatchSizeProbe, batches: BatchConfig) -> int:
    """Measure doubled sizes until memory ends or nothing is gained; the random state is left as it was."""
    state = torch.get_rng_state()
    days = probe.all_days(batches)
    size = best_size(lambda count: probe.rate(replace(batches, batch_size=count)), probe.widest(batches), days.samples)
    torch.set_rng_state(state)
    return size


def best_size(rate: Callable[[int], float | None], first: int, most: int) -> int:
    """The fastest of doubled sizes; stops where memory ends or doubling gains less than a twentieth.

    Args:
        rate: samples per second of a size, ``None`` where it does not fit.
        first: smallest size, that of a whole day.
        most: samples that there are.

    Raises:
        UnavailableError: not even the smallest fits.
    """
    best, fastest = 0, -math.inf
    size = first
    while size < 2 * most:
        found = rate(size)
        log.info("batch size %7d: %s", size, "does not fit" if found is None else f"{found:,.0f} samples/s")
        if found is None or found < GAIN * fastest:
            break
        best, fastest, size = size, found, 2 * size
    if not best:
        msg = f"batches.batch_size: auto found no size that fits, not even {first}; lower model.width or batches.window"
        raise UnavailableError(msg)
    return best
