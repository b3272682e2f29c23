"""Samplers and pruners that a configuration names."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

from atft_pipeline.tuning.config import HpoConfig


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
    startup = config.sampler.startup or max(2, config.size.trials // 5)
    with quiet():
        if config.sampler.name == "random":
            return RandomSampler(seed=seed)
        if config.sampler.name == "cmaes":
            return CmaEsSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
        return TPESampler(
            n_startup_trials=startup,
            multivariate=True,
            constant_liar=True,
            seed=seed,
        )


def build_pruner(config: HpoConfig) -> BasePruner:
    """Build the pruner; it is asked after each epoch but the last."""
    pruner, epochs = config.pruner, config.size.epochs
    if pruner.name == "none":
        return NopPruner()
    if pruner.name == "hyperband":
        return HyperbandPruner(min_resource=max(1, pruner.warmup), max_resource=epochs or "auto", reduction_factor=3)
    startup = pruner.startup if pruner.startup is not None else max(2, config.size.trials // 5)
    return MedianPruner(n_startup_trials=startup, n_warmup_steps=pruner.warmup)
