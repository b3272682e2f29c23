"""Time and skill of the LightGBM baseline on a panel, before and after, in one run.

    python -m benchmarks.lightgbm PANEL --before REVISION [--days 400] [--horizon 5] [--neutral-to BETAMKT60]

PANEL is a ``panel.arrow``. ``REVISION`` is a commit whose ``baselines/lightgbm.py`` still chose the trees on the
validation days and from at most ``max_rows`` rows; without it only what there is now is measured. One horizon is fitted
with the settings of production; seconds are those of the processor, so that a busy machine does not count. Test days
are not looked at.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np

from atft_pipeline.baselines.binned import DayTable
from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.frames import Rows
from atft_pipeline.baselines.lightgbm import Predict, fit_trees
from atft_pipeline.baselines.ridge import rank_ic_columns
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.scorer import STREAMED
from atft_pipeline.splits.split import Split, SplitConfig, single_split
from atft_pipeline.training.config import TargetsConfig

BEFORE = {"learning_rates": (0.05,), "leaves": (15, 63), "rounds": 300, "patience": 80, "min_rows": 1000}
MAX_ROWS = 1_200_000


def module_of(revision: str) -> ModuleType:
    """The tree baseline of an earlier commit."""
    command = ["git", "show", f"{revision}:src/atft_pipeline/baselines/lightgbm.py"]
    source = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "before.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("before", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["before"] = module
        spec.loader.exec_module(module)
    return module


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panel", type=Path)
    parser.add_argument("--before", metavar="REVISION")
    parser.add_argument("--days", type=int, help="last training days; all where not given")
    parser.add_argument("--horizon", type=int, default=5)
    parser.add_argument("--neutral-to", nargs="*", default=["BETAMKT60"])
    given = parser.parse_args()
    panel = Panel.open(given.panel)
    days = single_split(panel.dates, SplitConfig(validation_share=0.12, test_share=0.24), panel.meta.label_span)
    train = days.train if given.days is None else days.train[-given.days :]
    split = Split(train=train, validation=days.validation, test=days.test, embargo=days.embargo)
    batches = BatchConfig(window=5, batch_size=8192, min_history=4, min_listings=50)
    rows = Rows(ResidentPanel.load(panel, STREAMED), split, batches, TargetsConfig(neutral_to=tuple(given.neutral_to)))
    training, validation, _ = rows.parts
    column = [panel.meta.horizons.index(given.horizon)]
    checks = [(x, y[:, column]) for x, y in rows.fitted_on(validation, "validation")]

    def judge(predict: Predict) -> np.ndarray:
        return np.stack([rank_ic_columns(predict(x), y) for x, y in checks])

    began = time.process_time()
    table, limit = rows.table(training)
    table = DayTable(table.days, table.sizes, table.features, table.targets[:, column], table.read)
    read = time.process_time() - began
    gap = panel.meta.label_span + split.embargo
    model = fit_trees(table, judge, np.full((len(checks), 1), -1.0), (given.horizon,), gap, LightGBMConfig())
    total = time.process_time() - began
    (fit,) = model.card["horizons"].values()
    print(
        f"now     {total:6.0f} s ({read:.0f} s of it to read), {len(table.targets):,} rows (room for {limit:,}), "
        f"{fit['chosen']['leaves']} leaves, {fit['chosen']['rounds']} trees, "
        f"validation RankIC {fit['validation_rank_ic']['mean']:.4f}",
        flush=True,
    )
    if given.before is None:
        return
    before = module_of(given.before)
    began = time.process_time()
    kept = before.thin_days(training.days, [len(training.samples_of(day)) for day in training.days], MAX_ROWS)
    blocks = [(x, y[:, column]) for x, y in rows.fitted_on(training, "before", kept)]
    count = sum(len(x) for x, _ in blocks)
    old = before.fit_trees(blocks, checks, (given.horizon,), before.LightGBMConfig(**BEFORE, max_rows=MAX_ROWS))
    total = time.process_time() - began
    chosen = old.card["horizons"][0]["chosen"]
    print(
        f"before  {total:6.0f} s, {count:,} rows, {chosen['leaves']} leaves, {chosen['rounds']} trees, "
        f"validation RankIC {chosen['validation_rank_ic']['mean']:.4f}, the best of its own choice"
    )


if __name__ == "__main__":
    main()
