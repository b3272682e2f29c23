"""Kedro settings of the project."""

from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.guards import LockHooks, SourceHooks
from atft_pipeline.hooks import ArtifactHooks, LineageHooks, ParameterHooks, ReportHooks
from atft_pipeline.tracking_hooks import TrackingHooks

HOOKS = (
    SourceHooks(),
    ParameterHooks(),
    ArtifactHooks(),
    LineageHooks(),
    TrackingHooks(),
    ReportHooks(),
    LockHooks(),
)
# TrackingHooks does what kedro-mlflow's would where that is installed for other projects.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro_mlflow", "kedro-mlflow")

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
}
