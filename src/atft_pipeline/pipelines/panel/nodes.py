"""Node of the stage ``panel``."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.panel.build import PanelConfig, build_panel
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.progress import track


def read_months(folder: Path) -> Iterator[pa.Table]:
    """Yield the feature table month by month."""
    for path in track(sorted(folder.glob("*.parquet")), "panel"):
        yield pq.read_table(path)


def pack_panel(features: Path, listings: pl.DataFrame, config: Params[PanelConfig]) -> Write:
    """Return the function that packs the feature table into the panel."""
    manifest = json.loads((features / "features.json").read_text(encoding="utf-8"))
    return partial(
        _write, months=read_months(features), manifest=manifest, listings=listings.to_arrow(), config=config.root
    )


def _write(
    path: Path, *, months: Iterator[pa.Table], manifest: dict[str, object], listings: pa.Table, config: PanelConfig
) -> None:
    build_panel(months, manifest, listings, path, config, lineage={"features": manifest.get("fingerprint", "")})
