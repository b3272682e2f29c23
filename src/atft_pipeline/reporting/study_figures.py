"""Figures of a study, drawn by Optuna; one that has nothing to show says so."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from atft_pipeline.reporting.theme import THEME, figure
from atft_pipeline.tuning.config import HpoConfig

if TYPE_CHECKING:  # the pipeline of the search names its figures without loading Optuna
    import optuna

FIGURES = {
    "hpo_history": ("plot_optimization_history", 1),
    "hpo_importance": ("plot_param_importances", 3),
    "hpo_slices": ("plot_slice", 1),
    "hpo_parallel": ("plot_parallel_coordinate", 1),
    "hpo_timeline": ("plot_timeline", 1),
}
"""By name: the function of ``optuna.visualization``, and the fewest completed trials of which it says something."""


def study_figures(study: optuna.Study, config: HpoConfig) -> dict[str, go.Figure]:
    """Draw every figure of a study, of its first objective.

    Args:
        study: finished or not.
        config: of the search.
    """
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    figures = {}
    for name, (draw, least) in FIGURES.items():
        values = {trial.values[0] for trial in complete}
        enough = len(complete) >= least and (least == 1 or len(values) > 1) and bool(config.space)
        figures[name] = _draw(draw, study, config) if enough else _empty(name, least)
    return figures


def _draw(draw: str, study: optuna.Study, config: HpoConfig) -> go.Figure:
    import optuna.visualization  # noqa: PLC0415  (as above)

    from atft_pipeline.tuning.samplers import quiet  # noqa: PLC0415

    options: dict[str, Any] = {}
    if draw != "plot_timeline":
        options["target_name"] = config.objective
        if len(config.directions) > 1:
            options["target"] = lambda trial: trial.values[0]
    if draw == "plot_param_importances":
        # It explains low values of a target; of a study with one objective it knows the direction by itself.
        options["evaluator"] = optuna.importance.PedAnovaImportanceEvaluator()
        if len(config.directions) > 1:
            options["target"] = lambda trial: -trial.values[0]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")
        drawn: go.Figure = getattr(optuna.visualization, draw)(study, **options)
        return drawn.update_layout(template=THEME)


def _empty(name: str, least: int) -> go.Figure:
    drawn = figure(f"{name}: needs {least} completed trials of different value", height=120)
    return drawn.update_xaxes(visible=False).update_yaxes(visible=False)
