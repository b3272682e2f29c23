"""Everything that a training needs, built and checked before the first step."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from atft_pipeline.config import from_mapping, require, to_mapping
from atft_pipeline.errors import Interrupted
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.lineage import hash_file, hash_json
from atft_pipeline.losses.composite import CompositeLoss, LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN, ModelOutput
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.panel.batches import BatchConfig, BatchPlan, DayBatch, DayBatches
from atft_pipeline.panel.loader import BatchSource, WorkerLoader
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.panel.splits import Split
from atft_pipeline.training.checkpoint import MODEL_TENSORS, ModelCard, columns_hash, start_from
from atft_pipeline.training.config import WITHOUT_EFFECT, PhaseConfig, RuntimeConfig, TrainingConfig
from atft_pipeline.training.distributed import Ranks, build_fabric
from atft_pipeline.training.gpu import GpuSampler, nvml_reader
from atft_pipeline.training.monitor import PartTimer
from atft_pipeline.training.optimizers import build_optimizer
from atft_pipeline.training.runtime import Runtime, choose_runtime, compile_module
from atft_pipeline.training.state import StateStore, TrainingState
from atft_pipeline.training.sums import Sums

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def nothing() -> None:
    """Do nothing."""


@dataclass
class Session:
    """The objects of one training.

    Attributes:
        training: parameters of the training.
        loss: parameters of the loss.
        batches: parameters of the batches.
        meta: the panel's metadata.
        runtime: device, precision, compilation, attention kernel.
        resident: the panel in memory.
        train_batches: shuffled days.
        source: gives the training batches: ``train_batches`` itself or workers that build them.
        validation_batches: days in order.
        model: the bare model, which checkpoints are made of.
        module: the model as Fabric runs it.
        fabric: device placement, precision, gradients.
        optimizer: as Fabric wraps it.
        optimizer_reason: why its kernel is what it is.
        store: states on disk.
        state: where the run stands.
        timer: seconds by part.
        terms_seen: loss terms of the last epoch.
        samples_seen: samples of all epochs of this process.
        interrupt: called at each step; what it raises ends the training.
        ranks: this process among its peers.
        sampler: of the GPU, ``None`` without one.
        phase: the running phase.
        stop: somebody asked the training to end.
        steps_here: steps of this process, counted up to its warm-up.
        last_lr: learning rate of the last step.
        last_save: when the state was last saved, by the monotonic clock.
    """

    training: TrainingConfig
    loss: LossConfig
    batches: BatchConfig
    meta: PanelMeta
    runtime: Runtime
    resident: ResidentPanel
    train_batches: DayBatches
    source: BatchSource
    validation_batches: DayBatches
    model: ATFTGATFAN
    module: nn.Module
    fabric: "Fabric"
    optimizer: torch.optim.Optimizer
    optimizer_reason: str
    store: StateStore
    state: TrainingState
    timer: PartTimer = field(default_factory=PartTimer)
    terms_seen: dict[str, dict[str, float]] = field(default_factory=dict)
    samples_seen: int = 0
    interrupt: Callable[[], None] = nothing
    ranks: Ranks = field(default_factory=Ranks)
    sampler: GpuSampler | None = None
    phase: PhaseConfig = field(default_factory=PhaseConfig)
    stop: bool = False
    steps_here: int = 0
    last_lr: float = 0.0
    last_save: float = field(default_factory=time.monotonic)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        device: torch.device = self.fabric.device
        return device

    @property
    def horizons(self) -> tuple[int, ...]:
        """Sessions ahead of each score."""
        return self.meta.horizons

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch, with the debugging limit."""
        count = len(self.train_batches)
        return min(count, self.training.max_batches) if self.training.max_batches else count

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of an epoch."""
        return math.ceil(self.batches_per_epoch / self.group_size)

    @property
    def group_size(self) -> int:
        """Batches of an optimiser step, over all processes."""
        return self.training.accumulation * self.ranks.world

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole plan."""
        return self.epoch_steps * sum(phase.epochs for phase in self.training.plan)

    def groups(self, epoch: int) -> list[list[BatchPlan]]:
        """The batches of an epoch, one list an optimiser step; the last one may be shorter."""
        plans = self.train_batches.plan(epoch)[: self.batches_per_epoch]
        return [plans[first : first + self.group_size] for first in range(0, len(plans), self.group_size)]

    def share_of(self, group: Sequence[BatchPlan]) -> list[BatchPlan]:
        """This process's batches of a step."""
        return self.ranks.mine(group)

    def after_step(self, sums: Sums, loss: CompositeLoss) -> None:
        """Save the state inside long epochs, and end where somebody asked for it.

        Raises:
            Interrupted: after the state is saved.
        """
        self.interrupt()
        minutes = self.training.save_minutes
        due = bool(minutes) and time.monotonic() - self.last_save > 60 * minutes
        if not (due or self.stop):
            return
        self.last_save = time.monotonic()
        state = self.state
        if self.ranks.first:
            state.sums, state.book = sums.pack(), loss.memory
            self.store.save(state, self.model, self.optimizer)
        if self.stop:
            self.ranks.wait()
            msg = (
                f"interrupted in epoch {state.epoch + 1} after step {state.done}; the state is saved, continue with: "
                "kedro run --pipeline=train --params training.resume=true"
            )
            raise Interrupted(msg)

    def loss_of(self, phase: PhaseConfig) -> LossConfig:
        """The loss with the weights that a phase replaces."""
        return from_mapping(LossConfig, {**to_mapping(self.loss), **phase.loss_weights}, f"phase {phase.name}")

    def score(self, batch: DayBatch, features: Tensor, mask: Tensor) -> ModelOutput:
        """Run the model on a batch that lies on the device."""
        with self.runtime.attention_kernel():
            output: ModelOutput = self.module(
                features, mask, batch.step_mask, batch.neighbors, batch.edge_attr, batch.sector, batch.market
            )
        return output

    def regime_of(self, batch: DayBatch) -> Tensor | None:
        """Scores [B, R] of the day's features that ``loss.regime_weights`` names; ``None`` where it names none."""
        names = self.meta.feature_names
        if not self.loss.regime_weights:
            return None
        places = [names.index(name) for name in self.loss.regime_weights]
        # Market features are equal for all listings of a day, and a day's first row is always a sample.
        return batch.features[:, 0, -1, places].float()

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

    def validation_days(self) -> npt.NDArray[np.int64]:
        """Days in the order in which the validation batches hold them."""
        return np.array(self.validation_batches.days_in_order(), dtype=np.int64)

    def model_card(self, numbers: Mapping[str, Any]) -> ModelCard:
        """Card of the weights as they are now."""
        return ModelCard(
            model=self.model.config,
            spec=self.model.spec,
            batches=self.batches,
            switches=self.model.switches,
            horizons=self.meta.horizons,
            label=self.meta.label,
            panel=self.meta.fingerprint,
            columns=columns_hash(self.meta),
            sectors=self.meta.sectors,
            markets=self.meta.markets,
            training={"epoch": self.state.epoch, "seed": self.training.seed, **numbers},
        )


