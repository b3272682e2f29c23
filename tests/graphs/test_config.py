import pytest

from atft_pipeline.config import from_mapping, to_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.graphs.config import GraphConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 1),
        ("k", 0),
        ("threshold", 1.1),
        ("min_observations", 61),
        ("clip", 0.0),
        ("demean", "industry"),
        ("halflife", 0.0),
        ("shrinkage", -1.0),
        ("min_sector_neighbours", 21),
        ("volatility_similarity", -1.0),
        ("device", "tpu"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"graphs\.{field}: .*{value}"):
        from_mapping(GraphConfig, {field: value}, "graphs")


def test_survives_json() -> None:
    config = GraphConfig(halflife=20.0, demean="sector")
    assert from_mapping(GraphConfig, to_mapping(config)) == config
