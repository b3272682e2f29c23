"""The refusal of prices from which nothing can be held, with the reason and what to do."""

from typing import Any

from atft_pipeline.errors import DataError
from atft_pipeline.prices.stocks import STOCK_REASONS
from atft_pipeline.prices.universe import DOLLAR_VOLUME_WINDOW

# Prices of which less than this fraction ever change are no prices.
STILL = 0.01
NO_STOCK = (
    "moves",
    "{:.0%} of the closes differ from the one before",
    "",
    "no stocks among them? --params ingest.universe.stocks=null keeps everything",
)
# Reason -> what was seen of the rows (a key of ``seen``), how it is written, parameter, what else may be the cause.
CAUSES = {
    "no close": ("priced", "Close is known in {:.0%} of the rows", "", "map another column to Close"),
    "not traded": ("traded", "{:.0%} of the rows were traded", "", "Volume is 0, blank or repeated; map another one"),
    "history too short": ("history", "the longest history has {:,.0f} sessions", "min_history", "give more days"),
    "price too low": ("price", "the highest price is {:,.4g}", "min_price", "prices in another unit or currency?"),
    "dollar volume too low": (
        "turnover",
        "the highest median of Close times Volume over {window} sessions is {:,.0f}",
        "min_dollar_volume",
        "Volume in lots, prices in another unit or currency?",
    ),
    **dict.fromkeys(STOCK_REASONS.values(), NO_STOCK),
}


def require_universe(report: dict[str, Any]) -> None:
    """Refuse prices that leave no row, or no row in the universe.

    Args:
        report: of :func:`atft_pipeline.prices.quality_report.quality_report`.

    Raises:
        DataError: naming the rule or the reason, its parameter and what was seen.
    """
    if report.get("kind") == "prepared":
        return
    source, left, seen = report["source"], report["output"], report["seen"]
    if not left["rows"]:
        rule = max(report["rules"], key=lambda rule: rule["rows"])
        off = ",".join([*(other["rule"] for other in report["rules"] if not other["enabled"]), rule["rule"]])
        msg = (
            f"{source}: none of {report['input']['rows']:,} rows is left: rule {rule['rule']} touched {rule['rows']:,} "
            f"({rule['does'].split(':')[0].rstrip('.')}); give prices of traded days with their Volume, or set "
            f"ingest.cleaning.skip=[{off}]"
        )
        raise DataError(msg)
    if seen["moves"] is not None and seen["moves"] < STILL:
        msg = f"{source}: prices do not move, {1 - seen['moves']:.1%} of the closes equal the one before; map others"
        raise DataError(msg)
    if left["universe_rows"]:
        return
    raise DataError(f"{source}: no row of {left['rows']:,} is in the universe: {_cause(report)}")


def _cause(report: dict[str, Any]) -> str:
    """Name the reason that keeps most rows out, and count the others."""
    total, settings = excluded_rows(report), report["settings"]["universe"]
    main, rows = next(iter(total.items()))
    key, form, parameter, hint = CAUSES[main]
    value = report["seen"][key]
    told = form.format(value, window=DOLLAR_VOLUME_WINDOW) if value is not None else f"no {key} is known"
    if key == "turnover" and value is None:
        hint = "set it to 0 for closes alone"
    limit = f", ingest.universe.{parameter} is {settings[parameter]:,.10g}" if parameter else ""
    others = ", ".join(f"{name} in {count:,}" for name, count in list(total.items())[1:] if count)
    return f"{main} in {rows:,} ({told}{limit}; {hint})" + (f"; besides {others}" if others else "")


def excluded_rows(report: dict[str, Any]) -> dict[str, int]:
    """Count the rows that each reason keeps out of the universe, the largest first."""
    return {one["reason"]: one["rows"] for one in report["excluded"]}
