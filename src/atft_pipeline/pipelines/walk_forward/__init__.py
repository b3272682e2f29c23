"""Stage ``walk_forward``: panel and graphs to one model a fold and one stitched table of predictions."""

from atft_pipeline.pipelines.walk_forward.pipeline import create_pipeline

__all__ = ["create_pipeline"]
