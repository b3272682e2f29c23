"""Nodes of the stage ``audit``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from atft_pipeline.audit.audit import AuditConfig, audit
from atft_pipeline.audit.chain import real_steps
from atft_pipeline.errors import DataError
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.market.columns import FeaturesConfig
from atft_pipeline.market.ingest import IngestConfig
from atft_pipeline.market.listings import read_listings
from atft_pipeline.market.prices import read_prices
from atft_pipeline.panel.build import PanelConfig
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.runtime import choose_runtime


def audit_chain(
    prices: Path,
    listings: Path | None,
    model: Path | None,
    ingest: Params[IngestConfig],
    features: Params[FeaturesConfig],
    panel: Params[PanelConfig],
    graphs: Params[GraphConfig],
    runtime: Params[RuntimeConfig],
    config: Params[AuditConfig],
) -> dict[str, Any]:
    """Audit the chain under the parameters of its own stages; with a trained model, its scores too."""
    raw = read_prices(prices, ingest.root.prices)
    table = read_listings(listings, ingest.root.prices) if listings is not None else None
    # What was read has canonical names already.
    canonical = replace(ingest.root.prices, preset="standard", columns=None)
    steps = real_steps(
        replace(ingest.root, prices=canonical),
        features.root,
        panel.root,
        graphs.root,
        model,
        choose_runtime(runtime.root) if model is not None else None,
    )
    return audit(raw, table, steps, config.root).report()


def judge(report: dict[str, Any]) -> None:
    """End the run with an error where the audit found a leak; the report is saved by then.

    Raises:
        DataError: what failed.
    """
    if report["passed"]:
        return
    failed = [line for line in report["artifacts"] if line["leaks"]]
    what = "; ".join(
        f"{line['artifact']}: {line['leaks']} of {line['items']}, first {line['first']}" for line in failed
    )
    msg = f"the leak audit failed: {what}; see data/08_reporting/audit.json"
    raise DataError(msg)
