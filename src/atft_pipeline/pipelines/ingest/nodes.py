"""Node of the stage ``ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.lineage import FileHashes
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.prices.ingest import IngestConfig, ingest

if TYPE_CHECKING:
    import polars as pl


@configured
def ingest_prices(
    prices: Path, listings: Path | None, config: IngestConfig
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any], str]:
    """Read and clean raw prices; return clean prices, listings, the quality report and its page.

    Raises:
        DataError: nothing of them is in the universe.
    """
    from atft_pipeline.prices.universe_check import require_universe
    from atft_pipeline.reporting.quality_page import quality_page

    result = ingest(prices, listings, config)
    # Prices that were revised without a further day are known by their contents.
    result.report["contents"] = FileHashes(None).of(prices)
    require_universe(result.report)
    return result.prices, result.listings, result.report, quality_page(result.report)
