"""Kedro settings of the project."""

from kedro.config import OmegaConfigLoader

from atft_pipeline.hooks import ArtifactHooks, LineageHooks, ParameterHooks, ReportHooks, StudyHooks, TrackingHooks

HOOKS = (StudyHooks(), ParameterHooks(), ArtifactHooks(), LineageHooks(), TrackingHooks(), ReportHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
