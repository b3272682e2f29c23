"""One epoch of training and one validation.

Legend: B days of a batch, n listings of the padded view by day, Q horizons.
"""

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from rich.progress import Progress, TaskID
from torch import Tensor

from atft_pipeline.losses import masked
from atft_pipeline.losses.composite import CompositeLoss, LossResult
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.packing import BatchPlan
from atft_pipeline.process import return_freed_memory
from atft_pipeline.progress import progress_bar
from atft_pipeline.stats.rank_ic import RankICSummary, rank_ic_of_tensors, summarise
from atft_pipeline.training.accumulator import MetricAccumulator, Record
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.health import block_norms
from atft_pipeline.training.runtime.monitor import STEP, WARM_UP, tracing
from atft_pipeline.training.trainer import Trainer

# Steps between two looks at what makes the host wait for the device: a loss that is no number, norms by block.
CHECK_EVERY = 50


def train_epoch(trainer: Trainer, loss: CompositeLoss) -> Record:
    """One pass over the training days, from the step at which the state stands.

    Returns:
        Mean loss, its terms, learning rate, gradient norms, samples per second, share of waiting for data.
    """
    state = trainer.state
    trainer.module.train()
    loss.reset()
    sums = MetricAccumulator()
    if state.done:
        sums.unpack(state.sums, trainer.device)
        loss.remember(state.loss_memory)
    groups = trainer.groups(state.epoch)
    plans = [plan for group in groups[state.done :] for plan in trainer.share_of(group)]
    batches = trainer.timer.waiting(trainer.source.build_all(plans))
    clock = Clock(trainer)
    # An epoch that was interrupted after its last step has none left.
    lr = trainer.planned_rate(max(state.step - 1, 0))
    traced_steps = trainer.experiment.training.profile_steps if not state.epoch else 0
    trace = tracing(traced_steps, trainer.store.folder / "trace.json")
    with progress_bar() as bar, trace as traced:
        task = bar.add_task(f"epoch {state.epoch + 1}", total=len(groups), completed=state.done, note="")
        for group in groups[state.done :]:
            lr = train_group(trainer, loss, sums, group, batches, clock)
            state.done += 1
            note_first_step(trainer)
            traced()
            clock.step()
            trainer.after_step(sums, loss)
            if trainer.device.type == "cpu" or state.step % CHECK_EVERY == 0:
                sums.refuse_nan(state.epoch + 1)
                show(bar, task, trainer, sums, clock)
            if trainer.device.type == "cpu" and state.step % CHECK_EVERY == 0:
                return_freed_memory()
            bar.advance(task)
    sums.refuse_nan(state.epoch + 1)
    trainer.timer.collect()
    sums.gather(trainer.processes.all_gather(sums.pack()))
    trainer.terms_seen = sums.terms()
    return {**sums.means(), "lr": lr, **clock.numbers()}


def note_first_step(trainer: Trainer) -> None:
    """Note when the first step of this process is done: loading, compiling and the step itself."""
    if trainer.first_step_seconds is None:
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        trainer.first_step_seconds = time.perf_counter() - trainer.began


def train_group(
    trainer: Trainer,
    loss: CompositeLoss,
    sums: MetricAccumulator,
    group: Sequence[BatchPlan],
    batches: Iterator[DayBatch],
    clock: "Clock",
) -> float:
    """One optimiser step over this process's batches of a group; returns the learning rate."""
    timer = trainer.timer
    days = sum(len(plan.days) for plan in group)
    for plan in trainer.share_of(group):
        batch = next(batches)
        with timer.part("forward"):
            result = forward(trainer, batch, loss)
        with timer.part("backward"):
            # A batch counts by its days, so that several, here or in other processes, equal one large batch.
            trainer.fabric.backward(result.total * (batch.real_days / days))
        sums.add(result, batch.real_days)
        clock.samples += batch.real_samples
        trainer.samples_seen += batch.real_samples
        trainer.state.read["train"].update(plan.days)
    with timer.part("optimizer"):
        trainer.stop = trainer.processes.sum_gradients(trainer.model, stop=trainer.stop)
        look = trainer.state.step % CHECK_EVERY == 0
        blocks = block_norms(trainer.model) if look else None
        lr, norm = optimizer_step(trainer)
    sums.add_norm(norm, blocks)
    return lr


def forward(trainer: Trainer, batch: DayBatch, loss: CompositeLoss) -> LossResult:
    """Loss of one batch, with the phase's augmentation."""
    here = batch.to(trainer.device)
    features, mask = augment(here, trainer.phase.augmentation)
    output = trainer.score(here, features, mask)
    labels = trainer.labels(here, mask)
    return loss(
        output.arranged(here.by_day),
        labels.targets,
        labels.returns,
        labels.mask,
        days=here.days,
        listing=here.by_day(here.listing + 1) - 1,
        regime=trainer.regime_of(here),
    )


