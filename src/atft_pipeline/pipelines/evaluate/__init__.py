"""Stage ``evaluate``: model to predictions, metrics, baselines and figures."""

from atft_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
