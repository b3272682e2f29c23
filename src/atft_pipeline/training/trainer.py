"""The objects of one training, and what a step does with a batch."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from atft_pipeline.errors import Interrupted
from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.output import ModelOutput
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.packing import BatchPlan
from atft_pipeline.panel.panel import PanelMeta
from atft_pipeline.panel.prefetch import BatchSource
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.training.accumulator import MetricAccumulator
from atft_pipeline.training.checkpoint.model import Member, ModelCard, columns_hash
from atft_pipeline.training.checkpoint.origin import Descent
from atft_pipeline.training.checkpoint.state import StateStore, TrainingState
from atft_pipeline.training.config import PhaseConfig, TargetsConfig, loss_of
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.training.optim.schedules import planned_rate
from atft_pipeline.training.runtime.distributed import ProcessGroup
from atft_pipeline.training.runtime.gpu import GpuSampler
from atft_pipeline.training.runtime.monitor import PartTimer
from atft_pipeline.training.runtime.runtime import Runtime
from atft_pipeline.training.targets import neutral_targets

if TYPE_CHECKING:
    from lightning.fabric import Fabric

# Within long epochs the state is saved this often too: a kill costs at most ten minutes, a save takes seconds.
SAVE_MINUTES = 10.0


class Labels(NamedTuple):
    """Labels of a batch in the padded view by day: targets and returns float32 [B, n, Q], mask bool [B, n, Q]."""

    targets: Tensor
    returns: Tensor
    mask: Tensor


@dataclass
class Trainer:
    """The objects of one training.

    Attributes:
        experiment: its parameters, with the batches that are used: measured in place of ``auto``, halved where memory
            ran out.
        asked: its parameters as they were given.
        runtime: device, precision, compilation, attention kernel.
        resident: the panel in memory.
        train_batches: shuffled days.
        source: gives the training batches: ``train_batches`` itself or a thread that builds them ahead.
        validation_batches: days in order.
        validation_source: gives the validation batches likewise.
        model: the bare model, which checkpoints are made of.
        module: the model as Fabric runs it.
        fabric: device placement, precision, gradients.
        optimizer: as Fabric wraps it.
        optimizer_reason: why its kernel is what it is.
        store: states on disk.
        state: where the run stands.
        descent: what the model will descend from.
        timer: seconds by part.
        terms_seen: loss terms of the last epoch.
        samples_seen: samples of all epochs of this process.
        interrupt: called at each step; what it raises ends the training.
        processes: this process among its peers.
        sampler: of the GPU, ``None`` without one.
        phase: the running phase.
        stop: Ctrl-C: end after the running step.
        steps_here: steps of this process, counted up to its warm-up.
        last_save: when the state was last saved, by the monotonic clock.
        began: when the building of these objects began, by the performance clock.
        first_step_seconds: from then to the end of the first step, ``None`` before it.
    """

    experiment: Experiment
    asked: Experiment
    runtime: Runtime
    resident: ResidentPanel
    train_batches: DayBatches
    source: BatchSource
    validation_batches: DayBatches
    validation_source: BatchSource
    model: ATFTGATFAN
    module: nn.Module
    fabric: "Fabric"
    optimizer: torch.optim.Optimizer
    optimizer_reason: str
    store: StateStore
    state: TrainingState
    descent: Descent
    timer: PartTimer = field(default_factory=PartTimer)
    terms_seen: dict[str, dict[str, float]] = field(default_factory=dict)
    samples_seen: int = 0
    interrupt: Callable[[], None] | None = None
    processes: ProcessGroup = field(default_factory=ProcessGroup)
    sampler: GpuSampler | None = None
    phase: PhaseConfig = field(default_factory=PhaseConfig)
    stop: bool = False
    steps_here: int = 0
    last_save: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.perf_counter)
    first_step_seconds: float | None = None

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        device: torch.device = self.fabric.device
        return device

    @property
    def meta(self) -> PanelMeta:
        """Metadata of the panel, with the model's features alone."""
        return self.resident.panel.meta

    @property
    def horizons(self) -> tuple[int, ...]:
        """Sessions ahead of each score."""
        return self.meta.horizons

    @property
    def batches_per_epoch(self) -> int:
        """Batches of the first epoch, with the debugging limit; later ones may have one more or less."""
        count = len(self.train_batches)
        return min(count, self.experiment.training.max_batches) if self.experiment.training.max_batches else count

    @cached_property
    def epoch_ends(self) -> tuple[int, ...]:
        """Optimiser steps done after each epoch of the plan; the order of the days decides how well they pack."""
        epochs = sum(phase.epochs for phase in self.experiment.training.plan)
        counts = (len(self.train_batches.plan(epoch)) for epoch in range(epochs))
        most = self.experiment.training.max_batches
        return tuple(accumulate(math.ceil(min(count, most or count) / self.group_size) for count in counts))

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of the first epoch."""
        return self.epoch_ends[0]

    @property
    def group_size(self) -> int:
        """Batches of an optimiser step, over all processes."""
        return self.experiment.training.accumulation * self.processes.world

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole plan."""
        return self.epoch_ends[-1]

    def groups(self, epoch: int) -> list[list[BatchPlan]]:
        """The batches of an epoch, one list an optimiser step; the last one may be shorter."""
        plans = self.train_batches.plan(epoch)[: self.experiment.training.max_batches or None]
        return [plans[first : first + self.group_size] for first in range(0, len(plans), self.group_size)]

    def share_of(self, group: Sequence[BatchPlan]) -> list[BatchPlan]:
        """This process's batches of a step."""
        return self.processes.shard(group)

    def after_step(self, sums: MetricAccumulator, loss: CompositeLoss) -> None:
        """Save the state inside long epochs, and after Ctrl-C, which ends the training.

        Raises:
            Interrupted: after the state is saved.
        """
        if self.interrupt is not None:
            self.interrupt()
        due = time.monotonic() - self.last_save > 60 * SAVE_MINUTES
        if not (due or self.stop):
            return
        self.last_save = time.monotonic()
        state = self.state
        if self.processes.is_main:
            state.sums, state.loss_memory = sums.pack(), loss.memory
            self.store.save(state, self.model, self.optimizer)
        if self.stop:
            self.processes.barrier()
            msg = (
                f"interrupted in epoch {state.epoch + 1} after step {state.done}; the state is saved, continue with: "
                "kedro run --pipeline=train --params training.resume=true"
            )
            raise Interrupted(msg)

    def enter(self, phase: PhaseConfig) -> CompositeLoss:
        """Begin a phase: switch the model's blocks, and build the loss with the weights that the phase replaces."""
        self.phase = phase
        self.model.switch(normaliser=phase.normaliser, graph=phase.graph)
        return CompositeLoss(self.phase_loss, self.horizons, self.model.config.heads.quantiles)

    @property
    def phase_loss(self) -> LossConfig:
        """The loss with the weights that the running phase replaces."""
        return loss_of(self.experiment.loss, self.phase)

    def planned_rate(self, step: int) -> float:
        """The learning rate that the plan gives a step of the running phase."""
        return planned_rate(self.experiment.training, self.phase, step, self.epoch_ends)

    def score(self, batch: DayBatch, features: Tensor, mask: Tensor) -> ModelOutput:
        """Run the model on a batch that lies on the device."""
        if self.runtime.compile_mode != "default":
            # A replayed CUDA graph writes into the same memory: what the last call gave has been used by now.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with self.runtime.computing():
            output: ModelOutput = self.module(features, mask, *batch.context())
        return output

    def regime_of(self, batch: DayBatch) -> Tensor | None:
        """Scores [B, R] of the day's features that ``loss.regime_weights`` names; ``None`` where it names none."""
        return regime_of(batch, tuple(self.experiment.loss.regime_weights), self.meta.feature_names)

    def labels(self, batch: DayBatch, mask: Tensor) -> Labels:
        """Labels of a batch by day, for the samples of ``mask``, as ``targets`` says."""
        return labels_of(batch, mask, self.experiment.targets, self.meta)

    def weights_to_keep(self) -> dict[str, Tensor]:
        """The weights that validation saw: averaged ones where averaging is on."""
        return {**self.model.state_dict(), **self.state.ema}

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Put the averaged weights into the model for the time of a validation."""
        weights = {name: weight for name, weight in self.model.named_parameters() if name in self.state.ema}
        kept = {name: weight.detach().clone() for name, weight in weights.items()}
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(self.state.ema[name])
        yield
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])

    def model_card(self, numbers: Mapping[str, Any]) -> ModelCard:
        """Card of the weights as they are now."""
        training = {
            "epoch": self.state.epoch,
            "seed": self.experiment.training.seed,
            "from_study": self.experiment.training.from_study,
            **numbers,
        }
        return ModelCard(
            model=self.model.config,
            spec=self.model.spec,
            batches=self.experiment.batches,
            horizons=self.meta.horizons,
            label=self.meta.label,
            panel=self.meta.fingerprint,
            columns=columns_hash(self.meta),
            sectors=self.meta.sectors,
            markets=self.meta.markets,
            origin=self.descent.origin(self.state.read["train"], self.state.read["validation"]),
            members=(Member(self.model.switches, training),),
        )


def regime_of(batch: DayBatch, regimes: Sequence[str], names: Sequence[str]) -> Tensor | None:
    """Scores [B, R] of some market features on the days of a batch; ``None`` for none.

    Market features are equal for all listings of a day: its first sample has them.
    """
    if not regimes:
        return None
    last = batch.features[batch.first, -1]
    return torch.stack([last[:, names.index(name)] for name in regimes], dim=1).float()


def labels_of(batch: DayBatch, mask: Tensor, config: TargetsConfig, meta: PanelMeta) -> Labels:
    """Labels by day for the samples of ``mask`` [S], neutral to what the parameters of the targets name."""
    targets, known = batch.by_day(batch.targets), batch.by_day(batch.label_mask & mask[:, None])
    if config.neutral_to:
        # By all labels of the day, also of listings that this step leaves out.
        counting, last = batch.by_day(batch.label_mask), batch.by_day(batch.features[:, -1])
        targets = neutral_targets(config, meta, targets, last, batch.by_day(batch.sector), counting)
    return Labels(targets, batch.by_day(batch.returns), known)
