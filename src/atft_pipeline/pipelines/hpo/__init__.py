"""Stage ``hpo``: panel and graphs to a study, its best parameters and a report."""

from atft_pipeline.pipelines.hpo.pipeline import create_pipeline

__all__ = ["create_pipeline"]
