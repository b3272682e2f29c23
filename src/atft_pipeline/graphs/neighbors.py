"""The choice of neighbours from a block of correlations.

Legend: b listings of a block, n listings that take part, k neighbours.
"""

import torch
from torch import Tensor

from atft_pipeline.graphs.config import GraphConfig

# Added to the rank of a neighbour that the sector minimum demands: above every rank, which is at most 1.
DEMANDED = 2.0


def select(
    correlation: Tensor, sector: Tensor, log_volatility: Tensor, start: int, config: GraphConfig
) -> tuple[Tensor, Tensor]:
    """Choose the strongest neighbours of each listing of a block, whatever the sign.

    Args:
        correlation: [b, n], NaN where a pair has none.
        sector: [n] sector ids, 0 = unknown.
        log_volatility: [n].
        start: position of the block's first listing among the n.
        config: k, threshold, sector minimum, volatility similarity.

    Returns:
        Positions int64 [b, k], strongest first, -1 where there is none; signed correlations [b, k], 0 where none.
    """
    rows = slice(start, start + len(correlation))
    strength = correlation.abs()
    rank = strength
    if config.volatility_similarity > 0:
        distance = (log_volatility[rows, None] - log_volatility[None, :]).abs()
        rank = strength * torch.exp(-config.volatility_similarity * distance)
    key = rank.where(strength >= config.threshold, -1.0)
    if config.min_sector_neighbours > 0:
        _demand_sector(key, rank, sector[rows], sector, config.min_sector_neighbours)
    width = min(config.k, key.shape[1])
    best, position = key.topk(width, dim=1)
    best = best - DEMANDED * (best >= DEMANDED)
    best, turn = best.sort(dim=1, descending=True, stable=True)
    position = position.gather(1, turn)
    found = best >= 0
    value = correlation.gather(1, position).where(found, 0.0)
    position = position.where(found, -1)
    missing = config.k - width
    return (
        torch.nn.functional.pad(position, (0, missing), value=-1),
        torch.nn.functional.pad(value, (0, missing), value=0.0),
    )


def _demand_sector(key: Tensor, rank: Tensor, own: Tensor, sector: Tensor, least: int) -> None:
    """Lift the ``least`` strongest listings of the own sector over all others, in place."""
    same = (own[:, None] == sector[None, :]) & (own[:, None] > 0) & (rank >= 0)
    best, position = rank.where(same, -1.0).topk(min(least, key.shape[1]), dim=1)
    key.scatter_(1, position, torch.where(best >= 0, best + DEMANDED, key.gather(1, position)))
