"""Parameters that a trained model has settled: another value given later would be ignored."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atft_pipeline.errors import ConfigError
from atft_pipeline.training.checkpoint.model import MODEL_CARD

# Groups that the card holds; a batch of another size gives the same scores.
SETTLED = ("model", "batches")
FREE = frozenset({"batches.batch_size"})


def check_settled(folder: Path, params: Mapping[str, Any]) -> None:
    """Refuse values that differ from those of the training.

    Args:
        folder: of the model.
        params: nested parameters as they are given, such as ``{"batches": {"window": 10}}``.

    Raises:
        ConfigError: naming the parameter and both values.
    """
    card = json.loads((folder / MODEL_CARD).read_text(encoding="utf-8"))
    for group in SETTLED:
        for name, given, trained in _unlike(group, params.get(group), card.get(group)):
            if name not in FREE:
                msg = (
                    f"parameter {name}={given}: the model was trained with {trained}, and that decides; leave it out, "
                    "or train with it: kedro run --pipeline=train"
                )
                raise ConfigError(msg)


def _unlike(name: str, given: Any, trained: Any) -> Iterator[tuple[str, Any, Any]]:
    """Dotted names below which two nested values differ, where both have one."""
    if isinstance(given, Mapping) and isinstance(trained, Mapping):
        for key in sorted(given.keys() & trained.keys()):
            yield from _unlike(f"{name}.{key}", given[key], trained[key])
    elif not isinstance(trained, Mapping) and None not in (given, trained) and given != trained:
        yield name, given, trained
