"""Learning rate as a pure function of the step, so that a resumed run continues on the same curve."""

import math
from collections.abc import Sequence

from atft_pipeline.training.config import PhaseConfig, ScheduleConfig, TrainingConfig

# Epochs before the first restart, and factor of each later period (T_0 and T_mult of Loshchilov and Hutter): 3, 6 and
# 12 epochs end at 3, 9 and 21, near the ends of the presets of a search.
FIRST_PERIOD = 3
PERIOD_FACTOR = 2


def learning_rate(step: int, *, steps: int, epoch_steps: int, peak: float, config: ScheduleConfig) -> float:
    """Learning rate of a step.

    Args:
        step: 0 for the first step.
        steps: steps of the whole training.
        epoch_steps: steps of an epoch.
        peak: highest learning rate.
        config: the curve.

    Returns:
        The learning rate, between 0 and ``peak``.
    """
    low = min(config.eta_min, peak)
    if config.name == "constant":
        return peak
    if config.name == "one_cycle":
        return _one_cycle(step, steps, peak, low, config.warmup_share)
    warmup = round(config.warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if config.name == "warmup_cosine":
        return _cosine((step - warmup) / max(steps - 1 - warmup, 1), peak, low)
    return _restarts(step - warmup, epoch_steps, peak, low)


def planned_rate(training: TrainingConfig, phase: PhaseConfig, step: int, epoch_ends: Sequence[int]) -> float:
    """The learning rate that a training takes at a step; an optimiser is built with none of its own.

    Args:
        training: schedule and peak.
        phase: the phase that the step belongs to.
        step: 0 for the first step.
        epoch_ends: steps done after each epoch of the plan.
    """
    peak, schedule = training.optimizer.lr, training.schedule
    rate = learning_rate(step, steps=epoch_ends[-1], epoch_steps=epoch_ends[0], peak=peak, config=schedule)
    return phase.lr_factor * rate


def planned_rates(training: TrainingConfig, epoch_ends: Sequence[int]) -> list[float]:
    """Learning rate of every step of a plan of which no phase ends early.

    Args:
        training: phases, schedule, optimiser.
        epoch_ends: steps done after each epoch of the plan.
    """
    starts = [0, *epoch_ends[:-1]]
    return [
        planned_rate(training, training.phase_of(epoch), step, epoch_ends)
        for epoch, (start, end) in enumerate(zip(starts, epoch_ends, strict=True), start=1)
        for step in range(start, end)
    ]


def _cosine(share: float, high: float, low: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _restarts(step: int, epoch_steps: int, peak: float, low: float) -> float:
    period = FIRST_PERIOD * epoch_steps
    while step >= period:
        step -= period
        period *= PERIOD_FACTOR
    return _cosine(step / period, peak, low)


def _one_cycle(step: int, steps: int, peak: float, low: float, rising: float) -> float:
    top = max(rising * (steps - 1), 1e-9)
    if step < top:
        return _cosine(step / top, max(peak / 25, low), peak)
    return _cosine((step - top) / max(steps - 1 - top, 1e-9), peak, low)
