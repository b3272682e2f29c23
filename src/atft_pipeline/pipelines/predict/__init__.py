"""Stage ``predict``: model to the scores of the newest days."""

from atft_pipeline.pipelines.predict.pipeline import create_pipeline

__all__ = ["create_pipeline"]
