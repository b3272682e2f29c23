"""What pruning saves: the same search with and without it, over several seeds.

``python -m benchmarks.hpo`` from the root of the project. The market is the tests' tiny one with a weak signal, so that
searches end in minutes; what is compared is epochs and best values, which no other work on the machine changes.
"""

import argparse
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.tuning.studies import BASE, load, worker

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from atft_pipeline.training.config import OptimizerConfig, TrainingConfig
from atft_pipeline.tuning.config import DimensionConfig, HpoConfig
from atft_pipeline.tuning.objective import SharedData
from atft_pipeline.tuning.report import study_report, trial_table

SETTINGS = replace(
    BASE,
    training=TrainingConfig(patience=0, optimizer=OptimizerConfig(lr=2e-3)),
    batches=replace(BASE.batches, batch_size=256),
)
SPACE = (
    DimensionConfig(path="training.optimizer.lr", kind="log", low=1e-4, high=3e-2),
    DimensionConfig(path="training.optimizer.weight_decay", kind="log", low=1e-3, high=10.0),
    DimensionConfig(path="model.dropout", kind="float", low=0.0, high=0.6),
    DimensionConfig(path="training.augmentation.noise", kind="float", low=0.0, high=1.0),
    DimensionConfig(path="loss.rank_ic", kind="float", low=0.0, high=2.0),
)


def search(data: SharedData, config: HpoConfig) -> dict[str, float]:
    """Run a search in a folder of its own; return epochs, saving and best value."""
    with tempfile.TemporaryDirectory() as name:
        made = worker(data, config, Path(name), base=SETTINGS)
        made.run()
        trials = made.trials()
        report = study_report(trials, trial_table(trials, config), config, "benchmark", 5, None)
        made.shared.storage.engine.dispose()
    return {**report["epochs"], "best": report["winner"]["val_rank_ic"]}


def main() -> None:
    """Print one line a seed and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pruner", default="median")
    parser.add_argument("--sampler", default="tpe")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{options.trials} trials x {options.epochs} epochs, sampler {options.sampler}, pruner {options.pruner}")
    print("seed  epochs without  with  saved   best without     with")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data, _ = load(Path(name), signal=0.15, days=160, listings=40)
        for seed in range(1, options.seeds + 1):
            config = HpoConfig(
                preset="custom",
                trials=options.trials,
                epochs=options.epochs,
                seed=seed,
                space=SPACE,
                sampler=options.sampler,
            )
            bare = search(data, replace(config, pruner="none"))
            pruned = search(data, replace(config, pruner=options.pruner))
            saved = 1 - pruned["trained"] / bare["trained"]
            rows.append((saved, bare["best"], pruned["best"]))
            print(
                f"{seed:4d}  {bare['trained']:14.0f}  {pruned['trained']:4.0f}  {saved:5.0%}   "
                f"{bare['best']:+12.4f}  {pruned['best']:+.4f}",
                flush=True,
            )
    saved, without, with_it = np.mean(rows, axis=0)
    print(f"mean  saved {saved:.0%}, best without {without:+.4f}, with {with_it:+.4f}")


if __name__ == "__main__":
    main()
