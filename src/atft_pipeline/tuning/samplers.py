"""Samplers and pruners that a configuration names."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

from atft_pipeline.tuning.config import HpoConfig

# Epochs that every trial may train: a RankIC after one or two says little of the later ones.
WARMUP = 2


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's remarks that a part is experimental, and its own log."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


def build_sampler(config: HpoConfig, number: int) -> BaseSampler:
    """Build the sampler that proposes one trial.

    What a sampler has learnt lies in the study. Its random numbers are drawn anew for each trial from the seed and the
    trial's number: workers never propose the same, and a resumed study goes on as it would have.

    Args:
        config: of the search.
        number: of the trial.
    """
    seed = (config.seed * 1_000_003 + number) % 2**32
    startup = startup_trials(config)
    with quiet():
        if config.sampler == "random":
            return RandomSampler(seed=seed)
        if config.sampler == "cmaes":
            return CmaEsSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
        return TPESampler(
            n_startup_trials=startup,
            multivariate=True,
            constant_liar=True,
            seed=seed,
        )


def build_pruner(config: HpoConfig) -> BasePruner:
    """Build the pruner; it is asked after each epoch but the last."""
    epochs = config.size.epochs
    if config.pruner == "none":
        return NopPruner()
    if config.pruner == "hyperband":
        shortest = min(WARMUP, epochs or WARMUP)
        return HyperbandPruner(min_resource=shortest, max_resource=epochs or "auto", reduction_factor=3)
    return MedianPruner(n_startup_trials=startup_trials(config), n_warmup_steps=WARMUP)


def startup_trials(config: HpoConfig) -> int:
    """Trials before the sampler learns from them and the median prunes by them: a fifth of all, at least 2."""
    return max(2, config.size.trials // 5)
