"""Variable selection with the paper's GRN for each variable: the formula step by step against the blocks in cache.

    python -m benchmarks.selection [--samples 256] [--features 30] [--window 60] [--hidden 64] [--layers 6]

Forward and backward pass of the selection alone, and a training step of the whole model with either and with the linear
selection; one process, one thread, in turns. Seconds are those of the processor: other work on the machine counts less.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from atft_pipeline.config import from_mapping
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.model.variable_selection import GRNSelection


class Formula(GRNSelection):
    """The same parameters, every variable by itself in [S, L, F, H]."""

    def forward(self, x_SLF: Tensor, weights_SLF: Tensor) -> Tensor:
        """Transform, then sum."""
        e = x_SLF[..., None] * self.embedding + self.bias
        inner = F.elu(torch.einsum("slfh,fhg->slfg", e, self.inner) + self.inner_bias)
        outer = torch.einsum("slfh,fhg->slfg", inner, self.outer) + self.outer_bias
        outer = F.dropout(outer, self.dropout, self.training)
        gated = F.glu(torch.einsum("slfh,fhg->slfg", outer, self.gate) + self.gate_bias, dim=-1)
        normed = F.layer_norm(e + gated, e.shape[-1:]) * self.norm_weight + self.norm_bias
        total = torch.einsum("slf,slfh->slh", weights_SLF.expand_as(x_SLF), normed)
        return total / float(x_SLF.shape[-1] ** 0.5)


def model(options: argparse.Namespace, kind: str) -> ATFTGATFAN:
    """A model with one selection, or the other."""
    names = tuple(f"f{place}" for place in range(options.features))
    spec = InputSpec(feature_names=names, market_features=names[-2:], window=options.window, sectors=33, markets=3)
    config = {
        "width": options.hidden,
        "selection": {"kind": "linear" if kind == "linear" else "grn"},
        "encoder": {"layers": options.layers},
    }
    built = ATFTGATFAN(from_mapping(ModelConfig, config), spec)
    if kind == "formula":
        assert isinstance(built.selection, GRNSelection)
        built.selection.__class__ = Formula
    return built.train()


def training_step(built: ATFTGATFAN, samples: int) -> Callable[[], None]:
    """Forward, backward and optimiser on one day of random windows with ten neighbours each."""
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-4, fused=True)
    shape = (samples, built.spec.window, len(built.spec.feature_names))
    features, mask = torch.randn(shape), torch.ones(samples, dtype=torch.bool)
    steps, none = torch.ones(shape[:2], dtype=torch.bool), torch.ones(samples, dtype=torch.int64)
    neighbors = torch.randint(0, samples, (samples, 10))
    edges = torch.randn(samples, 10, built.spec.edge_dim)

    def step() -> None:
        output = built(features, mask, steps, neighbors, edges, none, none)
        sum(part.square().mean() for part in output if part is not None).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def selection_pass(block: GRNSelection, options: argparse.Namespace) -> Callable[[], None]:
    """Forward and backward."""
    x = torch.randn(options.samples, options.window, options.features, requires_grad=True)
    weights = torch.rand(options.samples, 1, options.features, requires_grad=True)
    return lambda: block(x, weights).sum().backward()


def milliseconds(run: Callable[[], None], samples: int) -> float:
    """Of the processor, for one window."""
    begun = time.process_time()
    run()
    return 1e3 * (time.process_time() - begun) / samples


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("samples", 256), ("features", 30), ("window", 60), ("hidden", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    blocks = {"formula": Formula, "in cache": GRNSelection}
    runs = {
        f"selection, {name}": selection_pass(kind(options.features, options.hidden, 0.1), options)
        for name, kind in blocks.items()
    }
    for kind in ("formula", "in cache", "linear"):
        built = model(options, kind)
        millions = sum(parameter.numel() for parameter in built.parameters()) / 1e6
        runs[f"training step, {kind}, {millions:.2f} M"] = training_step(built, options.samples)
    for run in runs.values():
        run()
    turns = [{name: milliseconds(run, options.samples) for name, run in runs.items()} for _ in range(options.repeats)]
    print(f"{options.samples} windows of {options.window} x {options.features}, width {options.hidden}, ", end="")
    print(f"torch {torch.__version__}, one thread")
    for name in runs:
        spent = [turn[name] for turn in turns]
        middle = statistics.median(spent)
        print(
            f"{name:<32} {middle:7.2f} ms a window ({min(spent):.2f} to {max(spent):.2f}): {1e3 / middle:6.0f} a second"
        )


if __name__ == "__main__":
    main()
