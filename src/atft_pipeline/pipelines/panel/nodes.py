"""Node of the stage ``panel``."""

from pathlib import Path

import polars as pl

from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.panel.build import PanelConfig, build_panel
from atft_pipeline.pipelines.parameters import configured


@configured
def pack_panel(features: Path, listings: pl.DataFrame, config: PanelConfig, workspace: Path) -> Path:
    """Pack the feature table into the panel, in the working folder; return its path."""
    with draft(workspace, "panel") as path:
        build_panel(features, listings.to_arrow(), path, config)
    return path