def build_session(
    panel: Panel,
    graphs: MonthlyGraphs | None,
    split: Split,
    model: ModelConfig,
    loss: LossConfig,
    training: TrainingConfig,
    batches: BatchConfig,
    residency: ResidencyConfig,
    runtime: RuntimeConfig,
    checkpoint_dir: Path,
    resident: ResidentPanel | None = None,
    initial: Path | None = None,
    *,
    fabric: "Fabric | None" = None,
) -> Session:
    """Build the objects of a training; requests that cannot be met raise before the data are loaded.

    Args: as :func:`atft_pipeline.training.loop.train`, and ``fabric`` of a process that was started already.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        ArtifactError: graphs of another panel, nothing to resume from, or initial weights of another model.
    """
    chosen = choose_runtime(runtime)
    fabric = fabric or build_fabric(chosen.torch_device.type, runtime.devices, chosen.fabric_precision)
    panel = panel.select(batches.features)
    require(
        resident is None or resident.panel.meta.feature_names == panel.meta.feature_names,
        "the panel in memory holds other features than batches.features names: load panel.select(batches.features)",
    )
    unknown = sorted(set(loss.regime_weights) - set(panel.meta.market_features))
    require(
        not unknown,
        f"loss.regime_weights: {', '.join(unknown)} is no market feature of the panel; "
        f"there are: {', '.join(panel.meta.market_features) or 'none'}",
    )
    if graphs is not None:
        check_compatible(panel.meta, graphs.meta)
    device = fabric.device
    torch.manual_seed(training.seed)
    network = ATFTGATFAN(model, input_spec(panel.meta, batches.window)).to(device)
    if initial is not None:
        start_from(network, initial)
    compile_module(network, chosen.compile)
    built = build_optimizer(network, training.optimizer)
    module, optimizer = fabric.setup(network, built.optimizer)
    resident = resident or ResidentPanel.load(panel, residency, device)
    aligned = graphs.align(panel.dates) if graphs is not None else None
    fingerprint = run_fingerprint(panel.meta, graphs, split, model, loss, training, batches, runtime)
    if initial is not None:
        fingerprint = hash_json([fingerprint, hash_file(initial / MODEL_TENSORS)])
    train_batches = DayBatches(resident, aligned, split.train, batches, shuffle=True, seed=training.seed)
    source: BatchSource = train_batches
    if residency.workers:
        source = WorkerLoader(train_batches, residency.workers, residency.prefetch, pin=device.type == "cuda")
    session = Session(
        training=training,
        loss=loss,
        batches=batches,
        meta=panel.meta,
        runtime=chosen,
        resident=resident,
        train_batches=train_batches,
        source=source,
        validation_batches=DayBatches(resident, aligned, split.validation, batches, shuffle=False, seed=0),
        model=network,
        module=module,
        fabric=fabric,
        optimizer=optimizer,
        optimizer_reason=built.reason,
        store=StateStore(checkpoint_dir / fingerprint[:12], fingerprint, training.keep_states, training.keep_best),
        state=TrainingState(ema=_copies(network) if training.ema_decay else {}),
        timer=PartTimer(device),
        ranks=Ranks(fabric.global_rank, fabric.world_size),
    )
    session.sampler = _sampler(session)
    if training.resume:
        session.store.restore(session.state, network, session.optimizer)
    elif session.ranks.first:
        session.store.clear()
    session.ranks.wait()
    if session.ranks.rank:
        # Dropout and noise differ between processes; the first one draws as a run alone would.
        torch.manual_seed(training.seed + 1_000_003 * session.ranks.rank + session.state.step)
    return session


