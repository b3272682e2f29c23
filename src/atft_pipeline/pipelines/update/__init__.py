"""Stage ``update``: the newest prices into clean prices, features, panel and graphs, without rebuilding history."""

from atft_pipeline.pipelines.update.pipeline import create_pipeline

__all__ = ["create_pipeline"]
