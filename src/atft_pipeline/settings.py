"""Kedro settings of the project."""

from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.hooks import ArtifactHooks, LineageHooks, ParameterHooks, ReportHooks, StoreHooks, TrackingHooks

HOOKS = (StoreHooks(), ParameterHooks(), ArtifactHooks(), LineageHooks(), TrackingHooks(), ReportHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
