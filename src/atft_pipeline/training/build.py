"""Checks an experiment against its data and builds the objects of its training, before the first step."""

import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from atft_pipeline.config import require, to_mapping
from atft_pipeline.errors import TrainingError
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.lineage import hash_file, hash_json
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.panel.prefetch import source_of
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.batch_size import BatchSizeProbe, measured_batch_size
from atft_pipeline.training.checkpoint.model import MODEL_TENSORS, start_from
from atft_pipeline.training.checkpoint.origin import Descent
from atft_pipeline.training.checkpoint.state import StateStore, TrainingState
from atft_pipeline.training.config import OF_THE_ENSEMBLE, WITHOUT_EFFECT, TrainingConfig, loss_of
from atft_pipeline.training.experiment import Experiment, MarketData, TrainingRun
from atft_pipeline.training.memory import halved
from atft_pipeline.training.optim.optimizers import build_optimizer
from atft_pipeline.training.runtime.distributed import ProcessGroup, build_fabric
from atft_pipeline.training.runtime.gpu import GpuSampler, nvml_reader
from atft_pipeline.training.runtime.monitor import PartTimer
from atft_pipeline.training.runtime.runtime import Runtime, choose_runtime, compile_module, use_attention
from atft_pipeline.training.targets import check_targets
from atft_pipeline.training.trainer import Trainer

if TYPE_CHECKING:
    from lightning.fabric import Fabric


log = logging.getLogger(__name__)

# Most days of a batch. What a market of few listings has in days makes few steps otherwise: at 300 listings the 8,192
# samples of the production parameters are a month, and thirty steps learn nothing (docs/log.md).
MOST_DAYS = 4


def build_trainer(run: TrainingRun, fabric: "Fabric | None" = None) -> Trainer:
    """Build the objects of a training; requests that cannot be met raise before the data are loaded.

    Args:
        run: what is to be trained, on which days, and where its states lie.
        fabric: of a process that was started already.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        ConfigError: a feature or regime that the panel lacks.
        ArtifactError: graphs of another panel, nothing to resume from, or initial weights of another model.
        TrainingError: the batches cannot be halved so often.
    """
    began, asked = time.perf_counter(), run.experiment
    experiment, data, split = run.experiment, run.data, run.split
    runtime = choose_runtime(experiment.runtime)
    fabric = fabric or build_fabric(runtime.torch_device.type, experiment.runtime.devices, runtime.fabric_precision)
    panel, training = checked(experiment, data), experiment.training
    loss = experiment.loss.for_days(panel.meta.horizons, len(split.train))
    experiment = replace(experiment, loss=loss)
    device, processes = fabric.device, ProcessGroup(fabric.global_rank, fabric.world_size)
    network = build_network(experiment, panel.meta, runtime, device, run.initial)
    built = build_optimizer(network, training.optimizer, scaled=runtime.precision.value == "16-mixed")
    module, optimizer = fabric.setup(network, built.optimizer)
    resident = data.resident or ResidentPanel.load(panel, experiment.residency, device)
    store = state_store(run.experiment, data, split, run.checkpoint_dir, run.initial)
    probe = BatchSizeProbe(network, module, fabric, runtime, resident, data.aligned, split.train, experiment.loss)
    found = processes.all_gather(store.batch_shape if training.resume else None)[0]
    experiment = halved(sized(experiment, found, probe, processes), run.halvings)
    fixed = runtime.compile.value != "none"
    batches_of = partial(DayBatches, resident, data.aligned, config=experiment.batches, fixed=fixed)
    train_batches = batches_of(split.train, shuffle=True, seed=training.seed)
    validation_batches = batches_of(split.validation, shuffle=False, seed=0)
    check_accumulation(experiment.training, len(train_batches))
    trainer = Trainer(
        experiment=experiment,
        asked=asked,
        runtime=runtime,
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
        descent=Descent(panel, split, data.graphs_fingerprint),
        state=first_state(experiment, network, processes),
        timer=PartTimer(device),
        processes=processes,
        began=began,
    )
    trainer.sampler = _sampler(trainer)
    restore_or_clear(trainer, found=found is not None)
    return trainer


