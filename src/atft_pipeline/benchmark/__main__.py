"""``python -m atft_pipeline.benchmark``: the benchmark without Kedro, for a machine that has torch alone."""

import argparse
import json
import logging
import sys
from pathlib import Path

from atft_pipeline.benchmark.config import BenchmarkConfig
from atft_pipeline.benchmark.report import STEPS, run_benchmark
from atft_pipeline.errors import AtftError
from atft_pipeline.reporting.benchmark_table import benchmark_table


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write the JSON; returns 1 where a check failed."""
    parser = argparse.ArgumentParser(prog="python -m atft_pipeline.benchmark", description=__doc__)
    parser.add_argument("--gpu-report", action="store_true", help="checks, switches, a whole epoch, top kernels")
    parser.add_argument("--scale", choices=["tiny", "origin"], help="default: origin on a GPU, tiny on a CPU")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--steps", type=int, default=STEPS, help="measured steps of each variant")
    parser.add_argument("--minutes", type=float, default=7.5, help="no variant is begun after so many minutes")
    parser.add_argument("--only", nargs="*", default=(), help="names of the variants to measure")
    parser.add_argument("--json", type=Path, help="write everything that was measured there")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = BenchmarkConfig(
            scale=given.scale or ("origin" if given.device != "cpu" and _has_gpu() else "tiny"),
            minutes=given.minutes,
            only=tuple(given.only),
        )
        found = run_benchmark(
            settings, device=given.device, steps=given.steps, full=given.gpu_report, checkout=Path.cwd()
        )
    except AtftError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(benchmark_table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0 if all(check["passed"] for check in found["checks"]) else 1


def _has_gpu() -> bool:
    import torch  # noqa: PLC0415  after the arguments are read

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
