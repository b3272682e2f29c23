"""The work of ingest as text for a terminal."""

from typing import Any

from rich.table import Table

from atft_pipeline.reporting.console import indented, table, terminal_text


def quality_table(report: dict[str, Any]) -> str:
    """Lay out what came, what the rules did, what is out of the universe, and every remark.

    Args:
        report: of :func:`~atft_pipeline.prices.quality_report.quality_report`, or of a prepared table.
    """
    if report.get("kind") == "prepared":
        left = report
        line = f"prepared table: {left['rows']:,} rows, {left['codes']:,} codes, {left['sessions']:,} sessions"
        return f"{line}, {left['first']} to {left['last']}\n"
    left = report["output"]
    fraction = left["universe_rows"] / max(left["rows"], 1)
    clean = (
        f"clean: {left['rows']:,} of {report['input']['rows']:,} rows, {left['codes']:,} codes "
        f"({left['listings']:,} listings), {left['sessions']:,} sessions, {left['first']} to {left['last']}"
    )
    universe = (
        f"universe: {fraction:.1%} of the rows, {left['usual_listings']:,.0f} listings on a usual session, "
        f"{left['last_listings']:,} on the last"
    )
    remarks = [indented("look: ", remark) for remark in report["remarks"]]
    return terminal_text([clean, universe, _work(report), *remarks])


def _work(report: dict[str, Any]) -> Table:
    """One row for each rule that acted and for each reason that keeps rows out of the universe."""
    acted = [rule for rule in report["rules"] if rule["rows"]]
    rules = [
        [rule["rule"], f"{rule['rows']:,}", f"{rule['codes']:,}", ", ".join(rule["examples"][:2])] for rule in acted
    ]
    reasons = [
        [f"out: {one['reason']}", f"{one['rows']:,}", f"{one['codes']:,}", ", ".join(one["examples"][:2])]
        for one in report["excluded"]
        if one["rows"]
    ]
    columns = ("rule, or why out of the universe", "rows", "codes", "such as")
    return table(columns, [*rules, None, *reasons], left=(columns[0], columns[-1]))