def sized(
    experiment: Experiment, found: tuple[int, int] | None, probe: BatchSizeProbe, processes: ProcessGroup
) -> Experiment:
    """The experiment with the batches of the run that it continues, or with measured ones where it asks for them.

    Args:
        experiment: as it was given.
        found: samples of a batch and batches of a step of the state to continue, ``None`` for a fresh run.
        probe: measures.
        processes: that share a step; a continued run may have more or fewer of them, its step stays the same.

    Raises:
        TrainingError: the batches of a step cannot be shared evenly.
    """
    if found is not None:
        saved_size, batches = found
        if batches % processes.world:
            msg = (
                f"training.resume: a step of the saved state has {batches} batches, which {processes.world} processes "
                f"cannot share evenly; start a number of them that divides {batches}"
            )
            raise TrainingError(msg)
        return experiment.with_batch_size(saved_size, batches // processes.world)
    size, most = experiment.batches.batch_size, MOST_DAYS * probe.widest(experiment.batches)
    if size == "auto":
        # Every process takes the first one's measurement.
        size = processes.all_gather(measured_batch_size(probe, experiment.batches))[0]
    if size > most:
        log.info("batches of %d samples in place of %d: a batch holds at most %d days", most, size, MOST_DAYS)
    return experiment.with_batch_size(min(size, most))


def first_state(experiment: Experiment, network: ATFTGATFAN, processes: ProcessGroup) -> TrainingState:
    """The state of a run before its first step."""
    return TrainingState(
        batch_size=experiment.batches.size,
        accumulation=experiment.training.accumulation * processes.world,
        ema=_copies(network) if experiment.training.ema_decay else {},
    )


def build_network(
    experiment: Experiment, meta: PanelMeta, runtime: Runtime, device: torch.device, initial: Path | None
) -> ATFTGATFAN:
    """The model with its first weights, from the seed or an earlier model, as it will run on the device."""
    torch.manual_seed(experiment.training.seed)
    network = ATFTGATFAN(experiment.model, input_spec(meta, experiment.batches.window)).to(device)
    if initial is not None:
        start_from(network, initial, experiment.training.seed)
    use_attention(network, runtime)
    compile_module(network, runtime)
    return network


def checked(experiment: Experiment, data: MarketData) -> Panel:
    """The panel with the model's features, after everything that can be refused was refused.

    Raises:
        ConfigError: a feature, exposure or regime that the panel lacks, or a panel in memory with other features.
        ArtifactError: graphs of another panel.
    """
    panel, loss = data.panel.select(experiment.batches.features), experiment.loss
    require(
        data.resident is None or data.resident.panel.meta.feature_names == panel.meta.feature_names,
        "the panel in memory holds other features than batches.features names: load panel.select(batches.features)",
    )
    unknown = sorted(set(loss.regime_weights) - set(panel.meta.market_features))
    require(
        not unknown,
        f"loss.regime_weights: {', '.join(unknown)} is no market feature of the panel; "
        f"there are: {', '.join(panel.meta.market_features) or 'none'}",
    )
    check_targets(experiment.targets, panel.meta)
    check_losses(experiment, panel.meta)
    if data.graphs is not None:
        check_compatible(panel.meta, data.graphs.meta)
    return panel


def check_losses(experiment: Experiment, meta: PanelMeta) -> None:
    """Refuse a loss that some phase could not compute, and heads that no phase trains.

    Raises:
        ConfigError: with the phase, the weight and what it lacks.
    """
    heads = experiment.model.heads
    losses = {phase.name: loss_of(experiment.loss, phase) for phase in experiment.training.plan}
    for name, loss in losses.items():
        loss.weights_of(meta.horizons)
        where = f"phase {name}: " if experiment.training.phases else ""
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


def restore_or_clear(trainer: Trainer, *, found: bool) -> None:
    """Continue from the last state, or clear what an earlier run left; no other process may do so meanwhile."""
    training, processes = trainer.experiment.training, trainer.processes
    if processes.is_main:
        trainer.store.claim()
    if training.resume is True or (training.resume and found):
        trainer.store.restore(trainer.state, trainer.model, trainer.optimizer)
    elif processes.is_main:
        trainer.store.clear()
    processes.barrier()
    if processes.rank:
        # Dropout and noise differ between processes; the first one draws as a run alone would.
        torch.manual_seed(training.seed + 1_000_003 * processes.rank + trainer.state.step)


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


def state_store(
    experiment: Experiment, data: MarketData, split: Split, checkpoint_dir: Path, initial: Path | None
) -> StateStore:
    """Where the states of a training lie; arguments as those of :func:`build_trainer`."""
    meta = data.panel.select(experiment.batches.features).meta
    fingerprint = run_fingerprint(experiment, data, meta, split, initial)
    return StateStore(checkpoint_dir / fingerprint[:12], fingerprint)


def run_fingerprint(
    experiment: Experiment, data: MarketData, meta: PanelMeta, split: Split, initial: Path | None
) -> str:
    """Hash of all that decides the weights; how often they are saved, watched and resumed does not."""
    left_out = WITHOUT_EFFECT | OF_THE_ENSEMBLE
    training = {name: to_mapping(value) for name, value in vars(experiment.training).items() if name not in left_out}
    days = [list(split.train), list(split.validation)]
    groups = (experiment.targets, experiment.model, experiment.loss, experiment.batches, experiment.runtime)
    start = hash_file(initial / MODEL_TENSORS) if initial is not None else ""
    others = [to_mapping(group) for group in groups]
    return hash_json([meta.fingerprint, data.graphs_fingerprint, days, training, *others, start])


def _copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
