import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.batches import BatchConfig, DayBatch, DayBatches
from atft_pipeline.panel.loader import WorkerLoader
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.process import POOL_VARIABLES
from tests.panel.market import RingGraphs, make_panel

pytestmark = pytest.mark.slow

CONFIG = BatchConfig(window=6, batch_size=8, bucket=4, min_history=3, min_listings=2)


def day_batches(panel: Panel, mode: str = "mmap") -> DayBatches:
    resident = ResidentPanel.load(panel, ResidencyConfig(mode=mode))
    return DayBatches(resident, RingGraphs(panel), range(60), CONFIG, shuffle=True, seed=3)


def equal(first: DayBatch, second: DayBatch) -> bool:
    return all(
        torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
        for left, right in ((getattr(first, item.name), getattr(second, item.name)) for item in fields(DayBatch))
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_give_the_batches_of_the_process_itself(workers: int, tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    batches = day_batches(panel)
    loader = WorkerLoader(batches, workers, 2, pin=False)
    for epoch in (0, 1, 0):
        alone, theirs = list(batches.epoch(epoch)), list(loader.epoch(epoch))
        assert len(alone) == len(theirs) > 5
        assert all(equal(first, second) for first, second in zip(alone, theirs, strict=True))
    resident = list(day_batches(panel, "host").epoch(0))
    assert all(equal(first, second) for first, second in zip(resident, alone, strict=True))


def test_workers_are_for_a_streamed_panel_only() -> None:
    with pytest.raises(ConfigError, match="streamed panel only"):
        ResidencyConfig(mode="host", workers=2)


STARTS = """
import sys

if __name__ == "__main__":
    from pathlib import Path

    sys.path.insert(0, sys.argv[3])
    import atft_pipeline
    import polars as pl
    from atft_pipeline.panel.loader import WorkerLoader
    from atft_pipeline.panel.panel import Panel
    from tests.panel.test_loader import day_batches

    # The pools of Polars and torch are busy when the workers start, as they are in a pipeline.
    pl.DataFrame({"a": range(10**6)}).group_by(pl.col("a") % 97).len()
    batches = day_batches(Panel.open(Path(sys.argv[1])))
    for _ in range(int(sys.argv[2])):
        loader = WorkerLoader(batches, 2, 2, pin=False)
        assert sum(1 for _ in loader.epoch(0)) == len(batches)
        del loader
        print("started", flush=True)
"""


def test_twenty_starts_in_a_row_without_a_hang(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script), str(panel.path), "20", str(Path(__file__).resolve().parents[2])],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("started") == 20
    assert time.monotonic() - began < 400


def test_thread_limits_stand_before_torch_is_imported() -> None:
    """Importing any module of the package sets the limits first; torch and Polars obey them."""
    code = (
        "import sys, os\n"
        "import atft_pipeline\n"
        "assert 'torch' not in sys.modules and 'polars' not in sys.modules\n"
        "import torch, polars\n"
        f"limits = ','.join(os.environ[name] for name in {POOL_VARIABLES!r})\n"
        "print(torch.get_num_threads(), polars.thread_pool_size(), atft_pipeline.THREADS, limits)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *numbers, variables = done.stdout.split()
    torch_threads, polars_threads, limit = map(int, numbers)
    assert polars_threads == limit
    assert torch_threads <= limit
    assert set(variables.split(",")) == {str(limit)}
