"""Attention with shared values: torch's kernel against the fused one, and the fused one's launch options.

    python -m benchmarks.attention [--samples 8192] [--steps 60] [--heads 8] [--width 32] [--tune]

Needs a CUDA device. The floor printed is the time to move query, key and their gradients once at the measured rate of
a copy. With --tune every set of options is compiled and timed, about two seconds each.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from atft_pipeline.model import attention_kernels
from atft_pipeline.model.fused_attention import kernel_attention


def milliseconds(run: Callable[[], object], repeats: int = 20) -> float:
    """Median of single calls."""
    spent = []
    for _ in range(repeats + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        spent.append(begin.elapsed_time(end))
    return statistics.median(spent[3:])


def passes(attend: Callable[[], Tensor]) -> tuple[float, float]:
    """Milliseconds of the forward and of the backward pass."""
    out = attend()
    pull = torch.randn_like(out)
    return milliseconds(attend), milliseconds(lambda: out.backward(pull, retain_graph=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("samples", 8192), ("steps", 60), ("heads", 8), ("width", 32)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    S, L, A, C = options.samples, options.steps, options.heads, options.width
    torch.manual_seed(0)
    query, key = (torch.randn(S, L, A, C, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    value = torch.randn(S, L, C, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    present = torch.ones(S, L, dtype=torch.bool, device="cuda")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: {S} samples, {L} steps, {A} heads of {C}, bf16")
    copied = milliseconds(lambda: query.detach().clone())
    print(f"floor: forward {copied:.3f} ms, backward {2 * copied:.3f} ms")

    def general(dropout: float) -> Tensor:
        shared = value[:, None].expand(S, A, L, C)
        heads = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), shared, dropout_p=dropout, is_causal=True
        )
        return heads.mean(dim=1)

    def fused(dropout: float) -> Tensor:
        return kernel_attention(query, key, value, present, causal=True, dropout=dropout)

    for dropout in (0.0, 0.1):
        for name, attend in (("torch", general), ("fused", fused)):
            forward, backward = passes(lambda attend=attend, dropout=dropout: attend(dropout))
            print(f"dropout {dropout} {name}: forward {forward:.3f} ms, backward {backward:.3f} ms")
    block = max(16, attention_kernels.triton.next_power_of_2(L))
    choices = [(4, 255), (4, 168), (4, 128), (8, 255), (8, 128), (8, 80)]
    for (warps, registers), stages in itertools.product(choices, (1, 2, 3)) if options.tune else ():
        chosen = {"num_warps": warps, "num_stages": stages, "maxnreg": registers}
        attention_kernels.FORWARD[block] = attention_kernels.BACKWARD[block] = chosen
        forward, backward = passes(lambda: fused(0.1))
        print(f"{chosen}: forward {forward:.3f} ms, backward {backward:.3f} ms")


if __name__ == "__main__":
    main()
