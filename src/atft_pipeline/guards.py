"""Kedro hooks that keep runs apart, and each run with its prices."""

import logging
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from atft_pipeline import source
from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.errors import ArtifactError
from atft_pipeline.locks import Lock

log = logging.getLogger(__name__)

LOCKS = "data/.locks"


class SourceHooks:
    """A run names its prices in its first line, and whoever comes after reads the same."""

    def __init__(self) -> None:
        self._project = Path()
        self._params: dict[str, Any] = {}
        self._env = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Take what the configuration uses."""
        self._project = context.project_path
        self._params = dict(context.config_loader.runtime_params or {})

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Name the prices, and an environment that is not the one of the artifacts."""
        self._env = run_params.get("env") or ""
        log.info("prices: %s", source.describe(self._project, self._params))
        made_with = source.recall(self._project).get("env", "")
        if made_with and not self._env:
            log.warning("the prices were read with --env=%s, this run has none: other parameters apply", made_with)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Remember the source once its prices are cleaned."""
        if dataset_name == "clean_prices":
            source.remember(self._project, self._env, self._params)


class LockHooks:
    """Two runs at once never write the same artifact; the system frees the locks of a run that was killed."""

    def __init__(self) -> None:
        self._project = Path()
        self._held: list[Lock] = []

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the locks lie."""
        self._project = context.project_path

    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Take a lock for each artifact that will be written.

        Workers of a search write their reports beside one another.

        Raises:
            ArtifactError: another run holds one of them.
        """
        names = ", ".join(run_params.get("pipeline_names") or ["__default__"])
        for name in sorted(pipeline.all_outputs() - pipelines["hpo"].all_outputs()):
            if not isinstance(catalog.get(name), AtomicDataset):
                continue
            lock = Lock(self._project / LOCKS / name)
            holder = lock.claim(f"kedro run, {names}")
            if holder:
                self._release()
                msg = f"{name} is being made by another run, {holder}: wait for its end, then start this one again"
                raise ArtifactError(msg)
            self._held.append(lock)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let go of the locks."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let go of the locks."""
        self._release()

    def _release(self) -> None:
        for lock in self._held:
            lock.release()
        self._held = []
