"""A small feature table for the tests of panel, graphs and training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atft_pipeline.features.manifest import FeatureManifest, read_manifest, write_manifest
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel

FEATURES = ("alpha", "beta", "gamma", "regime")
HORIZONS = (1, 5)


def business_days(count: int, first: str = "2021-01-04") -> np.ndarray:
    days = np.datetime64(first, "D") + np.arange(int(count * 1.6) + 10).astype("timedelta64[D]")
    return days[np.is_busday(days)][:count]


def write_features(folder: Path, *, days: int = 60, listings: int = 12, seed: int = 0, signal: float = 0.0) -> pa.Table:
    """Write a feature table: ``L03`` starts on day 10, ``L05`` ends on day 30, ``L07`` skips odd days.

    The labels are ``signal`` x alpha plus noise.
    """
    rng = np.random.default_rng(seed)
    dates = business_days(days)
    values = rng.standard_normal((days, listings, len(FEATURES))).astype(np.float32)
    values[:, :, -1] = values[:, :1, -1]
    labels = rng.standard_normal((days, listings, len(HORIZONS))).astype(np.float32)
    labels += signal * values[:, :, :1]
    alive = np.ones((days, listings), dtype=bool)
    alive[:10, 3] = False
    alive[30:, 5] = False
    alive[1::2, 7] = False
    universe = rng.random((days, listings)) < 0.9
    day, column = np.nonzero(alive)
    table = {
        "Date": pa.array(dates[day]).cast(pa.date32()),
        "Listing": pa.array([f"L{number:02d}" for number in column]),
        "InUniverse": pa.array(universe[day, column]),
    }
    table |= {name: pa.array(values[day, column, place]) for place, name in enumerate(FEATURES)}
    for place, horizon in enumerate(HORIZONS):
        label = labels[day, column, place].copy()
        label[day >= days - horizon] = np.nan
        table[f"target_{horizon}"] = pa.array(label, from_pandas=True)
        table[f"return_{horizon}"] = pa.array(label / 50, from_pandas=True)
    built = pa.table(table)
    folder.mkdir(parents=True, exist_ok=True)
    months = dates[day].astype("datetime64[M]")
    for month in np.unique(months):
        pq.write_table(built.filter(pa.array(months == month)), folder / f"{month}.parquet")
    manifest = FeatureManifest(
        features=FEATURES,
        market_features=("regime",),
        horizons=HORIZONS,
        label="close_to_close",
        normalisation="none",
        months=tuple(str(month) for month in np.unique(months)),
        rows=built.num_rows,
        fingerprint=f"features-{seed}",
        parameters="",
    )
    write_manifest(manifest, folder)
    return built


def restate(folder: Path) -> None:
    """Let the manifest tell the months and rows that lie in the folder now."""
    rows = {month.stem: pq.read_metadata(month).num_rows for month in sorted(folder.glob("*.parquet"))}
    write_manifest(replace(read_manifest(folder), months=tuple(rows), rows=sum(rows.values())), folder)


def listings_table(listings: int = 12) -> pa.Table:
    names = [f"L{number:02d}" for number in range(listings)]
    return pa.table(
        {
            "Listing": names,
            "Code": names,
            "sector": [["energy", "health", None][number % 3] for number in range(listings)],
            "market": ["main"] * listings,
        }
    )


def make_panel(folder: Path, *, dtype: str = "float16", signal: float = 0.0, **size: int) -> Panel:
    write_features(folder / "features", signal=signal, **size)
    config = PanelConfig(dtype="float32" if dtype == "float32" else "float16")
    build_panel(folder / "features", listings_table(size.get("listings", 12)), folder / "panel.arrow", config)
    return Panel.open(folder / "panel.arrow")


class RingGraphs:
    """Graphs in which the neighbours of listing i are i+1, i+2, ...; they change with the month."""

    def __init__(self, panel: Panel, k: int = 3) -> None:
        self.k = k
        self.size = len(panel.listings)
        months = panel.dates.astype("datetime64[M]").astype(np.int64)
        self.month_of_day = months - months.min() - 1

    def neighbors(self, month: int) -> np.ndarray:
        ring = (np.arange(self.size)[:, None] + np.arange(1, self.k + 1) + month) % self.size
        ring[0] = -1
        return ring.astype(np.int32)

    def edge_attr(self, month: int) -> np.ndarray:
        return np.full((self.size, self.k, 3), 0.25 * (month + 1), dtype=np.float32)
