"""Nodes of the stage ``benchmark``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from atft_pipeline.benchmark.config import BenchmarkConfig
from atft_pipeline.pipelines.parameters import configured

if TYPE_CHECKING:
    import plotly.graph_objects as go


log = logging.getLogger(__name__)


@configured
def measure_switches(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure what each switch of the training costs on this machine, and print the table."""
    from atft_pipeline.benchmark.report import run_benchmark
    from atft_pipeline.reporting.benchmark_table import benchmark_table

    found = run_benchmark(config)
    log.info("benchmark\n%s", benchmark_table(found))
    return found


@configured
def draw_switches(found: dict[str, Any]) -> go.Figure:
    """Draw the variants' speeds."""
    from atft_pipeline.reporting.benchmark_figures import variants_figure

    return variants_figure(found)
