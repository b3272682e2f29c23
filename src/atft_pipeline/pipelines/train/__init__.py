"""Stage ``train``: panel and graphs to a trained model, its history and run card."""

from atft_pipeline.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
