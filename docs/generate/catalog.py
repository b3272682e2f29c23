"""The catalog reference: every artifact of the pipelines, where it lies, and which stage writes and reads it."""

from collections.abc import Mapping
from pathlib import Path

from kedro.io import CatalogConfigResolver
from kedro.pipeline import Pipeline

from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[2]

INTRODUCTION = """# Catalog

Every artifact by the name that Kedro knows it by: `catalog.load("predictions")` in a notebook, `kedro lineage metrics`
on the command line. A versioned one lies at `<path>/<version>/<name>`; `--load-versions=panel:<version>` reads an older
one. `conf/base/catalog.yml` declares them; an entry of the same name in `conf/local/catalog.yml` replaces one.
"""
LAYERS = ("raw", "intermediate", "feature", "model_input", "models", "model_output", "reporting", "in memory")
# What each artifact is.
WHAT = {
    "sample_prices": "raw prices of the synthetic market, with broken rows put in on purpose",
    "sample_listings": "sector and market of its listings",
    "sample_oracle": "the best possible score of each listing and day",
    "raw_prices": "path of the raw prices: `--params prices=`",
    "raw_listings": "path of the listings table, if there is one: `--params listings=`",
    "raw_oracle": "path of the oracle, if there is one",
    "given_prices": "path of the prices that this very run names",
    "clean_prices": "prices after the rules, with the universe of each day",
    "listings": "sector and market of every listing",
    "data_quality": "what each rule touched, and why rows are out of the universe",
    "data_quality_page": "the same as a page",
    "workspace": "where a stage writes what is too large for memory, before it is moved to its place",
    "features": "features and labels, one Parquet file a month",
    "panel": "the memory-mapped panel ([how to read it](../panel.md))",
    "graphs": "one k-NN correlation graph a month",
    "graphs_report": "neighbours, components and turnover of the graph of each month",
    "graph_stability_figure": "the same as a figure",
    "previous_features": "the features that `update` continues",
    "previous_panel": "the panel that `update` continues",
    "previous_graphs": "the graphs that `update` continues",
    "checkpoints": "states from which a training resumes",
    "model": "the best model: weights (safetensors), parameters, what it descends from",
    "training_history": "loss terms and validation metrics of every epoch",
    "training_curves_figure": "the same as a figure",
    "run_card": "what was active in the training: device, precision, data, blocks, warnings",
    "run_card_page": "the same as a page",
    "trained_model": "path of the newest model, for the audit",
    "tuned_parameters": "path of the newest search's winner, for `training.from_study=best`",
    "study_storage": "the Optuna study: a SQLite file or a database",
    "finished_study": "the study of this run, in memory",
    "trial_table": "every trial with its parameters, state and reason",
    "trial_returns": "daily returns of each trial's portfolio on the validation days",
    "best_parameters": "the winner, as configuration",
    "hpo_report": "best value, selection bias, the look at the test days",
    "hpo_history_figure": "value of each trial, and the best so far",
    "hpo_importance_figure": "which dimensions mattered",
    "hpo_slices_figure": "value along each dimension",
    "hpo_parallel_figure": "all dimensions of all trials",
    "hpo_timeline_figure": "when each trial ran, and how it ended",
    "newest_trial_returns": "path of the newest search's returns: a winner is judged as the best of so many",
    "model_scores": "the model's scores of the test days",
    "reference_scores": "its scores of some training days, for the drift",
    "other_scores": "its scores of funds, bonds and preferreds on the test days, for one row of the slices",
    "baseline_scores": "scores of ridge, LightGBM and the factors on the same rows",
    "baseline_card": "validation RankIC of each baseline, and which one is the benchmark",
    "fitted_baselines": "ridge and LightGBM as they were fitted, as JSON",
    "newest_baselines": "path of the newest of them: predict scores with the benchmark too",
    "predictions": "all scores, targets and returns of the test rows in one table",
    "metrics": "every number of the evaluation with its error or interval",
    "evaluation_figures": "the figures of the page, in memory",
    "evaluation_page": "the report, one HTML file",
    "cumulative_rank_ic_figure": "RankIC summed over the test days",
    "decile_returns_figure": "mean return of each score decile",
    "backtests_figure": "growth of the portfolios after costs",
    "paired_differences_figure": "the model less each other score, with intervals",
    "rank_ic_by_slice_figure": "RankIC by year, volatility, sector and size",
    "explanation": "weights of features and lags, gates of the graph",
    "feature_weights_figure": "how much of each feature enters",
    "lag_weights_figure": "how much each day of the window counts",
    "fold_store": "finished folds of a walk-forward",
    "walk_forward_predictions": "out-of-sample scores of all folds in one table",
    "walk_forward_folds": "days, RankIC and errors of each fold",
    "walk_forward_metrics": "metrics of the stitched table",
    "newest_scores": "scores and ranks of the newest days",
    "audited_artifacts": "what the audit looks at, in memory",
    "audit": "result of the leak audit by part",
    "benchmark": "what each switch of the training costs on this machine",
    "benchmark_figure": "the same as a figure",
}


def artifacts(pipelines: Mapping[str, Pipeline]) -> dict[str, tuple[list[str], list[str]]]:
    """Stages that write and that read each artifact, in the order of the stages."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for stage, pipeline in pipelines.items():
        if stage in {"data", "__default__"}:
            continue
        for node in pipeline.nodes:
            for name, place in [*((name, 0) for name in node.outputs), *((name, 1) for name in node.inputs)]:
                if not name.startswith("params:"):
                    stages = found.setdefault(name, ([], []))[place]
                    stages += [stage] if stage not in stages else []
    return found


def reference(pipelines: Mapping[str, Pipeline]) -> str:
    """The whole page, in Markdown."""
    loader = ProjectConfigLoader(ROOT / "conf", "base", **CONFIG_LOADER_ARGS)
    config = loader["catalog"]
    resolver = CatalogConfigResolver(config, loader["credentials"])
    layers: dict[str, list[str]] = {}
    for name, (written, read) in artifacts(pipelines).items():
        entry = config.get(name) or resolver.resolve_pattern(name)
        layer = (entry or {}).get("metadata", {}).get("kedro-viz", {}).get("layer", "in memory")
        kind = (entry or {}).get("type", "MemoryDataset").rpartition(".")[2]
        path = f"<br>`{entry['filepath']}`" if entry and entry.get("filepath") else ""
        version = ", versioned" if entry and entry.get("versioned") else ""
        stages = [f"{word} {', '.join(names)}" for word, names in (("by", written), ("for", read)) if names]
        what = f"{WHAT.get(name, '')}{path}{version}"
        row = f'| <a id="{name}"></a>`{name}` | {what} | {kind} | {"<br>".join(stages)} |'
        layers.setdefault(layer, []).append(row)
    head = "| artifact | what, and where | dataset | made by, read for |\n|---|---|---|---|\n"
    titles = [f"## {name.replace('_', ' ').capitalize()}\n\n{head}" + "\n".join(layers[name]) for name in LAYERS]
    return "\n\n".join([INTRODUCTION, *titles])
