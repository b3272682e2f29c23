"""The tables of docs/results.md from the metrics of finished runs.

    python benchmarks/results.py data/08_reporting/metrics.json data/08_reporting/walk_forward_metrics.json

Each argument is an artifact or its folder of versions, of which the newest is read.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEADLINE = "5"
GROUPS = ("year", "regime", "size", "universe", "volatility")


def read(path: Path) -> dict[str, Any]:
    """The newest version of a JSON artifact."""
    versions = sorted(path.glob(f"*/{path.name}"))
    document: dict[str, Any] = json.loads((versions[-1] if versions else path).read_text(encoding="utf-8"))
    return document


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: Mapping[str, Any], name: str = "mean", digits: int = 4, scale: float = 1.0) -> str:
    """``0.0301 ± 0.0080``; a dash where undefined."""
    if value[name] is None:
        return "–"
    error = "" if value["se"] is None else f" ± {scale * value['se']:.{digits}f}"
    return f"{scale * value[name]:.{digits}f}{error}"


def paired(value: Mapping[str, Any] | None) -> str:
    """``+0.0080 ± 0.0028 (2.9)``: difference, error, their ratio."""
    if value is None or value["rank_ic_difference"] is None:
        return ""
    return f"{value['rank_ic_difference']:+.4f} ± {value['se']:.4f} ({value['t']:+.1f})"


def scores(metrics: Mapping[str, Any]) -> str:
    """RankIC of every score at every horizon, the model less it, and its incremental RankIC."""
    rows = [
        [
            horizon if name == "model" else "",
            name,
            number(score["rank_ic"]),
            paired(found["paired"].get(name)),
            paired(found.get("incremental_ic", {}).get(name)),
        ]
        for horizon, found in metrics["horizons"].items()
        for name, score in found["scores"].items()
    ]
    return table(("horizon", "score", "RankIC", "model less it (t)", "incremental to it (t)"), rows)


def timings(metrics: Mapping[str, Any]) -> str:
    """RankIC by when a trade can enter, for all listings and the most traded; the model less it at the open."""
    rows, names = [], next(iter(metrics["horizons"].values()))["timings"]
    for horizon, found in metrics["horizons"].items():
        known = {timing: part for timing, part in found["timings"].items() if "left_out" not in part}
        later = known.get("open_to_open") or known.get("session_skipped") or {}
        for name in next(iter(known.values()))["all"]["scores"]:
            cells, less = [], []
            for universe in ("all", "most_traded"):
                parts = [known.get(timing, {}).get(universe) for timing in names]
                cells += [number(part["scores"][name]) if part else "" for part in parts]
                less.append(paired(later.get(universe, {}).get("paired", {}).get(name)))
            rows.append([horizon if name == "model" else "", name, *cells, *less])
    words = [timing.replace("_", " ") for timing in names]
    most = f"{metrics['trading']['most_traded']:,} most traded"
    head = (
        "horizon",
        "score",
        *words,
        *(f"{word}, {most}" for word in words),
        "model less it (t)",
        f"the same, {most}",
    )
    return table(head, rows)


def portfolios(metrics: Mapping[str, Any]) -> str:
    """The model's and its benchmarks' portfolios at the headline horizon."""
    rows = []
    for kind, owners in metrics["horizons"][HEADLINE]["portfolios"].items():
        for owner, portfolio in owners.items():
            if not isinstance(portfolio, Mapping):
                continue
            net = portfolio["net"]
            rows.append(
                [
                    kind.replace("_", "-"),
                    owner,
                    number(portfolio["gross"]["sharpe"], "value", 2),
                    number(net["sharpe"], "value", 2),
                    number(net["annual_return"], digits=1, scale=100),
                    f"{100 * net['max_drawdown']['value']:.1f}",
                    number(portfolio["turnover"], digits=1, scale=100),
                    number(portfolio["cost_bp"], "value", 1),
                ]
            )
    head = (
        "portfolio",
        "score",
        "Sharpe gross",
        "Sharpe net",
        "net % a year",
        "max drawdown %",
        "turnover % a session",
        "cost of a trade, bp",
    )
    return table(head, rows)


def slices(metrics: Mapping[str, Any]) -> str:
    """RankIC by slice at the headline horizon, and the difference to the benchmark."""
    found = metrics["horizons"][HEADLINE]
    if not found.get("slices"):
        return ""
    parts = [(group, part) for group in GROUPS for part in found["slices"].get(group, [])]
    parts.append(("styles out", found["slices"]["style_neutral"]))
    rows = [[group, part["name"], number(part["model"]), number(part["difference"])] for group, part in parts]
    return table(("by", "part", "model", f"less {found['benchmark']}"), rows)


def folds(metrics: Mapping[str, Any]) -> str:
    """RankIC of each fold of a walk-forward at the headline horizon."""
    names = list(metrics["folds"][0]["rank_ic"][HEADLINE])
    rows = [
        [fold["train"][1], " to ".join(fold["test"]), *(number(fold["rank_ic"][HEADLINE][name]) for name in names)]
        for fold in metrics["folds"]
    ]
    return table(("trained to", "test", *names), rows)


def main() -> None:
    """Print."""
    for path in map(Path, sys.argv[1:]):
        metrics = read(path)
        span = f"{metrics['first']} to {metrics['last']}, {metrics['days']} days, {metrics['rows']:,} rows"
        print(f"\n{path.name}: {span}\n")
        for part in (scores, timings, portfolios, slices, *((folds,) if "folds" in metrics else ())):
            print(part(metrics))


if __name__ == "__main__":
    main()
