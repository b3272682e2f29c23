"""Stage ``graphs``: clean prices to monthly correlation graphs."""

from atft_pipeline.pipelines.graphs.pipeline import create_pipeline

__all__ = ["create_pipeline"]
