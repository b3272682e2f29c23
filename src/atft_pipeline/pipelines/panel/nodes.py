"""Node of the stage ``panel``."""

from functools import partial
from pathlib import Path

import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.panel.build import PanelConfig, build_panel, read_manifest
from atft_pipeline.pipelines.parameters import Params


def pack_panel(features: Path, listings: pl.DataFrame, config: Params[PanelConfig]) -> Write:
    """Return the function that packs the feature table into the panel."""
    lineage = {"features": read_manifest(features)["fingerprint"]}
    return partial(_write, features=features, listings=listings, config=config.root, lineage=lineage)


def _write(path: Path, *, features: Path, listings: pl.DataFrame, config: PanelConfig, lineage: dict[str, str]) -> None:
    build_panel(features, listings.to_arrow(), path, config, lineage)
