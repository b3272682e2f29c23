"""The training loop: phases of epochs over day batches, validation by whole days, the best weights kept.

Legend: B days of a batch, n listings padded, Q horizons.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from atft_pipeline.errors import TrainingError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.composite import CompositeLoss, LossConfig, LossResult
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.batches import BatchConfig, DayBatch
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.panel.splits import Split
from atft_pipeline.progress import progress_bar
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.config import PhaseConfig, RuntimeConfig, TrainingConfig
from atft_pipeline.training.run_card import build_run_card
from atft_pipeline.training.schedules import learning_rate
from atft_pipeline.training.session import Session, build_session, nothing
from atft_pipeline.training.validation import RankICSummary, daily_rank_ic, summarise

log = logging.getLogger(__name__)

Record = dict[str, Any]
# Spread of a day's scores below which nothing is ranked any more; targets have spread 1.
COLLAPSED = 1e-5
CHECK_EVERY = 50


class Observer(Protocol):
    """Whoever wants to hear of the training."""

    def on_epoch(self, record: Mapping[str, Any]) -> None:
        """Hear the numbers of an epoch."""

    def on_run_card(self, card: Mapping[str, Any]) -> None:
        """Hear what was active."""


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


def train(
    panel: Panel,
    graphs: MonthlyGraphs | None,
    split: Split,
    model: ModelConfig,
    loss: LossConfig,
    training: TrainingConfig,
    batches: BatchConfig,
    residency: ResidencyConfig,
    runtime: RuntimeConfig,
    *,
    checkpoint_dir: Path,
    observer: Observer | None = None,
    resident: ResidentPanel | None = None,
    initial: Path | None = None,
    interrupt: Callable[[], None] = nothing,
) -> TrainingResult:
    """Train a model and keep its best weights by validation RankIC.

    Args:
        panel: features and labels.
        graphs: monthly graphs of the same panel, ``None`` for a model without graph.
        split: days of training and validation; the test days are not touched.
        model: the model.
        loss: the loss.
        training: phases, optimiser, schedule.
        batches: windows and batch shapes.
        residency: where the panel lives.
        runtime: device, precision, compilation.
        checkpoint_dir: states and best weights of this run.
        observer: hears every epoch; what it raises ends the training, whose states stay on disk.
        resident: the panel in memory where it is loaded already, as trials of a study share it.
        initial: model folder whose weights training starts from; ``None`` = fresh ones.
        interrupt: called at each step; what it raises ends the training.

    Returns:
        The best model's folder, the history and the run card.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        TrainingError: the numbers mean nothing: NaN, or scores that collapsed to a constant.
    """
    session = build_session(
        panel, graphs, split, model, loss, training, batches, residency, runtime, checkpoint_dir, resident, initial
    )
    session.interrupt = interrupt
    began = time.perf_counter()
    for record in run_epochs(session):
        log.info(epoch_line(record))
        if observer is not None:
            # The card of every epoch is that of a run which ends there, as one does that its observer stops.
            observer.on_run_card(build_run_card(session, time.perf_counter() - began))
            observer.on_epoch(record)
    card = build_run_card(session, time.perf_counter() - began)
    if observer is not None:
        observer.on_run_card(card)
    return TrainingResult(session.store.best_folder(), session.state.history, card)


def run_epochs(session: Session) -> Iterator[Record]:
    """Train epoch by epoch from where the state stands; yield each epoch's record after it is saved."""
    state = session.state
    first = 0
    for phase in session.training.plan:
        last = first + phase.epochs
        loss = CompositeLoss(session.loss_of(phase), session.horizons, session.model.config.heads.quantiles)
        session.model.switch(normaliser=phase.normaliser, graph=phase.graph)
        while state.epoch < last and not exhausted(session, first):
            began = time.perf_counter()
            numbers = train_epoch(session, phase, loss)
            with session.timer.part("validation"):
                summary, spread = validate(session)
            refuse_collapse(spread, state.epoch + 1)
            state.epoch += 1
            record = {
                "epoch": state.epoch,
                "phase": phase.name,
                **numbers,
                **validation_numbers(summary),
                "score_spread": spread,
                "seconds": time.perf_counter() - began,
            }
            state.history.append(record)
            with session.timer.part("checkpoint"):
                keep(session, summary)
            yield record
        first = last


def exhausted(session: Session, first: int) -> bool:
    """Tell whether the phase that began after epoch ``first`` has waited long enough for a better epoch."""
    patience, state = session.training.patience, session.state
    return bool(patience) and state.epoch - max(state.best_epoch, first) >= patience


