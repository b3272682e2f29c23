"""What ``kedro doctor`` looks at: the machine, the choices of a training, the artifacts of each stage."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol

from atft_pipeline.datasets.contents import damage
from atft_pipeline.doctor import Finding, State, choices, environment, machine
from atft_pipeline.pipelines.freshness import Status
from atft_pipeline.pipelines.parameters import EXPERIMENT
from atft_pipeline.pipelines.prune import folders_of, freed, versioned
from atft_pipeline.reporting.upkeep_tables import age_text, size_text
from atft_pipeline.training.experiment import Experiment

STAGES = ("ingest", "features", "panel", "graphs", "train", "hpo", "evaluate", "walk_forward", "predict", "audit")
OPTIONAL = frozenset({"hpo", "walk_forward", "audit"})


def examine(project: Path, catalog: CatalogProtocol[Any, Any], statuses: list[Status]) -> Iterator[Finding]:
    """Yield one finding a line.

    Args:
        project: its folder.
        catalog: with the parameters of the configuration.
        statuses: of its artifacts.
    """
    yield from environment(project)
    yield from machine(project)
    experiment = Experiment(**{field: catalog.load(name).root for field, name in EXPERIMENT.items()})
    stages = list(artifacts(catalog, statuses))
    broken = any(item.state == "problem" for item in stages)
    yield from choices(experiment, catalog.load("panel") if catalog.exists("panel") and not broken else None)
    yield from stages


def artifacts(catalog: CatalogProtocol[Any, Any], statuses: list[Status]) -> Iterator[Finding]:
    """Of each stage whether its artifacts are fresh, their versions, size and age; a damaged one is a problem."""
    datasets, states = versioned(catalog), {item.artifact: item.state for item in statuses}
    for stage in STAGES:
        names = [name for node in pipelines[stage].nodes for name in node.outputs if name in datasets]
        folders = {name: found for name in names if (found := folders_of(datasets[name]))}
        if not folders:
            state: State = "ok" if stage in OPTIONAL else "note"
            yield Finding(stage, state, "not run yet", f"kedro run --pipeline={stage}")
            continue
        hurt = [name for name, found in folders.items() if damage(found[0] / Path(datasets[name].shown_path).name)]
        if hurt:
            told = f"make {', '.join(hurt)} again with: kedro run --pipeline={stage}"
            yield Finding(stage, "problem", "damaged", told)
            continue
        stale = any(states.get(name, "fresh") != "fresh" for name in names)
        everything = [folder for found in folders.values() for folder in found]
        age = time.time() - max(found[0].stat().st_mtime for found in folders.values())
        told = f"{size_text(freed(everything))} in {len(everything)} versions of {len(folders)}; {age_text(age)}"
        yield Finding(stage, "note" if stale else "ok", "stale" if stale else "fresh", told)
