"""Nodes of the stage ``benchmark``."""

import logging
from typing import Any

import plotly.graph_objects as go

from atft_pipeline.benchmark.report import BenchmarkConfig, run_benchmark
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.reporting.benchmark_figures import variants_figure
from atft_pipeline.reporting.benchmark_table import benchmark_table

log = logging.getLogger(__name__)


@configured
def measure_switches(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure what each switch of the training costs on this machine, and print the table."""
    found = run_benchmark(config)
    log.info("benchmark\n%s", benchmark_table(found))
    return found


def draw_switches(found: dict[str, Any]) -> go.Figure:
    """Draw the variants' speeds."""
    return variants_figure(found)
