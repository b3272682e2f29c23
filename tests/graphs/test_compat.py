from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import GraphsMeta
from tests.graphs.market import build, make_market, names


@dataclass(frozen=True)
class Index:
    index_fingerprint: str
    fingerprint: str = "panel"


@pytest.fixture
def meta(tmp_path: Path) -> GraphsMeta:
    return build(tmp_path / "graphs.arrow", make_market(days=70), GraphConfig(k=3, min_sector_neighbours=0)).meta


def test_the_same_axes_pass(meta: GraphsMeta) -> None:
    check_compatible(Index("index"), meta)
    check_compatible(Index("index"), replace(meta, lineage={"panel": "panel"}))


def test_the_same_axes_with_other_contents_are_refused(meta: GraphsMeta) -> None:
    made = replace(meta, lineage={"panel": "another-market"})
    with pytest.raises(ArtifactError, match=r"made for panel another-, not for panel panel, .* --pipeline=graphs$"):
        check_compatible(Index("index"), made)


@pytest.mark.parametrize(
    ("listings", "said"),
    [
        (None, "made for 24 listings from 2020-01-01 to 2020-04-07"),
        (names(24), "same listings on other dates"),
        (names(30), "the panel has 30"),
        ((*names(23), "X"), "listing 23 is L0023 in the graphs and X in the panel"),
    ],
)
def test_other_axes_are_refused_with_the_repair(meta: GraphsMeta, listings: tuple[str, ...] | None, said: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        check_compatible(Index("other"), meta, listings)
    line = str(caught.value)
    assert said in line
    assert line.endswith("kedro run --pipeline=graphs")
    assert "\n" not in line
