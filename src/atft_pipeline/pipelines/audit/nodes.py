"""Nodes of the stage ``audit``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.audit.config import AuditConfig
from atft_pipeline.config import to_mapping
from atft_pipeline.errors import DataError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.panel.config import BatchConfig, PanelConfig
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.prices.ingest import IngestConfig
from atft_pipeline.training.config import RuntimeConfig

if TYPE_CHECKING:
    import polars as pl

    from atft_pipeline.audit.audit import Audit
    from atft_pipeline.audit.stored import Stored
    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@configured
def collect_stored(
    clean_prices: pl.DataFrame,
    listings: pl.DataFrame,
    feature_table: Path,
    panel: Panel,
    graphs: MonthlyGraphs,
    model: Path | None,
    features: FeaturesConfig,
    linked: GraphConfig,
    batches: BatchConfig,
) -> Stored:
    """Put the artifacts in use side by side."""
    from atft_pipeline.audit.stored import Stored
    from atft_pipeline.training.checkpoint.model import load_model

    card = None if model is None else {"origin": to_mapping(load_model(model)[1].origin)}
    return Stored(clean_prices, listings, feature_table, panel, graphs, features, linked, batches, card)


@configured
def audit_chain(
    prices: Path,
    listings: Path | None,
    model: Path | None,
    stored: Stored,
    ingest: IngestConfig,
    features: FeaturesConfig,
    panel: PanelConfig,
    graphs: GraphConfig,
    runtime: RuntimeConfig,
    config: AuditConfig,
) -> dict[str, Any]:
    """Audit the chain under the parameters of its own stages, the artifacts in use and a trained model's scores."""
    from atft_pipeline.audit.audit import audit
    from atft_pipeline.audit.chain import real_steps
    from atft_pipeline.audit.prices import check_reading
    from atft_pipeline.prices.listings import read_listings
    from atft_pipeline.prices.prepared import read_prepared
    from atft_pipeline.prices.reading.read import read_prices

    if ingest.prepared.returns:
        raw, _ = read_prepared(prices, ingest.prepared, ingest.prices)
    else:
        raw = read_prices(prices, ingest.prices)
    _check_source(prices, raw, stored)
    table = read_listings(listings, ingest.prices) if listings is not None else None
    # What was read has canonical names already.
    canonical = replace(ingest.prices, preset="standard", columns=None)
    steps = real_steps(
        replace(ingest, prices=canonical),
        features,
        panel,
        graphs,
        model,
        runtime,
    )
    result = audit(raw, table, steps, config, stored)
    if not ingest.prepared.returns:
        result = replace(result, findings=[*check_reading(prices, raw), *result.findings])
    return _with_listings(result, listings, stored, ingest).report()


def _check_source(path: Path, raw: pl.DataFrame, stored: Stored) -> None:
    """Refuse prices of another market than the artifacts'; every comparison would call them a leak.

    Raises:
        DataError: less than half of the codes are shared.
    """
    codes = stored.clean["Code"].unique()
    shared = int(codes.is_in(raw["Code"].unique().implode()).sum())
    if 2 * shared < len(codes):
        msg = (
            f"{path} holds {shared} of the {len(codes)} codes of the clean prices: these were made from other prices; "
            f"name those with --params prices=<path>, or build with: kedro run --pipeline=data --params prices={path}"
        )
        raise DataError(msg)


def _with_listings(result: Audit, listings: Path | None, stored: Stored, settings: IngestConfig) -> Audit:
    """Add what the listings table says of its own dates."""
    from atft_pipeline.audit.known import check_listings

    if listings is None:
        return result
    found, hashes = check_listings(listings, stored, settings.prices)
    warnings = result.warnings
    if not found:
        warnings += (
            f"{listings.name} carries no dates: whether its sectors and markets were known at the time cannot be seen",
        )
    return replace(result, findings=[*result.findings, *found], warnings=warnings, listings=hashes)


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
