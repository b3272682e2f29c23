"""How fast windows come out of the panel, as ratios in one run.

Builds a panel of random features (listings x days x features), then measures windows per second of: memcpy of as many
bytes, resident day batches (float16), a DataLoader that takes item by item, and a Parquet slice a sample; the bytes
that a cold streamed day reads; and how long opening the file takes. Medians of repeated runs.

    python benchmarks/panel.py [--listings 4484] [--days 500] [--features 112] [--window 60]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from atft_pipeline.features.manifest import FeatureManifest, write_manifest
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import BatchConfig, PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import DayCache, ResidentPanel
from atft_pipeline.process import keep_freed_memory


def write_features(folder: Path, listings: int, days: int, features: int) -> None:
    """Write a random feature table, month by month."""
    rng = np.random.default_rng(0)
    dates = np.arange(np.datetime64("2015-01-01"), np.datetime64("2015-01-01") + 2 * days)
    dates = dates[np.is_busday(dates)][:days]
    names = pa.array([f"L{number:05d}" for number in range(listings)])
    columns = [f"f{number:03d}" for number in range(features)]
    for month in np.unique(dates.astype("datetime64[M]")):
        inside = dates[dates.astype("datetime64[M]") == month]
        rows = len(inside) * listings
        table = {
            "Date": pa.array(np.repeat(inside, listings)).cast(pa.date32()),
            "Listing": pa.DictionaryArray.from_arrays(
                np.tile(np.arange(listings, dtype=np.int32), len(inside)), names
            ).cast(pa.string()),
            "InUniverse": pa.array(np.ones(rows, dtype=bool)),
        }
        table |= {name: pa.array(rng.standard_normal(rows, dtype=np.float32)) for name in columns}
        table |= {f"{kind}_5": pa.array(rng.standard_normal(rows, dtype=np.float32)) for kind in ("target", "return")}
        pq.write_table(pa.table(table), folder / f"{month}.parquet", compression="none")
    manifest = FeatureManifest(
        features=tuple(columns),
        market_features=(),
        horizons=(5,),
        label="close_to_close",
        normalisation="none",
        months=tuple(path.stem for path in sorted(folder.glob("*.parquet"))),
        rows=sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")),
        fingerprint="random",
        parameters="",
    )
    write_manifest(manifest, folder)


def rate(work: Callable[[], int], repeats: int = 5) -> tuple[float, float, float]:
    """Windows per second: median, lowest, highest."""
    work()
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        count = work()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates), min(rates), max(rates)


class Items(Dataset[tuple[torch.Tensor, ...]]):
    """One window an item with all that a day batch holds of it, as a classic DataLoader takes it."""

    def __init__(self, resident: ResidentPanel, window: int, day: int) -> None:
        self.resident, self.window, self.day = resident, window, day

    def __len__(self) -> int:
        return self.resident.present.shape[1]

    def __getitem__(self, listing: int) -> tuple[torch.Tensor, ...]:
        steps = slice(self.day - self.window + 1, self.day + 1)
        source = self.resident
        targets = source.targets[self.day, listing]
        return (
            source.features[steps, listing],
            source.present[steps, listing],
            targets,
            source.returns[self.day, listing],
            torch.isfinite(targets),
            source.sector[listing],
            source.market[listing],
        )


def drop_cache(path: Path) -> None:
    """Ask the kernel to forget the pages of a file."""
    os.sync()
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def bytes_read() -> int:
    """Bytes that this process has fetched from the disk."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("listings", 4484), ("days", 500), ("features", 112), ("window", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    keep_freed_memory()  # as training does
    window, features, listings = options.window, options.features, options.listings
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "features").mkdir()
        write_features(root / "features", listings, options.days, features)
        names = [f"L{number:05d}" for number in range(listings)]
        unknown = pa.nulls(listings, pa.string())
        table = pa.table({"Listing": names, "Code": names, "sector": unknown, "market": unknown})
        start = time.perf_counter()
        build_panel(root / "features", table, root / "panel.arrow", PanelConfig())
        print(f"build            {time.perf_counter() - start:8.2f} s")

        openings = []
        for _ in range(9):
            start = time.perf_counter()
            panel = Panel.open(root / "panel.arrow")
            _ = panel.dates, panel.listings
            openings.append(time.perf_counter() - start)
        size = panel.path.stat().st_size / 2**30
        print(f"open             {1e3 * statistics.median(openings):8.1f} ms ({size:.2f} GiB)")

        drop_cache(panel.path)
        cache = DayCache(Panel.open(panel.path), torch.float16)
        before = bytes_read()
        cache.windows(torch.full((listings,), options.days // 2), torch.arange(listings), window)
        needed = window * listings * (features * 2 + 4 + 4 + 4 + 1 / 8)
        times = (bytes_read() - before) / needed
        print(f"cold day         {times:8.2f} x the bytes of its window ({needed / 1e6:.0f} MB)")

        drop_cache(panel.path)
        start = time.perf_counter()
        resident = ResidentPanel.load(Panel.open(panel.path), ResidencyConfig(mode="host"))
        print(f"cold load        {time.perf_counter() - start:8.2f} s")

        config = BatchConfig(window=window, batch_size=listings, min_history=1)
        batches = DayBatches(resident, None, range(window, window + 4), config, shuffle=True, seed=0)
        out = torch.empty(listings * window, features, dtype=torch.float16)
        source = torch.randn(listings * window, features).half()

        def memcpy() -> int:
            for _ in range(4):
                out.copy_(source)
            return 4 * listings

        loader = DataLoader(Items(resident, window, window), batch_size=1024)
        month = sorted((root / "features").glob("*.parquet"))[0]
        columns = [f"f{number:03d}" for number in range(features)]

        def parquet() -> int:
            for listing in range(4):
                pq.read_table(month, columns=columns, filters=[("Listing", "=", names[listing])]).to_pandas()
            return 4

        measured = {
            "memcpy": rate(memcpy),
            "resident batches": rate(lambda: sum(batch.real_samples for batch in batches.epoch())),
            "DataLoader": rate(lambda: sum(len(batch[0]) for batch in loader)),
            "Parquet slice": rate(parquet, repeats=3),
        }
        base = measured["resident batches"][0]
        for name, (middle, low, high) in measured.items():
            print(
                f"{name:<16} {middle:12,.0f} windows/s ({low:,.0f} to {high:,.0f})   resident is {base / middle:,.2f} x"
            )


if __name__ == "__main__":
    main()
