"""Pipeline of the stage ``benchmark``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.benchmark.nodes import draw_switches, measure_switches


def create_pipeline() -> Pipeline:
    """A market of noise in memory -> what each switch of the training costs on this machine."""
    return Pipeline(
        [
            Node(measure_switches, inputs="params:benchmark", outputs="benchmark", name="measure_switches"),
            Node(draw_switches, inputs="benchmark", outputs="benchmark_figure", name="draw_switches"),
        ]
    )
