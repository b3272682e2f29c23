"""A training that asks for the winner of a search takes its parameters from the artifact of the search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.config import AbstractConfigLoader

from atft_pipeline.datasets.raw import newest
from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.tuning.report import DRY

STORAGE_CREDENTIALS = "hpo_storage"
BEST = Path("data/06_models/best_parameters.yml")


def use_study(loader: AbstractConfigLoader, project: Path) -> None:
    """Replace the parameters by those of a winner where ``training.from_study`` asks for it.

    What ``--params`` names stays: it was asked for last.

    Raises:
        ArtifactError: there is no winner yet.
        ConfigError: the value is unknown.
    """
    parameters = loader["parameters"]
    wanted = (parameters.get("training") or {}).get("from_study")
    if wanted is None:
        return
    if wanted != "best":
        msg = f"training.from_study: must be best or null, got {wanted}"
        raise ConfigError(msg)
    path = newest(project / BEST)
    if not path.is_file():
        msg = f"training.from_study: {BEST} does not exist; make it with: kedro run --pipeline=hpo"
        raise ArtifactError(msg)
    text = path.read_text(encoding="utf-8")
    if text.startswith(DRY):
        msg = (
            "training.from_study: the newest search was a dry run; kedro run --pipeline=hpo searches, or writes the "
            "winner of a finished study again"
        )
        raise ArtifactError(msg)
    winner = yaml.safe_load(text)
    loader["parameters"] = overlay({**parameters, **winner}, loader.runtime_params or {})


def overlay(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested values over nested parameters."""
    merged = dict(parameters)
    for name, value in given.items():
        known = merged.get(name)
        merged[name] = overlay(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged
