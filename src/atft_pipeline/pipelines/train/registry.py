"""The trained model in MLflow's registry, with the panel and the graphs that it was trained on."""

import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipelines.tracking import tracked
from atft_pipeline.scoring.windows import Windows, first_windows, newest_windows
from atft_pipeline.training.checkpoint.model import ModelCard, load_model

NAME = "atft_pipeline"
"""Of the registered model; every training is a version of it."""
SAMPLES = 4
"""Of the input example, which MLflow keeps as text."""
REQUIRED = ("mlflow", "numpy", "pyarrow", "safetensors", "torch")


class MarketDataset(MetaDataset):
    """A file that is named and not read."""

    def profile(self) -> None:
        """Nothing: the run card tells what it holds."""


@tracked
def log_market(panel: Panel, graphs: MonthlyGraphs) -> None:
    """Log what was trained on: names, places and fingerprints."""
    made = (("panel", panel.path, panel.meta.fingerprint), ("graphs", graphs.path, graphs.meta.fingerprint))
    for name, path, digest in made:
        with warnings.catch_warnings():
            # Two classes of MLflow, which are the same, take a local path.
            warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
            source = resolve_dataset_source(str(path))
        mlflow.log_input(MarketDataset(source, name=name, digest=digest), context="training")


@tracked
def register_model(folder: Path, panel: Panel, graphs: MonthlyGraphs) -> None:
    """Log the best checkpoint as a version of the registered model."""
    windows = newest_windows(folder, panel, graphs)
    _, card = load_model(folder)
    quiet = logging.getLogger("mlflow")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(folder)},
            signature=signature(windows, card),
            input_example=first_windows(windows, SAMPLES),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED],
            registered_model_name=NAME,
        )
    finally:
        quiet.setLevel(level)


def signature(windows: Windows, card: ModelCard) -> ModelSignature:
    """What the model takes and gives; the number of samples is free."""
    inputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(value.dtype), (-1, *value.shape[1:]), name) for name, value in windows.items()
    ]
    outputs: list[ColSpec | TensorSpec] = [ColSpec("float", f"score_{horizon}") for horizon in card.horizons]
    levels = card.model.heads.quantiles
    outputs += [ColSpec("float", f"quantile_{horizon}_{level:g}") for horizon in card.horizons for level in levels]
    return ModelSignature(Schema(inputs), Schema(outputs))