def train_epoch(session: Session, phase: PhaseConfig, loss: CompositeLoss) -> Record:
    """One pass over the training days.

    Returns:
        Mean loss, its terms, learning rate, gradient norm, samples per second, share of waiting for data.
    """
    timer, training = session.timer, session.training
    session.module.train()
    loss.reset()
    sums = Sums()
    before = dict(timer.seconds)
    limit = session.batches_per_epoch
    source = islice(session.source.epoch(session.state.epoch), limit)
    samples, lr = 0, 0.0
    with progress_bar() as bar:
        task = bar.add_task(f"epoch {session.state.epoch + 1}", total=limit, note="")
        for group in groups(timer.waiting(source), training.accumulation):
            days = sum(batch.real_days for batch in group)
            for batch in group:
                with timer.part("forward"):
                    result = forward(session, batch, phase, loss)
                with timer.part("backward"):
                    # A batch counts by its days, so that several accumulated ones equal one large batch.
                    session.fabric.backward(result.total * (batch.real_days / days))
                sums.add(result, batch.real_days)
                samples += batch.real_samples
                bar.advance(task)
            with timer.part("optimizer"):
                lr, norm = optimizer_step(session, phase)
            sums.norm(norm)
            session.interrupt()
            if session.device.type == "cpu" or session.state.step % CHECK_EVERY == 0:
                sums.refuse_nan(session.state.epoch + 1)
            bar.update(task, note=sums.note(session.state.history))
    sums.refuse_nan(session.state.epoch + 1)
    spent = {part: timer.seconds[part] - before.get(part, 0.0) for part in ("data", "forward", "backward", "optimizer")}
    means = sums.means()
    session.terms_seen = sums.terms
    session.samples_seen += samples
    return {
        **means,
        "lr": lr,
        "samples_per_second": samples / max(sum(spent.values()), 1e-9),
        "data_wait_share": spent["data"] / max(sum(spent.values()), 1e-9),
        **{f"seconds_{part}": seconds for part, seconds in spent.items()},
    }


def forward(session: Session, batch: DayBatch, phase: PhaseConfig, loss: CompositeLoss) -> LossResult:
    """Loss of one batch, with the phase's augmentation."""
    here = batch.to(session.device)
    features, mask = augment(here.inputs(), here.mask, phase.augmentation)
    output = session.score(here, features, mask)
    label_mask = here.label_mask & mask[:, :, None]
    return loss(
        output,
        here.targets,
        here.returns,
        label_mask,
        days=here.days,
        listing=here.listing,
        regime=session.regime_of(here),
    )


def optimizer_step(session: Session, phase: PhaseConfig) -> tuple[float, Tensor]:
    """Clip, step, average; return the learning rate and the gradient norm before clipping."""
    training, state = session.training, session.state
    lr = phase.lr_factor * learning_rate(
        state.step,
        steps=session.steps,
        epoch_steps=session.epoch_steps,
        peak=training.optimizer.lr,
        config=training.schedule,
    )
    for group in session.optimizer.param_groups:
        group["lr"] = lr
    norm = session.fabric.clip_gradients(
        session.module, session.optimizer, max_norm=training.clip_norm or math.inf, error_if_nonfinite=False
    )
    session.optimizer.step()
    session.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    if state.ema:
        weights = dict(session.model.named_parameters())
        torch._foreach_lerp_(
            list(state.ema.values()), [weights[name].detach() for name in state.ema], 1 - training.ema_decay
        )
    assert norm is not None
    return lr, norm


@torch.no_grad()
def validate(session: Session) -> tuple[RankICSummary, float]:
    """Daily RankIC of the validation days with the weights that would be kept; and the mean spread of a day."""
    session.module.eval()
    daily: list[Tensor] = []
    spread: list[Tensor] = []
    with session.averaged_weights():
        for batch in session.validation_batches.epoch():
            here = batch.to(session.device)
            score = session.score(here, here.inputs(), here.mask).score.float()
            real = here.days >= 0
            daily.append(
                torch.stack(
                    [
                        daily_rank_ic(score[..., place], here.returns[..., place], here.label_mask[..., place])
                        for place in range(len(session.horizons))
                    ],
                    dim=-1,
                )[real]
            )
            count = here.mask.sum(dim=1).clamp(min=1)[:, None]
            centred = (score - (score * here.mask[..., None]).sum(dim=1, keepdim=True) / count[..., None]) * here.mask[
                ..., None
            ]
            spread.append((centred.square().sum(dim=1) / count).sqrt()[real])
    table = torch.cat(daily).double().cpu().numpy()
    order = np.argsort(session.validation_days(), kind="stable")
    weights = session.loss.weights_of(session.horizons)
    return summarise(table[order], session.horizons, weights), float(torch.cat(spread).mean())


