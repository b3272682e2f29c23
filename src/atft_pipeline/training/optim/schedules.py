"""Learning rate as a pure function of the step, so that a resumed run continues on the same curve."""

import math

from atft_pipeline.training.config import ScheduleConfig, TrainingConfig

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


def planned_rates(training: TrainingConfig, epoch_steps: int) -> list[float]:
    """Learning rate of every step of a plan, phase by phase, as the training will use them.

    Args:
        training: phases, schedule, optimiser.
        epoch_steps: steps of an epoch.
    """
    steps = epoch_steps * sum(phase.epochs for phase in training.plan)
    rates: list[float] = []
    for phase in training.plan:
        for step in range(len(rates), len(rates) + phase.epochs * epoch_steps):
            rate = learning_rate(
                step, steps=steps, epoch_steps=epoch_steps, peak=training.optimizer.lr, config=training.schedule
            )
            rates.append(phase.lr_factor * rate)
    return rates


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
