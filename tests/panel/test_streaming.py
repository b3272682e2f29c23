"""A panel larger than the memory that a process may have."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atft_pipeline.features.manifest import FeatureManifest, write_manifest
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig
from tests.panel.market import business_days

pytestmark = pytest.mark.slow

DAYS, LISTINGS, FEATURES = 400, 500, 300  # 120 MB in half precision

SCRIPT = """
import resource, sys
from pathlib import Path
import torch
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.panel.config import ResidencyConfig

torch.set_num_threads(1)
panel = Panel.open(Path(sys.argv[1]))
small = BatchConfig(window=5, batch_size=512, min_history=2)

def data_kib():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1])

# One pass over a few days loads what the code itself needs.
warm = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
sum(batch.real_samples for batch in DayBatches(warm, None, range(8), small, shuffle=False, seed=0).epoch())
del warm
limit = 1024 * data_kib() + 90 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    print("resident fits")
except (RuntimeError, MemoryError) as error:
    print("resident does not fit:", str(error)[:80])
streamed = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
batches = DayBatches(streamed, None, range(len(panel.dates)), small, shuffle=True, seed=0)
total = sum(batch.real_samples for batch in batches.epoch())
print("streamed", total, batches.samples)
"""


def write_panel(folder: Path) -> Path:
    dates = business_days(DAYS)
    rng = np.random.default_rng(0)
    features = folder / "features"
    features.mkdir()
    names = [f"L{number:04d}" for number in range(LISTINGS)]
    months = dates.astype("datetime64[M]")
    columns = [f"f{number}" for number in range(FEATURES)]
    for month in np.unique(months):
        inside = dates[months == month]
        rows = len(inside) * LISTINGS
        table = {
            "Date": pa.array(np.repeat(inside, LISTINGS)).cast(pa.date32()),
            "Listing": pa.array(names * len(inside)),
            "InUniverse": pa.array(np.ones(rows, dtype=bool)),
            **{name: pa.array(rng.standard_normal(rows, dtype=np.float32)) for name in columns},
            "target_1": pa.array(np.zeros(rows, dtype=np.float32)),
            "return_1": pa.array(np.zeros(rows, dtype=np.float32)),
        }
        pq.write_table(pa.table(table), features / f"{month}.parquet", compression="none")
    manifest = FeatureManifest(
        features=tuple(columns),
        market_features=(),
        horizons=(1,),
        label="close_to_close",
        normalisation="none",
        months=tuple(np.unique(months).astype(str).tolist()),
        rows=len(dates) * LISTINGS,
        fingerprint="random",
        parameters="",
    )
    write_manifest(manifest, features)
    unknown = pa.nulls(LISTINGS, pa.string())
    table = pa.table({"Listing": names, "Code": names, "sector": unknown, "market": unknown})
    build_panel(features, table, folder / "panel.arrow", PanelConfig())
    return folder / "panel.arrow"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers private mappings on Linux only")
def test_streaming_works_where_the_resident_form_does_not_fit(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(write_panel(tmp_path))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("resident does not fit"), done.stdout
    assert last.startswith("streamed")
    assert last.split()[1] == last.split()[2]
