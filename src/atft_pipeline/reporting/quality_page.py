"""The data-quality page."""

from typing import Any

from atft_pipeline.reporting.cells import leaves
from atft_pipeline.reporting.page import render
from atft_pipeline.reporting.quality_figures import quality_figures


def quality_page(report: dict[str, Any]) -> str:
    """Compose the page from the report of cleaned prices, or of a prepared table.

    Args:
        report: of :func:`~atft_pipeline.prices.quality_report.quality_report`, or of
            :func:`~atft_pipeline.prices.prepared.read_prepared`.
    """
    if report.get("kind") == "prepared":
        columns = sorted((report["labels"] | report["coverage"]).items(), key=lambda column: column[1])
        return render("prepared", report=report, columns=columns)
    reading = report["reading"]
    return render(
        "quality",
        quality_figures(report),
        report=report,
        settings={name: value for name, value in leaves(report["settings"]).items() if value not in (None, "", [])},
        read=[*reading["notes"], *(reading["listings"] or {"notes": []})["notes"]],
    )
