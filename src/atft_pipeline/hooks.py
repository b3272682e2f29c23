"""Kedro hooks by duty: parameters, artifacts, lineage, report."""

import logging
import re
import resource
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from atft_pipeline.code_hashes import CodeHashes
from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.remedy import producer
from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.lineage import FileHashes
from atft_pipeline.pipelines.descent import check_descent
from atft_pipeline.pipelines.freshness import Recipes, describe_recipe, in_versions, version_folder, write_record
from atft_pipeline.reporting.audit_table import audit_table
from atft_pipeline.reporting.evaluation_table import results_table
from atft_pipeline.reporting.folds_table import folds_table
from atft_pipeline.reporting.quality_table import quality_table

log = logging.getLogger(__name__)

# Runtime parameters that the configuration files themselves read: `${runtime_params:...}` in conf/base.
CONF_PARAMETERS = frozenset({"prices", "listings", "oracle", "size"})
# Content hashes of raw files, by size and time of change.
FINGERPRINTS = "data/.fingerprints.json"
# What was read of the project's own code, by size and time of change.
CODE = "data/.code.json"


def is_parameter(name: str) -> bool:
    """Tell parameters from datasets among a pipeline's inputs."""
    return name == "parameters" or name.startswith("params:")


class ParameterHooks:
    """A parameter that nothing reads is an error."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse top-level parameters that no node of any pipeline takes.

        Raises:
            ConfigError: naming the keys and those that exist.
        """
        inputs = {name for stage in pipelines.values() for name in stage.inputs()}
        read = {name.removeprefix("params:").split(".")[0] for name in inputs if name.startswith("params:")}
        given = set(context.config_loader["parameters"]) - CONF_PARAMETERS
        unread = sorted(given - read)
        if unread:
            known = ", ".join(sorted(read | CONF_PARAMETERS))
            msg = f"parameter {', '.join(unread)}: nothing reads it; there are: {known}"
            raise ConfigError(msg)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse parameters that a trained model has settled otherwise, and tell of those that nothing here reads.

        Raises:
            ConfigError: naming the parameter, and the value that the model was trained with.
        """
        given = run_params.get("runtime_params") or {}
        if "model" in pipeline.inputs() and catalog.exists("model"):
            from atft_pipeline.training.checkpoint.settled import check_settled  # noqa: PLC0415  (loads torch)

            check_settled(catalog.load("model"), given)
        read = {name.removeprefix("params:").split(".")[0] for name in pipeline.inputs() if name.startswith("params:")}
        unread = sorted(set(given) - CONF_PARAMETERS - read)
        if unread and not run_params.get("node_names"):
            log.warning("parameter %s: this run does not read it", ", ".join(unread))


class ArtifactHooks:
    """A stage whose input does not exist, or does not belong to the others, says which command makes it."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Look for every input before any work.

        Raises:
            ArtifactError: one line with what is missing or does not fit and the command that makes it.
        """
        for name in pipeline.datasets():
            dataset = catalog.get(name)
            if isinstance(dataset, AtomicDataset):
                dataset.name = name
        for name in sorted(pipeline.inputs()):
            if is_parameter(name) or catalog.exists(name):
                continue
            dataset = catalog.get(name)
            stage = producer(name)
            place = getattr(dataset, "shown_path", name)
            version = getattr(getattr(dataset, "_version", None), "load", None)
            what = f"version {version} of {name}" if version else name
            remedy = (
                f"make it with: kedro run --pipeline={stage}"
                if stage
                else f"pass --params {name.removeprefix('raw_')}=<file or folder>"
            )
            if version and isinstance(dataset, AtomicDataset) and (saved := dataset.list_versions(full_path=False)):
                remedy = f"saved versions: {', '.join(saved[:5])}; name one of them, or none for the newest"
            msg = f"{what} does not exist ({place}); {remedy}"
            raise ArtifactError(msg)
        check_descent(pipeline, catalog)


class LineageHooks:
    """Every saved version carries what it was made from."""

    def __init__(self) -> None:
        self._catalog: CatalogProtocol[Any, Any] | None = None
        self._recipes: Recipes | None = None
        self._record: dict[str, Any] = {}
        self._passing: dict[str, dict[str, Any]] = {}
        self._hashes = FileHashes(None)
        self._code = CodeHashes(None)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the hashes of raw files are kept."""
        self._hashes = FileHashes(context.project_path / FINGERPRINTS)
        self._code = CodeHashes(context.project_path / CODE)

    @hook_impl
    def before_pipeline_run(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Take the catalog of the run."""
        self._catalog = catalog
        self._recipes = Recipes(catalog, self._hashes, self._code)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Fingerprint inputs, parameters and code before the node works on them."""
        assert self._recipes is not None
        assert self._catalog is not None
        recipe = self._recipes.of(node)
        versions = {name: folder.name for name in node.inputs if (folder := version_folder(self._catalog, name))}
        self._record = describe_recipe(node, recipe, versions, self._passing)
        self._passing |= {name: self._record for name in node.outputs if not in_versions(self._catalog, name)}
        self._recipes.made |= dict.fromkeys(node.outputs, recipe.fingerprint)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Write the lineage beside the version."""
        assert self._catalog is not None
        write_record(self._catalog, dataset_name, self._record)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Remember the hashes of raw files."""
        self._hashes.save()
        self._code.save()


class ReportHooks:
    """One line a finished node: its seconds, its peak memory and what it made."""

    def __init__(self) -> None:
        self._start = 0.0
        self._began = 0.0
        self._peak = 0.0
        self._metrics: dict[str, Any] | None = None

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Say what is about to run."""
        self._began = time.perf_counter()
        names = ", ".join(run_params.get("pipeline_names") or ["__default__"])
        steps = " -> ".join(node.short_name for node in pipeline.nodes)
        for line in textwrap.wrap(f"{names}: {steps}", width=110, subsequent_indent="    "):
            log.info(line)

    @hook_impl
    def before_node_run(self) -> None:
        """Start the clock of a node."""
        self._start = time.perf_counter()
        reset_peak()

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Report the node; keep the metrics for the end of the run."""
        seconds, peak = time.perf_counter() - self._start, peak_gib()
        self._peak = max(self._peak, peak)
        self._metrics = outputs.get("metrics", self._metrics)
        if "walk_forward_metrics" in outputs:
            self._metrics = found = outputs["walk_forward_metrics"]
            click.echo("\n" + folds_table(found["folds"], found["paths"]))
        if "data_quality" in outputs:
            click.echo("\n" + quality_table(outputs["data_quality"]))
        if "audit" in outputs:
            click.echo("\n" + audit_table(outputs["audit"]))
        made = textwrap.shorten(", ".join(node.outputs), 90, placeholder=" and more") or "-"
        log.info("%-18s %7.1f s  %5.2f GiB   -> %s", node.short_name, seconds, peak, made)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Report the whole run."""
        seconds = time.perf_counter() - self._began
        log.info("done in %.1f s, peak memory %.2f GiB", seconds, max(self._peak, peak_gib()))
        if self._metrics is not None:
            click.echo("\n" + results_table(self._metrics))
            click.echo("look at it with: kedro viz run   (figures, layers)   or in data/08_reporting/")


def reset_peak() -> None:
    """Begin to count peak memory anew, where the system offers it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_gib() -> float:
    """Peak resident memory in GiB since :func:`reset_peak`, or since the start where that is not offered."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if found is not None:
            return int(found[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
