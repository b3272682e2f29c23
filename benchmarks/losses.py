"""Differentiable ranks at the size of a real market: cost of value and gradient, and agreement with the reference.

``python benchmarks/losses.py [--listings 4484]``: each form against exact pairwise soft ranks, in one run.
"""

import argparse
import time
from collections.abc import Callable

import torch

from atft_pipeline.losses.masked import correlation
from atft_pipeline.losses.ranks import SoftRank, hard_rank, pairwise_rank, straight_through_rank
from atft_pipeline.process import keep_freed_memory

RANKS: dict[str, SoftRank] = {"straight_through": straight_through_rank, "pairwise": pairwise_rank}


def gradient(rank: SoftRank, score: torch.Tensor, target_rank: torch.Tensor) -> torch.Tensor:
    """Gradient [n] of the day's RankIC by one form of soft ranks; the ranks of the targets are the same for all."""
    mask = torch.ones_like(score, dtype=torch.bool)
    leaf = score.clone().requires_grad_()
    correlation(rank(leaf, mask), target_rank, mask).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.flatten()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Fastest of some runs after one warm-up: the one that other work disturbed least."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def cross_sections(listings: int) -> dict[str, torch.Tensor]:
    """Scores [1, n] of a day in three shapes: a bell, fat tails (Student t, 3 degrees), two humps."""
    generator = torch.Generator().manual_seed(0)
    bell = torch.randn(1, listings, generator=generator)
    tails = bell / (torch.randn(3, listings, generator=generator).square().mean(dim=0)).sqrt()
    humps = 0.5 * bell + 2.0 * (torch.rand(1, listings, generator=generator) < 0.4)
    return {"bell": bell, "fat tails": tails, "two humps": humps}


def compare(listings: int, repeats: int) -> dict[str, tuple[float, float, dict[str, float]]]:
    """Milliseconds, cost as a share of the reference's, and cosine with its gradient by shape; by name of the form."""
    scores = cross_sections(listings)
    noise = torch.randn(1, listings, generator=torch.Generator().manual_seed(1))
    every = torch.ones_like(noise, dtype=torch.bool)
    targets = {shape: hard_rank(0.05 * score + noise, every) for shape, score in scores.items()}
    bell = scores["bell"], targets["bell"]
    cost = {name: seconds(lambda r=rank: gradient(r, *bell), repeats) for name, rank in RANKS.items()}
    cosines: dict[str, dict[str, float]] = {name: {} for name in RANKS}
    for shape, score in scores.items():
        reference = gradient(RANKS["pairwise"], score, targets[shape])
        for name, rank in RANKS.items():
            found = gradient(rank, score, targets[shape])
            cosines[name][shape] = float(torch.cosine_similarity(found, reference, dim=0))
    return {name: (1e3 * cost[name], cost[name] / cost["pairwise"], cosines[name]) for name in RANKS}


def main() -> None:
    """Print the table, with memory kept as a training keeps it."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=4484)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{options.listings} listings, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, (ms, share, cosines) in compare(options.listings, options.repeats).items():
        told = ", ".join(f"{shape} {cosine:.3f}" for shape, cosine in cosines.items())
        print(f"{name:<17} {ms:9.2f} ms a day   1/{1 / share:<6.0f} of pairwise   cosine: {told}")


if __name__ == "__main__":
    main()
