"""What the training loop costs beside model and optimiser, where a step's time goes, and what validation costs.

Builds a panel of random features with random graphs, trains one epoch with the loop, then steps model, loss and
optimiser alone over the same batches, built beforehand; both in one process, in turns.

    python -m benchmarks.training [--listings 1000] [--days 120] [--features 112] [--window 60] [--hidden 64]
"""

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from benchmarks.panel import write_features

from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.model.config import GraphAttentionConfig, ModelConfig
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import BatchConfig, PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.build import build_trainer
from atft_pipeline.training.config import OptimizerConfig, TrainingConfig
from atft_pipeline.training.epoch import train_epoch, validate
from atft_pipeline.training.experiment import Experiment, MarketData, TrainingRun
from atft_pipeline.training.trainer import Trainer


def market(folder: Path, listings: int, days: int, features: int) -> tuple[Panel, MonthlyGraphs]:
    """A panel of noise and graphs of noise."""
    (folder / "features").mkdir()
    write_features(folder / "features", listings, days, features)
    names = [f"L{number:05d}" for number in range(listings)]
    table = pa.table({"Listing": names, "Code": names, "sector": ["a"] * listings, "market": ["b"] * listings})
    build_panel(folder / "features", table, folder / "panel.arrow", PanelConfig())
    panel = Panel.open(folder / "panel.arrow")
    returns = np.random.default_rng(1).standard_normal((days, listings)).astype(np.float32)
    path = folder / "graphs.arrow"
    index = panel.meta.index_fingerprint
    config = GraphConfig(threshold=0.0)
    build_graphs(returns, panel.dates, panel.listings, panel.sector, panel.market, config, index, path, {})
    return panel, MonthlyGraphs.open(path)


def open_trainer(folder: Path, options: argparse.Namespace, optimizer: str) -> Trainer:
    """A trainer as a training opens it."""
    panel, graphs = Panel.open(folder / "panel.arrow"), MonthlyGraphs.open(folder / "graphs.arrow")
    count, first = len(panel.dates), options.window
    middle = first + (count - first) // 2
    split = Split(tuple(range(first, middle)), tuple(range(middle, count)), ())
    experiment = Experiment(
        batches=BatchConfig(window=options.window, batch_size=options.batch, min_history=options.window),
        model=ModelConfig(width=options.hidden, graph=GraphAttentionConfig(layers=2, heads=8)),
        training=TrainingConfig(epochs=100, optimizer=OptimizerConfig(name=optimizer)),  # type: ignore[arg-type]
    )
    return build_trainer(TrainingRun(experiment, MarketData(panel, graphs), split, folder / "states" / optimizer))


def bare(trainer: Trainer) -> float:
    """Seconds of model, loss and optimiser over an epoch's batches, one batch ready at a time."""
    loss = CompositeLoss(trainer.experiment.loss, trainer.horizons)
    trainer.module.train()
    spent = 0.0
    for plan in trainer.train_batches.plan(trainer.state.epoch):
        batch = trainer.train_batches.build(plan).to(trainer.device)
        features = batch.inputs()
        begun = time.perf_counter()
        output = trainer.score(batch, features, batch.mask).arranged(batch.by_day)
        labels = trainer.labels(batch, batch.mask)
        trainer.fabric.backward(loss(output, labels.targets, labels.returns, labels.mask).total)
        trainer.fabric.clip_gradients(trainer.module, trainer.optimizer, max_norm=1.0, error_if_nonfinite=False)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        spent += time.perf_counter() - begun
    return spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("listings", 1000), ("days", 120), ("features", 112), ("window", 60), ("hidden", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        market(folder, options.listings, options.days, options.features)
        report(folder, options)


def report(folder: Path, options: argparse.Namespace) -> None:
    """Measure in turns and print medians."""
    trainer = open_trainer(folder, options, "adamw")
    loss = trainer.enter(trainer.experiment.training.plan[0])
    train_epoch(trainer, loss)  # the first epoch allocates
    whole, alone, validation, parts, computed = [], [], [], [], []
    for _ in range(options.repeats):
        trainer.state.done, trainer.state.epoch = 0, trainer.state.epoch + 1
        begun, used = time.perf_counter(), time.process_time()
        parts.append(train_epoch(trainer, loss))
        computed.append(time.process_time() - used)
        whole.append(time.perf_counter() - begun)
        alone.append(bare(trainer))
        begun = time.perf_counter()
        validate(trainer)
        validation.append(time.perf_counter() - begun)
    rows = trainer.train_batches.samples, trainer.validation_batches.samples
    ratio = statistics.median(v / rows[1] / (w / rows[0]) for v, w in zip(validation, whole, strict=True))
    wait = statistics.median(part["data_wait_share"] for part in parts)
    overhead = statistics.median(1 - a / w for a, w in zip(alone, whole, strict=True))
    where = f"{options.listings} listings, {options.features} features, windows of {options.window}"
    print(f"{where}, hidden {options.hidden}, batches of {options.batch}, torch {torch.__version__}, {trainer.device}")
    print(f"samples a second           {statistics.median(part['samples_per_second'] for part in parts):10,.0f}")
    # On a machine that does other work too, the clock says little.
    print(f"samples a second of processor time {rows[0] / min(computed):10,.0f}")
    print(f"data-wait share            {100 * wait:10.2f} %")
    print(f"loop beside model, loss and optimiser {100 * overhead:6.2f} %   (single runs {listed(whole, alone)})")
    print(f"validation a row, against training    {ratio:6.2f}")
    trainer.store.close()
    for optimizer in ("adamw", "adabelief"):
        other = open_trainer(folder, options, optimizer)
        share = part_share(other, "optimizer")
        print(f"optimizer share with {optimizer:<10} {100 * share:10.2f} %")


def part_share(trainer: Trainer, part: str) -> float:
    """Share of a part in one epoch's steps."""
    train_epoch(trainer, trainer.enter(trainer.experiment.training.plan[0]))
    return trainer.timer.share(part)


def listed(whole: list[float], alone: list[float]) -> str:
    """Each turn's overhead in percent."""
    shares = [1 - a / w for a, w in zip(alone, whole, strict=True)]
    return ", ".join(f"{100 * share:.1f}" if math.isfinite(share) else "-" for share in shares)


if __name__ == "__main__":
    main()