def optimizer_step(trainer: Trainer) -> tuple[float, Tensor]:
    """Clip, step, average; return the learning rate and the gradient norm before clipping."""
    training, state = trainer.experiment.training, trainer.state
    lr = trainer.planned_rate(state.step)
    for group in trainer.optimizer.param_groups:
        group["lr"] = lr
    norm = trainer.fabric.clip_gradients(
        trainer.module, trainer.optimizer, max_norm=training.clip_norm or math.inf, error_if_nonfinite=False
    )
    trainer.optimizer.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    if state.ema:
        weights = dict(trainer.model.named_parameters())
        torch._foreach_lerp_(
            list(state.ema.values()), [weights[name].detach() for name in state.ema], 1 - training.ema_decay
        )
    assert norm is not None
    return lr, norm


@torch.no_grad()
def validate(trainer: Trainer) -> tuple[RankICSummary, float]:
    """Daily RankIC of the validation days with the weights that would be kept; and the mean spread of a day."""
    trainer.module.eval()
    plans = trainer.processes.shard(trainer.validation_batches.plan())
    rows: list[Tensor] = []
    with trainer.averaged_weights():
        trainer.state.read["validation"].update(day for plan in plans for day in plan.days)
        for batch in trainer.validation_source.build_all(plans):
            here = batch.to(trainer.device)
            score = here.by_day(trainer.score(here, here.inputs(), here.mask).score.float())
            labels, known = here.by_day(here.returns), here.by_day(here.label_mask)
            daily = rank_ic_of_tensors(score.transpose(1, 2), labels.transpose(1, 2), known.transpose(1, 2))
            # Days that only pad a batch are dropped by the host, once, when all is computed.
            rows.append(torch.cat([daily, score_spread(score, here.by_day(here.mask))], dim=1)[: batch.real_days])
    numbers = torch.cat(rows).cpu() if rows else torch.zeros(0, 2 * len(trainer.horizons))
    days = [day for plan in plans for day in plan.days]
    parts = trainer.processes.all_gather((days, numbers))
    order = np.argsort([day for part, _ in parts for day in part], kind="stable")
    daily, spread = torch.cat([part for _, part in parts])[order].double().chunk(2, dim=1)
    weights = trainer.experiment.loss.weights_of(trainer.horizons)
    return summarise(daily.numpy(), trainer.horizons, weights), float(spread.mean())


def score_spread(score_BnQ: Tensor, mask_Bn: Tensor) -> Tensor:
    """Standard deviation [B, Q] of each day's scores."""
    return masked.spread(score_BnQ.transpose(1, 2), mask_Bn[:, None])


class Clock:
    """Rates of an epoch, counted after the warm-up of the process.

    Attributes:
        samples: since the count began.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._begin()

    def _begin(self) -> None:
        self.samples = 0
        self._seconds = dict(self._trainer.timer.seconds)
        self._start = time.perf_counter()

    def step(self) -> None:
        """Count a step; a process's first steps, which also compile, are left out where more follow."""
        if self._trainer.steps_here < WARM_UP < self._trainer.epoch_steps:
            self._trainer.steps_here += 1
            self._begin()

    def rate(self) -> float:
        """Samples per second of all processes together."""
        spent = time.perf_counter() - self._start
        return self._trainer.processes.world * self.samples / spent if spent and self.samples else 0.0

    def numbers(self) -> Record:
        """Seconds by part, samples per second, and the share of waiting for data."""
        seconds = self._trainer.timer.seconds
        spent = {part: seconds[part] - self._seconds.get(part, 0.0) for part in STEP}
        # A GPU works while the host goes on: only the clock, read after both are done, tells what a step took.
        total = time.perf_counter() - self._start if self._trainer.device.type == "cuda" else sum(spent.values())
        return {
            "samples_per_second": self._trainer.processes.world * self.samples / total if total else 0.0,
            "data_wait_share": spent["data"] / total if total else 0.0,
            **{f"seconds_{part}": value for part, value in spent.items()},
        }


def show(bar: Progress, task: TaskID, trainer: Trainer, sums: MetricAccumulator, clock: Clock) -> None:
    """Write loss, best RankIC and speed beside the bar."""
    best = max((record["val_rank_ic"] for record in trainer.state.history), default=math.nan)
    known = f"  best RankIC {best:+.4f}" if trainer.state.history else ""
    bar.update(task, note=f"loss {sums.loss:.4f}{known}  {clock.rate():,.0f} samples/s")
