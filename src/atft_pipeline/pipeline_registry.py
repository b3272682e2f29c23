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

# In the order in which a user meets them: where two write an artifact, the first is the one that advice names.
STAGES = (
    *(sample_market, ingest, features, panel, graphs, train, hpo, evaluate),
    *(predict, walk_forward, audit, update, benchmark),
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; ``data`` and ``__default__`` are sums of stages."""
    stages = {stage.__name__.rpartition(".")[2]: stage.create_pipeline() for stage in STAGES}
    data = stages["ingest"] + stages["features"] + stages["panel"] + stages["graphs"]
    return {**stages, "data": data, "__default__": data + stages["train"] + stages["evaluate"]}
