"""Node of the stage ``panel``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.pipelines.parameters import configured

if TYPE_CHECKING:
    import polars as pl


@configured
def pack_panel(features: Path, listings: pl.DataFrame, config: PanelConfig, workspace: Path) -> Path:
    """Pack the feature table into the panel, in the working folder; return its path."""
    from atft_pipeline.panel.build import build_panel

    with draft(workspace, "panel") as path:
        build_panel(features, listings.to_arrow(), path, config)
    return path
