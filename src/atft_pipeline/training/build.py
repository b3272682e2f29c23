"""Everything that a training needs, built and checked before the first step."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from atft_pipeline.config import require, to_mapping
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.lineage import hash_file, hash_json
from atft_pipeline.losses.composite import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.panel.batches import BatchConfig, DayBatches
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.panel.prefetch import source_of
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.batch_size import BatchSizeProbe, measured_batch_size
from atft_pipeline.training.checkpoint.model import MODEL_TENSORS, start_from
from atft_pipeline.training.checkpoint.origin import Descent
from atft_pipeline.training.checkpoint.state import StateStore, TrainingState
from atft_pipeline.training.config import WITHOUT_EFFECT, RuntimeConfig, TrainingConfig, loss_of
from atft_pipeline.training.optim.optimizers import build_optimizer
from atft_pipeline.training.runtime.distributed import ProcessGroup, build_fabric
from atft_pipeline.training.runtime.gpu import GpuSampler, nvml_reader
from atft_pipeline.training.runtime.monitor import PartTimer
from atft_pipeline.training.runtime.runtime import Runtime, choose_runtime, compile_module, use_attention
from atft_pipeline.training.trainer import Trainer

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class Job:
    """What is to be trained, and how; :func:`atft_pipeline.training.loop.train` documents the fields."""

    panel: Panel
    graphs: MonthlyGraphs | None
    split: Split
    model: ModelConfig
    loss: LossConfig
    training: TrainingConfig
    batches: BatchConfig
    residency: ResidencyConfig
    runtime: RuntimeConfig
    checkpoint_dir: Path
    initial: Path | None = None


def build_trainer(job: Job, resident: ResidentPanel | None = None, fabric: "Fabric | None" = None) -> Trainer:
    """Build the objects of a training; requests that cannot be met raise before the data are loaded.

    Args:
        job: what is to be trained.
        resident: the panel in memory where it is loaded already.
        fabric: of a process that was started already.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        ConfigError: a feature or regime that the panel lacks.
        ArtifactError: graphs of another panel, nothing to resume from, or initial weights of another model.
    """
    began = time.perf_counter()
    chosen = choose_runtime(job.runtime)
    fabric = fabric or build_fabric(chosen.torch_device.type, job.runtime.devices, chosen.fabric_precision)
    panel, training = checked(job, resident), job.training
    device, processes = fabric.device, ProcessGroup(fabric.global_rank, fabric.world_size)
    network = build_network(job, panel.meta, chosen, device)
    built = build_optimizer(network, training.optimizer, scaled=chosen.precision.value == "16-mixed")
    module, optimizer = fabric.setup(network, built.optimizer)
    resident = resident or ResidentPanel.load(panel, job.residency, device)
    aligned = job.graphs.align(panel.dates) if job.graphs is not None else None
    fingerprint = run_fingerprint(job, panel.meta)
    store = StateStore(job.checkpoint_dir / fingerprint[:12], fingerprint, training.keep_best)
    batches = job.batches
    if batches.batch_size == "auto":
        probe = BatchSizeProbe(network, module, fabric, chosen, resident, aligned, job.split.train, job.loss)
        size = store.batch_size if training.resume else None
        # Every process takes the first one's measurement.
        batches = replace(batches, batch_size=processes.collect(size or measured_batch_size(probe, batches))[0])
    of_days = partial(DayBatches, resident, aligned, config=batches, fixed=chosen.compile.value != "none")
    train_batches = of_days(job.split.train, shuffle=True, seed=training.seed)
    validation_batches = of_days(job.split.validation, shuffle=False, seed=0)
    check_accumulation(training, len(train_batches))
    trainer = Trainer(
        training=training,
        loss=job.loss,
        batches=batches,
        meta=panel.meta,
        runtime=chosen,
        resident=resident,
        train_batches=train_batches,
        source=source_of(train_batches, device),
        validation_batches=validation_batches,
        validation_source=source_of(validation_batches, device),
        model=network,
        module=module,
        fabric=fabric,
        optimizer=optimizer,
        optimizer_reason=built.reason,
        store=store,
        descent=Descent(panel, job.split, job.graphs.meta.fingerprint if job.graphs is not None else ""),
        state=TrainingState(batch_size=batches.size, ema=_copies(network) if training.ema_decay else {}),
        timer=PartTimer(device),
        processes=processes,
        began=began,
    )
    trainer.sampler = _sampler(trainer)
    begin(trainer)
    return trainer


def build_network(job: Job, meta: PanelMeta, chosen: Runtime, device: torch.device) -> ATFTGATFAN:
    """The model with its first weights, from the seed or an earlier model, as it will run on the device."""
    torch.manual_seed(job.training.seed)
    network = ATFTGATFAN(job.model, input_spec(meta, job.batches.window)).to(device)
    if job.initial is not None:
        start_from(network, job.initial)
    use_attention(network, chosen)
    compile_module(network, chosen)
    return network


def checked(job: Job, resident: ResidentPanel | None) -> Panel:
    """The panel with the model's features, after everything that can be refused was refused.

    Raises:
        ConfigError: a feature, exposure or regime that the panel lacks, or a panel in memory with other features.
        ArtifactError: graphs of another panel.
    """
    panel = job.panel.select(job.batches.features)
    require(
        resident is None or resident.panel.meta.feature_names == panel.meta.feature_names,
        "the panel in memory holds other features than batches.features names: load panel.select(batches.features)",
    )
    unknown = sorted(set(job.loss.regime_weights) - set(panel.meta.market_features))
    require(
        not unknown,
        f"loss.regime_weights: {', '.join(unknown)} is no market feature of the panel; "
        f"there are: {', '.join(panel.meta.market_features) or 'none'}",
    )
    absent = sorted(set(job.loss.neutral_to) - set(panel.meta.feature_names))
    require(
        not absent,
        f"loss.neutral_to: {', '.join(absent)} is not among the features that batches.features names; add it there, "
        "or leave it out with loss.neutral_to=[]",
    )
    check_losses(job, panel.meta)
    if job.graphs is not None:
        check_compatible(panel.meta, job.graphs.meta)
    return panel


def check_losses(job: Job, meta: PanelMeta) -> None:
    """Refuse a loss that some phase could not compute, and heads that no phase trains.

    Raises:
        ConfigError: with the phase, the weight and what it lacks.
    """
    heads = job.model.heads
    losses = {phase.name: loss_of(job.loss, phase) for phase in job.training.plan}
    for name, loss in losses.items():
        loss.weights_of(meta.horizons)
        where = f"phase {name}: " if job.training.phases else ""
        require(
            not loss.quantile or bool(heads.quantiles),
            f"{where}loss.quantile: the model has no quantile head; list levels in model.heads.quantiles or weigh it 0",
        )
        require(
            not loss.student_t or heads.student_t,
            f"{where}loss.student_t: the model has no Student-t head; set model.heads.student_t=true or weigh it 0",
        )
    require(
        not heads.quantiles or any(loss.quantile for loss in losses.values()),
        "model.heads.quantiles: loss.quantile weighs 0, so the quantiles would stay untrained; give it a weight or set "
        "model.heads.quantiles=[]",
    )


def check_accumulation(training: TrainingConfig, batches: int) -> None:
    """Refuse to sum gradients over more batches than an epoch has.

    Raises:
        ConfigError: with both numbers.
    """
    batches = min(batches, training.max_batches or batches)
    require(
        training.accumulation <= batches,
        f"training.accumulation: must not exceed the {batches} batches of an epoch, got {training.accumulation}; an "
        "epoch would be one step",
    )


def begin(trainer: Trainer) -> None:
    """Continue from the last state, or clear what an earlier run left; no other process may do so meanwhile."""
    if trainer.processes.first:
        trainer.store.claim()
    if trainer.training.resume:
        trainer.store.restore(trainer.state, trainer.model, trainer.optimizer)
    elif trainer.processes.first:
        trainer.store.clear()
    trainer.processes.wait()
    if trainer.processes.rank:
        # Dropout and noise differ between processes; the first one draws as a run alone would.
        torch.manual_seed(trainer.training.seed + 1_000_003 * trainer.processes.rank + trainer.state.step)


def _sampler(trainer: Trainer) -> GpuSampler | None:
    """Samples the GPU of this process, where there is one and NVML."""
    read = nvml_reader(trainer.device.index or 0) if trainer.device.type == "cuda" else None
    return GpuSampler(read, lambda: trainer.timer.current) if read else None


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


def run_fingerprint(job: Job, meta: PanelMeta) -> str:
    """Hash of all that decides the weights; how often they are saved, watched and resumed does not."""
    settings = {name: to_mapping(value) for name, value in vars(job.training).items() if name not in WITHOUT_EFFECT}
    linked = job.graphs.meta.fingerprint if job.graphs is not None else ""
    days = [list(job.split.train), list(job.split.validation)]
    others = [to_mapping(value) for value in (job.model, job.loss, job.batches, job.runtime)]
    start = hash_file(job.initial / MODEL_TENSORS) if job.initial is not None else ""
    return hash_json([meta.fingerprint, linked, days, settings, *others, start])


def _copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
