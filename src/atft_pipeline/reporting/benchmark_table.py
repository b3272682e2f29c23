"""The benchmark of switches as text for a terminal."""

from typing import Any

from rich.table import Table

from atft_pipeline.reporting.cells import fixed
from atft_pipeline.reporting.console import indented, table, terminal_text

COLUMNS = ("variant", "samples/s", "against", "step ms", "spread %", "MFU %", "GiB", "start s", "loss", "apart %")


def benchmark_table(found: dict[str, Any]) -> str:
    """Lay the main numbers out.

    Args:
        found: of :func:`~atft_pipeline.benchmark.report.run_benchmark`.
    """
    machine, sizes = found["machine"], found["workload"]
    head = (
        f"{machine['device']}, torch {machine['torch']}; {machine['matmul_dtype']} products "
        f"{digits(machine['matmul_flops'] / 1e12)} TFLOP/s, copies {digits(machine['copy_bytes'] / 1e9)} GB/s; "
        f"{found['scale']}: {sizes['windows']:,} windows, {sizes['parameters']:,} parameters"
    )
    checks = [
        f"{'passed' if check['passed'] else 'FAILED'}  {check['name']}: {check['detail']}" for check in found["checks"]
    ]
    below = [indented("not measured  ", f"{row['name']}: {row['error']}") for row in found["variants"] if row["error"]]
    if found["epoch"]:
        below.append(_epoch_line(found["epoch"]))
    if found["left_out"]:
        below.append(f"no time was left for: {', '.join(found['left_out'])}")
    return terminal_text([head, *checks, _variants_table(found), *below])


def digits(value: float) -> str:
    """Write a number with three digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _variants_table(found: dict[str, Any]) -> Table:
    by_name = {row["name"]: row for row in found["variants"]}
    exact = by_name.get("float32", {}).get("loss", 0.0)
    # Of what the device's matrix products reach.
    utilisation = 100 * found["flops_per_sample"] / found["machine"]["matmul_flops"]
    rows = []
    for row in found["variants"]:
        if row["error"]:
            continue
        speed, base = row["samples_per_second"], by_name.get(row["against"])
        cells = [
            row["name"],
            f"{speed:,.0f}",
            f"{speed / base['samples_per_second']:.2f} x {base['name']}" if base and base["samples_per_second"] else "",
            f"{row['step_ms']:.1f}",
            f"{100 * row['spread']:.0f}",
            f"{utilisation * speed:.1f}",
            fixed(row["peak_gib"], ".1f"),
            f"{row['first_step_s']:.1f}",
            f"{row['loss']:.4f}",
            f"{100 * (row['loss'] / exact - 1):+.1f}" if exact else "",
        ]
        rows.append(cells)
    return table(COLUMNS, rows, left=("variant", "against"))


def _epoch_line(epoch: dict[str, Any]) -> str:
    text = (
        f"epoch of {epoch['training_windows']:,} windows: {epoch['extrapolated_seconds']:.1f} s extrapolated from "
        f"{epoch['extrapolated_from_steps']} steps ({epoch['all_windows_seconds']:.1f} s for all windows)"
    )
    if epoch["complete"]:
        text += (
            f"; measured whole: {epoch['seconds']:.1f} s, waiting for data {100 * epoch['data_wait_share']:.2f} %, "
            f"validation {epoch['validation_seconds']:.1f} s, "
            f"{epoch['validation_row_against_training_row']:.2f} of training a row; "
            f"warm start to first step {epoch['warm_start_to_first_step_seconds']:.1f} s"
        )
    return text
