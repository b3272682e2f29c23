"""The sizes that the configuration offers by name."""

from pathlib import Path

import pytest
import yaml

from atft_pipeline.config import from_mapping
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec, ModelConfig

SIZES = yaml.safe_load((Path(__file__).resolve().parents[2] / "conf/base/globals.yml").read_text())["models"]
SPEC = InputSpec(
    feature_names=tuple(f"f{place}" for place in range(112)),
    market_features=("f110", "f111"),
    window=60,
    sectors=33,
    markets=3,
)


@pytest.mark.parametrize(("size", "millions"), [("small", 0.1), ("production", 5.6), ("large", 28.8)])
def test_counts_come_from_the_built_model(size: str, millions: float) -> None:
    model = ATFTGATFAN(from_mapping(ModelConfig, SIZES[size]), SPEC)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.02, abs=0.02)


def test_the_blocks_that_hold_them() -> None:
    model = ATFTGATFAN(from_mapping(ModelConfig, SIZES["production"]), SPEC)
    blocks = {name: sum(p.numel() for p in block.parameters()) for name, block in model.named_children()}
    total = sum(blocks.values())
    shares = {name: round(100 * blocks[name] / total) for name in ("encoder", "graph", "normaliser")}
    assert shares == {"encoder": 47, "graph": 21, "normaliser": 12}
