"""Tracking by MLflow as ``conf/*/mlflow.yml`` sets it up; nothing that it meets stops a run.

MLflow takes seconds to load, so only a run that is tracked loads it. kedro-mlflow is not used: it loads MLflow and
opens the store for every command, and dies where the store does.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from atft_pipeline.config import config, from_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.locks import file_lock

STORE_LOCK = "mlflow.db.lock"
LOCAL = {"", "file", "sqlite"}


@config
class TrackingConfig:
    """Where runs are tracked.

    Attributes:
        tracking_uri: a SQLite file, another database, a server, or a folder; a relative path begins at the project.
        experiment: of all runs.
        untracked: pipelines whose runs are not tracked.
    """

    tracking_uri: str = "sqlite:///mlflow.db"
    experiment: str = "atft_pipeline"
    untracked: tuple[str, ...] = ()


class TrackingHooks:
    """MLflow sees every tracked run, with every parameter by its dotted name."""

    def __init__(self) -> None:
        self._project = Path()
        self._config = TrackingConfig()
        self._market = ""
        self._run: str | None = None
        # Runs that this process began; one that was open already is for its opener to end.
        self._ends = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the configuration; the store is opened by a run that is tracked, so that looking needs none.

        Raises:
            ConfigError: ``mlflow.yml`` has a key or value that is unknown.
        """
        try:
            conf = dict(context.config_loader["mlflow"] or {})
        except MissingConfigException:
            conf = {}
        try:
            self._config = from_mapping(TrackingConfig, conf)
        except ConfigError as error:
            msg = f"conf/*/mlflow.yml: {error}"
            raise ConfigError(msg) from None
        self._project = context.project_path
        prices = (context.config_loader.runtime_params or {}).get("prices")
        self._market = Path(str(prices)).stem if prices else "sample market"

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Open the store and begin a run, unless these pipelines are untracked."""
        names = run_params.get("pipeline_names") or ["__default__"]
        self._run, self._ends = None, False
        if set(names) <= set(self._config.untracked):
            return
        from atft_pipeline.pipelines.tracking import WATCH, failures, shown  # noqa: PLC0415  (loads MLflow)

        WATCH.lost, WATCH.place = False, shown(self._config.tracking_uri)
        WATCH.name = [self._market]
        try:
            self._begin("+".join(names), {key: value for key, value in run_params.items() if value})
        except failures() as error:
            WATCH.give_up(error)

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log the parameters of a node."""
        if self._run is None:
            return
        import mlflow  # noqa: PLC0415  (loaded by now)

        from atft_pipeline.pipelines.tracking import AWAY, WATCH  # noqa: PLC0415
        from atft_pipeline.pipelines.train.tracking import log_parameters  # noqa: PLC0415

        if not WATCH.lost and mlflow.active_run() is None:
            # A runner with threads: MLflow knows a run in the thread that began it.
            try:
                mlflow.start_run(run_id=self._run)
            except AWAY as error:
                WATCH.give_up(error)
        log_parameters(inputs)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the run."""
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """End the run as failed."""
        self._end("FAILED")

    def _end(self, status: str) -> None:
        if self._ends:
            from atft_pipeline.pipelines.tracking import end_runs  # noqa: PLC0415  (loaded by now)

            end_runs(status)

    @property
    def _address(self) -> str:
        """The address with a relative path set below the project."""
        address = self._config.tracking_uri
        if address.startswith("sqlite:///") and ":memory:" not in address:
            return f"sqlite:///{self._project.resolve() / address.removeprefix('sqlite:///')}"
        return str((self._project / address).resolve()) if "://" not in address else address

    def _begin(self, name: str, tags: dict[str, Any]) -> None:
        """Open the store, one process at a time, since the first makes its tables; then begin a run in it."""
        import mlflow  # noqa: PLC0415  (loaded by now)

        from atft_pipeline.pipelines.tracking import look  # noqa: PLC0415

        active = mlflow.active_run()
        if active is None:
            look(self._address)
            with file_lock(self._project / STORE_LOCK) if os.access(self._project, os.W_OK) else nullcontext():
                mlflow.set_tracking_uri(self._address)
                experiment = self._experiment()
            active = mlflow.start_run(experiment_id=experiment, run_name=name)
            self._ends = True
        self._run = active.info.run_id
        mlflow.set_tags(tags)

    def _experiment(self) -> str:
        """Make the experiment if it is not there; a deleted one is taken back.

        A copied project does not write into the folder of the original, whose path the copied store remembers: its
        runs go to an experiment of their own.
        """
        from mlflow import MlflowClient  # noqa: PLC0415  (loaded by now)

        from atft_pipeline.pipelines.tracking import log  # noqa: PLC0415

        local = urlsplit(self._address).scheme in LOCAL
        place = (self._project.resolve() / "mlruns").as_uri() if local else None
        client, name = MlflowClient(), self._config.experiment
        known = client.get_experiment_by_name(name)
        if known is not None and local:
            parts = urlsplit(known.artifact_location)
            folder = Path(unquote(parts.path)).resolve()
            if parts.scheme in LOCAL and not folder.is_relative_to(self._project.resolve()):
                name = f"{name} in {self._project.resolve()}"
                log.info("MLflow's experiment %s belongs to %s; this run goes to: %s", known.name, folder, name)
                known = client.get_experiment_by_name(name)
        if known is None:
            return str(client.create_experiment(name, place))
        if known.lifecycle_stage == "deleted":
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)
