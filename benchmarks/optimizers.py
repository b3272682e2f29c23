"""What a step of AdaBelief costs beside fused AdamW and the package adabelief-pytorch, over one model's parameters.

    python -m benchmarks.optimizers [--size production] [--device cpu]

In turns, in one process, one thread; medians of five turns of ten steps, host and device together.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import yaml
from adabelief_pytorch import AdaBelief as Package

from atft_pipeline.config import from_mapping
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.training.optim.adabelief import AdaBelief

SIZES = Path(__file__).resolve().parents[1] / "conf/base/globals.yml"


def milliseconds(optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """Mean of ten steps."""
    begun = time.perf_counter()
    for _ in range(10):
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 100 * (time.perf_counter() - begun)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="production")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    names = tuple(f"f{place}" for place in range(112))
    spec = InputSpec(feature_names=names, market_features=names[-2:], window=60, sectors=33, markets=3)
    size = yaml.safe_load(SIZES.read_text())["models"][options.size]
    parameters = list(ATFTGATFAN(from_mapping(ModelConfig, size), spec).to(device).parameters())
    for parameter in parameters:
        parameter.grad = 1e-2 * torch.randn_like(parameter)
    settings = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-16, "weight_decay": 1e-2}
    optimizers = {
        "fused AdamW": torch.optim.AdamW(parameters, fused=True, **settings),
        "AdaBelief": AdaBelief(parameters, **settings),
        "adabelief-pytorch": Package(parameters, **settings, print_change_log=False),
    }
    for optimizer in optimizers.values():
        milliseconds(optimizer, device)  # allocates, and passes the rectification's first steps
    turns = [{name: milliseconds(one, device) for name, one in optimizers.items()} for _ in range(5)]
    count = sum(parameter.numel() for parameter in parameters)
    print(f"{count / 1e6:.2f} M parameters in {len(parameters)} tensors, {device}, torch {torch.__version__}")
    for name in optimizers:
        spent = [turn[name] for turn in turns]
        ratio = statistics.median(turn[name] / turn["fused AdamW"] for turn in turns)
        spread = f"{min(spent):.2f} to {max(spent):.2f}"
        print(f"{name:<18} {statistics.median(spent):8.2f} ms a step ({spread}), {ratio:.2f} times fused AdamW")


if __name__ == "__main__":
    main()
