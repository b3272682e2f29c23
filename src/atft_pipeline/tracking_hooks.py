"""Tracking by MLflow as kedro-mlflow's ``mlflow.yml`` sets it up; nothing that it meets stops a run.

The hook of kedro-mlflow itself opens the store for every command and dies where the store does.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from pydantic import ValidationError

from atft_pipeline.errors import ConfigError
from atft_pipeline.locks import file_lock
from atft_pipeline.pipelines.tracking import AWAY, WATCH, end_runs, failures, log, look, shown
from atft_pipeline.pipelines.train.tracking import log_parameters

STORE_LOCK = "mlflow.db.lock"
LOCAL = {"", "file", "sqlite"}


class TrackingHooks:
    """MLflow sees every tracked run, with every parameter by its dotted name."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._config = KedroMlflowConfig()
        self._run: str | None = None
        # Runs that this process began; one that was open already is for its opener to end.
        self._ends = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the configuration; the store is opened by a run that is tracked, so that looking needs none.

        Raises:
            ConfigError: ``mlflow.yml`` has a key or value that kedro-mlflow does not know.
        """
        loader = context.config_loader
        try:
            conf = dict(loader["mlflow"] or {})
        except MissingConfigException:
            conf = {}
        try:
            self._config = KedroMlflowConfig.model_validate(conf)
        except ValidationError as error:
            found = error.errors()[0]
            place = ".".join(str(part) for part in found["loc"])
            msg = f"conf/*/mlflow.yml: {place}: {found['msg']}"
            raise ConfigError(msg) from None
        self._context = context
        # Where `kedro mlflow ui` looks for the address.
        context.__setattr__("mlflow", self._config)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Open the store and begin a run, unless tracking is off for these pipelines."""
        names = run_params.get("pipeline_names") or ["__default__"]
        self._run, self._ends = None, False
        if set(names) <= set(self._config.tracking.disable_tracking.pipelines):
            return
        WATCH.lost, WATCH.place = False, shown(self._address)
        try:
            self._begin("+".join(names), {key: value for key, value in run_params.items() if value})
        except failures() as error:
            WATCH.give_up(error)

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log the parameters of a node."""
        if self._run is not None and not WATCH.lost and mlflow.active_run() is None:
            # A runner with threads: MLflow knows a run in the thread that began it.
            try:
                mlflow.start_run(run_id=self._run)
            except AWAY as error:
                WATCH.give_up(error)
        log_parameters(inputs)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the run."""
        if self._ends:
            end_runs("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """End the run as failed."""
        if self._ends:
            end_runs("FAILED")

    @property
    def _address(self) -> str:
        return self._config.server.mlflow_tracking_uri or "mlruns"

    def _begin(self, name: str, tags: dict[str, Any]) -> None:
        """Open the store, one process at a time, since the first makes its tables; then begin a run in it."""
        assert self._context is not None
        active = mlflow.active_run()
        if active is None:
            look(self._address)
            project, tracking = self._context.project_path, self._config.tracking
            with file_lock(project / STORE_LOCK) if os.access(project, os.W_OK) else nullcontext():
                if urlsplit(self._address).scheme in LOCAL:
                    self._keep_apart(project)
                self._config.setup(self._context)
            experiment = mlflow.get_experiment_by_name(tracking.experiment.name)
            active = mlflow.start_run(
                run_id=tracking.run.id,
                experiment_id=experiment.experiment_id if experiment is not None else None,
                run_name=tracking.run.name or name,
                nested=tracking.run.nested,
            )
            self._ends = True
        self._run = active.info.run_id
        mlflow.set_tags(tags)

    def _keep_apart(self, project: Path) -> None:
        """A copied project does not write into the folder of the original, whose path the copied store remembers."""
        experiment = self._config.tracking.experiment
        if experiment.create_experiment_kwargs.artifact_location is not None:
            return
        known = mlflow.MlflowClient(self._address).get_experiment_by_name(experiment.name)
        place = urlsplit(known.artifact_location) if known is not None else None
        if place is None or place.scheme not in LOCAL:
            return
        folder = Path(unquote(place.path)).resolve()
        if not folder.is_relative_to(project.resolve()):
            name = f"{experiment.name} in {project.resolve()}"
            log.info("MLflow's experiment %s belongs to %s; this run goes to: %s", experiment.name, folder, name)
            experiment.name = name
