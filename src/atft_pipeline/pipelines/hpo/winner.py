"""A training that asks for the winner of a search takes its parameters from the artifact of the search.

It is asked for by ``training.from_study`` and not by an environment of its own (``--env``), because Kedro runs one
environment at a time and a search in ``production`` has its winner trained there. The winner is no file below ``conf``
either: a run that writes configuration would change what later runs do. The model's card keeps the request, so that an
evaluation knows that it judges the best of many trials.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from atft_pipeline.config import from_mapping, overlay
from atft_pipeline.datasets.contents import damage
from atft_pipeline.datasets.raw import newest
from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.tuning.config import DRY, GROUPS

BEST = Path("data/06_models/best_parameters.yml")


def with_winner(parameters: dict[str, Any], given: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """Return the parameters, replaced by those of a winner where ``training.from_study`` asks for it.

    Args:
        parameters: of the configuration, those of the command line among them.
        given: what ``--params`` names; it stays, because it was asked for last.
        project: folder of the project.

    Raises:
        ArtifactError: there is no winner yet.
        ConfigError: the value is unknown.
    """
    training = parameters.get("training")
    wanted = training.get("from_study") if isinstance(training, Mapping) else None
    if wanted is None:
        return parameters
    if wanted != "best":
        msg = f"training.from_study: must be best or null, got {wanted}"
        raise ConfigError(msg)
    path = newest(project / BEST)
    if not path.is_file():
        msg = f"training.from_study: {BEST} does not exist; make it with: kedro run --pipeline=hpo"
        raise ArtifactError(msg)
    found = damage(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith(DRY) and not found:
        msg = (
            "training.from_study: the newest search was a dry run; kedro run --pipeline=hpo searches, or writes the "
            "winner of a finished study again"
        )
        raise ArtifactError(msg)
    try:
        winner = yaml.safe_load(text)
    except yaml.YAMLError:
        winner = None
    if found or not isinstance(winner, dict):
        what = found or "it holds no parameters"
        msg = (
            f"training.from_study: best_parameters {path.parent.name} is damaged: {what} ({path}); "
            "write it again with: kedro run --pipeline=hpo"
        )
        raise ArtifactError(msg)
    try:
        for name, group in winner.items():
            from_mapping(GROUPS[name], group, name)
    except (ConfigError, KeyError) as error:
        msg = (
            f"training.from_study: best_parameters {path.parent.name} was written by another version of the project "
            f"({error}); search again with: kedro run --pipeline=hpo"
        )
        raise ArtifactError(msg) from error
    return overlay({**parameters, **winner}, given)
