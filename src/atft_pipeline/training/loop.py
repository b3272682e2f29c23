"""The training loop: phases of epochs over day batches, validation by whole days, the best weights kept."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from atft_pipeline.errors import OutOfMemoryError, UnavailableError
from atft_pipeline.logs import configure_logging
from atft_pipeline.process import under_torchrun
from atft_pipeline.splits.split import Split
from atft_pipeline.stats.rank_ic import RankICSummary
from atft_pipeline.training.accumulator import Record
from atft_pipeline.training.build import build_trainer
from atft_pipeline.training.epoch import train_epoch, validate
from atft_pipeline.training.experiment import Experiment, MarketData, TrainingRun
from atft_pipeline.training.health import refuse_collapse, refuse_divergence, refuse_standstill, weight_sums
from atft_pipeline.training.memory import HALVINGS, is_out_of_memory, out_of_memory_line, release_memory
from atft_pipeline.training.ranks import share
from atft_pipeline.training.run_card.card import build_run_card
from atft_pipeline.training.runtime.distributed import build_fabric, launch
from atft_pipeline.training.runtime.monitor import sampling
from atft_pipeline.training.runtime.runtime import choose_runtime
from atft_pipeline.training.runtime.torchrun import joined
from atft_pipeline.training.trainer import Trainer

log = logging.getLogger(__name__)


class Callback(Protocol):
    """Called during a training."""

    def on_epoch(self, record: Mapping[str, Any]) -> None:
        """After every epoch, with its record."""

    def on_run_card(self, card: Mapping[str, Any]) -> None:
        """With the run card, after every epoch and at the end."""

    def on_restart(self) -> None:
        """Before the training begins again with smaller batches, because it ran out of memory."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves.

    Attributes:
        checkpoint: folder of the best model.
        history: one record an epoch.
        run_card: what was active, read from the objects.
    """

    checkpoint: Path
    history: list[Record]
    run_card: Record


def fit(
    experiment: Experiment,
    data: MarketData,
    split: Split,
    checkpoint_dir: Path,
    *,
    callback: Callback | None = None,
    initial: Path | None = None,
    interrupt: Callable[[], None] | None = None,
) -> TrainingResult:
    """Train one model on the days of a fold and keep its best weights by validation RankIC.

    Args:
        experiment: what is to be trained.
        data: panel, graphs, and the panel in memory where it is loaded already; processes that the run starts load
            their own.
        split: days of training and validation; the test days are not touched.
        checkpoint_dir: states and best weights of this run.
        callback: called after every epoch; what it raises ends the training, whose states stay on disk. Where the run
            starts processes of its own, it is called when they are done.
        initial: model folder whose weights training starts from; ``None`` = fresh ones.
        interrupt: called at each step; what it raises ends the training. Of a run on one device only.

    Returns:
        The best model's folder, the history and the run card.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        TrainingError: the numbers mean nothing: NaN, divergence, or scores that collapsed to a constant.
        OutOfMemoryError: the memory does not suffice, nor for the smaller batches that were tried then.
        Interrupted: Ctrl-C; the state is saved.
    """
    if under_torchrun() and joined() is None:
        msg = "torchrun started this training in every process: start it with torchrun ... -m atft_pipeline.train"
        raise UnavailableError(msg)
    # States were saved in batches that fit, and rank 0 cannot begin again alone.
    allowed = 0 if experiment.training.resume is True or joined() else HALVINGS
    run = TrainingRun(experiment, data, split, checkpoint_dir, initial)
    while True:
        try:
            return _fit(run, callback, interrupt)
        except OutOfMemoryError as error:
            if run.halvings == allowed:
                raise
            log.warning("%s; trying half of it with twice training.accumulation, the same step", error)
        # Here, where the error, which holds on to the tensors of the step, is gone.
        release_memory()
        run = replace(run, halvings=run.halvings + 1)
        if callback is not None:
            callback.on_restart()


def _fit(run: TrainingRun, callback: Callback | None, interrupt: Callable[[], None] | None) -> TrainingResult:
    """Train once: here, as rank 0 of the processes of torchrun, or in processes that are started now."""
    peers, on_disk = joined(), replace(run, data=MarketData(run.data.panel, run.data.graphs))
    fabric = fabric_of(run) if run.experiment.runtime.devices > 1 or peers is not None else None
    if fabric is not None and peers is None:
        result = launch(fabric, _train, on_disk)
        if callback is not None:
            for record in result.history:
                callback.on_epoch(record)
    else:
        if peers is not None and fabric is not None:
            share(peers, on_disk)
            fabric.launch()
        result = _train(fabric, run, callback, interrupt)
    if callback is not None:
        callback.on_run_card(result.run_card)
    return result


def fabric_of(run: TrainingRun) -> Any:
    """Fabric for the processes that share a training."""
    asked = run.experiment.runtime
    runtime = choose_runtime(asked)
    return build_fabric(runtime.torch_device.type, asked.devices, runtime.fabric_precision)


def train_as_rank(run: TrainingRun) -> None:
    """Take part in a training of rank 0."""
    fabric = fabric_of(run)
    fabric.launch()
    _train(fabric, run)


def _train(
    fabric: Any, run: TrainingRun, callback: Callback | None = None, interrupt: Callable[[], None] | None = None
) -> TrainingResult:
    """Train in this process.

    Raises:
        OutOfMemoryError: the memory of the device or the host does not suffice.
    """
    if fabric is not None:
        configure_logging(logging.INFO if fabric.global_rank == 0 else logging.ERROR)
    tried = run.experiment
    try:
        trainer = build_trainer(run, fabric)
        tried, trainer.interrupt = trainer.experiment, interrupt
        return train(trainer, callback)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_line(tried, run.experiment)) from error


def train(trainer: Trainer, callback: Callback | None) -> TrainingResult:
    """Train what a trainer describes, to its end."""
    began = time.perf_counter()
    with interruptible(trainer), sampling(trainer.sampler), closing(trainer.store):
        for record in run_epochs(trainer):
            if trainer.processes.is_main:
                log.info(epoch_line(record))
            if callback is not None:
                # A run may end here, where its callback stops it: so it has a card, though the model is not probed.
                callback.on_run_card(build_run_card(trainer, time.perf_counter() - began, probed=False))
                callback.on_epoch(record)
    card = build_run_card(trainer, time.perf_counter() - began)
    trainer.processes.barrier()
    return TrainingResult(trainer.store.best_folder(trainer.state), trainer.state.history, card)


def run_epochs(trainer: Trainer) -> Iterator[Record]:
    """Train epoch by epoch from where the state stands; yield each epoch's record after it is saved."""
    state = trainer.state
    first = 0
    for phase in trainer.experiment.training.plan:
        last = first + phase.epochs
        loss = trainer.enter(phase)
        while state.epoch < last and not exhausted(trainer, first):
            began = time.perf_counter()
            before, steps = weight_sums(trainer.model), state.step
            numbers = train_epoch(trainer, loss)
            # An epoch that was interrupted after its last step has none left.
            if state.step > steps:
                refuse_standstill(numbers["loss"], before, trainer.model, state.epoch + 1)
            refuse_divergence(numbers["loss"], phase.name, state.history)
            with trainer.timer.part("validation"):
                summary, spread = validate(trainer)
            refuse_collapse(spread, state.epoch + 1)
            state.epoch += 1
            state.done, state.sums, state.loss_memory = 0, {}, None
            record = {
                "epoch": state.epoch,
                "seed": trainer.experiment.training.seed,
                "phase": phase.name,
                **numbers,
                **validation_numbers(summary),
                "score_spread": spread,
                "seconds": time.perf_counter() - began,
            }
            state.history.append(record)
            with trainer.timer.part("checkpoint"):
                save_epoch(trainer, summary)
            yield record
        first = last


def exhausted(trainer: Trainer, first: int) -> bool:
    """Early stopping: no better epoch for ``training.patience`` epochs since the phase began after epoch ``first``."""
    patience, state = trainer.experiment.training.patience, trainer.state
    return bool(patience) and state.epoch - max(state.best_epoch, first) >= patience


def validation_numbers(summary: RankICSummary) -> Record:
    """The record's entries: RankIC over horizons by the loss's weights, and each horizon's, with their errors."""
    numbers: Record = {"val_rank_ic": summary.average, "val_rank_ic_se": summary.average_se}
    for horizon, mean in summary.mean.items():
        numbers |= {f"val_rank_ic_{horizon}": mean, f"val_rank_ic_{horizon}_se": summary.se[horizon]}
    return numbers


def save_epoch(trainer: Trainer, summary: RankICSummary) -> None:
    """Save the weights if they are among the best, then the state; only the first process writes."""
    state, store = trainer.state, trainer.store
    if summary.average > state.best:
        state.best, state.best_epoch = summary.average, state.epoch
    for read in trainer.processes.all_gather(state.read):
        for part, days in read.items():
            state.read[part] |= days
    if trainer.processes.is_main:
        if math.isfinite(summary.average):
            card = trainer.model_card(validation_numbers(summary))
            store.save_best(state, summary.average, trainer.weights_to_keep(), card)
        store.save(state, trainer.model, trainer.optimizer)
        store.delete_displaced(state)
    state.kept = trainer.processes.all_gather(state.kept)[0]
    trainer.last_save = time.monotonic()


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Let the first Ctrl-C end the training after the running step; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop_after_step(_number: int, _frame: FrameType | None) -> None:
        trainer.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop_after_step)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def epoch_line(record: Mapping[str, Any]) -> str:
    """One line of the log an epoch."""
    found = (name.removeprefix("val_rank_ic_") for name in record if name.startswith("val_rank_ic_"))
    parts = " ".join(
        f"{h}d {record[f'val_rank_ic_{h}']:+.4f}±{record[f'val_rank_ic_{h}_se']:.4f}" for h in found if h.isdigit()
    )
    return (
        f"epoch {record['epoch']:3d} {record['phase']:<8} loss {record['loss']:.4f}  "
        f"RankIC {record['val_rank_ic']:+.4f} ({parts})  "
        f"{record['samples_per_second']:,.0f} samples/s  {record['seconds']:.1f} s"
    )
