"""What a training has settled is not given another value by a later run."""

import json
from pathlib import Path
from typing import Any

import pytest

from atft_pipeline.config import to_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.training.checkpoint.settled import check_settled
from tests.training.runs import BATCHES, MODEL


@pytest.fixture
def model(tmp_path: Path) -> Path:
    card = {"model": to_mapping(MODEL), "batches": to_mapping(BATCHES), "weights": ""}
    (tmp_path / "model.json").write_text(json.dumps(card))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batches": {"window": 10}}, r"^parameter batches.window=10: the model was trained with 5, and that decides"),
        ({"model": {"graph": {"layers": 3}}}, r"^parameter model.graph.layers=3: the model was trained with 1"),
        (
            {"batches": {"features": ["a*"]}},
            r"^parameter batches.features=\['a\*'\]: the model was trained with \['\*'\]",
        ),
    ],
)
def test_another_value_is_refused(model: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_settled(model, given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"batches": {"window": 5, "batch_size": 7}, "predict": {"days": 3}, "model": {"width": 8}},
        {"batches": 3, "training": {"epochs": 7}},
    ],
)
def test_the_same_value_and_other_groups_pass(model: Path, given: dict[str, Any]) -> None:
    check_settled(model, given)
