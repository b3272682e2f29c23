"""Stage ``sample_market``: a synthetic market with a known signal."""

from atft_pipeline.pipelines.sample_market.pipeline import create_pipeline

__all__ = ["create_pipeline"]
