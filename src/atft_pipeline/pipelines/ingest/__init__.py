"""Stage ``ingest``: raw prices to clean prices and a data-quality report."""

from atft_pipeline.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
