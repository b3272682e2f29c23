"""The pipelines of the project."""

from kedro.pipeline import Pipeline

from atft_pipeline.pipelines import (
    audit,
    benchmark,
    evaluate,
    features,
    graphs,
    hpo,
    ingest,
    panel,
    predict,
    sample_market,
    train,
    update,
    walk_forward,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; ``data`` and ``__default__`` are sums of stages."""
    stages = {
        "sample_market": sample_market.create_pipeline(),
        "ingest": ingest.create_pipeline(),
        "features": features.create_pipeline(),
        "panel": panel.create_pipeline(),
        "graphs": graphs.create_pipeline(),
        "train": train.create_pipeline(),
        "hpo": hpo.create_pipeline(),
        "evaluate": evaluate.create_pipeline(),
        "predict": predict.create_pipeline(),
        "walk_forward": walk_forward.create_pipeline(),
        "audit": audit.create_pipeline(),
        "update": update.create_pipeline(),
        "benchmark": benchmark.create_pipeline(),
    }
    data = stages["ingest"] + stages["features"] + stages["panel"] + stages["graphs"]
    return {**stages, "data": data, "__default__": data + stages["train"] + stages["evaluate"]}
