from pathlib import Path

import pytest

from atft_pipeline.config import from_mapping
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.model.summary import blocks
from tests.model.test_sizes import SIZES, SPEC

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def production() -> ATFTGATFAN:
    return ATFTGATFAN(from_mapping(ModelConfig, SIZES["production"]), SPEC)


def test_blocks_hold_all_parameters(production: ATFTGATFAN) -> None:
    found = blocks(production)
    assert sum(block.parameters for block in found) == sum(p.numel() for p in production.parameters())
    assert sum(block.share for block in found) == pytest.approx(1.0)
    assert "3 GatedGraphLayer" in {block.name: block.parts for block in found}["graph"]


def table(model: ATFTGATFAN) -> str:
    """The blocks as the documentation shows them, the model's total in the last line."""
    found = blocks(model)
    lines = ["| block | class | parameters | share |", "|---|---|---:|---:|"]
    lines += [f"| `{b.name}` | {b.kind} | {b.parameters:,} | {100 * b.share:.1f} % |" for b in found]
    return "\n".join([*lines, f"| | | {sum(b.parameters for b in found):,} | 100 % |"])


def test_the_page_shows_the_model_as_it_is(production: ATFTGATFAN) -> None:
    """The tables of the documentation are those of the built models."""
    page = (DOCS / "model.md").read_text()
    assert table(production) in page
    assert table(ATFTGATFAN(from_mapping(ModelConfig, SIZES["large"]), SPEC)) in page
