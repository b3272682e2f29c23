"""What pruning saves: the same search with and without it, over several seeds, on a small market.

Run ``kedro run --pipeline=data`` first; then ``python benchmarks/hpo.py``. The model is narrow and an epoch short, so
that searches end in minutes; what is compared is epochs and best values, which no other work on the machine changes.
"""

import argparse
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from atft_pipeline.datasets.raw import newest
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.composite import LossConfig
from atft_pipeline.model.config import EncoderConfig, GraphAttentionConfig, ModelConfig, SelectionConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig
from atft_pipeline.panel.splits import SplitConfig
from atft_pipeline.pipelines.hpo.nodes import load_market
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.tuning.config import DimensionConfig, HpoConfig, PrunerConfig
from atft_pipeline.tuning.objective import Market, Objective
from atft_pipeline.tuning.report import study_report
from atft_pipeline.tuning.space import Settings
from atft_pipeline.tuning.storage import SharedStudy, open_storage
from atft_pipeline.tuning.study import Worker, study_fingerprint

BASE = Settings(
    model=ModelConfig(
        width=8,
        dropout=0.1,
        selection=SelectionConfig(hidden=8, per_step=False),
        encoder=EncoderConfig(heads=2),
        graph=GraphAttentionConfig(layers=1, heads=2),
    ),
    loss=LossConfig(),
    training=TrainingConfig(epochs=6, patience=0, max_batches=20),
    batches=BatchConfig(window=5, batch_size=384, bucket=64, min_history=3),
    runtime=RuntimeConfig(device="cpu"),
)
SPACE = (
    DimensionConfig(path="training.optimizer.lr", kind="log", low=1e-4, high=3e-2),
    DimensionConfig(path="training.optimizer.weight_decay", kind="log", low=1e-3, high=10.0),
    DimensionConfig(path="model.dropout", kind="float", low=0.0, high=0.6),
    DimensionConfig(path="training.augmentation.noise", kind="float", low=0.0, high=1.0),
    DimensionConfig(path="loss.rank_ic", kind="float", low=0.0, high=2.0),
)


def search(market: Market, config: HpoConfig) -> dict[str, float]:
    """Run a search in a folder of its own; return epochs, saving and best value."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fingerprint = study_fingerprint(market, BASE, config)
        storage = open_storage(f"sqlite:///{folder}/optuna.db", config.heartbeat)
        shared = SharedStudy(storage, "benchmark", fingerprint, config)
        worker = Worker(shared, BASE, config, Objective(market, config, folder / "checkpoints"))
        worker.run()
        report = study_report(worker.trials(), config, "benchmark", 20, None)
        storage.engine.dispose()
    return {**report["epochs"], "best": report["winner"]["val_rank_ic"]}


def main() -> None:
    """Print one line a seed and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/05_model_input"), help="panel and graphs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pruner", default="median")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    panel = Panel.open(newest(options.data / "panel.arrow"))
    graphs = MonthlyGraphs.open(newest(options.data / "graphs.arrow"))
    market = load_market(panel, graphs, SplitConfig(), ResidencyConfig(), BASE.runtime)
    print(f"{options.trials} trials x {options.epochs} epochs, sampler tpe, pruner {options.pruner}")
    print("seed  epochs without  with  saved   best without     with")
    rows = []
    for seed in range(1, options.seeds + 1):
        config = HpoConfig(
            preset="custom", trials=options.trials, epochs=options.epochs, seed=seed, space=SPACE, resamples=100
        )
        bare = search(market, replace(config, pruner=PrunerConfig(name="none")))
        pruned = search(market, replace(config, pruner=PrunerConfig(name=options.pruner)))
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
