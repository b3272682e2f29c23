"""Node of the stage ``panel``."""

from functools import partial
from pathlib import Path

import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.panel.build import PanelConfig, build_panel, read_manifest
from atft_pipeline.pipelines.parameters import Params


def pack_panel(features: Path, listings: pl.DataFrame, config: Params[PanelConfig]) -> Write:
    """Return the function that packs the feature table into the panel."""
    return partial(_write, features=features, listings=listings, config=config.root)


def _write(path: Path, *, features: Path, listings: pl.DataFrame, config: PanelConfig) -> None:
    manifest = read_manifest(features)
    lineage = {"features": manifest["fingerprint"], "parameters": manifest["parameters"]}
    build_panel(features, listings.to_arrow(), path, config, lineage)
