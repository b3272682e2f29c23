"""Pipeline of the stage ``predict``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.predict.nodes import predict_newest


def create_pipeline() -> Pipeline:
    """Model, panel, graphs -> scores and ranks of the newest days, beside them the benchmark of the evaluation.

    Refused where newer prices are there.
    """
    return Pipeline(
        [
            Node(
                predict_newest,
                inputs={
                    "model": "model",
                    "panel": "panel",
                    "graphs": "graphs",
                    "quality": "data_quality",
                    "baselines": "newest_baselines",
                    "prices": "given_prices",
                    "predict": "params:predict",
                    "ingest": "params:ingest",
                    "runtime": "params:runtime",
                },
                outputs="newest_scores",
                name="predict",
            ),
        ]
    )