def _sampler(session: Session) -> GpuSampler | None:
    """Samples the GPU of this process, where there is one and NVML."""
    read = nvml_reader(session.device.index or 0) if session.device.type == "cuda" else None
    return GpuSampler(read, lambda: session.timer.current) if read else None


def input_spec(meta: PanelMeta, window: int) -> InputSpec:
    """Inputs of a model for this panel."""
    return InputSpec(
        feature_names=meta.feature_names,
        market_features=meta.market_features,
        horizons=meta.horizons,
        window=window,
        edge_dim=3,
        sectors=len(meta.sectors),
        markets=len(meta.markets),
    )


def run_fingerprint(
    meta: PanelMeta,
    graphs: MonthlyGraphs | None,
    split: Split,
    model: ModelConfig,
    loss: LossConfig,
    training: TrainingConfig,
    batches: BatchConfig,
    runtime: RuntimeConfig,
) -> str:
    """Hash of all that decides the weights; how often they are saved, watched and resumed does not."""
    settings = {name: to_mapping(value) for name, value in vars(training).items() if name not in WITHOUT_EFFECT}
    linked = graphs.meta.fingerprint if graphs is not None else ""
    days = [list(split.train), list(split.validation)]
    others = [to_mapping(value) for value in (model, loss, batches, runtime)]
    return hash_json([meta.fingerprint, linked, days, settings, *others])


def _copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
