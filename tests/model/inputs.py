"""Random inputs of a small model."""

from typing import NamedTuple

import torch
from torch import Tensor

from atft_pipeline.model.config import InputSpec


class Inputs(NamedTuple):
    features: Tensor
    mask: Tensor
    step_mask: Tensor
    neighbors: Tensor
    edge_attr: Tensor
    sector: Tensor
    market: Tensor


def spec(features: int = 6, window: int = 8, horizons: tuple[int, ...] = (1, 5)) -> InputSpec:
    names = tuple(f"f{place}" for place in range(features))
    return InputSpec(
        feature_names=names, market_features=names[-1:], horizons=horizons, window=window, sectors=3, markets=2
    )


def inputs(of: InputSpec, *, days: int = 2, listings: int = 7, k: int = 3, seed: int = 0) -> Inputs:
    """Random windows of whole days, one after the other; the last listing of each day is padding, the one before it has
    no neighbours.
    """
    generator = torch.Generator().manual_seed(seed)
    L, F = of.window, len(of.feature_names)
    mask = torch.ones(days, listings, dtype=torch.bool)
    mask[:, -1] = listings == 1
    step_mask = torch.rand(days, listings, L, generator=generator) < 0.9
    step_mask[..., -1] = True
    step_mask &= mask[..., None]
    features = torch.randn(days, listings, L, F, generator=generator) * step_mask[..., None]
    real = max(1, listings - 1)
    own = torch.arange(listings)[None, :, None]
    neighbors = torch.randint(0, real, (days, listings, k), generator=generator)
    neighbors = neighbors.masked_fill((neighbors == own) | ~mask[..., None], -1)
    neighbors[:, real - 1] = -1
    edge_attr = torch.randn(days, listings, k, of.edge_dim, generator=generator) * (neighbors >= 0)[..., None]
    sector = torch.randint(0, of.sectors + 1, (days, listings), generator=generator) * mask
    market = torch.randint(0, of.markets + 1, (days, listings), generator=generator) * mask
    first = listings * torch.arange(days)[:, None, None]
    neighbors = torch.where(neighbors >= 0, neighbors + first, -1)
    return Inputs(*(part.flatten(0, 1) for part in (features, mask, step_mask, neighbors, edge_attr, sector, market)))


def one_day(given: Inputs, day: int, listings: int) -> Inputs:
    """The rows of one day, its edges pointing into it."""
    rows = slice(day * listings, (day + 1) * listings)
    alone = Inputs(*(part[rows] for part in given))
    return alone._replace(neighbors=torch.where(alone.neighbors >= 0, alone.neighbors - day * listings, -1))
