"""Stage ``features``: clean prices to features and labels."""

from atft_pipeline.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
