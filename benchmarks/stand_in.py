"""What helps on real prices, in a minute instead of twenty: a small net on one day's features, four validations.

    python benchmarks/stand_in.py PANEL --neutral-to BETAMKT60
    python benchmarks/stand_in.py PANEL --features "RET*" "MOM*" --epochs 12

PANEL is the ``panel.arrow`` of a project. Every third day is read. Each validation year is scored after training on all
days that lie at least 40 sessions before it. Prints the mean daily RankIC of each year at each horizon, with its
Newey-West error. Legend: n listings of a day, F features, Q horizons.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from atft_pipeline.losses.masked import correlation
from atft_pipeline.panel.panel import Panel
from atft_pipeline.progress import track
from atft_pipeline.stats.rank_ic import rank_ic_of_tensors
from atft_pipeline.stats.significance import estimate
from atft_pipeline.training.targets import neutralise

GAP = 40
STEP = 3
Day = tuple[Tensor, Tensor, Tensor]


def read_days(panel: Panel, numbers: Sequence[int]) -> dict[int, Day]:
    """Features [n, F] in half precision, targets and returns [n, Q] of the universe's rows."""
    found = {}
    for number in track(numbers, "read"):
        view = panel.day(number)
        rows = np.flatnonzero(view.universe)
        if len(rows) >= 50:
            parts = (view.features[rows], view.targets[rows], view.returns[rows])
            found[number] = tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return found


def net_of(features: int, horizons: int, options: argparse.Namespace) -> nn.Module:
    """Layers of equal width."""
    layers: list[nn.Module] = []
    width = features
    for _ in range(options.layers):
        layers += [nn.Linear(width, options.hidden), nn.SiLU(), nn.Dropout(options.dropout)]
        width = options.hidden
    return nn.Sequential(*layers, nn.Linear(width, horizons))


def loss_of(score: Tensor, targets: Tensor, exposures: Tensor) -> Tensor:
    """Squared error and 1 - IC of one day, averaged over the horizons."""
    known = torch.isfinite(targets)
    y = torch.where(known, targets, 0.0)
    if exposures.shape[1]:
        y = torch.where(known, neutralise(y[None], exposures[None], known[None])[0], 0.0)
    square = ((score - y).square() * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
    return (square + 0.8 * (1 - correlation(score.T, y.T, known.T))).mean()


def train(days: Sequence[Day], exposures: Sequence[int], options: argparse.Namespace) -> nn.Module:
    """AdamW over shuffled days, several a step, one cycle of the learning rate."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    net = net_of(days[0][0].shape[1], days[0][1].shape[1], options)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.lr, weight_decay=options.decay)
    steps = options.epochs * (len(days) // options.days_a_step)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps + 1, pct_start=0.1)
    for _ in range(options.epochs):
        order = rng.permutation(len(days))
        for first in range(0, len(order) - options.days_a_step + 1, options.days_a_step):
            total = torch.zeros(())
            for place in order[first : first + options.days_a_step]:
                x, y, _ = days[place]
                x = x.float()
                total = total + loss_of(net(x + options.noise * torch.randn_like(x)), y, x[:, exposures])
            (total / options.days_a_step).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return net.eval()


@torch.no_grad()
def validate(net: nn.Module, days: Sequence[Day]) -> np.ndarray:
    """Daily RankIC [T, Q] against the returns as they are."""
    rows = []
    for x, _, returns in days:
        known = torch.isfinite(returns)
        rows.append(rank_ic_of_tensors(net(x.float()).T, torch.where(known, returns, 0.0).T, known.T).numpy())
    return np.stack(rows).astype(np.float64)


def main() -> None:
    """Train and validate each year; print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panel", type=Path)
    parser.add_argument("--features", nargs="+", default=["*"], help="names or patterns")
    parser.add_argument("--neutral-to", nargs="*", default=[], help="features taken out of the targets")
    parser.add_argument("--years", nargs="+", type=int, default=[2012, 2013, 2014, 2015], help="validation years")
    parser.add_argument("--last-years", type=int, default=0, help="train on so many years; 0 = all that lie before")
    for name, value in (("hidden", 64), ("layers", 2), ("epochs", 6), ("days-a-step", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, level in (("lr", 3e-3), ("dropout", 0.2), ("decay", 0.1), ("noise", 0.0)):
        parser.add_argument(f"--{name}", type=float, default=level)
    options = parser.parse_args()
    panel = Panel.open(options.panel).select(tuple(options.features))
    exposures = [panel.meta.feature_names.index(name) for name in options.neutral_to]
    year = panel.dates.astype("datetime64[Y]").astype(int) + 1970
    days = read_days(panel, np.flatnonzero(year <= max(options.years))[60::STEP].tolist())
    horizons = panel.meta.horizons
    means = []
    for tested in options.years:
        began = time.perf_counter()
        first = int(np.searchsorted(year, tested))
        since = tested - options.last_years if options.last_years else 0
        seen = [day for number, day in days.items() if number < first - GAP and year[number] >= since]
        net = train(seen, exposures, options)
        daily = validate(net, [day for number, day in days.items() if year[number] == tested])
        means.append(daily.mean(axis=0))
        # Of every third day a label of h sessions overlaps those of the next h / 3.
        errors = [estimate(column, -(-h // STEP)).se for h, column in zip(horizons, daily.T, strict=True)]
        cells = zip(horizons, means[-1], errors, strict=True)
        text = "  ".join(f"{h}d {mean:+.4f}±{error:.4f}" for h, mean, error in cells)
        print(f"{tested}  {text}  {time.perf_counter() - began:.0f} s", flush=True)
    text = "  ".join(f"{h}d {mean:+.4f}" for h, mean in zip(horizons, np.mean(means, axis=0), strict=True))
    print(f"mean  {text}")


if __name__ == "__main__":
    main()
