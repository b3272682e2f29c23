import pytest
import torch

from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.neighbors import select

NAN = float("nan")
ROW = torch.tensor([[NAN, 0.9, -0.8, 0.3, 0.1, NAN]])
FLAT = torch.zeros(6)


def chosen(sector: list[int], **settings: object) -> tuple[list[int], list[float]]:
    config = GraphConfig(**{"k": 3, "threshold": 0.2, "min_sector_neighbours": 0} | settings)  # type: ignore[arg-type]
    position, value = select(ROW, torch.tensor(sector), FLAT, 0, config)
    return position[0].tolist(), pytest.approx(value[0].tolist(), abs=1e-6)  # type: ignore[return-value]


def test_both_signs_are_kept_and_the_strongest_come_first() -> None:
    assert chosen([0] * 6) == ([1, 2, 3], [0.9, -0.8, 0.3])


def test_the_threshold_cuts_and_places_stay_empty() -> None:
    assert chosen([0] * 6, threshold=0.5) == ([1, 2, -1], [0.9, -0.8, 0.0])


def test_k_beyond_the_listings_is_padded() -> None:
    assert chosen([0] * 6, k=8) == ([1, 2, 3, -1, -1, -1, -1, -1], [0.9, -0.8, 0.3, 0, 0, 0, 0, 0])


def test_the_own_sector_gets_its_minimum_below_the_threshold() -> None:
    assert chosen([1, 2, 2, 1, 1, 1], min_sector_neighbours=2) == ([1, 3, 4], [0.9, 0.3, 0.1])


def test_the_sector_minimum_never_takes_pairs_without_correlation() -> None:
    assert chosen([1, 2, 2, 2, 2, 1], min_sector_neighbours=2) == ([1, 2, 3], [0.9, -0.8, 0.3])


def test_a_met_minimum_changes_nothing() -> None:
    assert chosen([1, 1, 1, 2, 2, 2], min_sector_neighbours=2) == ([1, 2, 3], [0.9, -0.8, 0.3])


def test_an_unknown_sector_demands_nothing() -> None:
    assert chosen([0] * 6, k=1, min_sector_neighbours=1) == ([1], [0.9])


def test_volatility_similarity_ranks_but_the_threshold_looks_at_the_correlation() -> None:
    config = GraphConfig(k=3, threshold=0.2, min_sector_neighbours=0, volatility_similarity=1.0)
    volatility = torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0, 0.0])
    position, value = select(ROW, torch.zeros(6, dtype=torch.int64), volatility, 0, config)
    assert position[0].tolist() == [2, 3, 1]
    assert value[0].tolist() == pytest.approx([-0.8, 0.3, 0.9])


def test_a_listing_without_any_correlation_is_isolated() -> None:
    position, value = select(torch.full((1, 6), NAN), torch.ones(6, dtype=torch.int64), FLAT, 0, GraphConfig(k=4))
    assert (position == -1).all()
    assert (value == 0).all()
