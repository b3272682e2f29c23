"""Stage ``audit``."""

from atft_pipeline.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
