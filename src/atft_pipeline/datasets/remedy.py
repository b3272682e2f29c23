"""Which command makes an artifact, for messages."""

from kedro.framework.project import pipelines

COMPOSED = frozenset({"__default__", "data"})
# How the names of inputs begin that an update continues.
PREVIOUS = "previous_"


def producer(dataset: str) -> str | None:
    """Name of the stage that writes a dataset, or the one that an update continues."""
    dataset = dataset.removeprefix(PREVIOUS)
    return next(
        (name for name, stage in pipelines.items() if name not in COMPOSED and dataset in stage.all_outputs()), None
    )


def make_again(dataset: str) -> str:
    """The advice for an artifact that is there but of no use."""
    stage = producer(dataset)
    return f"make it again with: kedro run --pipeline={stage}" if stage else "make it again"