def validation_numbers(summary: RankICSummary) -> Record:
    """The record's entries: RankIC over horizons by the loss's weights, and each horizon's with its error."""
    numbers: Record = {"val_rank_ic": summary.average}
    for horizon, mean in summary.mean.items():
        numbers |= {f"val_rank_ic_{horizon}": mean, f"val_rank_ic_{horizon}_se": summary.se[horizon]}
    return numbers


def keep(session: Session, summary: RankICSummary) -> None:
    """Save the best weights if these are, then the state."""
    state = session.state
    if summary.average > state.best + (session.training.min_delta if state.best_epoch >= 0 else 0.0):
        state.best, state.best_epoch = summary.average, state.epoch
        session.store.save_best(state.epoch, session.weights_to_keep(), session.model_card(validation_numbers(summary)))
    session.store.save(state, session.model, session.optimizer)


def refuse_collapse(spread: float, epoch: int) -> None:
    """Stop a training whose scores no longer differ between listings.

    Raises:
        TrainingError: with the epoch and the spread.
    """
    if not spread > COLLAPSED:
        msg = (
            f"epoch {epoch}: scores collapsed (mean spread of a day {spread:.1e}, floor {COLLAPSED:.0e}); lower "
            "training.optimizer.lr or raise the rank terms of the loss. The last good checkpoint is kept"
        )
        raise TrainingError(msg)


def groups(batches: Iterator[DayBatch], size: int) -> Iterator[list[DayBatch]]:
    """Yield the batches in lists of ``size``; the last one may be shorter."""
    while group := list(islice(batches, size)):
        yield group


def epoch_line(record: Mapping[str, Any]) -> str:
    """One line of the log an epoch."""
    horizons = [name.removeprefix("val_rank_ic_") for name in record if name.startswith("val_rank_ic_")]
    parts = " ".join(
        f"{h}d {record[f'val_rank_ic_{h}']:+.4f}±{record[f'val_rank_ic_{h}_se']:.4f}"
        for h in horizons
        if not h.endswith("_se")
    )
    return (
        f"epoch {record['epoch']:3d} {record['phase']:<8} loss {record['loss']:.4f}  "
        f"RankIC {record['val_rank_ic']:+.4f} ({parts})  "
        f"{record['samples_per_second']:,.0f} samples/s  {record['seconds']:.1f} s"
    )


class Sums:
    """Running sums of an epoch, kept on the device so that no step waits."""

    def __init__(self) -> None:
        self.days = 0
        self.total = torch.zeros(())
        self.terms: dict[str, dict[str, float]] = {}
        self._terms: dict[str, tuple[Tensor, float]] = {}
        self._norm = torch.zeros(())
        self._spread = torch.zeros(2)
        self._steps = 0

    def add(self, result: LossResult, days: int) -> None:
        """Add a batch's loss and terms."""
        total = result.total.detach()
        self.total = self.total.to(total.device) + total * days
        self._spread = self._spread.to(total.device) + torch.stack([result.spread, result.narrow]) * days
        for name, term in result.terms.items():
            value = term.value.detach() * days
            self._terms[name] = (self._terms[name][0] + value if name in self._terms else value, term.weight)
        self.days += days

    def norm(self, norm: Tensor) -> None:
        """Add a step's gradient norm."""
        self._norm = self._norm.to(norm.device) + norm.detach()
        self._steps += 1

    def refuse_nan(self, epoch: int) -> None:
        """Stop a training whose loss is no number.

        Raises:
            TrainingError: with the epoch.
        """
        if not math.isfinite(float(self.total)):
            msg = (
                f"epoch {epoch}: the loss is {float(self.total)}; lower training.optimizer.lr or training.clip_norm. "
                "The last good checkpoint is kept"
            )
            raise TrainingError(msg)

    def note(self, history: list[Record]) -> str:
        """Text beside the progress bar."""
        best = max((record["val_rank_ic"] for record in history), default=math.nan)
        shown = f"loss {float(self.total) / max(self.days, 1):.4f}" if self.total.device.type == "cpu" else ""
        return f"{shown}  best RankIC {best:+.4f}" if history else shown

    def means(self) -> Record:
        """Means over the days of the epoch, and of the gradient norm over its steps."""
        days = max(self.days, 1)
        self.terms = {
            name: {"value": float(value) / days, "weight": weight, "weighted": float(value) / days * weight}
            for name, (value, weight) in self._terms.items()
        }
        spread, narrow = (self._spread / days).tolist()
        numbers: Record = {
            "loss": float(self.total) / days,
            "gradient_norm": float(self._norm) / max(self._steps, 1),
            "train_score_spread": spread,
            "share_of_narrow_days": narrow,
        }
        for name, term in self.terms.items():
            numbers |= {f"loss_{name}": term["value"], f"loss_{name}_weighted": term["weighted"]}
        return numbers
