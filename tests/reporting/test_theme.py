"""Every figure has the one look, and one thing has one colour in all of them."""

import plotly.graph_objects as go
import polars as pl
import pytest

from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.graphs.report import report_months
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.reporting.benchmark_figures import variants_figure
from atft_pipeline.reporting.evaluation_figures import all_figures, edge_attention, importance, lag_attention
from atft_pipeline.reporting.graph_figures import graph_stability
from atft_pipeline.reporting.quality_figures import quality_figures
from atft_pipeline.reporting.theme import COLOURS, DARK, LIGHT, figure, panels, transparent
from atft_pipeline.reporting.training_figures import training_curves
from tests.evaluation.test_evaluate import predictions
from tests.features.market import raw_market
from tests.training.runs import market


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, go.Figure]:
    folder = tmp_path_factory.mktemp("figures")
    path = folder / "prices.parquet"
    raw_market(12, 90).write_parquet(path)
    epoch = {"epoch": 1, "loss_huber_weighted": 0.4, "val_rank_ic_1": 0.1, "val_rank_ic_1_se": 0.01}
    variant = {"name": "default", "error": "", "samples_per_second": 10.0, "parts": {"forward": 1.0}}
    found = {"variants": [variant], "machine": {"device": "cpu", "torch": "2"}, "scale": "tiny"}
    table = predictions().with_columns(lightgbm_1=pl.col("ridge_1") * -1)
    return {
        **quality_figures(ingest(path, None, IngestConfig()).report),
        **all_figures(evaluate(table, EvaluationConfig())),
        "importance": importance({"RET1": 0.2}),
        "lags": lag_attention([0.5, 0.5]),
        "edges": edge_attention([1.0], 0.5),
        "training": training_curves([epoch, epoch | {"epoch": 2}], [0.1, 0.2]),
        "graphs": graph_stability(report_months(market(folder)[1])),
        "benchmark": variants_figure(found),
    }


def test_every_figure_carries_the_light_theme(figures: dict[str, go.Figure]) -> None:
    for name, drawn in figures.items():
        assert drawn.layout.template == LIGHT, name
        assert drawn.data or drawn.layout.annotations, name


def test_a_score_has_one_colour(figures: dict[str, go.Figure]) -> None:
    lines = {trace.name: trace.line.color for trace in figures["cumulative_rank_ic"].data}
    bars = {trace.name: trace.marker.color for trace in figures["decile_returns"].data}
    scores = ("model", "ridge", "lightgbm")
    assert {lines[name] for name in scores} == {COLOURS[name] for name in scores}
    assert {name: lines[name] for name in scores} == {name: bars[name] for name in scores}
    assert lines["oracle"] == COLOURS["oracle"]


def test_both_forms_differ_in_ink_and_ground_alone() -> None:
    light, dark = LIGHT.layout, DARK.layout
    assert light.paper_bgcolor != dark.paper_bgcolor
    assert light.font.color != dark.font.color
    assert (light.colorway, light.margin, light.legend) == (dark.colorway, dark.margin, dark.legend)


def test_the_legend_of_panels_stands_above_their_titles() -> None:
    for title in ("", "whole"):
        drawn = panels(title, rows=1, cols=2, subplot_titles=("a", "b"), height=400)
        below = 400 * (1 - drawn.layout.legend.y)
        assert 0 < below < drawn.layout.margin.t - 50
    assert figure("t", "x", "y").layout.xaxis.title.text == "x"


def test_a_colour_with_an_opacity() -> None:
    assert transparent("#ff8000", 0.5) == "rgba(255,128,0,0.5)"
