"""Stage ``panel``: features to the memory-mapped panel."""

from atft_pipeline.pipelines.panel.pipeline import create_pipeline

__all__ = ["create_pipeline"]
